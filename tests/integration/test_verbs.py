"""The program's second face, nouns and verbs, against real brokers: what it does, prints, asks and ends with."""
import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import unittest

from group_members import ConsoleMember
from harness import BIN, PATIENCE, ClusterTest, wait_for


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

    def test_topics_from_their_creation_to_their_end(self):
        self.begin()
        self.assertEqual(self.json("topic", "create", "dry", "--dry-run"), [{"topic": "dry", "result": "would be created"}])
        self.assertEqual(self.json("topic", "list"), [])
        self.assertIn("created", self.verb("topic", "create", "orders", "clicks", "-p", 3, "-r", 1, "-c", "retention.ms=86400000"))
        self.verb("topic", "create", "orders", status=1)
        self.assertIn("TOPIC_ALREADY_EXISTS", self.err)
        self.assertEqual(self.json("topic", "create", "orders", "--if-not-exists"), [{"topic": "orders", "result": "exists"}])
        self.assertEqual(self.json("topic", "create", "orders", "new", status=6)[1]["result"], "created")
        self.assertEqual([t["topic"] for t in self.json("topic", "list")], ["clicks", "new", "orders"])
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
        self.assertIn("1 records would be sent", self.err)
        lines = [f"k{n} v{n}" for n in range(20)]
        self.verb("produce", "orders", "-K", " ", "-z", "zstd", "-H", "from=test", stdin="".join(l + "\n" for l in lines))
        self.assertIn("orders-0: 20 records, offsets 0 to 19", self.err)
        self.assertEqual(self.verb("consume", "orders", "-o", "-10", "-e", "-f", "%k %v\\n").splitlines(), lines[10:])
        self.assertEqual(self.verb("consume", "orders", "-o", "-10", "-n", 3, "-f", "%o,").strip(), "10,11,12,")
        self.assertEqual(self.verb("consume", "orders", "-o", 18, "-e").splitlines(), ["v18", "v19"])
        self.assertEqual(self.verb("consume", "orders", "-o", "end", "-e"), "")
        self.assertEqual(len(self.verb("consume", "orders", "-o", "@-1h", "-e").splitlines()), 20)
        record = json.loads(self.verb("consume", "orders", "-n", 1, "-f", "json"))
        self.assertEqual((record["key"], record["headers"]), ("k0", [{"key": "from", "value": "test"}]))
        file = self.folder / "more"
        file.write_text("one\ntwo")
        self.verb("produce", "orders", "-k", "same", file)
        self.assertEqual(self.verb("consume", "orders", "-o", -2, "-e", "-f", "%k=%v\\n"), "same=one\nsame=two\n")
        self.assertEqual(self.json("topic", "offsets", "orders")[0]["records"], 22)
        self.assertEqual(self.json("topic", "trim", "orders", "--before", -2, "--dry-run")[0]["new_start"], 20)
        self.verb("topic", "trim", "orders", "--before", 5, status=2)
        self.assertEqual(self.json("topic", "trim", "orders", "--before", 5, "--yes")[0]["new_start"], 5)
        self.assertEqual(self.json("topic", "offsets", "orders")[0]["start"], 5)
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
        self.verb("config", "get", "topc/orders", status=2)
        self.assertIn("did you mean topic?", self.err)

    def test_a_cluster_that_is_well_and_one_that_is_not(self):
        cluster = self.begin(2)
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
        self.assertIn("records sent", self.verb("bench", "produce", "load", "-n", 1000, "-s", 10))
        self.assertIn("records consumed", self.verb("bench", "consume", "load", "-n", 1000))
        folder = self.clusters[0].brokers[0].data / "load-0"
        segment = next(folder.glob("*.log"))
        self.assertIn("baseOffset", self.verb("log", "dump", segment, "--batches"))
        self.verb("log", "dump", "--verify", folder, "-o", "json")

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
        self.assertIn("stop them first (member-0 at", self.err)
        self.verb("group", "seek", "readers", "--to", "start", status=1)
        held = wait_for("it holds both", lambda: [p["client"] for p in self.json("group", "describe", "readers")[0]["partitions"]]
                        == ["member-0", "member-0"])
        self.assertTrue(held)
        self.assertIn("member-0", self.verb("group", "describe", "readers"))
        self.assertEqual(member.leave(), 0, member.said())
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

    def test_bash_completes_with_live_names(self):
        self.begin(offsets__topic__replication__factor=1)
        self.verb("topic", "create", "orders", "orchids", "-p", 1, "-r", 1)

        def complete(line):
            script = ("source <(tidemark completion bash); COMP_LINE=$1; COMP_POINT=${#1}; _tidemark_complete; "
                      "printf '%s\\n' \"${COMPREPLY[@]}\"")
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
        self.brokers = "127.0.0.1:1"  # nobody there: no names, and no noise
        self.assertEqual(complete("tidemark topic describe or"), [])


if __name__ == "__main__":
    unittest.main()
