"""The tools as people use them: Kafka's flags and output, errors that say what to do, exit statuses."""
import fcntl
import itertools
import re
import signal
import subprocess
import termios
import unittest

from harness import BIN, PATIENCE, ROOT, SHORT_SESSIONS, ClusterTest, alive, wait_for


class Tools(ClusterTest):
    def test_topics_and_configs(self):
        cluster = self.cluster(3)
        zk = cluster.zookeeper.connect
        out = cluster.tool("topics", "--create", "-zookeeper", zk, "--replication-factor", 1, "--partitions", 1,
                           "--topic", "test").out
        self.assertEqual(out, "Created topic test.\n")
        self.assertEqual(cluster.tool("topics", "--list", "--zookeeper", zk).out, "test\n")
        again = cluster.tool("topics", "--create", "--bootstrap-server", cluster.bootstrap, "--topic", "test", check=False)
        self.assertEqual(again.returncode, 1)
        self.assertIn("TOPIC_ALREADY_EXISTS", again.err)
        self.assertIn("hint: describe shows the topic", again.err)
        self.assertIn("--if-not-exists accepts", again.err)
        many = cluster.tool("topics", "--create", "--bootstrap-server", cluster.bootstrap, "--topic", "many",
                            "--replication-factor", 5, check=False)
        self.assertIn("replication factor 5 with 3 live brokers: use a factor up to 3, or start more brokers", many.err)
        cluster.tool("topics", "--create", "--bootstrap-server", cluster.bootstrap, "--topic", "test", "--if-not-exists")
        cluster.tool("topics", "--create", "--bootstrap-server", cluster.bootstrap, "--topic", "placed",
                     "--replica-assignment", "0:1,1:2", "--config", "min.insync.replicas=1")
        self.assertEqual({p: r for p, (_, r, _) in cluster.describe("placed").items()}, {0: [0, 1], 1: [1, 2]})
        described = cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--describe", "--topic", "placed").out
        self.assertIn("PartitionCount: 2\tReplicationFactor: 2\tConfigs: min.insync.replicas=1", described)
        self.configs(cluster)
        cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--delete", "--topic", "test")
        self.assertEqual(cluster.tool("topics", "--list", "--bootstrap-server", cluster.bootstrap).out, "placed\n")
        missing = cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--delete", "--topic", "plaecd", check=False)
        self.assertEqual(missing.returncode, 4)
        # A topic made again is another topic: nothing of the old one is in it.
        cluster.produce("placed", ["old"])
        cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--delete", "--topic", "placed")
        cluster.create_topic("placed", 1, 3)
        cluster.produce("placed", ["new"])
        self.assertEqual(cluster.consume("placed"), ["new"])

    def configs(self, cluster):
        base = ["--bootstrap-server", cluster.bootstrap, "--entity-type", "topics", "--entity-name", "placed"]
        cluster.tool("configs", *base, "--alter", "--add-config", "retention.ms=1000,min.insync.replicas=2")
        out = cluster.tool("configs", *base, "--describe").out
        self.assertIn("retention.ms=1000", out)
        self.assertIn("min.insync.replicas=2", out)
        kafkas = cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--alter", "--topic", "orders",
                              "--delete-config", "retention.ms", check=False)
        self.assertEqual(kafkas.returncode, 2)
        self.assertIn("tidemark-configs --alter --topic NAME --delete-config NAME", kafkas.err)
        cluster.tool("configs", *base, "--alter", "--delete-config", "retention.ms")
        self.assertNotIn("retention.ms", cluster.tool("configs", *base, "--describe").out)
        wrong = cluster.tool("configs", *base, "--alter", "--add-config", "retenton.ms=1", check=False)
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("retention.ms", wrong.err)
        spaced = cluster.tool("configs", *base, "--alter", "--add-config", "min.insync.replicas", "=", "2", check=False)
        self.assertEqual(spaced.returncode, 2)

    def test_partitions_are_added_and_filtered(self):
        cluster = self.cluster(3)
        base = ["topics", "--bootstrap-server", cluster.bootstrap]
        cluster.create_topic("grows", 2, 2)
        cluster.produce("grows", [f"old {n}" for n in range(100)])
        cluster.tool(*base, "--alter", "--topic", "grows", "--partitions", 4)
        state = cluster.describe("grows")
        self.assertEqual(sorted(state), [0, 1, 2, 3])
        self.assertTrue(all(leader >= 0 and len(replicas) == 2 for leader, replicas, _ in state.values()), state)
        cluster.tool(*base, "--alter", "--topic", "grows", "--partitions", 5, "--replica-assignment", "0:1,0:1,0:1,0:1,2:0")
        self.assertEqual(cluster.describe("grows")[4][1], [2, 0])
        for words, status, shows in ((("grows", "--partitions", 3), 1, "can only grow"), (("gorws", "--partitions", 9), 4, "grows"),
                                     (("grows",), 2, "--partitions"),
                                     (("grows", "--partitions", 6, "--replica-assignment", "0:1,0:1,0:1,0:1,2:0,9:1"), 1, "broker 9")):
            refused = cluster.tool(*base, "--alter", "--topic", *words, check=False)
            self.assertEqual(refused.returncode, status, refused.err)
            self.assertIn(shows, refused.err)
        cluster.tool(*base, "--alter", "--topic", "gorws", "--partitions", 9, "--if-exists")
        # The records of before and new ones, wherever they go now.
        cluster.produce("grows", [f"new {n}" for n in range(200)])
        self.assertEqual(len(cluster.consume("grows")), 300)
        offsets = cluster.tool("get-offsets", "--bootstrap-server", cluster.bootstrap, "--topic", "grows").out.splitlines()
        self.assertEqual([line.rsplit(":", 1)[0] for line in offsets], [f"grows:{n}" for n in range(5)])
        self.assertEqual(sum(int(line.rsplit(":", 1)[1]) for line in offsets), 300)
        some = cluster.tool("get-offsets", "--broker-list", cluster.bootstrap, "--topic-partitions", "gr.*:1-3", "--time", -2).out
        self.assertEqual(some, "grows:1:0\ngrows:2:0\n")
        missing = cluster.tool("get-offsets", "--bootstrap-server", cluster.bootstrap, "--topic", "gorws", check=False)
        self.assertEqual(missing.returncode, 4)
        # With one broker gone some partitions are at their min ISR (2, of two replicas: under it), and none is dark.
        cluster.create_topic("whole", 1, 3)
        cluster.wait_isr("whole", [0, 1, 2])
        self.assertEqual(cluster.tool(*base, "--describe", "--under-replicated-partitions").out, "")
        cluster.brokers[2].kill()
        wait_for("the partition is at its min ISR", lambda: "whole" in cluster.tool(*base, "--describe", "--at-min-isr-partitions").out)
        wait_for("a partition is under its min ISR", lambda: cluster.tool(*base, "--describe", "--topic", "gr.*",
                                                                          "--under-min-isr-partitions").out.count("grows") >= 1)
        self.assertIn("Topic: whole\tPartition: 0", cluster.tool(*base, "--describe", "--under-replicated-partitions").out)
        self.assertEqual(cluster.tool(*base, "--describe", "--unavailable-partitions").out, "")

    def test_cluster_tools(self):
        cluster = self.cluster(2)
        out = cluster.tool("cluster", "cluster-id", "--bootstrap-server", cluster.bootstrap).out
        self.assertRegex(out, r"^Cluster ID: \S{22}\n$")
        self.assertEqual(cluster.tool("cluster", "cluster-di", check=False).returncode, 2)
        out = cluster.tool("broker-api-versions", "--bootstrap-server", cluster.bootstrap).out
        for broker in cluster.brokers:
            self.assertIn(f"{broker.address} (id: {broker.id} rack: null) -> (\n", out)
        self.assertEqual(out.count("\tCreatePartitions(26): 1 to 1 [usable: 1]"), 2)

    def test_console_tools(self):
        cluster = self.cluster(1)
        cluster.create_topic("lines", 2, 1)
        cluster.produce("lines", ["a,1", "b,2", "c,NULL"], "--property", "parse.key=true", "--property",
                        "key.separator=,", "--property", "null.marker=NULL")
        def console(topic, count, *words):
            return cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", topic,
                                "--from-beginning", "--max-messages", count, *words).out.splitlines()
        out = console("lines", 3, "--property", "print.key=true", "--property", "key.separator=:")
        self.assertEqual(sorted(out), ["a:1", "b:2", "c:null"])
        cluster.create_topic("headed", 1, 1)
        settings = self.folder / "producer.properties"
        settings.write_text("acks=all\nlinger.ms=1\n")
        cluster.produce("headed", ["a=1;b=|key|value"], "--property", "parse.headers=true", "--property", "parse.key=true",
                        "--property", "headers.delimiter=|", "--property", "headers.separator=;", "--property",
                        "headers.key.separator==", "--property", "key.separator=|", "--producer.config", str(settings))
        self.assertEqual(console("headed", 1, "--property", "print.headers=true", "--property", "print.key=true"),
                         ["a:1,b:\tkey\tvalue"])
        both = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--include", "lines|headed",
                            "--from-beginning", "--max-messages", 4).out.splitlines()
        self.assertEqual(sorted(both), ["1", "2", "null", "value"])
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            cluster.produce("lines", [f"{codec} {n}" for n in range(500)], "--compression-codec", codec)
        wanted = ["1", "2", ""] + [f"{codec} {n}" for codec in ("gzip", "snappy", "lz4", "zstd") for n in range(500)]
        self.assertEqual(sorted(cluster.consume("lines")), sorted(wanted))
        # It ends when nothing came for so long, and has printed all of that when everything came before.
        timed = console("lines", len(wanted) + 1, "--timeout-ms", 5000)
        self.assertLessEqual(set(timed), {line or "null" for line in wanted})
        # --max-messages ends at once, without waiting for a time-out.
        ended = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "lines",
                             "--from-beginning", "--max-messages", 7)
        self.assertEqual(len(ended.out.splitlines()), 7)
        self.assertIn("Processed a total of 7 messages", ended.err)
        # A reader that goes away ends it quietly.
        piped = subprocess.run(f"{BIN}/tidemark-console-consumer --bootstrap-server {cluster.bootstrap} --topic lines "
                               f"--from-beginning --max-messages {len(wanted)} | head -1", shell=True, capture_output=True,
                               timeout=PATIENCE, check=True)
        self.assertEqual(len(piped.stdout.splitlines()), 1)
        self.assertNotIn(b"error", piped.stderr)
        # What is not there yet is said, and the rest is done.
        warned = cluster.tool("console-producer", "--bootstrap-server", cluster.bootstrap, "--topic", "headed",
                              "--producer-property", "enable.idempotence=true", "--producer-property",
                              "key.serializer=org.apache.kafka.common.serialization.StringSerializer", stdin="sent\n")
        self.assertEqual(warned.err.count("\n"), 1, warned.err)
        self.assertTrue(warned.err.startswith("warning: enable.idempotence=true has no effect yet: "), warned.err)
        ends = ("get-offsets", "--bootstrap-server", cluster.bootstrap, "--topic", "lines")
        before = cluster.tool(*ends).out
        dry = cluster.tool("console-producer", "--bootstrap-server", cluster.bootstrap, "--topic", "lines", "--dry-run",
                           stdin="not\nsent\n")
        self.assertIn("2 records would be sent", dry.err)
        self.assertEqual(cluster.tool(*ends).out, before)
        bad = cluster.tool("console-producer", "--bootstrap-server", cluster.bootstrap, "--topic", "lines", "--property",
                           "parse.key=true", stdin="no separator here\n", check=False)
        self.assertEqual(bad.returncode, 1)
        offsets = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "lines",
                               "--partition", 0, "--offset", 1, "--max-messages", 1, "--property", "print.offset=true")
        self.assertTrue(offsets.out.startswith("Offset:1\t"), offsets.out)

    def test_errors_say_what_to_do(self):
        def refused(name, *words):
            result = subprocess.run([str(BIN / f"tidemark-{name}"), *words], capture_output=True, text=True, check=False,
                                    timeout=PATIENCE, stdin=subprocess.DEVNULL)
            self.assertTrue(result.stderr.startswith("error: "), result.stderr)
            return result
        self.assertEqual(refused("topics", "--lsit").returncode, 2)
        self.assertIn("--list", refused("topics", "--lsit").stderr)
        self.assertEqual(refused("topics", "--list").returncode, 2)
        # Nobody there: said at once, given up after some seconds, by all in the same words.
        nobody = [subprocess.Popen([str(BIN / program), *words, "--bootstrap-server", "127.0.0.1:1"], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                  for program, *words in (["tidemark-topics", "--list"], ["tidemark-consumer-groups", "--list"],
                                          ["tidemark-console-consumer", "--topic", "lines"],
                                          ["tidemark-console-producer", "--topic", "lines"], ["tidemark", "group", "list"],
                                          ["tidemark", "consume", "lines"])]
        for process in nobody:
            out, err = process.communicate(timeout=PATIENCE)
            first, last = err.splitlines()
            self.assertEqual((process.returncode, out), (3, ""), err)
            self.assertTrue(first.startswith("warning: the cluster cannot be reached at 127.0.0.1:1: "), first)
            self.assertTrue(last.startswith("error: no broker could be reached in 10 s"), last)
            self.assertIn("does a broker run at 127.0.0.1:1?", last)
        nowhere = refused("topics", "--zookeeper", "127.0.0.1:1", "--list")
        self.assertEqual((nowhere.returncode, nowhere.stderr.count("\n")), (3, 1), nowhere.stderr)
        for name in ("topics", "configs", "consumer-groups", "log-dirs", "console-producer", "console-consumer", "delete-records",
                     "dump-log", "get-offsets", "cluster",
                     "broker-api-versions", "producer-perf-test",
                     "consumer-perf-test", "server-start", "server-stop"):
            for program in (f"tidemark-{name}", f"tidemark-{name}.sh"):
                result = subprocess.run([str(BIN / program), "--help"], capture_output=True, text=True, timeout=PATIENCE, check=False)
                self.assertEqual(result.returncode, 0, program)
                self.assertIn(name, result.stdout)

    def test_names_that_are_no_ascii_get_their_error(self):
        cluster = self.cluster(1)
        there = ("--bootstrap-server", cluster.bootstrap)
        for result in (cluster.tool("topics", *there, "--create", "--topic", "тема", "--partitions", 1, check=False),
                       cluster.verb("topic", "create", "тема", check=False),
                       cluster.verb("topic", "describe", "тема", check=False),
                       cluster.tool("configs", *there, "--describe", "--topic", "тема", check=False)):
            self.assertIn(result.returncode, (1, 2, 4), result.err)
            self.assertIn("'т'", result.err)
        for words in (("tidemark", "topic", "create", b"a\xffb", "-b", cluster.bootstrap),
                      ("tidemark-consumer-groups", *there, "--describe", "--group", b"a\xffb"),
                      ("tidemark-configs", *there, "--describe", "--client", b"a\xffb")):
            refused = subprocess.run([BIN / words[0], *words[1:]], capture_output=True, check=False, timeout=2 * PATIENCE)
            self.assertEqual(refused.returncode, 2, refused.stderr)
            self.assertIn(b"'a\\xffb' is not UTF-8", refused.stderr)

    def test_what_lingers_is_sent_when_the_producer_is_told_to_end(self):
        cluster = self.cluster(1)
        cluster.create_topic("lines", 1, 1)
        for sent, (number, status) in enumerate(((signal.SIGINT, 130), (signal.SIGTERM, 143))):
            producer = subprocess.Popen([BIN / "tidemark-console-producer", "--bootstrap-server", cluster.bootstrap, "--topic",
                                         "lines", "--producer-property", "linger.ms=600000"], stdin=subprocess.PIPE)
            self.addCleanup(producer.kill)
            producer.stdin.write(f"typed {sent}\n".encode())
            producer.stdin.flush()
            wait_for("it has taken the line", lambda end=producer.stdin: fcntl.ioctl(end, termios.FIONREAD, bytes(4)) == bytes(4))
            producer.send_signal(number)
            self.assertEqual(producer.wait(timeout=PATIENCE), status)
            producer.stdin.close()
        self.assertEqual(cluster.consume("lines"), ["typed 0", "typed 1"])
        console = ("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "lines", "--from-beginning")
        self.assertEqual(len(cluster.tool(*console, "--max-messages", 2, "--timeout-ms", -1).out.splitlines()), 2)
        self.assertEqual(cluster.tool(*console, "--max-messages", -1, "--timeout-ms", 1000).returncode, 0)
        self.assertEqual(cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "",
                                      check=False).returncode, 2)

    def test_a_topic_made_while_brokers_are_away_is_warned_of(self):
        cluster = self.cluster(3)
        cluster.create_topic("before", 1, 3)
        names = itertools.count()

        def made():
            return cluster.tool("topics", "--bootstrap-server", cluster.brokers[0].address, "--create", "--topic",
                                f"topic-{next(names)}", "--partitions", 1).err
        self.assertNotIn("warning", made())
        for broker in cluster.brokers[1:]:
            broker.process.terminate()
            broker.process.wait(timeout=PATIENCE)
        wait_for("a topic is made with one replica, and warned of", lambda: "has 1 replica, not 3" in made())

    def test_output_that_cannot_be_written_is_an_error(self):
        cluster = self.cluster(1)
        cluster.create_topic("lines", 1, 1)
        cluster.produce("lines", ["one", "two"])
        where = f"--bootstrap-server {cluster.bootstrap}"
        for line in (f"tidemark-topics {where} --describe", f"tidemark-topics {where} --list", f"tidemark-get-offsets {where}",
                     f"tidemark-console-consumer {where} --topic lines --from-beginning --max-messages 2",
                     f"tidemark topic list {where} -o json", f"tidemark consume lines {where} -e -o 0", "tidemark-topics --help",
                     f"tidemark-dump-log --verify {cluster.brokers[0].data}"):
            result = subprocess.run(["bash", "-c", f"{BIN}/{line} > /dev/full"], capture_output=True, text=True, check=False,
                                    timeout=PATIENCE)
            self.assertEqual(result.returncode, 1, f"{line}: {result.stderr}")
            self.assertIn("error: the output could not be written: No space left on device", result.stderr, line)

    def test_a_deletion_that_waits_for_a_dead_broker_says_so(self):
        cluster = self.cluster(2, offsets__topic__replication__factor=1, **SHORT_SESSIONS)
        cluster.create_topic("orders", 2, 2)
        cluster.wait_isr("orders", [0, 1])
        dead = cluster.brokers[1]
        dead.kill()
        where = ["--bootstrap-server", cluster.brokers[0].address]
        cluster.wait_isr("orders", [0])
        result = cluster.tool("topics", *where, "--delete", "--topic", "orders", check=False)
        self.assertEqual(result.returncode, 3, result.err)
        self.assertIn("the topic is marked for deletion, which waits for broker 1, which is down", result.err)
        self.assertEqual(cluster.tool("topics", *where, "--list").out, "orders - marked for deletion\n")
        health = subprocess.run([BIN / "tidemark", "cluster", "health", *where, "-o", "csv"], text=True, capture_output=True,
                                timeout=PATIENCE, check=False)
        self.assertEqual(health.returncode, 10, health.stderr)
        self.assertIn("deletion waits,1,", health.stdout)
        # It is not there to stay, whoever finds it: nobody is told that it exists, or waits for leaders that never come.
        create = [["tidemark-topics", "--create", "--topic", "orders", "--if-not-exists"],
                  ["tidemark", "topic", "create", "orders", "-p", "1", "-r", "1", "--if-not-exists"]]
        for status, words, stdin in [*((1, words, None) for words in create),
                                     (4, ["tidemark", "produce", "orders"], "lost\n"),
                                     (4, ["tidemark", "consume", "orders", "-e"], None),
                                     (4, ["tidemark", "group", "seek", "new", "--to", "start", "--topic", "orders", "--create"],
                                      None)]:
            result = subprocess.run([BIN / words[0], *words[1:], *where], input=stdin, text=True, capture_output=True,
                                    timeout=PATIENCE, check=False)
            self.assertEqual(result.returncode, status, f"{words}: {result.stderr}")
            self.assertIn("topic 'orders' is being deleted", result.stderr, words)
            self.assertIn("hint: ", result.stderr, words)
        dead.start()
        wait_for("the topic is gone", lambda: "orders" not in cluster.tool("topics", *where, "--list").out)

    def test_perf_tools(self):
        cluster = self.cluster(1, offsets__topic__replication__factor=1)
        cluster.create_topic("perf", 1, 1)
        out = cluster.tool("producer-perf-test", "--topic", "perf", "--num-records", 20000, "--record-size", 100,
                           "--throughput", -1, "--producer-props", f"bootstrap.servers={cluster.bootstrap}", "acks=1").out
        self.assertRegex(out, r"20000 records sent, [\d.]+ records/sec \([\d.]+ MB/sec\).* 50th.* 99.9th")
        out = cluster.tool("consumer-perf-test", "--bootstrap-server", cluster.bootstrap, "--topic", "perf",
                           "--messages", 20000).out
        self.assertRegex(out, r"20000 records consumed")
        out = cluster.tool("producer-perf-test", "--topic", "perf", "--num-records", 10, "--record-size", 100, "--throughput", 5,
                           "--print-metrics", "--producer-props", f"bootstrap.servers={cluster.bootstrap}").out
        self.assertRegex(out, r"(?m)^records acknowledged +10$")
        where = ["consumer-perf-test", "--bootstrap-server", cluster.bootstrap, "--topic", "perf", "--group", "measurers"]
        self.assertIn("is required with a group", cluster.tool(*where, check=False).err)
        out = cluster.tool(*where, "--messages", 20010, "--show-detailed-stats", "--reporting-interval", 1).out
        self.assertRegex(out, r"(?m)^\d+ records consumed, [\d.]+ records/sec \([\d.]+ MB/sec\)\.$")
        self.assertRegex(out, r"(?m)^20010 records consumed")
        rows = cluster.tool("consumer-groups", "--bootstrap-server", cluster.bootstrap, "--describe", "--group", "measurers",
                            "-o", "json").out
        self.assertRegex(rows, r'"committed": ?20010')

    def test_cluster_script(self):
        script = str(ROOT / "deploy/cluster.sh")
        folder = self.folder / "cluster-script"
        def run(*words):
            return subprocess.run([script, *words, "--dir", str(folder)], capture_output=True, text=True, timeout=3 * PATIENCE,
                                  check=True).stdout
        self.addCleanup(lambda: subprocess.run([script, "stop", "--dir", str(folder)], check=False, timeout=2 * PATIENCE,
                                               capture_output=True))
        subprocess.run([script, "start", "--dir", str(folder), "--bin", str(BIN), "--brokers", "2"], check=True,
                       capture_output=True, timeout=3 * PATIENCE)
        self.assertEqual(run("status").count("running"), 2)
        # A long log behind the line that says that a broker serves: more than a pipe holds.
        with (folder / "broker-0/broker.log").open("a") as log:
            log.write("a line as a broker writes it\n" * 20_000)
        rows = [line.split() for line in run("status").splitlines() if line[0].isdigit()]
        self.assertEqual([(row[1], ":" in row[4]) for row in rows], [("running", True)] * 2)
        run("start", "--bin", str(BIN), "--brokers", "2")
        run("kill", "1")
        self.assertIn("down", run("status"))
        run("restart", "1")
        run("pause", "0")
        wait_for("it is told as paused", lambda: "paused" in run("status"))
        run("resume", "0")
        pids = [int(p.read_text()) for p in folder.rglob("pid")]
        run("stop")
        for pid in pids:
            wait_for(f"process {pid} is gone", lambda p=pid: not alive(p))


if __name__ == "__main__":
    unittest.main()
