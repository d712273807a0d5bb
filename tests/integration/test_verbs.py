"""The program's second face, nouns and verbs, against real brokers: what it does, prints, asks and ends with."""
import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import unittest

from group_members import ConsoleMember
from harness import BIN, PATIENCE, SHORT_SESSIONS, ClusterTest, wait_for


class Verbs(ClusterTest):
    def verb(self, *words, stdin="", status=0):
        """Runs `tidemark WORDS`, which finds the brokers by the environment; its stdout."""
        result = subprocess.run([str(BIN / "tidemark"), *map(str, words)], input=stdin, capture_output=True, text=True,
                                timeout=2 * PATIENCE, env=self.environment())
        self.err = result.stderr
        self.assertEqual(result.returncode, status, result.stdout[-2000:] + result.stderr[-2000:])
        return result.stdout

    def json(self, *words, **keywords):
        return json.loads(self.verb(*words, "-o", "json", **keywords))

    def environment(self):
        return {**os.environ, "TIDEMARK_BROKERS": self.brokers, "PATH": f"{BIN}:{os.environ['PATH']}"}

    def begin(self, brokers=1, **overrides):
        cluster = self.cluster(brokers, **overrides)
        self.brokers = cluster.bootstrap
        return cluster

    def on_a_terminal(self, answer, *words):
        """(exit status, all that was shown) of a run whose standard streams are a terminal."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(str(BIN / "tidemark"), ["tidemark", *words], self.environment())
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's end when the program has ended
            while True:
                ready, _, _ = select.select([terminal], [], [], PATIENCE)
                if not ready:
                    os.kill(pid, signal.SIGKILL)
                    break
                piece = os.read(terminal, 4096)
                if not piece:
                    break
                shown += piece
                if shown.endswith(b"[y/N] "):
                    os.write(terminal, answer.encode() + b"\n")
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    def leading_flags(self):
        """Flags that commands share stand before the command, too."""
        here, self.brokers = self.brokers, "127.0.0.1:1"
        shown = json.loads(self.verb("-b", here, "-o", "json", "topic", "list", "orders"))
        self.brokers = here
        self.assertEqual([topic["topic"] for topic in shown], ["orders"])
        self.verb("-p", 3, "topic", "create", "x", status=2)
        self.assertIn("'-p' stands before the command", self.err)

    def test_topics_from_their_creation_to_their_end(self):
        self.begin()
        self.assertEqual(self.json("topic", "create", "dry", "--dry-run"), [{"topic": "dry", "result": "would be created"}])
        self.assertEqual(self.json("topic", "list"), [])
        self.assertIn("created", self.verb("topic", "create", "orders", "clicks", "-p", 3, "-r", 1, "-c", "retention.ms=86400000"))
        self.verb("topic", "create", "orders", status=1)
        self.assertIn("TOPIC_ALREADY_EXISTS", self.err)
        self.assertIn("hint: describe shows the topic", self.err)
        self.verb("topic", "create", "many", "-r", 2, status=1)
        self.assertIn("with 1 live broker: use a factor up to 1, or start more brokers", self.err)
        self.verb("topic", "create", "twice", "-c", "retention.ms=1", "-c", "retention.ms=2", status=2)
        self.assertIn("config 'retention.ms' is given twice", self.err)
        self.verb("config", "set", "topic/orders", "retention.ms=1", "retention.ms=1", status=2)
        self.assertIn("config 'retention.ms' is given twice", self.err)
        self.assertEqual(self.json("topic", "create", "orders", "--if-not-exists"), [{"topic": "orders", "result": "exists"}])
        self.assertEqual(self.json("topic", "create", "orders", "new", status=6)[1]["result"], "created")
        self.assertEqual([t["topic"] for t in self.json("topic", "list")], ["clicks", "new", "orders"])
        self.assertEqual([t["topic"] for t in self.json("topic", "list", "o.*")], ["orders"])
        self.assertEqual(self.err, "")
        # What reads takes a name that is none as an expression, what deletes does not.
        self.assertEqual([t["topic"] for t in self.json("topic", "list", "order.")], ["orders"])
        self.verb("topic", "delete", "order.", "--yes", status=4)
        self.assertEqual(self.json("topic", "list", "o*"), [])
        self.assertEqual(self.err, "warning: no topic matches 'o*'; did you mean 'o.*'?\n")
        self.assertEqual(self.json("group", "list", "o*"), [])
        self.assertEqual(self.err, "warning: no group matches 'o*'; did you mean 'o.*'?\n")
        self.leading_flags()
        self.assertEqual(self.verb("topic", "list", "orders", "-o", "csv"),
                         "topic,partitions,replicas,internal,state\norders,3,1,false,ok\n")
        topic, = self.json("topic", "describe", "orders")
        self.assertEqual((topic["configs"], len(topic["partitions"])), ("retention.ms=86400000", 3))
        self.assertEqual(topic["partitions"][0]["isr"], [0])
        self.assertIn("orders: 3 partitions", self.verb("topic", "describe"))
        self.assertEqual(self.json("topic", "add-partitions", "orders", "--to", 5)[0]["partitions"], 5)
        self.assertIn("keys may go to other partitions", self.err)
        self.assertEqual(len(self.json("topic", "describe", "orders")[0]["partitions"]), 5)
        self.verb("topic", "describe", "ordres", status=4)
        self.assertIn("orders", self.err)
        # Destruction needs --yes where nobody can be asked, and the names are names.
        self.verb("topic", "delete", "new", status=2)
        self.assertIn("--yes", self.err)
        self.assertEqual(self.json("topic", "delete", "new", "--dry-run"), [{"topic": "new", "result": "would be deleted"}])
        self.verb("topic", "delete", "n.*", "--yes", status=2)
        self.assertIn("--regex", self.err)
        self.assertEqual(self.json("topic", "delete", "--regex", "n.*|clicks", "--yes"),
                         [{"topic": "clicks", "result": "deleted"}, {"topic": "new", "result": "deleted"}])
        self.assertEqual(self.json("topic", "delete", "new", "--if-exists", "--yes"), [])
        # A name stays a name, and none is no topic: not all of them, and not a like one.
        self.verb("topic", "delete", "--regex", "order.", "--yes", status=4)
        for nothing in ("", ","):
            self.verb("topic", "delete", "--regex", nothing, "--yes", status=2)
            self.verb("topic", "delete", nothing, "--yes", status=2)
        self.verb("topics", "--delete", "--topic", ",", "--bootstrap-server", self.brokers, status=2)
        self.assertEqual([t["topic"] for t in self.json("topic", "list")], ["orders"])
        status, shown = self.on_a_terminal("n", "topic", "delete", "orders")
        self.assertEqual(status, 7, shown)
        self.assertIn("nothing was done", shown)
        status, shown = self.on_a_terminal("y", "topic", "delete", "orders")
        self.assertEqual(status, 0, shown)
        self.assertEqual(self.json("topic", "list"), [])

    def test_records_are_produced_consumed_and_trimmed(self):
        self.begin()
        self.verb("topic", "create", "orders", "-p", 1, "-r", 1)
        self.verb("produce", "orders", "--dry-run", stdin="not sent\n")
        self.assertIn("1 record would be sent", self.err)
        lines = [f"k{n} v{n}" for n in range(20)]
        self.verb("produce", "orders", "-K", " ", "-z", "zstd", "-H", "from=test", stdin="".join(l + "\n" for l in lines))
        self.assertIn("orders-0: 20 records, offsets 0 to 19", self.err)
        self.assertEqual(self.verb("consume", "orders", "-o", "-10", "-e", "-f", "%k %v\\n").splitlines(), lines[10:])
        self.assertEqual(self.verb("consume", "orders", "-o", "-10", "-n", 3, "-f", "%o,").strip(), "10,11,12,")
        self.assertEqual(self.verb("consume", "orders", "-o", 18, "-e").splitlines(), ["v18", "v19"])
        self.assertEqual(self.verb("consume", "orders", "-o", 18, "-e", "-X", "group.id=g").splitlines(), ["v18", "v19"])
        self.assertIn("warning: group.id has no effect here", self.err)
        self.assertEqual(self.verb("consume", "orders", "-o", "end", "-e"), "")
        self.assertEqual(self.verb("consume", "orders", "-o", 500, "-e"), "")
        self.assertIn("warning: orders-0: there is no offset 500 yet, the log ends at 20", self.err)
        self.assertEqual(len(self.verb("consume", "orders", "-o", "@-1h", "-e").splitlines()), 20)
        record = json.loads(self.verb("consume", "orders", "-n", 1, "-f", "json"))
        self.assertEqual((record["key"], record["headers"]), ("k0", [{"key": "from", "value": "test"}]))
        file = self.folder / "more"
        file.write_text("one\ntwo")
        self.verb("produce", "orders", "-k", "same", file)
        self.assertEqual(self.verb("consume", "orders", "-o", -2, "-e", "-f", "%k=%v\\n"), "same=one\nsame=two\n")
        self.assertEqual(self.json("topic", "offsets", "orders")[0]["records"], 22)
        # A pipe is a file without a size.
        self.verb("topic", "create", "piped", "-p", 1, "-r", 1)
        self.verb("produce", "piped", file, "/dev/stdin", stdin="three\nfour")
        self.assertEqual(self.verb("consume", "piped", "-e").splitlines(), ["one", "two", "three", "four"])
        self.verb("produce", "piped", "--producer.config", "/dev/stdin", stdin="acks=bogus\n", status=2)
        self.assertIn("acks", self.err)
        self.assertEqual(self.json("topic", "trim", "orders", "--before", -2, "--dry-run")[0]["new_start"], 20)
        self.verb("topic", "trim", "orders", "--before", 5, status=2)
        self.assertEqual(self.json("topic", "trim", "orders", "--before", 5, "--yes")[0]["new_start"], 5)
        self.assertEqual(self.json("topic", "offsets", "orders")[0]["start"], 5)
        self.assertEqual(self.verb("consume", "orders", "-o", 2, "-n", 1, "-f", "%o,").strip(), "5,")
        self.assertIn("warning: orders-0: offset 2 is gone, the log begins at 5", self.err)
        self.assertEqual(self.verb("consume", "orders", "-o", 2, "-e", "-X", "auto.offset.reset=latest"), "")
        self.verb("topic", "trim", "orders", "--before", 500, "--yes", status=1)
        self.verb("consume", "order", "-e", status=4)
        self.assertIn("orders", self.err)
        self.verb("consume", "orders", "-f", "%y", status=2)
        self.verb("consume", "orders", "-o", "yesterday", status=2)
        self.assertIn("@-2h", self.err)

    def test_configs(self):
        self.begin()
        self.verb("topic", "create", "orders", "clicks", "-p", 1, "-r", 1)
        self.assertEqual(self.json("config", "get", "topic/orders"), [])
        change, = self.json("config", "set", "topic/orders", "retention.ms=5000", "--dry-run")
        self.assertEqual((change["name"], change["after"]), ("retention.ms", "5000"))
        self.assertEqual(self.json("config", "get", "topic/orders"), [])
        self.verb("config", "set", "topic/orders", "retention.ms=5000", "segment.ms=6000")
        got = self.json("config", "get", "topic/orders", "retention.ms")[0]
        self.assertEqual((got["value"], got["source"]), ("5000", "topic"))
        self.assertEqual([d["name"] for d in self.json("config", "diff", "topic/orders", "topic/clicks")],
                         ["retention.ms", "segment.ms"])
        self.verb("config", "unset", "topic/orders", "segment.ms")
        self.assertEqual([c["name"] for c in self.json("config", "get", "topic/orders")], ["retention.ms"])
        self.assertGreater(len(self.json("config", "get", "topic/orders", "--all")), 10)
        self.verb("config", "get", "topic/orders", "retention.mss", status=4)
        self.assertIn("did you mean retention.ms?", self.err)
        self.verb("config", "set", "topic/orders", "retention.ms=soon", status=1)
        self.verb("config", "get", "topic/ordres", status=4)
        self.assertIn("orders", self.err)
        cluster = self.clusters[0]
        pair = ("--entity-type", "users", "--entity-name", "alice", "--entity-type", "clients", "--entity-name", "load")
        cluster.tool("configs", "--bootstrap-server", self.brokers, "--alter", *pair, "--add-config", "producer_byte_rate=1024")
        quota, = self.json("config", "get", "user/alice/client/load")
        self.assertEqual((quota["value"], quota["source"], quota["not_in_force"]), ("1024", "user/client", None))
        self.assertIn("client-id 'load'", cluster.tool("configs", "--bootstrap-server", self.brokers, "--describe", *pair).out)
        self.verb("config", "get", "topc/orders", status=2)
        self.assertIn("did you mean topic?", self.err)

    def test_a_cluster_that_is_well_and_one_that_is_not(self):
        cluster = self.begin(2, **SHORT_SESSIONS)
        self.verb("topic", "create", "orders", "-p", 2, "-r", 2, "-c", "min.insync.replicas=2")
        cluster.wait_isr("orders", [0, 1])
        info = self.json("cluster", "info")
        self.assertEqual(([b["broker"] for b in info["brokers"]], info["partitions"]), ([0, 1], 2))
        self.assertEqual(sum(b["controller"] for b in info["brokers"]), 1)
        wait_for("the cluster is healthy", lambda: "healthy" in self.verb("cluster", "health"))
        cluster.brokers[1].kill()
        self.brokers = cluster.brokers[0].address

        def problems():
            result = subprocess.run([str(BIN / "tidemark"), "cluster", "health", "-o", "json"], capture_output=True,
                                    text=True, timeout=2 * PATIENCE, env=self.environment())
            return result.returncode == 10 and {p["problem"]: p for p in json.loads(result.stdout)["problems"]}
        wait_for("health tells of both partitions",
                 lambda: sorted((problems() or {}).get("under min ISR", {"where": []})["where"]) == ["orders-0", "orders-1"])
        self.assertIn("under min ISR", self.verb("cluster", "health", status=10))
        # Kafka's program of that name is still there.
        self.assertIn("Cluster ID:", self.verb("cluster", "cluster-id", "--bootstrap-server", self.brokers))

    def test_what_is_not_known_while_zookeeper_is_silent_is_not_made_up(self):
        cluster = self.begin(1)
        # Many: their configs are not waited for one by one.
        self.verb("topic", "create", "orders", *(f"more-{n}" for n in range(20)), "-p", 1, "-r", 1, "-c",
                  "min.insync.replicas=1")
        self.verb("cluster", "health")
        cluster.zookeeper.pause()
        self.addCleanup(cluster.zookeeper.resume)
        self.assertIn("ZooKeeper out of reach", self.verb("cluster", "health", status=10))
        refused = cluster.tool("topics", "--bootstrap-server", self.brokers, "--describe", "--under-min-isr-partitions",
                               check=False)
        self.assertEqual((refused.returncode, refused.out), (3, ""))
        self.assertIn("ZooKeeper", refused.err)
        self.assertIn("min ISR not known", self.verb("topic", "describe", "orders"))
        self.assertIn("warning: what is configured for orders is not shown", self.err)
        wait_for("no controller may write",
                 lambda: "\ntidemark_controller_active 0\n" in cluster.brokers[0].http("/metrics")[1])
        cluster.zookeeper.resume()
        wait_for("the cluster is healthy", lambda: "healthy" in self.verb("cluster", "health"))

    def test_help_errors_and_pipes(self):
        self.begin()
        self.assertIn("topic create", self.verb("--help"))
        self.assertIn("Examples:", self.verb("topic", "create", "--help"))
        self.assertIn("add-partitions", self.verb("topic", "--help"))
        self.verb("topic", status=2)
        self.verb("topic", "creat", "x", status=2)
        self.assertIn("did you mean 'tidemark topic create'?", self.err)
        self.verb("topic", "create", "x", "--partition", 3, status=2)
        self.assertIn("did you mean --partitions?", self.err)
        self.verb("topc", "list", status=2)
        self.assertIn("topic", self.err)
        self.verb("topic", "list", "-o", "jsn", status=2)
        self.verb("topic", "create", "load", "-p", 1, "-r", 1)
        self.verb("produce", "load", "-q", stdin="x" * 99 + "\n" + ("y" * 99 + "\n") * 20000)
        for command in ("consume load -e", "topic describe load -o json", "topic list"):
            pipe = subprocess.run(["bash", "-o", "pipefail", "-c", f"tidemark {command} | head -c 1 >/dev/null"],
                                  capture_output=True, text=True, timeout=2 * PATIENCE, env=self.environment())
            self.assertEqual((pipe.returncode, pipe.stderr), (0, ""), command)
        latency = self.json("bench", "latency", "load", "-n", 20)
        self.assertEqual([(row["what"], row["records"]) for row in latency], [("acknowledged", 20), ("read", 20)])
        self.assertIn("RECORDS-PER-SECOND", self.verb("bench", "produce", "load", "-n", 1000, "-s", 10))
        sent, = self.json("bench", "produce", "load", "-n", 1000, "-s", 10)
        self.assertEqual((sent["records"], sent["failed"], sent["throttled_ms"]), (1000, 0, 0))
        self.assertTrue(0 < sent["p50_ms"] <= sent["p99_9_ms"] <= sent["max_ms"] and sent["bytes_per_second"] > 0, sent)
        read, = self.json("bench", "consume", "load", "-n", 1000)
        self.assertTrue(read["records"] >= 1000 and read["bytes"] > 0 and read["polls"] > 0, read)
        whole, = self.json("bench", "consume", "load")
        self.assertEqual((whole["records"], self.err), (20001 + 20 + 2000, ""), "to the end, without a wait for more")
        self.verb("consumer-perf-test", "--bootstrap-server", self.brokers, "--topic", "load", "--messages", 30000,
                  "--timeout", 500, status=3)
        self.assertIn("load holds 22021 records now, fewer than 30000", self.err)
        settings = self.folder / "wrong.properties"
        for text, words in (("fetch.min.bytes=bogus\n", ("consumer-perf-test", "--consumer.config", settings)),
                            ("acks=bogus\n", ("producer-perf-test", "--num-records", 1, "--record-size", 1,
                                              "--producer.config", settings))):
            settings.write_text(text)
            self.verb(*words, "--bootstrap-server", self.brokers, "--topic", "load", status=2)
            self.assertIn("bogus", self.err)
        header, row = self.verb("bench", "consume", "load", "-n", 1000, "-o", "csv").splitlines()
        self.assertEqual(len(header.split(",")), len(row.split(",")))
        self.verb("bench", "produce", "load", "-o", "jsn", status=2)
        folder = self.clusters[0].brokers[0].data / "load-0"
        segment = next(folder.glob("*.log"))
        self.assertIn("baseOffset", self.verb("log", "dump", segment, "--batches"))
        self.verb("log", "dump", "--verify", folder, "-o", "json")

    def with_bar(self, *words, columns=80, **environment):
        """(stdout, what a terminal at stderr was sent) of a command."""
        terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        tool = subprocess.Popen([str(BIN / "tidemark"), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=end, text=True, env={**self.environment(), "TERM": "xterm", **environment})
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's end when the program has ended
            while piece := os.read(terminal, 65536):
                shown += piece
        os.close(terminal)
        out = tool.communicate()[0]
        self.assertEqual(tool.returncode, 0, shown)
        return out, shown.decode()

    def test_long_work_shows_a_bar_where_stderr_is_a_terminal(self):
        self.begin()
        self.verb("topic", "create", "load", "-p", 1, "-r", 1)
        work = ("bench", "produce", "load", "-n", 2000, "-s", 10, "--rate", 1000, "-o", "json")
        out, shown = self.with_bar(*work, NO_COLOR="1")
        self.assertEqual(json.loads(out)[0]["records"], 2000)
        lines = shown.split("\r")
        bars = [line for line in lines if line.startswith("sending  [")]
        self.assertTrue(bars, shown)
        self.assertRegex(bars[-1], r"^sending  \[#+-*\]  +\d+%  \d+ of 2000 records  \d+/s  \ds( left)?")
        self.assertLess(len(bars), 60, "at most ten a second")
        self.assertTrue(all(len(line) < 80 for line in lines), lines)
        self.assertEqual(lines[-1], "")
        self.assertEqual(set(lines[-2]), {" "}, "the line is taken away")
        self.assertNotIn("\x1b", shown)
        out, shown = self.with_bar(*work, columns=30)
        self.assertTrue(shown and all(len(line) < 30 for line in shown.split("\r")), shown)
        self.assertEqual(self.with_bar(*work, TERM="dumb")[1], "")
        self.verb(*work)
        self.assertEqual(self.err, "")
        # What is quick shows none.
        self.assertEqual(self.with_bar("bench", "latency", "load", "-n", 1)[1], "")

    def test_stdout_that_cannot_be_written_is_an_error_and_one_that_nobody_reads_is_none(self):
        self.begin()
        self.verb("topic", "create", "load", "-p", 1, "-r", 1)
        self.verb("produce", "load", "-q", stdin=("y" * 99 + "\n") * 20000)
        segment = next((self.clusters[0].brokers[0].data / "load-0").glob("*.log"))

        def run(command, redirection):
            return subprocess.run(["bash", "-o", "pipefail", "-c", f"{command} {redirection}"], capture_output=True, text=True,
                                  timeout=120, env=self.environment())
        kafka = f"--bootstrap-server {self.brokers} --topic load"
        for command in ("tidemark topic list", "tidemark topic describe load -o json", "tidemark consume load -e",
                        f"tidemark log dump {segment}", f"tidemark-topics {kafka} --describe", f"tidemark-topics {kafka} --list",
                        f"tidemark-console-consumer {kafka} --from-beginning --max-messages 20000", "tidemark --help",
                        "tidemark topic create --help"):
            full = run(command, ">/dev/full")
            self.assertEqual((full.returncode, "No space left" in full.stderr), (1, True), f"{command}: {full.stderr}")
            closed = run(command, ">&-")
            self.assertEqual((closed.returncode, "output could not be written" in closed.stderr), (1, True),
                             f"{command}: {closed.stderr}")
            gone = run(command, "| head -c 1 >/dev/null")
            self.assertEqual((gone.returncode, gone.stderr), (0, ""), command)

    def test_groups_from_their_first_offset_to_their_end(self):
        cluster = self.begin(offsets__topic__replication__factor=1)
        self.verb("topic", "create", "orders", "-p", 2, "-r", 1)
        self.verb("produce", "orders", "-p", 0, stdin="".join(f"record {n}\n" for n in range(10)))
        self.assertEqual(self.json("group", "list"), [])
        rows = self.json("group", "seek", "readers", "--to", "3", "--topic", "orders", "--create", "--dry-run")
        self.assertEqual([(r["partition"], r["before"], r["after"], r["result"]) for r in rows],
                         [(0, None, 3, "would be moved"), (1, None, 0, "would be moved")])
        self.assertIn("orders-1 has offsets 0 to 0: 0 instead of 3", self.err)
        self.verb("group", "seek", "readers", "--to", "3", status=4)
        self.verb("group", "seek", "readers", "--to", "3", "--topic", "orders", "--create")
        self.assertEqual(self.json("group", "list"),
                         [{"group": "readers", "state": "empty", "members": 0, "assignor": ""}])
        group, = self.json("group", "describe", "readers")
        first, second = group["partitions"]
        self.assertEqual((first["committed"], first["end"], first["lag"]), (3, 10, 7))
        self.assertTrue(0 < first["lag_seconds"] < 600, first)
        self.assertEqual((second["committed"], second["lag"], second["lag_seconds"]), (0, 0, 0))
        self.assertIn("lag_seconds", self.verb("group", "describe", "readers", "-o", "csv").splitlines()[0])
        self.assertIn("readers: empty, 0 members, coordinated by broker 0", self.verb("group", "describe", "readers"))
        # Back, forward, by time.
        for place, after in (("start", 0), ("-4", 6), ("@2001-01-01", 0), ("end", 10)):
            rows = self.json("group", "seek", "readers", "--to", place, "--topic", "orders:0")
            self.assertEqual([(r["after"], r["result"]) for r in rows], [(after, "moved")])
        # A name that is near is named; nothing is deleted before all names are right.
        self.verb("group", "describe", "raeders", status=4)
        self.assertIn("did you mean 'readers'?", self.err)
        self.verb("group", "delete", "readers", "raeders", "--yes", status=4)
        self.assertIn("did you mean 'readers'?", self.err)
        self.assertEqual(self.json("group", "delete", "readers", "--dry-run"),
                         [{"group": "readers", "result": "would be deleted"}])
        # A group with members is left alone.
        member = ConsoleMember(cluster, "readers", "orders", 0)
        self.addCleanup(member.end)
        wait_for("the member is there", lambda: self.json("group", "list")[0]["members"] == 1)
        self.verb("group", "delete", "readers", "--yes", status=1)
        self.assertIn("has 1 member, which would not notice; stop it first (member-0 at", self.err)
        self.verb("group", "seek", "readers", "--to", "start", status=1)
        held = wait_for("it holds both", lambda: [p["client"] for p in self.json("group", "describe", "readers")[0]["partitions"]]
                        == ["member-0", "member-0"])
        self.assertTrue(held)
        held, = self.json("group", "describe", "readers")[0]["members"]
        self.assertEqual((held["assignment"], held["revoking"]), ([{"topic": "orders", "partitions": [0, 1]}], []))
        self.assertIn("orders(0,1)", self.verb("consumer-groups", "--bootstrap-server", self.brokers, "--describe", "--members",
                                               "--group", "readers", "-o", "table"))
        self.assertIn("member-0", self.verb("group", "describe", "readers"))
        self.assertEqual(member.leave(), 0, member.said())
        # What others chose as a name is shown, and does not command the terminal.
        hostile = "red\x1b[31m\nforged"
        self.verb("group", "seek", hostile, "--to", "start", "--topic", "orders", "--create")
        for words in (("group", "list"), ("group", "describe", hostile), ("consumer-groups", "--bootstrap-server", self.brokers, "--list"),
                      ("consumer-groups", "--bootstrap-server", self.brokers, "--describe", "--group", hostile)):
            shown = self.verb(*words)
            self.assertIn("red\\x1b[31m\\x0aforged", shown)
            self.assertNotIn("\x1b", shown + self.err)
        self.assertIn(hostile, [group["group"] for group in self.json("group", "list")])
        self.verb("group", "describe", hostile + "2", status=4)
        self.assertNotIn("\x1b", self.err)
        self.verb("group", "delete", hostile, "--yes")
        # A static member that was stopped is waited for.
        static = ConsoleMember(cluster, "readers", "orders", 1, "--consumer-property", "group.instance.id=one")
        self.addCleanup(static.end)
        wait_for("it has its share", lambda: [m["state"] for m in self.json("group", "describe", "readers")[0]["members"]
                                              if m["assignment"]] == ["stable"])
        self.assertEqual(static.leave(), 0, static.said())
        self.assertRegex(self.verb("group", "describe", "readers"), r"member-1 at .*, away \(its session ends in \d+ s\)\): orders")
        self.assertEqual(self.json("group", "describe", "readers")[0]["members"][0]["state"], "away")
        self.verb("group", "seek", "readers", "--to", "start", status=1)
        self.assertIn("keeps the shares of 1 static member that may come back", self.err)
        back = ConsoleMember(cluster, "readers", "orders", 2, "--consumer-property", "group.instance.id=one", session_ms=6000)
        self.addCleanup(back.end)
        wait_for("it is back", lambda: self.json("group", "describe", "readers")[0]["members"][0]["client"] == "member-2")
        self.assertEqual(back.leave(), 0, back.said())
        wait_for("its session has ended", lambda: self.json("group", "list")[0]["members"] == 0)
        # Who cannot be asked must say --yes; who is asked may say no.
        self.verb("group", "delete", "readers", status=2)
        self.assertIn("--yes", self.err)
        status, shown = self.on_a_terminal("n", "group", "delete", "readers")
        self.assertEqual((status, "nothing was done" in shown), (7, True), shown)
        status, shown = self.on_a_terminal("y", "group", "delete", "readers")
        self.assertEqual(status, 0, shown)
        self.assertEqual(self.json("group", "list"), [])
        self.assertEqual(self.json("group", "delete", "readers", "--if-exists", "--yes"), [])
        self.verb("group", "sek", status=2)
        self.assertIn("did you mean 'tidemark group seek'?", self.err)

    def test_groups_of_a_broker_that_stands_still_are_missing_and_not_taken_for_gone(self):
        # For longer than both lists take the broker that stands still is one of the cluster.
        cluster = self.begin(3, zookeeper__session__timeout__ms=30000)
        self.brokers = cluster.brokers[0].address
        self.verb("topic", "create", "orders", "--assign", "0")
        groups = [f"readers-{n}" for n in range(10)]
        for group in groups:
            self.verb("group", "seek", group, "--to", "start", "--topic", "orders", "--create")
        cluster.brokers[1].pause()
        self.addCleanup(cluster.brokers[1].resume)
        told = self.verb("group", "list", status=6)
        self.assertIn("warning: the groups of broker 1 are missing", self.err)
        missing = [group for group in groups if group not in told]
        self.assertTrue(missing)  # their coordinator is the other one
        described = cluster.tool("consumer-groups", "--bootstrap-server", self.brokers, "--describe", "--all-groups",
                                 check=False)
        self.assertEqual(described.returncode, 6, described.err)
        # Whether a group is there is for its coordinator to say, who is elsewhere before long.
        self.assertIn("deleted", self.verb("group", "delete", missing[0], "--yes"))
        self.verb("group", "delete", "nobody", "--yes", status=4)

    def test_where_no_coordinator_can_be_the_reason_is_told(self):
        self.begin(1, offsets__topic__replication__factor=3)
        self.verb("group", "describe", "readers", status=3)
        self.assertIn("offsets.topic.replication.factor=3 brokers are registered, and 1 are", self.err)
        self.assertIn("tidemark cluster info", self.err)

    def test_bash_completes_with_live_names(self):
        self.begin(offsets__topic__replication__factor=1)
        self.verb("topic", "create", "orders", "orchids", "-p", 1, "-r", 1)

        def complete(line):
            script = ("source <(tidemark completion bash); COMP_WORDBREAKS=' @><=;|&(:'; COMP_LINE=$1; COMP_POINT=${#1}; "
                      "_tidemark_complete; printf '%s\\n' \"${COMPREPLY[@]}\"")
            out = subprocess.run(["bash", "-c", script, "bash", line], capture_output=True, text=True, timeout=PATIENCE,
                                 env=self.environment(), check=True)
            self.assertEqual(out.stderr, "")
            return out.stdout.split()

        def completes(line, names):
            """With names that brokers tell: who presses Tab waits two seconds for them, this test as long as it takes."""
            wait_for(f"'{line}' is completed to {names}", lambda: self.assertEqual(complete(line), names) or True)
        completes("tidemark topic describe or", ["orchids", "orders"])
        completes(f"tidemark consume -b {self.brokers} ord", ["orders"])
        self.verb("group", "seek", "readers", "--to", "start", "--topic", "orders", "--create")
        completes("tidemark group describe re", ["readers"])
        completes("tidemark-consumer-groups --describe --group r", ["readers"])
        self.assertEqual(complete("tidemark topic cr"), ["create"])
        self.assertEqual(complete("tidemark topic list --ou"), ["--output"])
        completes("tidemark-topics.sh --topic orc", ["orchids"])
        # What bash puts into the line unquoted must not be more than a word; of app:readers it replaces only "re".
        for name in ("app:readers", "app$(touch${IFS}injected)", "app two", "app'"):
            self.verb("group", "seek", name, "--to", "start", "--topic", "orders", "--create")
        completes("tidemark group describe ap", ["app:readers"])
        completes("tidemark group describe app:re", ["readers"])
        registered = subprocess.run(["bash", "-c", "source <(tidemark completion bash); complete -p tidemark-topics.sh tidemark"],
                                    capture_output=True, text=True, timeout=60, env=self.environment(), check=True)
        self.assertEqual(registered.stdout.count("_tidemark_complete"), 2)
        self.brokers = "127.0.0.1:1"  # nobody there: no names, and no noise
        self.assertEqual(complete("tidemark topic describe or"), [])

    def zsh(self, setup):
        """Of a zsh at a terminal with the completion set up: what asserts what it offers after a line."""
        shell = shutil.which("zsh")
        self.assertTrue(shell, "zsh is not installed: deploy/dependencies.sh")
        offered = self.folder / "offered"
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(shell, ["zsh", "-f", "-i"], {**self.environment(), "TERM": "xterm", "PS1": "", "OFFERED": str(offered)})

        def end():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)
        self.addCleanup(end)

        def told():
            while select.select([terminal], [], [], 0)[0]:
                os.read(terminal, 65536)  # else it waits to be read
            lines = offered.read_text().splitlines() if offered.exists() else []
            return lines if lines[-1:] == ["end"] else None

        def enter(text):
            offered.unlink(missing_ok=True)
            os.write(terminal, text.encode())
            return wait_for(f"zsh answers {text!r}", told)[:-1]
        # What would be added, or that files are offered instead, goes to the file.
        script = self.folder / "setup.zsh"
        script.write_text(f"""
