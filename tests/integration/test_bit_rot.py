"""Bits that change on a disk under running brokers, and a disk that comes back empty.

Rot is found by reads and by the scrubber, counted in /metrics, filled from a healthy replica and served again, without
a replica leaving the ISR. An empty disk under a known broker id never leads and is not in the ISR until it has caught up.
"""
import json
import re
import shutil
import unittest

from harness import SHORT_SESSIONS, ClusterTest, wait_for, without_repeats

TOPIC = "data"
SCRUB = {"log__scrub__interval__ms": 1000, "log__scrub__bytes__per__second": 1 << 30}
NO_SCRUB = {"log__scrub__bytes__per__second": 0}


def metric(broker, name):
    found = re.search(rf"^{name} (\S+)$", broker.http("/metrics")[1], re.M)
    return float(found[1])


def segments(broker):
    return sorted((broker.data / f"{TOPIC}-0").glob("*.log"))


def stored(broker):
    """All batches, wherever the log was rolled."""
    return b"".join(path.read_bytes() for path in segments(broker))


def flip(path, part):
    """One bit, in place as a disk would: at that part (0 to 1) of the file."""
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        at = min(int(size * part), size - 1)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


class Filled(ClusterTest):
    def filled(self, records=3000, **overrides):
        cluster = self.cluster(3, **overrides)
        cluster.create_topic(TOPIC, 1, 3, segment__bytes=65536, min__insync__replicas=2)
        cluster.wait_isr(TOPIC, [0, 1, 2])
        lines = [f"record {n} " + "x" * 100 for n in range(records)]
        cluster.produce(TOPIC, lines, "--producer-property", "batch.size=4000", "--producer-property", "acks=all")
        leader = cluster.brokers[cluster.describe(TOPIC)[0][0]]
        whole = stored(leader)
        for broker in cluster.brokers:
            wait_for("replicas are identical", lambda b=broker: stored(b) == whole)
            self.assertGreater(len(segments(broker)), 4)
        return cluster, lines, leader, whole

    def check_whole(self, cluster, lines):
        cluster.wait_isr(TOPIC, [0, 1, 2])
        self.assertEqual(cluster.consume(TOPIC), lines)
        for broker in cluster.brokers:
            self.assertEqual(broker.terminate(), 0)
            self.assertIn("No damage found", cluster.tool("dump-log", "--verify", broker.data).out)


