"""Under Kafka's names: -o of everything that shows, --dry-run of everything that writes, and what is told of names that are not
there. Without -o the text is Kafka's."""
import csv
import io
import json
import subprocess
import unittest

from group_members import ConsoleMember
from harness import BIN, PATIENCE, ClusterTest, wait_for


class KafkaFormats(ClusterTest):
    def setUp(self):
        super().setUp()
        self.brokers = self.cluster(1, offsets__topic__num__partitions=5, offsets__topic__replication__factor=1)

    def tool(self, name, *words, status=0):
        """stdout of tidemark-NAME; its stderr is self.err."""
        result = self.brokers.tool(name, *words, "--bootstrap-server", self.brokers.bootstrap, check=False)
        self.err = result.err
        self.assertEqual(result.returncode, status, result.out + result.err)
        return result.out

    def rows(self, name, *words, status=0):
        """The rows of `-o json`, which the table and the CSV have too."""
        return json.loads(self.tool(name, *words, "-o", "json", status=status))

    def shown(self, name, *words):
        """Rows of something that only shows, by all three formats."""
        rows = self.rows(name, *words)
        as_csv = list(csv.DictReader(io.StringIO(self.tool(name, *words, "-o", "csv"))))
        self.assertEqual(list(as_csv[0]), list(rows[0]))
        self.assertEqual(len(as_csv), len(rows))
        self.assertIn(list(rows[0])[0].upper(), self.tool(name, *words, "--output", "table").splitlines()[0])
        return rows

    def topics(self):
        return [row["topic"] for row in self.rows("topics", "--list", "--exclude-internal")]

    def test_topics(self):
        create = ("topics", "--create", "--topic", "orders", "--partitions", 2, "--replication-factor", 1)
        self.assertEqual(self.rows(*create, "--dry-run"), [{"topic": "orders", "result": "would be created"}])
        self.assertRegex(self.tool(*create, "--dry-run"), r"TOPIC +RESULT\norders +would be created\n")
        self.assertEqual(self.topics(), [])
        self.assertEqual(self.tool(*create), "Created topic orders.\n")
        self.assertEqual(self.rows(*create, status=1), [{"topic": "orders", "result": "failed"}])
        self.assertEqual(self.rows(*create, "--if-not-exists"), [{"topic": "orders", "result": "exists"}])
        self.assertEqual(self.rows("topics", "--create", "--topic", "clicks", "--replication-factor", 1),
                         [{"topic": "clicks", "result": "created"}])
        self.assertEqual(self.tool("topics", "--list"), "clicks\norders\n")
        clicks, orders = self.shown("topics", "--list")
        self.assertEqual(orders, {"topic": "orders", "partitions": 2, "replicas": 1, "internal": False, "state": "ok"})
        described, = self.rows("topics", "--describe", "--topic", "orders")
        self.assertEqual([p["leader"] for p in described["partitions"]], [0, 0])
        self.assertEqual(len(self.tool("topics", "--describe", "--topic", "orders", "-o", "csv").splitlines()), 3)
        self.assertEqual(self.rows("topics", "--describe", "--topics-with-overrides"), [])
        by_id, = self.rows("topics", "--describe", "--topic-id", described["id"])
        self.assertEqual(by_id, described)
        self.tool("topics", "--describe", "--topic-id", "AAAAAAAAAAAAAAAAAAAAAA", status=4)
        alter = ("topics", "--alter", "--topic", "orders", "--partitions", 4)
        change = {"topic": "orders", "partitions_before": 2, "partitions": 4}
        self.assertEqual(self.rows(*alter, "--dry-run"), [{**change, "result": "would be added"}])
        self.assertEqual(len(self.rows("topics", "--describe", "--topic", "orders")[0]["partitions"]), 2)
        self.assertEqual(self.rows(*alter), [{**change, "result": "added"}])
        delete = ("topics", "--delete", "--topic", "orders,clicks")
        self.assertEqual([r["result"] for r in self.rows(*delete, "--dry-run")], ["would be deleted"] * 2)
        self.assertEqual(self.topics(), ["clicks", "orders"])
        self.assertEqual([r["result"] for r in self.rows(*delete)], ["deleted"] * 2)
        self.assertEqual(self.topics(), [])

    def test_configs_and_their_warnings(self):
        self.tool("topics", "--create", "--topic", "orders", "--config", "compression.type=gzip", "--config",
                  "min.insync.replicas=2", "--replication-factor", 1)
        self.assertIn("compression.type has no effect yet", self.err)
        self.assertIn("min.insync.replicas=2 is above the replication factor and acts as 1", self.err)
        dry = self.brokers.verb("topic", "create", "dry", "--dry-run", "-r", 1, "-c", "compression.type=gzip")
        self.assertIn("compression.type has no effect yet", dry.err)
        alter = ("configs", "--alter", "--topic", "orders", "--add-config", "retention.ms=5000")
        change, = self.rows(*alter, "--dry-run")
        self.assertEqual((change["name"], change["after"]), ("retention.ms", "5000"))
        self.assertIn("nothing was changed", self.err)
        own = ("configs", "--describe", "--topic", "orders")
        self.assertEqual(sorted(r["name"] for r in self.shown(*own)), ["compression.type", "min.insync.replicas"])
        self.assertEqual(self.rows(*alter), [change])
        self.assertIn("retention.ms", [r["name"] for r in self.rows(*own)])
        self.tool("configs", "--describe", "--topic", "ordres", status=4)
        self.assertIn("did you mean 'orders'?", self.err)
        self.tool("configs", "--alter", "--topic", "ordres", "--add-config", "retention.ms=1", status=4)
        self.assertIn("did you mean 'orders'?", self.err)

    def test_offsets_records_and_directories(self):
        self.brokers.create_topic("orders", 2, 1)
        self.brokers.produce("orders", [f"line {n}" for n in range(20)])
        offsets = self.shown("get-offsets", "--topic", "orders")
        self.assertEqual([(r["topic"], r["partition"]) for r in offsets], [("orders", 0), ("orders", 1)])
        self.assertEqual(sum(r["offset"] for r in offsets), 20)
        later = self.rows("get-offsets", "--topic", "orders", "--time", "9999999999999")
        self.assertEqual([r["offset"] for r in later], [None] * 2)
        path = self.brokers.folder / "offsets.json"

        def delete(*partitions):
            path.write_text(json.dumps({"version": 1, "partitions": [
                {"topic": topic, "partition": partition, "offset": offset} for topic, partition, offset in partitions]}))
            return "delete-records", "--offset-json-file", path
        full = next(r["partition"] for r in offsets if r["offset"] > 0)
        ends = offsets[full]["offset"]
        row = {"topic": "orders", "partition": full, "start": 0, "new_start": ends, "end": ends}
        self.assertEqual(self.rows(*delete(("orders", full, -1)), "--dry-run"), [{**row, "result": "would be trimmed"}])
        self.assertEqual(self.rows("get-offsets", "--topic", "orders", "--time", "earliest")[full]["offset"], 0)
        beyond, = self.rows(*delete(("orders", full, ends + 1)), "--dry-run", status=1)
        self.assertEqual((beyond["new_start"], beyond["result"]), (None, "failed"))
        self.assertEqual(self.rows(*delete(("orders", full, -1))), [{**row, "result": "trimmed"}])
        self.assertEqual(self.tool(*delete(("orders", full, -1))),
                         "Executing records delete operation\nRecords delete operation completed:\n"
                         f"partition: orders-{full}\tlow_watermark: {ends}\n")
        # What metadata shows to be wrong is told at once, and is no reason to leave the rest.
        self.assertIn("did you mean 'orders'?", self.tool(*delete(("ordres", 0, -1)), status=4))
        self.assertIn("topic 'orders' has 2 partitions, no 2", self.tool(*delete(("orders", 2, -1)), status=4))
        both = self.rows(*delete(("ordres", 0, -1), ("orders", full, -1)), status=6)
        self.assertEqual([r["result"] for r in both], ["failed", "trimmed"])
        replicas = self.shown("log-dirs", "--describe", "--topic-list", "orders")
        self.assertEqual({(r["broker"], r["topic"], r["partition"], r["is_future"]) for r in replicas},
                         {(0, "orders", n, False) for n in range(2)})
        self.assertTrue(all(r["usable_bytes"] > 0 and r["error"] is None for r in replicas))

    def test_a_consumer_ends_when_its_reader_does(self):
        """Without one more record whose write would fail."""
        self.brokers.create_topic("orders", 1, 1)
        self.brokers.produce("orders", ["first"])
        for words in (("tidemark-console-consumer", "--bootstrap-server", self.brokers.bootstrap, "--topic", "orders",
                       "--from-beginning"), ("tidemark", "consume", "orders", "-b", self.brokers.bootstrap, "-o", "start")):
            with subprocess.Popen([str(BIN / words[0]), *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as consumer:
                self.addCleanup(consumer.kill)
                self.assertEqual(consumer.stdout.readline(), b"first\n")
                self.assertIsNone(consumer.poll())
                consumer.stdout.close()
                self.assertEqual(consumer.wait(2 * PATIENCE), 0)

    def test_the_cluster(self):
        row, = self.shown("cluster", "cluster-id")
        self.assertEqual(self.tool("cluster", "cluster-id"), f"Cluster ID: {row['cluster']}\n")
        apis = {r["api"]: r for r in self.shown("broker-api-versions")}
        self.assertEqual((apis["Produce"]["broker"], apis["Produce"]["min"]), (0, 1))
        self.tool("cluster", "healt", status=2)
        self.assertIn("did you mean 'tidemark cluster health'?", self.err)
        self.tool("topics", "--list", "-o", "jsno", status=2)
        self.assertIn("did you mean json?", self.err)

    def test_groups(self):
        self.brokers.create_topic("orders", 2, 1)
        self.brokers.produce("orders", [f"line {n}" for n in range(20)])
        reset = ("consumer-groups", "--reset-offsets", "--group", "readers", "--to-offset", 0, "--topic", "orders")
        row = {"group": "readers", "topic": "orders", "before": None, "after": 0, "result": "would be moved"}
        self.assertEqual(self.rows(*reset), [{**row, "partition": n} for n in range(2)])
        self.assertEqual(self.rows("consumer-groups", "--list"), [])
        self.assertEqual({r["result"] for r in self.rows(*reset, "--execute")}, {"moved"})
        listed, = self.shown("consumer-groups", "--list")
        self.assertEqual((listed["group"], listed["state"], listed["members"]), ("readers", "empty", 0))
        self.assertRegex(self.tool("consumer-groups", "--list", "--type", "--state"),
                         r"GROUP +TYPE +STATE *\nreaders +Consumer +Empty *\n")
        self.assertEqual(self.rows("consumer-groups", "--list", "--type", "classic"), [])
        group, = self.rows("consumer-groups", "--describe", "--group", "readers")
        self.assertEqual(sum(p["lag"] for p in group["partitions"]), 20)
        self.assertIn("lag_seconds", self.tool("consumer-groups", "--describe", "--all-groups", "-o", "csv").splitlines()[0])
        # A dry run of a deletion deletes nothing.
        for words in (("--group", "readers"), ("--all-groups",)):
            self.assertEqual(self.rows("consumer-groups", "--delete", *words, "--dry-run"),
                             [{"group": "readers", "result": "would be deleted"}])
        one = ("consumer-groups", "--delete-offsets", "--group", "readers", "--topic", "orders:0")
        gone = {"group": "readers", "topic": "orders", "partition": 0}
        self.assertEqual(self.rows(*one, "--dry-run"), [{**gone, "result": "would be deleted"}])
        self.assertEqual(len(self.rows("consumer-groups", "--describe", "--group", "readers")[0]["partitions"]), 2)
        self.assertEqual(self.rows(*one), [{**gone, "result": "deleted"}])
        self.assertEqual(self.rows(*one, "--dry-run", status=1), [{**gone, "result": "failed"}])
        # The nearest name.
        for words in (("--describe",), ("--delete",), ("--delete", "--dry-run"), ("--delete-offsets", "--topic", "orders")):
            self.tool("consumer-groups", *words, "--group", "raeders", status=4)
            self.assertIn("did you mean 'readers'?", self.err)
            self.assertEqual(self.err.count("GROUP_ID_NOT_FOUND"), 1, self.err)
        # A group with members stays.
        member = ConsoleMember(self.brokers, "readers", "orders", 1)
        self.addCleanup(member.end)
        wait_for("the member has all", lambda: len(member.records()) == 20)
        describe = ("consumer-groups", "--describe", "--group", "readers", "-o", "csv")
        self.assertEqual([m["client"] for m in csv.DictReader(io.StringIO(self.tool(*describe, "--members")))], ["member-1"])
        state, = csv.DictReader(io.StringIO(self.tool(*describe, "--state")))
        self.assertEqual((state["state"], state["members"]), ("stable", "1"))
        refused = self.rows("consumer-groups", "--delete", "--group", "readers", "--dry-run", status=1)
        self.assertEqual(refused, [{"group": "readers", "result": "failed"}])
        self.assertEqual(self.err.count("NON_EMPTY_GROUP"), 1, self.err)
        self.rows("consumer-groups", "--delete-offsets", "--group", "readers", "--topic", "orders", "--dry-run", status=1)
        self.assertIn("members of group 'readers' read the topic", self.err)
        # Flags that would do nothing are refused.
        self.tool("consumer-groups", "--list", "--execute", "--to-earliest", status=2)
        self.assertIn("goes with --reset-offsets, not with --list", self.err)


if __name__ == "__main__":
    unittest.main()