unsetopt zle_bracketed_paste
{setup}
compadd() {{ local -a found; builtin compadd -O found "$@"; print -l -- $found end > $OFFERED; builtin compadd "$@" }}
_default() {{ print -l -- FILES end > $OFFERED }}
""")
        enter(f"source {script}; print end > $OFFERED\n")

        def complete(line):
            found = enter(f"{line}\t")
            os.write(terminal, b"\x15")  # the line goes
            return found

        def completes(line, names):
            wait_for(f"'{line}' is completed to {names}", lambda: self.assertEqual(complete(line), names) or True)
        return completes

    def test_zsh_completes_with_live_names(self):
        self.begin(offsets__topic__replication__factor=1)
        self.verb("topic", "create", "orders", "orchids", "-p", 1, "-r", 1)
        self.verb("group", "seek", "readers", "--to", "start", "--topic", "orders", "--create")
        dump = self.folder / "zcompdump"
        completes = self.zsh(f"autoload -Uz compinit; compinit -u -d {dump}; source <(tidemark completion zsh)")
        completes("tidemark topic describe or", ["orchids", "orders"])
        completes(f"tidemark consume -b {self.brokers} ord", ["orders"])
        completes("tidemark group describe ", ["readers"])
        completes("tidemark-consumer-groups --describe --group r", ["readers"])
        completes("tidemark topic cr", ["create"])
        completes("tidemark topi", ["topic", "topics"])
        completes("tidemark topic list --ou", ["--output"])
        completes("tidemark-topics.sh --topic orc", ["orchids"])
        completes(f"{BIN}/tidemark-topics --topic 'orc", ["orchids"])
        completes("tidemark produce orders mess", ["FILES"])
        # From a folder of functions, as distributions install it.
        functions = self.folder / "functions"
        functions.mkdir()
        (functions / "_tidemark").write_text(self.verb("completion", "zsh"))
        completes = self.zsh(f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -d {dump}2")
        completes("tidemark topic describe or", ["orchids", "orders"])
        completes("tidemark-topics.sh --topic orc", ["orchids"])
        # In a shell that has not set up completion.
        completes = self.zsh(f"ZDOTDIR={self.folder}; source <(tidemark completion zsh)")
        completes("tidemark topic describe or", ["orchids", "orders"])


if __name__ == "__main__":
    unittest.main()
