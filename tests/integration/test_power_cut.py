"""Real disks: each broker's log directory on an ext4 image of its own, which loses what was not synced
(EXT4_IOC_SHUTDOWN), or turns read-only under load. Everything acknowledged at ack.durability=synced is there after each.

Needs root, loop devices and mount; says so and does nothing where they are not to be had. TIDEMARK_POWER_CUTS says how
often the power goes (default 6); every third time it goes everywhere at once.
"""
import contextlib
import fcntl
import os
import pathlib
import random
import struct
import subprocess
import time
import unittest

import disks
import leftovers
from harness import ClusterTest, wait_for
from load import Load

TOPIC = "durable"
EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2
IMAGE_BYTES = 512 << 20


def run(*words, check=True):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=check)


class Disk:
    """An ext4 file system in an image on a loop device."""

    def __init__(self, image, folder):
        self.image = pathlib.Path(image)
        self.folder = pathlib.Path(folder)
        self.loop = None
        self.mounted = False

    def create(self):
        leftovers.at_end(leftovers.STORAGE, self.remove)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(IMAGE_BYTES)
        self.loop = run("losetup", "--find", "--show", self.image).stdout.strip()
        run("mkfs.ext4", "-q", self.loop)
        self.mount()
        return self

    def mount(self):
        self.mounted = True
        run("mount", "-o", "errors=remount-ro", self.loop, self.folder)

    def unmount(self, **patience):
        # A process that was killed a moment ago may still be leaving.
        wait_for(f"{self.folder} is unmounted", lambda: run("umount", self.folder, check=False).returncode == 0, **patience)
        self.mounted = False

    def repair(self):
        run("e2fsck", "-f", "-y", self.loop, check=False)

    def cut_power(self):
        """From this instant nothing more reaches the image; what was not synced is gone at the next mount."""
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(directory)

    def turn_read_only(self):
        """What the kernel does when it meets damage of the file system."""
        pathlib.Path(f"/sys/fs/ext4/{pathlib.Path(self.loop).name}/trigger_fs_error").write_text("test\n")

    def remove(self):
        if self.mounted:
            with contextlib.suppress(AssertionError):
                self.unmount(patience=5)
            if self.mounted:
                run("umount", "-l", self.folder, check=False)
                self.mounted = False
        disks.detach(self.image)
        self.loop = None
        with contextlib.suppress(OSError):
            self.image.unlink()


def why_not():
    """Why this test cannot run here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    import tempfile
    with tempfile.TemporaryDirectory(prefix="tidemark-loop-") as folder:
        disk = Disk(f"{folder}/image", f"{folder}/mount")
        try:
            disk.create()
            disk.cut_power()
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no loop devices or mounts here: {getattr(error, 'stderr', '') or error}"
        finally:
            disk.remove()
    return ""


class PowerCut(ClusterTest):
    def setUp(self):
        reason = why_not()
        if reason:
            self.skipTest(reason)
        super().setUp()
        self.disks = []
        self.random = random.Random(int(os.environ.get("TIDEMARK_SEED", time.time())))

    def started(self, **overrides):
        cluster = self.cluster(3, start=False, zookeeper__session__timeout__ms=3000, ack__durability="synced",
                               log__dir__min__free__bytes=16 << 20,  # the disks are small
                               **overrides)
        self.addCleanup(self.remove_disks, cluster)
        for broker in cluster.brokers:
            broker.folder.mkdir(parents=True)
            self.disks.append(Disk(broker.folder / "disk.img", broker.data))
            self.disks[-1].create()
        cluster.start()
        cluster.create_topic(TOPIC, 3, 3, min__insync__replicas=2)
        cluster.wait_isr(TOPIC, [0, 1, 2])
        return cluster

    def remove_disks(self, cluster):
        cluster.stop()
        for disk in self.disks:
            disk.remove()

    def test_nothing_acknowledged_is_lost_with_the_power(self):
        cluster = self.started()
        load = Load(cluster, TOPIC).start()
        self.addCleanup(load.stop)
        cuts = int(os.environ.get("TIDEMARK_POWER_CUTS", 6))
        for cut in range(cuts):
            load.wait_progress()
            victims = list(range(3)) if cut % 3 == 2 else [self.random.randrange(3)]
            for victim in victims:
                self.disks[victim].cut_power()
            for victim in victims:
                cluster.brokers[victim].kill()
                self.disks[victim].unmount()
                self.disks[victim].mount()
            for victim in victims:
                cluster.brokers[victim].spawn()
            for victim in victims:
                cluster.brokers[victim].wait_ready()
            cluster.wait_isr(TOPIC, [0, 1, 2])
            load.check(self)
        load.stop()
        count = load.check(self)
        self.assertGreater(count, 0)
        print(f"counts power_cut cuts={cuts} acknowledged={count} unacknowledged={load.unacknowledged}")
        for broker in cluster.brokers:
            self.assertNotIn("damaged log", broker.log(), "a mere loss of power was called damage")

    def test_a_disk_that_turns_read_only_is_given_up(self):
        cluster = self.started()
        load = Load(cluster, TOPIC).start()
        self.addCleanup(load.stop)
        load.wait_progress()
        victim = cluster.brokers[self.random.randrange(3)]
        disk = self.disks[victim.id]
        disk.turn_read_only()
        # It was its only directory: it says so and ends; the others go on.
        wait_for("the broker gives up", lambda: victim.process.poll() is not None)
        self.assertNotEqual(victim.process.returncode, 0)
        self.assertIn("every log directory has failed", victim.log())
        victim.kill()
        load.wait_progress()
        disk.unmount()
        disk.repair()
        disk.mount()
        victim.start()
        cluster.wait_isr(TOPIC, [0, 1, 2])
        load.stop()
        print(f"counts read_only acknowledged={load.check(self)} unacknowledged={load.unacknowledged}")


if __name__ == "__main__":
    unittest.main()
