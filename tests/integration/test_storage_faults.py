"""Damage to files: torn tails, lost indexes, corrupt checkpoints, rot below the flushed point, malformed znodes."""
import os
import pathlib
import unittest

from harness import ClusterTest, wait_for


def log_of(broker, topic, partition=0):
    return sorted((broker.data / f"{topic}-{partition}").glob("*.log"))[-1]


class StorageFaults(ClusterTest):
    def filled(self, brokers):
        cluster = self.cluster(brokers)
        cluster.create_topic("data", 1, brokers)
        cluster.wait_isr("data", list(range(brokers)))
        lines = [f"record {n} " + "x" * 100 for n in range(3000)]
        cluster.produce("data", lines, "--producer-property", "batch.size=4000")
        return cluster, lines

    def test_kill_and_restart_keeps_everything(self):
        cluster, lines = self.filled(1)
        broker = cluster.brokers[0]
        broker.kill()
        broker.start()
        self.assertEqual(cluster.consume("data"), lines)

    def test_torn_tail_is_truncated_and_reported(self):
        cluster, lines = self.filled(1)
        broker = cluster.brokers[0]
        broker.kill()
        with open(log_of(broker, "data"), "ab") as log:
            log.write(b"\x0a\xff\x01" + os.urandom(100))
        result = cluster.tool("dump-log", "--verify", broker.data / "data-0", check=False)
        self.assertEqual(result.returncode, 0, result.out + result.err)
        broker.start()
        self.assertEqual(cluster.consume("data"), lines)
        self.assertRegex(broker.log()[broker.mark:], r"(?i)data-0.*truncat|truncat.*data-0")

    def test_missing_and_wrong_indexes_are_rebuilt(self):
        cluster, lines = self.filled(1)
        broker = cluster.brokers[0]
        for damage in (lambda p: p.unlink(), lambda p: p.write_bytes(os.urandom(64)), lambda p: p.write_bytes(b"")):
            broker.terminate()
            for index in (broker.data / "data-0").glob("*index"):
                damage(index)
            broker.start()
            self.assertEqual(cluster.consume("data"), lines)

    def test_corrupt_checkpoints_lose_nothing(self):
        cluster, lines = self.filled(1)
        broker = cluster.brokers[0]
        names = ["recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint",
                 "data-0/leader-epoch-checkpoint"]
        for name in names:
            broker.terminate()
            path = broker.data / name
            if path.exists():
                path.write_bytes(b"not a checkpoint\n")
            broker.start()
            wait_for(f"all records are back after damage to {name}", lambda: cluster.consume("data") == lines)

    def flip(self, broker):
        path = log_of(broker, "data")
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 0x10
        path.write_bytes(data)

    def test_flipped_bit_on_a_replica_is_repaired_from_the_leader(self):
        cluster, lines = self.filled(3)
        leader = cluster.describe("data")[0][0]
        victim = next(b for b in cluster.brokers if b.id != leader)
        self.assertEqual(victim.terminate(), 0)
        self.flip(victim)
        result = cluster.tool("dump-log", "--verify", victim.data / "data-0", check=False)
        self.assertEqual(result.returncode, 1, result.out + result.err)
        victim.start()
        # Found when opened or when read at the latest: make it lead, so that it is read.
        cluster.wait_isr("data", [0, 1, 2])
        for broker in cluster.brokers:
            if broker is not victim:
                broker.terminate()
        wait_for("the victim leads", lambda: cluster.describe("data").get(0, (-1,))[0] == victim.id)
        for broker in cluster.brokers:
            if broker is not victim:
                broker.start()
        cluster.wait_isr("data", [0, 1, 2])
        wait_for("every record is served whole", lambda: cluster.consume("data", check=False) == lines)

    def test_flipped_bit_on_a_sole_copy_is_loud_and_nothing_is_deleted(self):
        cluster, lines = self.filled(1)
        broker = cluster.brokers[0]
        self.assertEqual(broker.terminate(), 0)
        size = log_of(broker, "data").stat().st_size
        self.flip(broker)
        broker.start()
        result = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "data",
                              "--from-beginning", "--timeout-ms", 3000, check=False)
        got = result.out.splitlines()
        self.assertLess(len(got), len(lines))
        self.assertEqual(got, lines[:len(got)])
        self.assertGreaterEqual(sum(p.stat().st_size for p in broker.data.rglob("*.log")), size)
        wait_for("it says so", lambda: "data-0" in broker.log()[broker.mark:] and "damage" in broker.log())

    def test_malformed_znode_quarantines_that_topic_alone(self):
        cluster, lines = self.filled(2)
        client = cluster.zookeeper.client()
        try:
            client.create("/brokers/topics/broken", b"{not json")
            cluster.create_topic("fine", 2, 2)
            cluster.wait_isr("fine", [0, 1])
            cluster.produce("fine", ["hello"])
            self.assertEqual(cluster.consume("fine"), ["hello"])
            self.assertEqual(cluster.consume("data"), lines)
            self.assertTrue(any("broken" in broker.log() for broker in cluster.brokers))
        finally:
            client.stop()
            client.close()


if __name__ == "__main__":
    unittest.main()
