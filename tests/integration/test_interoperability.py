"""What others see: a Python client from generated code alone, protoc --decode on a segment, ZooKeeper's own shell."""
import json
import os
import subprocess
import unittest

from harness import GENERATED, ROOT, ClusterTest, wait_for

EXAMPLE = ROOT / "docs/examples/python/tidemark_client.py"


class Interoperability(ClusterTest):
    def example(self, cluster, *words, stdin=""):
        return subprocess.run(["/usr/bin/python3", "-B", str(EXAMPLE), cluster.brokers[0].address, *words],
                              input=stdin, capture_output=True, text=True, timeout=120, check=True,
                              env={**os.environ, "PYTHONPATH": str(GENERATED)}).stdout.splitlines()

    def test_python_program_protoc_and_zookeeper_shell(self):
        cluster = self.cluster(3)
        cluster.create_topic("snakes", 3, 3)
        cluster.wait_isr("snakes", [0, 1, 2])
        lines = [f"line {n}" for n in range(2000)]
        self.example(cluster, "produce", "snakes", stdin="".join(line + "\n" for line in lines))
        self.assertEqual(sorted(self.example(cluster, "consume", "snakes")), sorted(lines))
        # Both clients read what the other wrote.
        self.assertEqual(sorted(cluster.consume("snakes")), sorted(lines))
        cluster.produce("snakes", ["from the tools"])
        self.assertIn("from the tools", self.example(cluster, "consume", "snakes"))
        self.zookeeper_shows_kafkas_tree(cluster)
        self.protoc_decodes_a_segment(cluster)

    def zookeeper_shows_kafkas_tree(self, cluster):
        shell = cluster.zookeeper.shell
        self.assertIn("[0, 1, 2]", shell("ls", "/brokers/ids"))
        self.assertIn("snakes", shell("ls", "/brokers/topics"))
        state = self.json_of(shell("get", "/brokers/topics/snakes/partitions/0/state"))
        self.assertEqual(state["version"], 1)
        self.assertEqual(sorted(state["isr"]), [0, 1, 2])
        topic = self.json_of(shell("get", "/brokers/topics/snakes"))
        self.assertEqual(topic["version"], 3)
        self.assertEqual(sorted(topic["partitions"]), ["0", "1", "2"])
        self.assertEqual(len(topic["topic_id"]), 22)
        broker = self.json_of(shell("get", "/brokers/ids/1"))
        self.assertEqual(broker["port"], cluster.brokers[1].port)
        self.assertEqual(broker["endpoints"], [f"PLAINTEXT://127.0.0.1:{cluster.brokers[1].port}"])
        controller = self.json_of(shell("get", "/controller"))
        self.assertIn(controller["brokerid"], [0, 1, 2])
        self.assertEqual(len(self.json_of(shell("get", "/cluster/id"))["id"]), 22)

    def json_of(self, text):
        line = next(line for line in text.splitlines() if line.startswith("{"))
        return json.loads(line)

    def protoc_decodes_a_segment(self, cluster):
        for broker in cluster.brokers:
            self.assertEqual(broker.terminate(), 0)
        segment = next((cluster.brokers[0].data / "snakes-0").glob("*.log"))
        decoded = subprocess.run(
            ["protoc", "-I", str(ROOT / "proto"), "--decode=tidemark.v1.LogSegment", "tidemark/v1/record.proto"],
            stdin=open(segment, "rb"), capture_output=True, text=True, check=True).stdout
        self.assertIn("batches {", decoded)
        self.assertIn("base_offset: 0", decoded)
        self.assertIn(f"magic: {0x544d4b31}", decoded)


if __name__ == "__main__":
    unittest.main()
