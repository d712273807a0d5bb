"""ZooKeeper killed for 20 s, and paused past the session timeout, during production: partitions with live leaders go
on, and afterwards the cluster is whole without a restart of any broker."""
import re
import subprocess
import threading
import time
import unittest

from harness import BIN, PATIENCE, SHORT_SESSIONS, ClusterTest, wait_for


class Stream:
    """A console producer fed one numbered line at a time, so that progress can be seen from outside."""

    def __init__(self, cluster, topic):
        self.process = subprocess.Popen(
            [str(BIN / "tidemark-console-producer"), "--bootstrap-server", cluster.bootstrap, "--topic", topic,
             "--producer-property", "acks=all", "--producer-property", "linger.ms=5"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.sent = 0
        self.running = True
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _feed(self):
        while self.running:
            self.process.stdin.write(f"line {self.sent}\n".encode())
            self.process.stdin.flush()
            self.sent += 1
            time.sleep(0.005)  # the rate of the stream
        self.process.stdin.close()

    def finish(self):
        self.running = False
        self.thread.join(timeout=PATIENCE)
        err = self.process.stderr.read().decode(errors="replace")
        return self.process.wait(timeout=3 * PATIENCE), err


class ZooKeeperOutage(ClusterTest):
    def outage(self, begin, end, seconds):
        cluster = self.cluster(3, **SHORT_SESSIONS)
        cluster.create_topic("stream", 3, 3)
        cluster.wait_isr("stream", [0, 1, 2])
        pids = [broker.process.pid for broker in cluster.brokers]
        stream = Stream(cluster, "stream")
        wait_for("the stream flows", lambda: self.count(cluster) > 50)
        begin(cluster)
        over = time.monotonic() + seconds
        during = self.count(cluster)
        wait_for("production goes on without ZooKeeper", lambda: self.count(cluster) > during + 50)
        wait_for("the outage has lasted", lambda: time.monotonic() > over)
        end(cluster)
        wait_for("ZooKeeper serves again", cluster.zookeeper.serving)
        # Whole again: metadata changes work, all replicas are in sync, all brokers are registered, none was restarted.
        wait_for("a topic can be created", lambda: cluster.tool(
            "topics", "--bootstrap-server", cluster.bootstrap, "--create", "--topic", "afterwards", "--partitions", 3,
            "--replication-factor", 3, "--if-not-exists", check=False).returncode == 0)
        cluster.wait_isr("stream", [0, 1, 2])
        cluster.wait_isr("afterwards", [0, 1, 2])
        for broker in cluster.brokers:
            wait_for("readyz", lambda b=broker: b.http("/readyz")[0] == 200)
        self.assertEqual([broker.process.pid for broker in cluster.brokers], pids)
        self.assertTrue(all(broker.process.poll() is None for broker in cluster.brokers))
        status, err = stream.finish()
        self.assertEqual(status, 0, err)
        lines = cluster.consume("stream")
        self.assertEqual(set(lines), {f"line {n}" for n in range(stream.sent)})

    def count(self, cluster):
        return sum(int(line.rsplit(":", 1)[1]) for line in self.ends(cluster))

    def ends(self, cluster):
        import json
        total = []
        for broker in cluster.brokers:
            state = json.loads(broker.http("/state")[1])
            for partition in state["partitions"]:
                if partition["topic"] == "stream" and partition["leader"] == broker.id:
                    total.append(f"{partition['partition']}:{partition['high_watermark']}")
        return total

    def test_a_topic_that_is_made_meanwhile(self):
        cluster = self.cluster(2, **SHORT_SESSIONS)
        cluster.create_topic("doomed", 1, 2)
        cluster.zookeeper.pause()
        wait_for("the brokers notice", lambda: all(b.http("/readyz")[0] == 503 for b in cluster.brokers))
        calls = []
        # One replica: the controller is back before all brokers are.
        for words in (["create", "made", "-r", "1"], ["delete", "doomed", "--yes"]):
            err = cluster.brokers[0].folder / f"{words[0]}.err"
            with open(err, "wb") as file:
                calls.append((subprocess.Popen([str(BIN / "tidemark"), "topic", *words, "-b", cluster.bootstrap],
                                               stdout=subprocess.DEVNULL, stderr=file), err))
            self.addCleanup(calls[-1][0].kill)
        for process, err in calls:
            wait_for("what it waits for is said, and for how long", lambda e=err: re.search(
                r"warning: no result yet: .*no connection to ZooKeeper.* more\n", e.read_text()))
        cluster.zookeeper.resume()
        for process, err in calls:
            self.assertEqual(process.wait(timeout=3 * PATIENCE), 0, err.read_text())
        listed = cluster.verb("topic", "list").out
        self.assertIn("made", listed)
        self.assertNotIn("doomed", listed)

    def test_zookeeper_killed_for_20_seconds(self):
        self.outage(lambda c: c.zookeeper.kill(), lambda c: c.zookeeper.start(), 20)

    def test_zookeeper_paused_past_the_session_timeout(self):
        self.outage(lambda c: c.zookeeper.pause(), lambda c: c.zookeeper.resume(), 15)


if __name__ == "__main__":
    unittest.main()
