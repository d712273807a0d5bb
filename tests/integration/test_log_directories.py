"""Several log directories, one of them a disk that fails: its partitions move, the others go on, a new disk is filled."""
import re
import unittest

import disks
from harness import PATIENCE, ClusterTest, wait_for, without_repeats

PARTITIONS = 6


class LogDirectories(ClusterTest):
    def with_failing_disk(self, **more):
        """Three brokers; the two log directories of broker 0 are two small disks, the second of which can fail."""
        disks.require(self, "ext4")
        cluster = self.cluster(3, start=False, replica__lag__time__max__ms=4000,
                               # The disks are small.
                               log__dir__min__free__bytes=1 << 20, log__dir__reserve__bytes=1 << 20, **more)
        victim = cluster.brokers[0]
        victim.folder.mkdir(parents=True)
        other, self.disk = (disks.Image(victim.folder / name, 64 << 20) for name in ("disk1", "disk2"))
        for disk in (other, self.disk):
            # Undone after the brokers have ended: clean-ups run in reverse order.
            self.addCleanup(disk.remove)
            disk.mount()
        self.addCleanup(cluster.stop)
        self.second = self.disk.path / "data"
        victim.overrides["log.dirs"] = f"{other.path / 'data'},{self.second}"
        return cluster.start()

    def folders(self, directory):
        return sorted(path.name for path in directory.glob("orders-*") if path.is_dir())

    def offline(self, cluster):
        out = cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--describe", "--topic", "orders").out
        return {int(m[1]) for m in re.finditer(r"Partition: (\d+)\s.*Offline: 0\b", out)}

    def produce_everywhere(self, cluster, lines):
        """With as many keys as lines, so that every partition gets some: a disk that nobody touches fails unseen. Where it
        fails meanwhile, leaders resign, and records that they appended may not be acknowledged."""
        cluster.produce("orders", [f"{line}\t{line}" for line in lines], "--property", "parse.key=true")

    def test_failed_disk_moves_its_partitions_and_is_filled_anew(self):
        cluster = self.with_failing_disk()
        victim = cluster.brokers[0]
        cluster.create_topic("orders", PARTITIONS, 3)
        cluster.wait_isr("orders", [0, 1, 2])
        lines = [f"record {n}" for n in range(2000)]
        self.produce_everywhere(cluster, lines[:1000])
        on_disk = {int(name.rsplit("-", 1)[1]) for name in self.folders(self.second)}
        self.assertTrue(on_disk, "some replicas live on the small disk")
        self.assertLess(len(on_disk), PARTITIONS)

        self.disk.fail()
        self.produce_everywhere(cluster, lines[1000:])
        wait_for("the replicas of the failed disk are told as offline",
                 lambda: self.offline(cluster) == on_disk)
        cluster.wait_partitions(
            f"others lead {on_disk}, and nothing has happened to what is on the other disk", "orders", lambda view: all(
                leader in (1, 2) and isr == [1, 2] if partition in on_disk else isr == [0, 1, 2]
                for partition, (leader, _, isr) in view.items()))
        self.assertIsNone(victim.process.poll(), "the broker goes on with its other disk")
        status, body = victim.http("/readyz")
        self.assertEqual(status, 503)
        self.assertIn(f"{self.second} is offline", body)
        self.assertEqual(sorted(without_repeats(cluster.consume("orders"), lines[1000:])), sorted(lines))

        # A new disk in its place.
        victim.terminate()
        self.disk.replace()
        victim.start()
        cluster.wait_isr("orders", [0, 1, 2])
        wait_for("no replica is told as offline", lambda: self.offline(cluster) == set())
        self.assertEqual(sorted(without_repeats(cluster.consume("orders"), lines[1000:])), sorted(lines))
        wait_for("the broker is well", lambda: victim.http("/readyz")[0] == 200)

    def test_broker_whose_last_disk_fails_says_so_and_ends(self):
        cluster = self.with_failing_disk()
        victim = cluster.brokers[0]
        cluster.create_topic("orders", PARTITIONS, 3)
        cluster.wait_isr("orders", [0, 1, 2])
        victim.terminate()
        victim.overrides["log.dirs"] = self.second
        victim.start()
        cluster.wait_isr("orders", [0, 1, 2])  # what was on the other disk is copied
        self.disk.fail()
        lines = [f"record {n}" for n in range(500)]
        self.produce_everywhere(cluster, lines)
        status = victim.process.wait(timeout=2 * PATIENCE)
        victim.process = None
        self.assertEqual(status, 1)
        self.assertRegex(victim.log()[victim.mark:], r"error: every log directory has failed")
        wait_for("the others lead", lambda: all(
            leader in (1, 2) for leader, _, _ in cluster.describe("orders").values()))
        self.assertEqual(sorted(without_repeats(cluster.consume("orders"), lines)), sorted(lines))


if __name__ == "__main__":
    unittest.main()
