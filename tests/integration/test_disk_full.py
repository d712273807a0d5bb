"""Full disks: produce is refused and says so, everything else goes on, and it resumes by itself; a broker starts on one."""
import json
import re
import subprocess
import unittest

import disks
from harness import BIN, PATIENCE, ClusterTest, wait_for, without_repeats

MIB = 1 << 20
FLOOR = 24 * MIB
RESERVE = 4 * MIB


class DiskFull(ClusterTest):
    def with_small_disk(self, brokers, kind):
        disks.require(self, "tmpfs" if kind is disks.Tmpfs else "ext4")
        cluster = self.cluster(brokers, start=False, replica__lag__time__max__ms=3000, log__segment__bytes=MIB,
                               replica__high__watermark__checkpoint__interval__ms=500,
                               log__dir__min__free__bytes=0)
        victim = cluster.brokers[0]
        victim.folder.mkdir(parents=True)
        self.disk = kind(victim.folder / "disk", 64 * MIB)
        self.addCleanup(self.disk.remove)
        self.disk.mount()
        self.addCleanup(cluster.stop)
        victim.overrides.update({"log.dirs": self.disk.path / "data", "log.dir.min.free.bytes": FLOOR,
                                 "log.dir.reserve.bytes": RESERVE})
        return cluster.start()

    def disk_state(self, broker):
        return json.loads(broker.http("/state")[1])["log_dirs"][0]

    def metric(self, broker, name):
        return sum(float(m) for m in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", broker.http("/metrics")[1], re.M))

    def lines(self, count, tag):
        return [f"{tag}-{n}-" + "x" * 1000 for n in range(count)]

    def quick(self, cluster, topic, lines):
        return cluster.produce(topic, lines, "--producer-property", "delivery.timeout.ms=20000",
                               "--producer-property", "request.timeout.ms=10000", "--producer-property",
                               "linger.ms=0", check=False)

    def check_produce_stops_and_resumes(self, kind):
        cluster = self.with_small_disk(1, kind)
        broker = cluster.brokers[0]
        cluster.create_topic("orders", 2, 1)
        cluster.create_topic("spare", 1, 1)
        first = self.lines(2000, "first")
        cluster.produce("orders", first)
        cluster.produce("spare", first[:1500])
        self.assertEqual((self.disk.path / "data" / "reserve").stat().st_size, RESERVE)

        self.disk.fill(leave=FLOOR - 4 * MIB)
        wait_for("the broker says that it refuses", lambda: "produce_refused" in self.disk_state(broker))
        refused = self.quick(cluster, "orders", self.lines(5, "refused"))
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(refused.err, r"bytes free, log\.dir\.min\.free\.bytes=25165824")
        self.assertEqual(sorted(cluster.consume("orders")), sorted(first), "reading goes on")
        self.assertEqual(self.metric(broker, "tidemark_log_directory_short_of_space"), 1)
        health = cluster.verb("cluster", "health", check=False)
        self.assertEqual(health.returncode, 10)
        self.assertIn("disk full", health.out)
        self.assertGreater(self.metric(broker, "tidemark_appends_refused_for_space_total"), 0)

        # A producer that is patient gets through as soon as there is room.
        second = self.lines(500, "second")
        patient = subprocess.Popen([str(BIN / "tidemark-console-producer"), "--bootstrap-server", cluster.bootstrap,
                                    "--topic", "orders", "--producer-property", "delivery.timeout.ms=120000"],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(patient.kill)
        patient.stdin.write("".join(line + "\n" for line in second).encode())
        patient.stdin.close()
        before = self.metric(broker, "tidemark_appends_refused_for_space_total")
        wait_for("its batches are refused", lambda: self.metric(
            broker, "tidemark_appends_refused_for_space_total") > before)
        self.disk.empty()
        self.assertEqual(patient.wait(timeout=2 * PATIENCE), 0)
        self.assertEqual(sorted(cluster.consume("orders")), sorted(first + second))

        # Not one byte is left: the reserve is given back. Somebody eats even that, and the broker starts all the same.
        self.disk.fill()
        wait_for("the reserve is given back", lambda: self.disk_state(broker)["reserve_bytes"] == 0)
        self.disk.fill()
        for stop in (broker.kill, broker.terminate):
            stop()
            self.disk.fill()
            broker.start()
            wait_for("everything is served", lambda: sorted(cluster.consume("orders", check=False))
                     == sorted(first + second))
            self.assertIn("produce_refused", self.disk_state(broker))
        # A topic can be deleted to make room.
        cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--delete", "--topic", "spare")
        wait_for("its data is gone", lambda: not list((self.disk.path / "data").glob("spare-0*")))
        self.disk.empty()
        third = self.lines(100, "third")
        cluster.produce("orders", third)
        self.assertEqual(sorted(cluster.consume("orders")), sorted(first + second + third))
        wait_for("the reserve is made again", lambda: self.disk_state(broker)["reserve_bytes"] == RESERVE)
        self.assertEqual(broker.terminate(), 0)

    def test_produce_stops_and_resumes_on_tmpfs(self):
        self.check_produce_stops_and_resumes(disks.Tmpfs)

    def test_produce_stops_and_resumes_on_ext4(self):
        self.check_produce_stops_and_resumes(disks.Image)

    def test_a_followers_full_disk_shrinks_the_isr_and_nothing_else(self):
        cluster = self.with_small_disk(3, disks.Tmpfs)
        victim = cluster.brokers[0]
        cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--create", "--topic", "orders",
                     "--replica-assignment", "1:2:0,2:1:0")
        cluster.wait_isr("orders", [0, 1, 2])
        lines = self.lines(3000, "x")
        cluster.produce("orders", lines[:500])
        # Below the floor for producers a follower still follows.
        self.disk.fill(leave=FLOOR // 2)
        wait_for("it is short of space", lambda: "produce_refused" in self.disk_state(victim))
        cluster.produce("orders", lines[500:1000])
        cluster.wait_isr("orders", [0, 1, 2])
        # With only the reserve left it does not.
        self.disk.fill(leave=RESERVE // 2)
        wait_for("it has seen it", lambda: self.disk_state(victim)["free_bytes"] < RESERVE)
        # Acknowledged only when the ISR has shrunk, and sent again where that takes longer than a request may.
        cluster.produce("orders", lines[1000:])
        cluster.wait_isr("orders", [1, 2])
        self.assertIsNone(victim.process.poll())
        self.assertNotIn("offline", self.disk_state(victim))
        self.disk.empty()
        cluster.wait_isr("orders", [0, 1, 2])
        self.assertEqual(sorted(without_repeats(cluster.consume("orders"), lines[1000:])), sorted(lines))


if __name__ == "__main__":
    unittest.main()
