"""An unclean election under consumers: what they print is told to be gone, and what stands there now is printed."""
import subprocess
import unittest

from harness import BIN, ClusterTest, wait_for

TOPIC = "orders"
LOST = "orders-0: what was read from offset 3 to 5 "


class UncleanElection(ClusterTest):
    def consumer(self, cluster, name, *words):
        """A console consumer in the background; what it prints so far."""
        out, err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen([str(BIN / "tidemark-console-consumer"), "--bootstrap-server", cluster.bootstrap,
                                        "--topic", TOPIC, "--from-beginning", *words], stdout=stdout, stderr=stderr)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, lambda: out.read_text().split(), err.read_text

    def test_consumers_are_told_and_go_on_where_the_logs_part(self):
        cluster = self.cluster(3, zookeeper__session__timeout__ms=3000, min__insync__replicas=1)
        cluster.create_topic(TOPIC, 1, 2, unclean__leader__election__enable="true")
        leader, replicas, _ = cluster.describe(TOPIC)[0]
        follower = next(id for id in replicas if id != leader)
        cluster.wait_isr(TOPIC, replicas)
        cluster.produce(TOPIC, ["a", "b", "c"])
        # The topic of the groups is made while all brokers are there.
        cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", TOPIC, "--from-beginning",
                     "--group", "away", "--max-messages", 1)
        one = ("--producer-property", "acks=1")
        cluster.brokers[follower].kill()
        cluster.wait_isr(TOPIC, [leader])
        cluster.produce(TOPIC, ["d", "e", "f"], *one)
        # A group that is not there in the election.
        cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", TOPIC, "--group", "away",
                     "--max-messages", 5)
        consumers = [self.consumer(cluster, "assigned"), self.consumer(cluster, "member", "--group", "readers")]
        for _, printed, _ in consumers:
            wait_for("all is read", lambda p=printed: p() == list("abcdef"))
        cluster.brokers[leader].kill()
        cluster.brokers[follower].start()
        cluster.wait_led(TOPIC, [follower])
        cluster.produce(TOPIC, list("DEFGH"), *one)
        for process, printed, told in consumers:
            wait_for("what stands there now is read", lambda p=printed: p() == list("abcdefDEFGH"))
            self.assertEqual(told().count(LOST), 1, told())
            self.assertIn("reading goes on at 3", told())
            self.assertIn("LOG_TRUNCATED", told())
            process.terminate()
            self.assertEqual(process.wait(), 0, told())
        late = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", TOPIC,
                            "--group", "away", "--max-messages", 5)
        self.assertEqual(late.out.split(), list("DEFGH"))
        self.assertEqual(late.err.count(LOST), 1, late.err)
        # The former leader comes back and follows: nobody is told anything any more.
        cluster.brokers[leader].start()
        cluster.wait_isr(TOPIC, replicas)
        cluster.produce(TOPIC, ["I"])
        late = cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", TOPIC,
                            "--group", "readers", "--max-messages", 1)
        self.assertEqual((late.out, late.err.count("LOG_TRUNCATED")), ("I\n", 0), late.err)


if __name__ == "__main__":
    unittest.main()