class BitRot(Filled):
    def wait_repaired(self, victim, whole, segments_at_least):
        wait_for("damage is found", lambda: metric(victim, "tidemark_log_damaged_ranges_total") >= 1)
        wait_for("it is repaired", lambda: metric(victim, "tidemark_log_damaged_ranges") == 0 and
                 metric(victim, "tidemark_log_repaired_segments_total") >= segments_at_least)
        # What was damaged while the first was repaired may not have been found yet.
        wait_for("all of it is repaired", lambda: stored(victim) == whole)
        self.assertEqual(metric(victim, "tidemark_logs_set_aside_total"), 0)
        self.assertRegex(victim.log(), rf"{TOPIC}-0 is damaged: bytes \[\d+, \d+\) of \S+\.log")
        self.assertRegex(victim.log(), rf"{TOPIC}-0: \S+\.log is repaired from another replica")

    def test_the_scrubber_finds_rot_of_a_follower_which_is_repaired_in_place(self):
        cluster, lines, leader, whole = self.filled(**SCRUB)
        victim = next(broker for broker in cluster.brokers if broker is not leader)
        paths = segments(victim)
        flip(paths[0], 0.3)
        flip(paths[0], 0.8)
        flip(paths[2], 0.5)
        flip(paths[-1], 0.1)
        self.wait_repaired(victim, whole, 3)
        self.assertGreater(metric(victim, "tidemark_scrub_damaged_ranges_total"), 0)
        self.assertEqual(cluster.describe(TOPIC)[0], (leader.id, cluster.describe(TOPIC)[0][1], [0, 1, 2]))
        # A file cut short, one that is gone, and index files.
        paths = segments(victim)
        with open(paths[1], "r+b") as file:
            file.truncate(paths[1].stat().st_size // 2)
        paths[2].unlink()
        flip(paths[0].with_suffix(".index"), 0.5)
        paths[3].with_suffix(".timeindex").unlink()
        wait_for("files that are gone come back", lambda: stored(victim) == whole)
        wait_for("indexes are rebuilt", lambda: metric(victim, "tidemark_scrub_rebuilt_indexes_total") >= 2)
        self.check_whole(cluster, lines)

    def test_the_scrubber_finds_rot_of_a_leader_which_hands_over_first(self):
        cluster, lines, leader, whole = self.filled(**SCRUB)
        flip(segments(leader)[1], 0.5)
        self.wait_repaired(leader, whole, 1)
        cluster.wait_led(TOPIC, {0, 1, 2} - {leader.id})
        self.check_whole(cluster, lines)

    def test_a_consumer_that_meets_rot_on_the_leader_reads_on_from_a_healthy_one(self):
        cluster, lines, leader, whole = self.filled(**NO_SCRUB)
        flip(segments(leader)[1], 0.5)
        self.assertEqual(cluster.consume(TOPIC), lines)
        self.assertEqual(metric(leader, "tidemark_scrub_damaged_ranges_total"), 0)
        self.wait_repaired(leader, whole, 1)
        cluster.wait_led(TOPIC, {0, 1, 2} - {leader.id})
        self.check_whole(cluster, lines)

    def test_three_replicas_damaged_in_different_places_repair_each_other(self):
        cluster, lines, _, whole = self.filled(**SCRUB)
        for broker in cluster.brokers:
            flip(segments(broker)[1], 0.2 + 0.3 * broker.id)
        for broker in cluster.brokers:
            self.wait_repaired(broker, whole, 1)
        self.check_whole(cluster, lines)

    def test_what_nobody_has_is_refused_loudly_and_everything_else_is_served(self):
        cluster, lines, leader, _ = self.filled(**SCRUB)
        for broker in cluster.brokers:
            flip(segments(broker)[1], 0.5)
        for broker in cluster.brokers:
            wait_for("it is found", lambda b=broker: metric(b, "tidemark_log_damaged_ranges") == 1)
        sizes = {broker.id: len(stored(broker)) for broker in cluster.brokers}
        # Who leads and is damaged resigns, each in turn: the record may be appended and its acknowledgement not come.
        cluster.produce(TOPIC, ["on"], "--producer-property", "acks=all")
        read = cluster.consume(TOPIC, check=False)
        self.assertLess(len(read), len(lines))
        self.assertEqual(read, lines[:len(read)])
        # The end of a timeout is not passed off as the end of the topic.
        ended = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", TOPIC,
                             "--from-beginning", "--timeout-ms", 10000, check=False)
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(ended.out.splitlines(), read)
        self.assertRegex(ended.err, rf"error: {TOPIC}-0 was not read to its end: .*CORRUPT_MESSAGE")
        damaged = re.search(r"is damaged: .*", leader.log())[0]
        last = int(re.search(r"offsets? \d+ to (\d+)", damaged)[1])
        rest = cluster.consume(TOPIC, "-o", last + 1)
        self.assertEqual(without_repeats(rest, ["on"]), (lines + ["on"])[last + 1:])
        cluster.wait_isr(TOPIC, [0, 1, 2])
        for broker in cluster.brokers:
            self.assertGreaterEqual(len(stored(broker)), sizes[broker.id])
            self.assertEqual(metric(broker, "tidemark_logs_set_aside_total"), 0)


    def test_a_sole_copy_damaged_where_its_end_is_not_certain_is_offline_for_all_to_see(self):
        cluster = self.cluster(1, offsets__topic__replication__factor=1)
        broker, = cluster.brokers
        cluster.create_topic(TOPIC, 1, 1)
        cluster.produce(TOPIC, [f"record {n} " + "x" * 100 for n in range(1000)], "--producer-property", "batch.size=4000")

        def recovery_point():
            lines = (broker.data / "recovery-point-offset-checkpoint").read_text().splitlines()
            return next((int(line.split()[2]) for line in lines if line.startswith(f"{TOPIC} 0 ")), 0)
        wait_for("the recovery point is recorded", lambda: recovery_point() == 1000)
        broker.kill()
        path, = segments(broker)
        flip(path, 0.5)
        size = path.stat().st_size
        broker.start()
        wait_for("it has no leader", lambda: cluster.describe(TOPIC)[0] == (-1, [0], [0]))
        told = cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--describe", "--unavailable-partitions").out
        self.assertRegex(told, rf"Topic: {TOPIC}\tPartition: 0\t.*Offline: 0")
        wait_for("the controller counts it", lambda: metric(broker, "tidemark_controller_partitions_offline") == 1)
        self.assertEqual(metric(broker, "tidemark_partitions_offline"), 1)
        health = cluster.verb("cluster", "health", check=False)
        self.assertEqual(health.returncode, 10)
        self.assertIn(f"{TOPIC}-0", health.out)
        self.assertEqual(path.stat().st_size, size, "nothing is deleted")
        # The bit as it was, as from a backup.
        flip(path, 0.5)
        broker.terminate()
        broker.start()
        self.assertEqual(len(cluster.consume(TOPIC)), 1000)


