"""Retention, the documents' way to empty a topic, and DeleteRecords, over real processes."""
import json
import time
import unittest

from harness import ClusterTest, wait_for


class Retention(ClusterTest):
    def offsets_file(self, cluster, *partitions, version=1):
        path = cluster.folder / "offsets.json"
        path.write_text(json.dumps({"partitions": [{"topic": t, "partition": p, "offset": o} for t, p, o in partitions],
                                    "version": version}))
        return path

    def delete_records(self, cluster, *partitions, check=True):
        return cluster.tool("delete-records", "--bootstrap-server", cluster.bootstrap, "--offset-json-file",
                            self.offsets_file(cluster, *partitions), check=check)

    def configs(self, cluster, topic, *words):
        return cluster.tool("configs", "--zookeeper", cluster.zookeeper.connect, "--alter", "--entity-type", "topics",
                            "--entity-name", topic, *words)

    def log_bytes(self, broker, topic, partition=0):
        return sum(path.stat().st_size for path in (broker.data / f"{topic}-{partition}").glob("*.log"))

    def test_the_reset_recipe_empties_a_topic_within_seconds(self):
        cluster = self.cluster(3, log__segment__delete__delay__ms=1000)
        cluster.create_topic("test", 2, 3)
        cluster.produce("test", [f"old {n}" for n in range(2000)])
        self.assertEqual(len(cluster.consume("test")), 2000)
        self.configs(cluster, "test", "--add-config", "retention.ms=1000")
        began = time.monotonic()
        wait_for("nothing is left to read", lambda: cluster.offsets("test", "earliest") == cluster.offsets("test"))
        print(f"emptied after {time.monotonic() - began:.1f} s")
        self.assertEqual(cluster.consume("test"), [])
        # What is new lives longer than a second only where the removal is known.
        with cluster.noticed("configs of topic test changed"):
            self.configs(cluster, "test", "--delete-config", "retention.ms")
        # The files go as well, on every replica, not only on the leaders.
        for broker in cluster.brokers:
            for partition in (0, 1):
                wait_for(f"broker {broker.id} gives the space back",
                         lambda b=broker, p=partition: self.log_bytes(b, "test", p) == 0
                         and not list((b.data / f"test-{p}").glob("*.deleted")))
        new = [f"new {n}" for n in range(10)]
        cluster.produce("test", new)
        self.assertEqual(sorted(cluster.consume("test")), new)
        for broker in cluster.brokers:
            self.assertEqual(broker.terminate(), 0)
            self.assertIn("No damage found", cluster.tool("dump-log", "--verify", broker.data).out)
        cluster.start_brokers()
        self.assertEqual(sorted(cluster.consume("test")), new)

    def test_retention_by_size_keeps_at_least_what_is_told(self):
        cluster = self.cluster(1, log__retention__check__interval__ms=1000, log__segment__delete__delay__ms=0)
        cluster.create_topic("sized", 1, 1, segment__bytes=20000, retention__bytes=50000)
        cluster.produce("sized", [f"record {n} " + "x" * 100 for n in range(2000)],
                        "--producer-property", "batch.size=4000")
        broker = cluster.brokers[0]
        wait_for("old segments are gone", lambda: self.log_bytes(broker, "sized") <= 70000)
        self.assertGreaterEqual(self.log_bytes(broker, "sized"), 50000)
        left = cluster.consume("sized")
        self.assertTrue(left[-1].startswith("record 1999 "))
        self.assertLess(len(left), 700)
        broker.kill()
        broker.start()
        self.assertEqual(cluster.consume("sized"), left)

    def test_delete_records_trims_and_nothing_comes_back(self):
        cluster = self.cluster(3)
        cluster.create_topic("trim", 2, 3)
        cluster.wait_isr("trim", [0, 1, 2])
        lines = [f"record {n}" for n in range(100)]
        for partition in (0, 1):
            cluster.produce("trim", lines, "--property", "parse.key=false", "--producer-property", "batch.size=200")
        counts = cluster.offsets("trim")
        self.assertEqual(sum(counts.values()), 200)
        result = self.delete_records(cluster, ("trim", 0, 30), ("trim", 1, -1))
        self.assertEqual(result.out.splitlines(),
                         ["Executing records delete operation", "Records delete operation completed:",
                          "partition: trim-0\tlow_watermark: 30",
                          f"partition: trim-1\tlow_watermark: {counts[1]}"])
        self.assertEqual(len(cluster.consume("trim")), counts[0] - 30)
        # Not even when every broker is killed at once right after the answer, nor under another leader.
        for broker in cluster.brokers:
            broker.kill()
        cluster.start_brokers()
        cluster.wait_isr("trim", [0, 1, 2])
        self.assertEqual(len(cluster.consume("trim")), counts[0] - 30)
        leader = cluster.describe("trim")[0][0]
        cluster.brokers[leader].kill()
        cluster.wait_led("trim", {0, 1, 2} - {leader})
        self.assertEqual(len(cluster.consume("trim")), counts[0] - 30)
        # A consumer whose offset is gone follows auto.offset.reset.
        left = counts[0] - 30
        read = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "trim", "--partition", 0,
                            "--offset", 5, "--consumer-property", "auto.offset.reset=earliest", "--max-messages", left,
                            "--property", "print.offset=true").out
        self.assertEqual([line.split("\t")[0] for line in read.splitlines()], [f"Offset:{30 + n}" for n in range(left)])

    def test_delete_records_says_what_is_wrong(self):
        cluster = self.cluster(1)
        cluster.create_topic("plain", 1, 1)
        cluster.create_topic("state", 1, 1, cleanup__policy="compact")
        cluster.produce("plain", ["a", "b"])
        partly = self.delete_records(cluster, ("plain", 0, 1), ("plain", 7, 0), check=False)
        self.assertEqual(partly.returncode, 6, partly.err)
        self.assertIn("partition: plain-0\tlow_watermark: 1\n", partly.out)
        self.assertRegex(partly.out, "partition: plain-7\terror: .*UNKNOWN_TOPIC_OR_PARTITION")
        above = self.delete_records(cluster, ("plain", 0, 3), check=False)
        self.assertEqual(above.returncode, 1)
        self.assertIn("OFFSET_OUT_OF_RANGE", above.out)
        self.assertIn("POLICY_VIOLATION", self.delete_records(cluster, ("state", 0, 0), check=False).out)
        twice = self.delete_records(cluster, ("plain", 0, 1), ("plain", 0, 2), check=False)
        self.assertNotEqual(twice.returncode, 0)
        self.assertIn("duplicate", twice.err)
        self.assertEqual(cluster.consume("plain"), ["b"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
