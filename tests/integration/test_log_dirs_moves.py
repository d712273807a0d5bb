"""Replicas that move between the log directories of a broker: under load, of leaders and followers, and over kills."""
import contextlib
import json
import os
import re
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import PATIENCE, SHORT_SESSIONS, ClusterTest, wait_for
from load import Load

MIB = 1 << 20
RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
SLOW = MIB // 4  # nothing of these tests is copied at it before the test has looked


class LogDirsMoves(ClusterTest):
    def with_two_directories(self, **more):
        """Three brokers with two log directories each; no test depends on how much is free on this machine."""
        cluster = self.cluster(3, start=False, log__dir__min__free__bytes=0, log__dir__reserve__bytes=0, **more)
        for broker in cluster.brokers:
            broker.directories = [str(broker.folder / name) for name in ("disk1", "disk2")]
            broker.overrides["log.dirs"] = ",".join(broker.directories)
        return cluster.start()

    def described(self, cluster, *words):
        """What --describe prints: (broker, directory) -> {partition: (size, lag, is_future)}."""
        out = json.loads(cluster.tool("log-dirs", "--bootstrap-server", cluster.bootstrap, "--describe", *words).out)
        self.assertEqual(out["version"], 1)
        places = {}
        for broker in out["brokers"]:
            for directory in broker["logDirs"]:
                self.assertIsNone(directory["error"])
                places[broker["broker"], directory["logDir"]] = {
                    p["partition"]: (p["size"], p["offsetLag"], p["isFuture"]) for p in directory["partitions"]}
        return places

    def place(self, cluster, broker, partition):
        """(directory of the replica, directory it is moved to or None)."""
        here = future = None
        for (number, directory), held in self.described(cluster, "--broker-list", broker.id).items():
            self.assertEqual(number, broker.id)
            if partition in held:
                if held[partition][2]:
                    future = directory
                else:
                    self.assertIsNone(here, "it is in one place")
                    here = directory
        return here, future

    def other(self, broker, directory):
        return next(d for d in broker.directories if d != directory)

    def move(self, cluster, broker, partition, to, check=True):
        return cluster.tool("log-dirs", "--bootstrap-server", cluster.bootstrap, "--move", partition, "--broker",
                            broker.id, "--to", to, check=check)

    def wait_moved(self, cluster, broker, partition, to):
        wait_for(f"{partition} of broker {broker.id} is in {to}",
                 lambda: self.place(cluster, broker, partition) == (to, None))

        def folders():
            return [os.path.join(d, name) for d in broker.directories for name in os.listdir(d)
                    if name.startswith(partition) and not name.endswith("-delete")]
        wait_for("the folder that it was in is given up", lambda: folders() == [os.path.join(to, partition)])

    def set_rate(self, cluster, rate):
        """Copies under way go on at it when this returns; it must be another one than before."""
        with cluster.noticed(f"config {re.escape(RATE)} is now {rate}$"):
            cluster.tool("configs", "--bootstrap-server", cluster.bootstrap, "--alter", "--broker-defaults",
                         "--add-config", f"{RATE}={rate}")

    def metric(self, broker, name):
        match = re.search(rf"^{name} (\S+)$", broker.http("/metrics")[1], re.M)
        return float(match[1])

    @contextlib.contextmanager
    def load(self, cluster, topic):
        load = Load(cluster, topic).start()
        try:
            yield load
        finally:
            load.stop()

    def fill(self, cluster, topic, mebibytes):
        cluster.produce(topic, [f"filling {n} ".ljust(1000, "x") for n in range(mebibytes * 1024)])

    def test_leader_and_follower_move_while_they_serve(self):
        cluster = self.with_two_directories()
        cluster.create_topic("orders", 3, 3)
        cluster.create_topic("other", 1, 3)
        cluster.wait_isr("orders", [0, 1, 2])
        self.fill(cluster, "orders", 30)
        leader_id = cluster.describe("orders")[0][0]
        movers = [cluster.brokers[leader_id], next(b for b in cluster.brokers if b.id != leader_id)]
        with self.load(cluster, "orders") as load:
            load.wait_progress()
            for broker in movers:
                here, _ = self.place(cluster, broker, "orders-0")
                to = self.other(broker, here)
                self.set_rate(cluster, SLOW)
                said = self.move(cluster, broker, "orders-0", to).out
                self.assertIn(f"Moving orders-0 on broker {broker.id} to {to}", said)
                self.assertEqual(self.place(cluster, broker, "orders-0"), (here, to), "the copy is under way")
                size, lag, _ = self.described(cluster, "--topic-list", "orders")[broker.id, to]["orders-0"]
                self.assertGreater(lag, 0)
                self.assertLess(size, 10 * MIB)
                self.assertEqual(self.metric(broker, "tidemark_log_moves"), 1)
                self.set_rate(cluster, 4 * MIB)
                while self.place(cluster, broker, "orders-0")[1] is not None:
                    load.wait_progress()
                    self.assertEqual(len(cluster.consume("orders", "-n", 10)), 10)
                self.wait_moved(cluster, broker, "orders-0", to)
                load.wait_progress()
                self.assertEqual(self.metric(broker, "tidemark_log_moves"), 0)
                self.assertEqual(self.metric(broker, "tidemark_log_moves_finished_total"), 1)
                self.assertGreater(self.metric(broker, "tidemark_log_move_bytes_total"), 8 * MIB)
        state = cluster.describe("orders")
        self.assertEqual(state[0][0], leader_id, "it has led all the time")
        self.assertEqual({tuple(isr) for _, _, isr in state.values()}, {(0, 1, 2)}, "nobody left the ISR")
        load.check(self)
        # And each of the moved replicas alone serves all of it, after a restart too.
        for broker in movers:
            broker.kill()
            broker.start()
            cluster.wait_isr("orders", [0, 1, 2])
        load.check(self)

    def test_kill_in_the_middle_of_a_move(self):
        cluster = self.with_two_directories(**SHORT_SESSIONS)
        cluster.create_topic("orders", 1, 3)
        cluster.wait_isr("orders", [0, 1, 2])
        self.fill(cluster, "orders", 24)
        with self.load(cluster, "orders") as load, ThreadPoolExecutor(1) as pool:
            leader = cluster.describe("orders")[0][0]
            for killed in (cluster.brokers[leader], cluster.brokers[(leader + 1) % 3]):
                here, _ = self.place(cluster, killed, "orders-0")
                to = self.other(killed, here)
                self.set_rate(cluster, MIB)
                waiting = pool.submit(cluster.tool, "log-dirs", "--bootstrap-server", cluster.bootstrap, "--move",
                                      "orders-0", "--broker", killed.id, "--to", to, "--wait", check=False,
                                      patience=10 * PATIENCE)
                wait_for("a part of it is copied",
                         lambda: self.described(cluster)[killed.id, to].get("orders-0", (0,))[0] > 6 * MIB)
                self.set_rate(cluster, SLOW)
                load.wait_progress()
                killed.kill()
                load.wait_progress()
                killed.start()
                cluster.wait_isr("orders", [0, 1, 2])
                load.wait_progress()
                self.assertRegex(killed.log()[killed.mark:], r"the move of orders-0 to \S+ goes on")
                self.set_rate(cluster, 8 * MIB)
                self.wait_moved(cluster, killed, "orders-0", to)
                waited = waiting.result()
                self.assertEqual((waited.returncode, waited.err.count("waiting for it")), (0, 1), waited.err)
                self.assertIn(f"Moved orders-0 on broker {killed.id} to {to}", waited.out)
                copied = self.metric(killed, "tidemark_log_move_bytes_total")
                size = self.described(cluster)[killed.id, to]["orders-0"][0]
                self.assertLess(copied, size - 5 * MIB, "what was copied before is not copied again")
        load.check(self)

    def test_refusals_and_cancellation(self):
        cluster = self.with_two_directories(replica__alter__log__dirs__io__max__bytes__per__second=SLOW)
        cluster.create_topic("orders", 1, 3)
        cluster.wait_isr("orders", [0, 1, 2])
        self.fill(cluster, "orders", 20)
        broker = cluster.brokers[1]
        here, _ = self.place(cluster, broker, "orders-0")
        to = self.other(broker, here)
        for partition, directory, said in (("orders-0", "/nowhere", "LOG_DIR_NOT_FOUND"),
                                           ("orders-7", to, "UNKNOWN_TOPIC_OR_PARTITION"),
                                           ("absent-0", to, "UNKNOWN_TOPIC_OR_PARTITION")):
            refused = self.move(cluster, broker, partition, directory, check=False)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn(said, refused.err)
        self.move(cluster, broker, "orders-0", to)
        self.assertEqual(self.place(cluster, broker, "orders-0"), (here, to))
        self.move(cluster, broker, "orders-0", here)
        self.wait_moved(cluster, broker, "orders-0", here)
        self.assertEqual(self.metric(broker, "tidemark_log_moves_given_up_total"), 1)
        # A cancelled move stays cancelled.
        broker.kill()
        broker.start()
        cluster.wait_isr("orders", [0, 1, 2])
        self.wait_moved(cluster, broker, "orders-0", here)


if __name__ == "__main__":
    unittest.main()
