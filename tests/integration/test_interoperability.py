"""What others see: a Python client from generated code alone, protoc --decode on a segment, ZooKeeper's own shell."""
import json
import os
import signal
import subprocess
import sys
import unittest

from harness import GENERATED, PATIENCE, ROOT, SHORT_SESSIONS, ClusterTest, wait_for

from group_members import ConsoleMember, SpreadLoad
from test_groups import GroupClient

EXAMPLE = ROOT / "docs/examples/python/tidemark_client.py"


class Interoperability(ClusterTest):
    def test_the_example_is_short_and_stands_on_generated_code_alone(self):
        """How thin a client can be: producer, consumer and member of a group."""
        lines = EXAMPLE.read_text().splitlines()
        self.assertLess(len(lines), 275)
        used = {word.split(".")[0] for line in lines if line.startswith(("import ", "from ")) for word in [line.split()[1]]}
        self.assertEqual(used - set(sys.stdlib_module_names), {"tidemark"})

    def example(self, cluster, *words, stdin=""):
        return subprocess.run(["/usr/bin/python3", "-B", str(EXAMPLE), cluster.brokers[0].address, *words],
                              input=stdin, capture_output=True, text=True, timeout=2 * PATIENCE, check=True,
                              env={**os.environ, "PYTHONPATH": str(GENERATED)}).stdout.splitlines()

    def member(self, cluster, topic, group, path):
        """Begins with one broker only; the others it has to learn of."""
        with open(path, "wb") as out:
            process = subprocess.Popen(
                ["/usr/bin/python3", "-B", str(EXAMPLE), cluster.brokers[0].address, "group", topic, group],
                stdout=out, env={**os.environ, "PYTHONPATH": str(GENERATED)})
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

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
        # Without the oldest records each goes on with those that there are, also a group that has not begun.
        cluster.create_topic("trimmed", 1, 3)
        cluster.produce("trimmed", [f"line {n}" for n in range(100)])
        offsets = cluster.folder / "trim.json"
        offsets.write_text('{"version": 1, "partitions": [{"topic": "trimmed", "partition": 0, "offset": 60}]}')
        cluster.tool("delete-records", "--bootstrap-server", cluster.bootstrap, "--offset-json-file", offsets)
        self.assertEqual(self.example(cluster, "consume", "trimmed"), [f"line {n}" for n in range(60, 100)])
        path = cluster.folder / "trimmed"
        member = self.member(cluster, "trimmed", "late", path)
        wait_for("it has read what there is", lambda: len(path.read_text().splitlines()) >= 40)
        member.terminate()
        self.assertEqual(member.wait(timeout=PATIENCE), 0)
        self.assertEqual(path.read_text().splitlines(), [f"line {n}" for n in range(60, 100)])
        self.zookeeper_shows_kafkas_tree(cluster)
        self.protoc_decodes_a_segment(cluster)

    def test_python_members_of_a_group_share_with_a_native_one(self):
        cluster = self.cluster(3)
        cluster.create_topic("snakes", 4, 3)
        lines = [f"line {n}" for n in range(1000)]
        self.example(cluster, "produce", "snakes", stdin="".join(line + "\n" for line in lines[:500]))
        paths = [cluster.folder / f"snake-{n}" for n in range(2)]
        pythons = [self.member(cluster, "snakes", "charmers", path) for path in paths]
        native = ConsoleMember(cluster, "charmers", "snakes", 0)
        self.addCleanup(native.end)
        client = GroupClient(cluster, "charmers")
        wait_for("three members hold four partitions", lambda: sorted(
            sum(len(t.partitions) for t in m.assignment.topics) for m in client.describe().members) == [1, 1, 2])
        self.example(cluster, "produce", "snakes", stdin="".join(line + "\n" for line in lines[500:]))

        def read():
            return [line for path in paths for line in path.read_text().splitlines()] + [r.value for r in native.records()]
        wait_for("all is read", lambda: len(read()) >= len(lines))
        pythons[0].terminate()
        self.assertEqual(pythons[0].wait(timeout=PATIENCE), 0)
        wait_for("two members hold four partitions", lambda: sorted(
            sum(len(t.partitions) for t in m.assignment.topics) for m in client.describe().members) == [2, 2])
        pythons[1].send_signal(signal.SIGINT)
        self.assertEqual(pythons[1].wait(timeout=PATIENCE), 0)
        self.assertEqual(native.leave(), 0, native.said())
        self.assertEqual(sorted(read()), sorted(lines), "each line once")
        self.assertEqual(sum(client.committed().values()), len(lines))

    def test_a_python_member_goes_on_without_any_one_broker(self):
        """Each leads a partition; one coordinates the group, and one is the only one that the member was told of."""
        cluster = self.cluster(3, **SHORT_SESSIONS)
        cluster.create_topic("snakes", 3, 3)
        cluster.wait_isr("snakes", [0, 1, 2])
        client = GroupClient(cluster, "charmers")
        wait_for("a coordinator", client.find)
        cluster.wait_isr("__consumer_offsets", [0, 1, 2])
        load = SpreadLoad(cluster, "snakes", producers=1).start()
        self.addCleanup(load.stop)
        path = cluster.folder / "snake"
        member = self.member(cluster, "snakes", "charmers", path)

        def reads_on():
            load.wait_progress()
            wanted = set(load.acknowledged)

            def read():
                if member.poll() is not None:
                    raise RuntimeError(f"it has ended with {member.returncode}")
                return wanted <= set(path.read_text().splitlines())
            wait_for("all that was acknowledged is read", read)
        reads_on()

        def others_lead(broker):
            for partition in range(3):
                cluster.wait_led("snakes", {other.id for other in cluster.brokers if other is not broker}, partition)
        first, *others = cluster.brokers
        for broker in others:
            broker.pause()
            others_lead(broker)
            reads_on()
            broker.resume()
            cluster.wait_isr("snakes", [0, 1, 2])
            cluster.wait_isr("__consumer_offsets", [0, 1, 2])
        self.assertIn(first.id, {leader for leader, _, _ in others[0].partitions("snakes").values()})
        first.kill()  # and stays away to the end
        others_lead(first)
        reads_on()
        load.stop()
        ends = cluster.offsets("snakes")
        wanted = set(cluster.consume("snakes"))
        wait_for("all is read", lambda: wanted <= set(path.read_text().splitlines()))
        member.terminate()
        self.assertEqual(member.wait(timeout=PATIENCE), 0)
        self.assertEqual(client.committed(), ends, "what was read is what is committed")

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