class History:
    """The states of the partition that ZooKeeper told of: (leader, leader epoch, isr, version of the znode). A watch tells
    of the last of several changes; the versions show where states were passed over."""

    def __init__(self, test, cluster):
        self.states = []
        client = cluster.zookeeper.client()
        test.addCleanup(client.close)
        test.addCleanup(client.stop)

        def seen(data, stat):
            state = json.loads(data)
            self.states.append((state["leader"], state["leader_epoch"], sorted(state["isr"]), stat.version))
        client.DataWatch(f"/brokers/topics/{TOPIC}/partitions/0/state", seen)

    @property
    def isr(self):
        return self.states[-1][2]


class EmptyDisk(Filled):
    """`whole`: what each replica held before; nothing is produced afterwards."""

    def wait_out(self, cluster, victim):
        """By the controller's word, which stays: it may be back in the ISR at once. Where its former session ends before it
        has registered again it leaves the ISR as any broker that is gone."""
        lost = f"broker {victim.id} has lost its log of {TOPIC}-0, which is in sync: it leaves the ISR"

        def out():
            told = "".join(broker.log()[broker.mark:] for broker in cluster.brokers)
            return lost in told or any(str(victim.id) not in isr.split(",") for isr in re.findall(
                rf"{TOPIC}-0: leader \d+ in epoch \d+, ISR \[([\d,]*)\]", told))
        wait_for("it is out of the ISR", out)

    def wait_back(self, history, victim, whole):
        """Out and in again are two changes; the last that was heard of may be from before both."""
        wait_for("it is back in the ISR",
                 lambda: victim.id in history.isr and history.states[-1][3] >= history.states[0][3] + 2)
        self.assertEqual(stored(victim), whole, "it was in the ISR before it had everything")

    def check_never_led(self, history, victim):
        """Nobody elected it while it had nothing. (What was elected in a former life stays written until the next.)"""
        _, epoch, _, last = history.states[0]
        out = False
        for leader, leader_epoch, isr, version in history.states:
            out = out or victim.id not in isr or version > last + 1
            last = version
            self.assertTrue(out or leader != victim.id or leader_epoch == epoch, history.states)
        roles = re.findall(rf"{TOPIC}-0 (leads|follows)", victim.log()[victim.mark:])
        self.assertEqual(roles[0], "follows", roles)

    def test_an_empty_disk_under_a_known_broker_id_catches_up_first(self):
        cluster, lines, victim, whole = self.filled(**SHORT_SESSIONS)
        history = History(self, cluster)
        victim.kill()
        wait_for("it is out of the ISR", lambda: victim.id not in history.isr)
        shutil.rmtree(victim.data)
        victim.start()
        self.wait_back(history, victim, whole)
        self.check_never_led(history, victim)
        self.check_whole(cluster, lines)

    def stopped_with_one_emptied(self):
        """All brokers are killed at once, and the disk of the leader is emptied."""
        cluster, lines, victim, whole = self.filled(**SHORT_SESSIONS)
        for broker in cluster.brokers:
            broker.process.kill()
        for broker in cluster.brokers:
            broker.kill()
        shutil.rmtree(victim.data)
        return cluster, lines, victim, whole, History(self, cluster)

    def test_the_whole_cluster_restarts_with_one_disk_emptied(self):
        cluster, lines, victim, whole, history = self.stopped_with_one_emptied()
        cluster.start_brokers()
        self.wait_out(cluster, victim)
        self.wait_back(history, victim, whole)
        self.check_never_led(history, victim)
        self.check_whole(cluster, lines)

    def test_the_emptied_disk_is_back_first(self):
        cluster, lines, victim, whole, history = self.stopped_with_one_emptied()
        victim.spawn()
        wait_for("it says that its log is gone", lambda: f"the log of {TOPIC}-0 is gone" in victim.log()[victim.mark:])
        refused = cluster.tool("console-producer", "--bootstrap-server", victim.address, "--topic", TOPIC,
                               "--producer-property", "delivery.timeout.ms=4000",
                               "--producer-property", "request.timeout.ms=2000", stdin="lost\n", check=False)
        self.assertNotEqual(refused.returncode, 0, "an empty log took a record")
        self.assertNotIn(f"{TOPIC}-0 leads", victim.log()[victim.mark:])
        cluster.start_brokers()
        victim.wait_ready()
        self.wait_out(cluster, victim)
        self.wait_back(history, victim, whole)
        self.check_never_led(history, victim)
        self.check_whole(cluster, lines)


if __name__ == "__main__":
    unittest.main()
