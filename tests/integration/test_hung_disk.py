"""A disk that hangs (a frozen file system): the broker leaves ZooKeeper by itself, others lead, and it returns with its disk."""
import unittest

import disks
from harness import ClusterTest, wait_for


class HungDisk(ClusterTest):
    def test_broker_leaves_while_its_disk_hangs_and_returns_when_it_answers(self):
        disks.require(self, "ext4")
        cluster = self.cluster(3, start=False, watchdog__stuck__ms=5000, replica__lag__time__max__ms=20000,
                               # The disk is small.
                               log__dir__min__free__bytes=1 << 20, log__dir__reserve__bytes=1 << 20)
        victim = cluster.brokers[0]
        victim.folder.mkdir(parents=True)
        disk = disks.Image(victim.folder / "disk", 64 << 20)
        self.addCleanup(disk.remove)
        disk.mount()
        # A process that hangs in a frozen file system cannot even be killed: thawed before the brokers are stopped.
        self.addCleanup(cluster.stop)
        self.addCleanup(disk.thaw)
        victim.overrides["log.dirs"] = disk.path / "data"
        cluster.start()
        cluster.create_topic("orders", 6, 3)
        cluster.wait_isr("orders", [0, 1, 2])
        lines = [f"record {n}" for n in range(3000)]
        cluster.produce("orders", lines[:1000])
        client = cluster.zookeeper.client()
        self.addCleanup(client.close)
        self.addCleanup(client.stop)
        epoch = wait_for("the broker is registered", lambda: client.exists("/brokers/ids/0")).czxid

        disk.freeze()
        # Until others lead, and where the hung broker is the one that is asked who does, a request gets no answer at all.
        cluster.produce("orders", lines[1000:2000], "--producer-property", "request.timeout.ms=5000")
        wait_for("the broker has left ZooKeeper", lambda: client.exists("/brokers/ids/0") is None)
        self.assertRegex(victim.log()[victim.mark:], r"watchdog\.stuck\.ms=5000\): this broker leaves ZooKeeper")
        self.assertIsNone(victim.process.poll(), "and lives")
        status, body = victim.http("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("has left ZooKeeper until it answers", body)
        wait_for("others lead", lambda: all(leader in (1, 2) for leader, _, _ in cluster.describe("orders").values()))
        self.assertIsNone(client.exists("/brokers/ids/0"), "it does not come back while the disk hangs")

        disk.thaw()
        wait_for("it has registered afresh", lambda: (node := client.exists("/brokers/ids/0")) and node.czxid > epoch)
        cluster.wait_isr("orders", [0, 1, 2])
        cluster.produce("orders", lines[2000:])
        got = cluster.consume("orders")
        self.assertEqual(sorted(set(got)), sorted(lines), "everything acknowledged is there")
        self.assertIn("registers afresh", victim.log()[victim.mark:])
        wait_for("the broker is well", lambda: victim.http("/readyz")[0] == 200)


if __name__ == "__main__":
    unittest.main()
