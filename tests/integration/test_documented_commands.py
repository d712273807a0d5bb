"""The commands of the documents people learn from, as they are written there (`kafka-` read as `tidemark-`).

Each case is the command line itself, run by a shell in one cluster, in the documents' order, with what it must do.
Only addresses are replaced: the documents' ports by those of the test's cluster.
"""
import os
import re
import subprocess
import unittest

from harness import BIN, PATIENCE, ClusterTest, wait_for

NBSP = "\u00a0"


class DocumentedCommands(ClusterTest):
    def setUp(self):
        super().setUp()
        self.brokers = self.cluster(1, offsets__topic__replication__factor=1)
        self.work = self.folder / "shell"
        home = self.work / "home"
        home.mkdir(parents=True)
        (home / "bin").symlink_to(BIN)
        self.environment = {**os.environ, "TIDEMARK_HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}"}

    def command(self, line):
        """The line as the shell of this test runs it."""
        for written, port in ((":9092", self.brokers.brokers[0].port), (":2181", self.brokers.zookeeper.port)):
            line = line.replace(written, f":{port}")
        return line.replace("$KAFKA_HOME", "$TIDEMARK_HOME").replace("kafka-", "tidemark-").replace("Kafka-", "Tidemark-")

    def run_line(self, line, stdin=""):
        # The same program by its other name, with or without .sh.
        for name in re.findall(r"\b[Tt]idemark-[a-z-]+(?=[. ])", self.command(line)):
            for spelling in (name, f"{name}.sh"):
                if (BIN / name).exists():
                    self.assertTrue((BIN / spelling).samefile(BIN / "tidemark"), spelling)
        return subprocess.run(["bash", "-c", self.command(line)], input=stdin, capture_output=True, text=True, check=False,
                              timeout=2 * PATIENCE, cwd=self.work, env=self.environment)

    def done(self, line, out=None, stdin=""):
        result = self.run_line(line, stdin)
        self.assertEqual(result.returncode, 0, f"{line}\n{result.stdout}{result.stderr}")
        if out is not None:
            self.assertEqual(result.stdout, out, line)
        return result.stdout

    def refused(self, line, shows, status=2):
        result = self.run_line(line)
        self.assertEqual(result.returncode, status, f"{line}\n{result.stdout}{result.stderr}")
        self.assertIn(shows, result.stderr, line)

    def reads(self, line, expected, produce=None):
        """A consumer that runs until it is told to stop: starts it, waits until it reads, compares its lines."""
        path = self.work / "consumed"
        with open(path, "wb") as out:
            process = subprocess.Popen(["bash", "-c", "exec " + self.command(line)], stdout=out, stderr=subprocess.DEVNULL,
                                       cwd=self.work, env=self.environment)
        try:
            def seen():
                if produce:
                    produce()
                lines = path.read_text().splitlines()
                return lines if len(lines) >= len(expected) else None
            lines = wait_for(f"{line} prints {expected}", seen)
        finally:
            process.terminate()
            self.assertEqual(process.wait(timeout=PATIENCE), 0, line)
        self.assertEqual(sorted(lines[:len(expected)]), sorted(expected), line)

    def test_first_document(self):
        home = "$KAFKA_HOME/bin/kafka-"
        self.done(f"{home}topics.sh --create -zookeeper localhost:2181 --replication-factor 1 --partitions 1 --topic test",
                  "Created topic test.\n")
        self.done(f"{home}topics.sh --list --zookeeper localhost:2181", "test\n")
        (self.work / "myMessage.json").write_text('{"a": 1}\n{"a": 2}\n')
        self.done(f"{home}console-producer.sh --broker-list localhost:9092{NBSP} --topic test < myMessage.json")
        self.reads(f"{home}console-consumer.sh --bootstrap-server localhost:9092 --from-beginning --topic test",
                   ['{"a": 1}', '{"a": 2}'])
        # The document glues the next command to this one; Kafka drops both words without a word.
        self.refused(f"{home}configs.sh --zookeeper localhost:2181 --alter --entity-type topics --entity-name test "
                     "--add-config retention.ms=1000 sleep 3", "--add-config retention.ms=1000; sleep 3")
        self.done(f"{home}configs.sh --zookeeper localhost:2181 --alter --entity-type topics --entity-name test "
                  "--add-config retention.ms=1000; sleep 0", "Completed updating config for topic test.\n")
        describe = f"{home}configs.sh --zookeeper localhost:2181 --describe --entity-type topics --entity-name test"
        self.assertIn("retention.ms=1000", self.done(describe))
        self.done(f"{home}configs.sh --zookeeper localhost:2181 --alter --entity-type topics --entity-name test "
                  "--delete-config retention.ms", "Completed updating config for topic test.\n")
        self.assertNotIn("retention.ms", self.done(describe))

    def test_start_and_stop_of_the_first_document(self):
        broker = self.brokers.brokers[0]
        broker.kill()
        (self.work / "config").mkdir()
        (self.work / "config" / "server.properties").write_text((broker.folder / "server.properties").read_text())
        process = subprocess.Popen(["bash", "-c", "exec " + self.command("$KAFKA_HOME/bin/kafka-server-start.sh config/server.properties")],
                                   cwd=self.work, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        wait_for("the broker answers", lambda: self.run_line(
            "kafka-topics --zookeeper 127.0.0.1:2181 --list").returncode == 0)
        self.refused("$KAFKA_HOME/bin/kafka-server-start.sh --zookeeper 192.168.128.252:2181", "tidemark-server-stop")
        self.assertIsNone(process.poll(), "it is not stopped by that")
        self.done("$KAFKA_HOME/bin/kafka-server-stop.sh config/server.properties")
        self.assertEqual(process.wait(timeout=PATIENCE), 0)

    def test_second_document(self):
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --topic third_topic --create --partitions 3 --replication-factor 1",
                  "Created topic third_topic.\n")
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --topic first_topic --create --partitions 3 --replication-factor 1")
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --list", "first_topic\nthird_topic\n")
        out = self.done("kafka-topics --zookeeper 127.0.0.1:2181 --topic first_topic --describe")
        self.assertIn("PartitionCount: 3\tReplicationFactor: 1", out)
        self.assertEqual(out.count("Leader: 0\tReplicas: 0\tIsr: 0"), 3)
        produce = "kafka-console-producer --broker-list 127.0.0.1:9092 --topic first_topic"
        self.done(produce, stdin="hello\n")
        self.done(f"{produce} --producer-property acks=all", stdin="world\n")
        self.done(f"{produce} --property parse.key=true --property key.separator=,", stdin="1,first\n2,second\n")
        consume = "kafka-console-consumer --bootstrap-server 127.0.0.1:9092 --topic first_topic"
        self.reads(f"{consume} --from-beginning", ["hello", "world", "first", "second"])
        self.reads(f"{consume} --from-beginning --property print.key=true --property key.separator=,",
                   ["null,hello", "null,world", "1,first", "2,second"])
        # From the end: only what comes once it reads.
        self.reads(consume, ["later"], produce=lambda: self.done(produce, stdin="later\n"))
        self.groups_of_the_second_document(produce, consume)
        self.configs_of_the_second_document()
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --topic first_topic --delete", "Deleted topic first_topic.\n")
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --list", "__consumer_offsets\nthird_topic\n")

    def groups_of_the_second_document(self, produce, consume):
        # A new group begins at the end; it is stopped, and goes on where it was.
        self.reads(f"{consume} --group my_new_group", ["for the group"], produce=lambda: self.done(produce, stdin="for the group\n"))
        groups = "kafka-consumer-groups --bootstrap-server 127.0.0.1:9092"
        self.done(f"{groups} --list", "my_new_group\n")

        def all_read():
            """What was sent more often than it was waited for, too."""
            self.done(f"{consume} --group my_new_group --timeout-ms 3000")
            described = self.done(f"{groups} --describe --group my_new_group")
            self.assertRegex(described, r"GROUP +TOPIC +PARTITION +CURRENT-OFFSET +LOG-END-OFFSET +LAG +CONSUMER-ID +HOST +CLIENT-ID")
            return [int(row.split()[5]) for row in described.splitlines() if row.startswith("my_new_group")] == [0, 0, 0]
        wait_for("the group has read all", all_read)
        self.done(produce, stdin="while it is away\n")
        self.reads(f"{consume} --group my_new_group", ["while it is away"])
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --topic twitter-tweets --create --partitions 2 --replication-factor 1")
        self.done("kafka-console-producer --broker-list 127.0.0.1:9092 --topic twitter-tweets", stdin="one\ntwo\nthree\n")
        tweets = "kafka-console-consumer --bootstrap-server localhost:9092 --topic twitter-tweets --group kafka-elastic-search"
        self.reads(f"{tweets} --from-beginning", ["one", "two", "three"])
        reset = self.done("kafka-consumer-groups --bootstrap-server localhost:9092 --group kafka-elastic-search "
                          "--reset-offsets --execute --to-earliest --topic twitter-tweets")
        # Its own kafka- is read as tidemark- too.
        self.assertRegex(reset, r"tidemark-elastic-search +twitter-tweets +0 +0 *\ntidemark-elastic-search +twitter-tweets +1 +0 *\n")
        self.reads(tweets, ["one", "two", "three"])
        self.done("kafka-topics --zookeeper 127.0.0.1:2181 --topic twitter-tweets --delete")

    def configs_of_the_second_document(self):
        configs = "Kafka-configs --zookeeper 127.0.0.1:2181 --entity-type topics --entity-name first_topic"
        self.done(f"{configs} --describe", "Dynamic configs for topic first_topic are:\n")
        self.refused(f"{configs} --add-config min.insync.replicas = 2 --alter", "--add-config min.insync.replicas=2")
        result = self.run_line(f"{configs} --add-config min.insync.replicas=2 --alter")
        self.assertEqual((result.returncode, result.stdout), (0, "Completed updating config for topic first_topic.\n"))
        self.assertIn("warning: min.insync.replicas=2 is above the replication factor", result.stderr)
        self.assertIn("min.insync.replicas=2", self.done(f"{configs} --describe"))
        self.done(f"{configs} --delete-config min.insync.replicas = 2 --alter")
        self.done(f"{configs} --describe", "Dynamic configs for topic first_topic are:\n")


if __name__ == "__main__":
    unittest.main()
