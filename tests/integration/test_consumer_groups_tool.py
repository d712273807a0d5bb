"""tidemark-consumer-groups and the console consumer's --group: Kafka's flags and output, what is committed, exit statuses."""
import json
import signal
import time
import unittest

from group_members import ConsoleMember
from harness import ClusterTest, PATIENCE, wait_for


class ConsumerGroupsTool(ClusterTest):
    def setUp(self):
        super().setUp()
        self.brokers = self.cluster(1, offsets__topic__num__partitions=5, offsets__topic__replication__factor=1)
        self.brokers.create_topic("orders", 3, 1)

    def groups(self, *words, status=0):
        result = self.brokers.tool("consumer-groups", "--bootstrap-server", self.brokers.bootstrap, *words, check=False)
        self.assertEqual(result.returncode, status, result.out + result.err)
        return result

    def table(self, *words):
        """Rows of a table as dictionaries."""
        lines = [line for line in self.groups(*words).out.splitlines() if line]
        header = lines[0].split()
        return [dict(zip(header, line.split())) for line in lines[1:]]

    def consume(self, *words, status=0):
        result = self.brokers.tool("console-consumer", "--bootstrap-server", self.brokers.bootstrap, "--topic", "orders",
                                   *words, check=False)
        self.assertEqual(result.returncode, status, result.err)
        return result.out.splitlines()

    def committed(self, group):
        return {int(row["PARTITION"]): row["CURRENT-OFFSET"] for row in self.table("--describe", "--group", group)}

    def test_a_console_consumer_commits_exactly_what_it_printed(self):
        lines = [f"line {n}" for n in range(1000)]
        self.brokers.produce("orders", lines)
        first = self.consume("--group", "readers", "--from-beginning", "--max-messages", 10)
        self.assertEqual(len(first), 10)
        self.assertEqual(sum(int(o) for o in self.committed("readers").values() if o != "-"), 10)
        rest = self.consume("--consumer-property", "group.id=readers", "--from-beginning", "--max-messages", 990)
        self.assertEqual(sorted(first + rest), sorted(lines), "it goes on where the group was")
        self.assertTrue(all(row["LAG"] == "0" and row["CONSUMER-ID"] == "-"
                            for row in self.table("--describe", "--group", "readers")))
        self.assertEqual(self.consume("--group", "readers", "--from-beginning", "--timeout-ms", 3000), [])
        # Without --from-beginning a new group begins at the end, and what comes later is not passed over.
        def knows_its_place():
            self.assertEqual(self.consume("--group", "late", "--timeout-ms", 3000), [])
            places = self.committed("late")
            return "-" not in places.values() and sorted(places) == [0, 1, 2]
        wait_for("the group has committed where it begins", knows_its_place)
        self.brokers.produce("orders", ["later"])
        self.assertEqual(self.consume("--group", "late", "--max-messages", 1), ["later"])
        for words, shows in ((("--group", "g", "--partition", "0"), "--partition"),
                             (("--group", "g", "--consumer-property", "group.id=h"), "two groups")):
            result = self.brokers.tool("console-consumer", "--bootstrap-server", self.brokers.bootstrap, "--topic", "orders",
                                       *words, check=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn(shows, result.err)

    def test_records_are_shown_as_what_they_are(self):
        self.brokers.produce("orders", ["8 bytes.", "three"])
        number = ("--from-beginning", "--value-deserializer", "org.apache.kafka.common.serialization.LongDeserializer")
        self.assertEqual(self.consume(*number, "--skip-message-on-error", "--max-messages", 2),
                         [str(int.from_bytes(b"8 bytes.", "big"))])
        refused = self.brokers.tool("console-consumer", "--bootstrap-server", self.brokers.bootstrap, "--topic", "orders", *number,
                                    "--group", "numbers", "--max-messages", 2, check=False)
        self.assertEqual(refused.returncode, 1, refused.err)
        self.assertIn("5 bytes where 8 were expected", refused.err)
        self.assertEqual(self.consume("--from-beginning", "--formatter", "kafka.tools.NoOpMessageFormatter", "--max-messages", 2), [])
        self.consume("--group", "readers", "--from-beginning", "--max-messages", 2)

        def shown(formatter):
            words = ("--topic", "__consumer_offsets", "--from-beginning", "--timeout-ms", 2000, "--formatter", formatter)
            return self.brokers.tool("console-consumer", "--bootstrap-server", self.brokers.bootstrap, *words).out

        def read_by_readers():
            records = map(json.loads, shown("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter").splitlines())
            last = {r["key"]["partition"]: int(r["value"]["offset"]) for r in records if r["key"]["group"] == "readers"}
            return sum(last.values())
        wait_for("both commits are shown", lambda: read_by_readers() == 2)
        wait_for("a member is shown", lambda: '"type":"member"' in shown("GroupMetadataMessageFormatter"))

    def test_groups_are_listed_described_and_deleted(self):
        self.assertEqual(self.groups("--list").out, "")
        self.brokers.produce("orders", [f"line {n}" for n in range(30)])
        member = ConsoleMember(self.brokers, "readers", "orders", 7)
        self.addCleanup(member.end)
        wait_for("it has printed all", lambda: len(member.records()) == 30)
        self.assertEqual(self.groups("--list").out, "readers\n")
        self.assertEqual(self.table("--list", "--state"), [{"GROUP": "readers", "STATE": "Stable"}])
        self.assertEqual(self.table("--list", "--state", "Empty"), [])
        wait_for("all is committed",
                 lambda: all(row["LAG"] == "0" for row in self.table("--describe", "--group", "readers")))
        rows = self.table("--describe", "--group", "readers")
        self.assertEqual([(row["TOPIC"], row["PARTITION"], row["CLIENT-ID"], row["HOST"]) for row in rows],
                         [("orders", str(n), "member-7", "/127.0.0.1") for n in range(3)])
        self.assertTrue(all(row["CONSUMER-ID"].startswith("member-7-") for row in rows))
        members = self.table("--describe", "--group", "readers", "--members", "--verbose")
        self.assertEqual([(row["#PARTITIONS"], row["ASSIGNMENT"]) for row in members], [("3", "orders(0,1,2)")])
        self.lines_are_kafkas(rows[0]["CONSUMER-ID"])
        state = self.groups("--describe", "--group", "readers", "--state", "--verbose").out
        self.assertRegex(state, r"127\.0\.0\.1:\d+ \(0\)\s+sticky\s+Stable\s+1\s")
        self.assertIn("member joined: member 'member-7-", state)
        self.assertIn("NON_EMPTY_GROUP", self.groups("--delete", "--group", "readers", status=1).err)
        self.assertIn("inactive", self.groups("--group", "readers", "--reset-offsets", "--to-earliest", "--all-topics",
                                              "--execute", status=1).err)
        self.assertEqual(member.leave(), 0)
        described = self.groups("--describe", "--all-groups", "--verbose")
        self.assertIn("Consumer group 'readers' has no active members.", described.err)
        self.assertRegex(described.out, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        self.assertEqual(self.groups("--delete", "--group", "readers").out,
                         "Deletion of requested consumer groups ('readers') was successful.\n")
        self.assertIn("there is no group 'readers'", self.groups("--describe", "--group", "readers", status=4).err)
        self.groups("--delete", "--group", "readers", status=4)
        self.groups("--list", "--describe", status=2)

    def lines_are_kafkas(self, consumer):
        """Widths, as scripts that cut by columns know them."""
        lines = self.groups("--list", "--state").out.splitlines()
        self.assertEqual(lines[0], "%-25s %-20s" % ("GROUP", "STATE"))
        lines = self.groups("--describe", "--group", "readers").out.splitlines()
        width = max(15, len(consumer))
        described = f"%-15s %-15s %-10s %-15s %-15s %-15s %-{width}s %-15s %s"
        self.assertEqual(lines[0], "")
        self.assertEqual(lines[1], described % ("GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG",
                                                "CONSUMER-ID", "HOST", "CLIENT-ID"))
        self.assertEqual(lines[2], described % tuple(lines[2].split()))
        lines = self.groups("--describe", "--group", "readers", "--members").out.splitlines()
        member = f"%-15s %-{width}s %-15s %-15s %-15s "
        self.assertEqual(lines[1:], [member % ("GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"),
                                     member % ("readers", consumer, "/127.0.0.1", "member-7", "3")])
        lines = self.groups("--describe", "--group", "readers", "--state").out.splitlines()
        self.assertEqual(lines[1], "%-25s %-25s %-20s %-15s %s" % ("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS"))

    def test_a_terminal_that_is_closed_ends_a_member_as_it_should(self):
        self.brokers.produce("orders", [f"line {n}" for n in range(30)])
        member = ConsoleMember(self.brokers, "readers", "orders", 7, "--consumer-property", "auto.commit.interval.ms=600000")
        self.addCleanup(member.end)
        wait_for("it has printed all", lambda: len(member.records()) == 30)
        member.process.send_signal(signal.SIGHUP)
        self.assertEqual(member.process.wait(timeout=PATIENCE), 0)
        described = self.groups("--describe", "--group", "readers")
        self.assertIn("has no active members", described.err)
        self.assertEqual([row["LAG"] for row in self.table("--describe", "--group", "readers")], ["0"] * 3)

    def test_a_call_takes_no_longer_than_timeout_says(self):
        broker = self.brokers.brokers[0]
        broker.pause()
        self.addCleanup(broker.resume)
        begun = time.monotonic()
        self.groups("--list", "--timeout", 500, status=3)
        self.assertLess(time.monotonic() - begun, 60, "that long it would be without --timeout")

    def test_offsets_are_reset_exported_and_deleted(self):
        self.brokers.produce("orders", [f"{n},line {n}" for n in range(90)], "--property", "parse.key=true",
                             "--property", "key.separator=,")
        ends = {int(line.split(":")[1]): int(line.split(":")[2]) for line in self.brokers.tool(
            "get-offsets", "--bootstrap-server", self.brokers.bootstrap, "--topic", "orders").out.splitlines()}
        reset = ["--group", "g", "--reset-offsets"]

        def new(*words):
            return {int(row["PARTITION"]): int(row["NEW-OFFSET"]) for row in self.table(*reset, *words)}
        self.assertEqual(new("--to-latest", "--topic", "orders"), ends)
        self.assertEqual(self.groups("--list").out, "", "without --execute nothing is done")
        self.assertEqual(new("--to-latest", "--topic", "orders:0,2", "--execute"), {0: ends[0], 2: ends[2]})
        self.assertEqual(self.committed("g"), {0: str(ends[0]), 2: str(ends[2])})
        self.assertEqual(new("--shift-by", -5, "--all-topics", "--execute"), {0: ends[0] - 5, 2: ends[2] - 5})
        self.assertEqual(new("--to-offset", 3, "--topic", "orders:1", "--execute"), {1: 3})
        clamped = self.groups(*reset, "--to-offset", 100000, "--topic", "orders:1", "--dry-run")
        self.assertIn("orders-1: offset 100000 is not in the log", clamped.err)
        self.assertEqual(clamped.out.splitlines()[:2], ["", "%-30s %-30s %-10s %-15s" % ("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")])
        self.assertEqual(new("--to-current", "--all-topics"), {0: ends[0] - 5, 1: 3, 2: ends[2] - 5})
        self.assertEqual(new("--to-datetime", "2000-01-01T00:00:00.000", "--topic", "orders"), {0: 0, 1: 0, 2: 0})
        self.assertEqual(new("--by-duration", "PT0S", "--topic", "orders"), ends)
        exported = self.groups(*reset, "--to-current", "--all-topics", "--export").out
        self.assertEqual(exported, f"orders,0,{ends[0] - 5}\norders,1,3\norders,2,{ends[2] - 5}\n")
        path = self.brokers.folder / "offsets.csv"
        path.write_text(exported)
        self.assertEqual(new("--to-earliest", "--all-topics", "--execute"), {0: 0, 1: 0, 2: 0})
        self.assertEqual(new("--from-file", path, "--execute"), {0: ends[0] - 5, 1: 3, 2: ends[2] - 5})
        path.write_text("orders,99,2\n")
        self.assertIn("topic 'orders' has 3 partitions, no 99", self.groups(*reset, "--from-file", path, status=4).err)
        # All groups are those that the file is about.
        self.groups("--group", "two", "--reset-offsets", "--to-offset", 1, "--topic", "orders:0", "--execute")
        path.write_text("g,orders,1,2\n")
        some = self.groups("--all-groups", "--reset-offsets", "--from-file", path, "--execute")
        self.assertIn("has no line of group 'two', which stays as it is", some.err)
        self.assertEqual((self.committed("g")[1], self.committed("two")), ("2", {0: "1"}))
        self.groups("--group", "two", "--reset-offsets", "--from-file", path, status=1)
        deleted = self.groups("--group", "g", "--delete-offsets", "--topic", "orders:0").out
        self.assertEqual(deleted, "Request succeed for deleting offsets with topic orders:0 group g\n\n"
                         + "%-30s %-15s %-15s\n" % ("TOPIC", "PARTITION", "STATUS")
                         + "%-30s %-15s %-15s\n" % ("orders", "0", "Successful"))
        self.assertEqual(sorted(self.committed("g")), [1, 2])
        for words, status in (((*reset, "--to-earliest"), 2), ((*reset, "--topic", "orders"), 2),
                              ((*reset, "--to-earliest", "--to-latest", "--topic", "orders"), 2),
                              ((*reset, "--to-earliest", "--topic", "orders:"), 2),
                              (("--list", "--timeout", "soon"), 2),
                              ((*reset, "--from-file", self.brokers.folder / "not there"), 2),
                              ((*reset, "--to-datetime", "yesterday", "--topic", "orders"), 2),
                              ((*reset, "--to-earliest", "--topic", "odrers"), 4)):
            self.groups(*words, status=status)

    def test_offsets_of_a_deleted_topic_are_not_those_of_the_next_one_of_its_name(self):
        reset = ["--group", "g", "--reset-offsets"]
        self.brokers.create_topic("kept", 1, 1)
        self.brokers.produce("kept", ["line"])
        self.groups(*reset, "--to-latest", "--topic", "kept", "--execute")
        # The system's own topics do not go, and a dry run knows it.
        for words, status in ((("__consumer_offsets",), 1), ((".*", "--if-exists"), 0)):
            dry = self.brokers.tool("topics", "--bootstrap-server", self.brokers.bootstrap, "--delete", "--dry-run",
                                    "--topic", *words, check=False)
            self.assertEqual(dry.returncode, status, dry.err)
            self.assertNotRegex(dry.out, "__consumer_offsets +would be deleted")
        self.brokers.produce("orders", [f"{n},line {n}" for n in range(30)], "--property", "parse.key=true",
                             "--property", "key.separator=,")
        self.groups(*reset, "--to-latest", "--topic", "orders", "--execute")
        self.groups("--group", "only", "--reset-offsets", "--to-latest", "--topic", "orders", "--execute")
        self.brokers.tool("topics", "--bootstrap-server", self.brokers.bootstrap, "--delete", "--topic", "orders")
        wait_for("its offsets are gone, and none else",
                 lambda: [row["TOPIC"] for row in self.table("--describe", "--group", "g")] == ["kept"])
        wait_for("a group that had no others is gone", lambda: self.groups("--list").out.split() == ["g"])
        self.brokers.create_topic("orders", 2, 1)
        self.brokers.produce("orders", [f"line {n}" for n in range(11)])
        self.assertEqual(len(self.consume("--group", "g", "--from-beginning", "--max-messages", 11)), 11)
        rows = [row for row in self.table("--describe", "--group", "g") if row["TOPIC"] == "orders"]
        self.assertEqual(sorted(row["PARTITION"] for row in rows if row["CURRENT-OFFSET"] != "0"),
                         sorted(row["PARTITION"] for row in rows if row["LOG-END-OFFSET"] != "0"))
        self.assertEqual([row["LAG"] for row in rows], ["0"] * len(rows))
        moved = {row["TOPIC"] + row["PARTITION"]: int(row["NEW-OFFSET"])
                 for row in self.table(*reset, "--to-current", "--all-topics")}
        self.assertEqual(sum(offset for at, offset in moved.items() if at != "kept0"), 11)
        self.assertEqual(moved["kept0"], 1)


class GroupsOfABrokerThatIsAway(ClusterTest):
    def test_a_list_without_them_is_said_not_to_be_all(self):
        # So long a session that the dead broker is still asked.
        brokers = self.cluster(2, offsets__topic__num__partitions=1, offsets__topic__replication__factor=1,
                               zookeeper__session__timeout__ms=60000)
        brokers.create_topic("orders", 1, 2)

        def kafkas(*words):
            return brokers.tool("consumer-groups", "--bootstrap-server", brokers.bootstrap, *words, check=False)
        moved = kafkas("--group", "readers", "--reset-offsets", "--to-earliest", "--topic", "orders", "--execute")
        self.assertEqual(moved.returncode, 0, moved.err)
        coordinator = brokers.brokers[0].partitions("__consumer_offsets")[0][0]
        away = next(broker for broker in brokers.brokers if broker.id != coordinator)
        away.kill()
        for listed in (kafkas("--list"), kafkas("--describe", "--all-groups"), brokers.verb("group", "list", check=False)):
            self.assertEqual(listed.returncode, 6, listed.out + listed.err)
            self.assertIn("readers", listed.out)
            self.assertIn(f"warning: the groups of broker {away.id} are missing", listed.err)
        # Whether there is one group is for its coordinator to say.
        deleted = brokers.verb("group", "delete", "readers", "--yes", check=False)
        self.assertEqual(deleted.returncode, 0, deleted.err)


if __name__ == "__main__":
    unittest.main()
