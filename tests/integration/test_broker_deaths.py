"""Brokers that die under load: killed with SIGKILL over and over, or ended by a disk whose fsync fails.
TIDEMARK_KILLS says how often a broker is killed (default 8)."""
import os
import random
import shutil
import subprocess
import time
import unittest

from harness import PATIENCE, ClusterTest, wait_for
from load import Load

TOPIC = "durable"


class BrokerDeaths(ClusterTest):
    def started(self):
        cluster = self.cluster(3, start=False, zookeeper__session__timeout__ms=3000)
        cluster.start()
        cluster.create_topic(TOPIC, 3, 3, min__insync__replicas=2)
        cluster.wait_isr(TOPIC, [0, 1, 2])
        load = Load(cluster, TOPIC).start()
        self.addCleanup(load.stop)
        load.wait_progress()
        return cluster, load

    def test_killed_over_and_over(self):
        cluster, load = self.started()
        kills = int(os.environ.get("TIDEMARK_KILLS", 8))
        order = random.Random(int(os.environ.get("TIDEMARK_SEED", time.time())))
        for _ in range(kills):
            victim = cluster.brokers[order.randrange(3)]
            victim.kill()
            victim.start()
            cluster.wait_isr(TOPIC, [0, 1, 2])
            load.wait_progress(5)
        load.stop()
        print(f"counts kill_loop kills={kills} acknowledged={load.check(self)} unacknowledged={load.unacknowledged}")
        for broker in cluster.brokers:
            self.assertNotIn("damaged log", broker.log(), "a mere kill was called damage")

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_a_failed_fsync_is_never_retried(self):
        cluster, load = self.started()
        victim = cluster.brokers[cluster.describe(TOPIC)[0][0]]
        calls = "fsync,fdatasync,syncfs"
        tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-p", str(victim.process.pid), "-o", str(victim.folder / "strace"),
             "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when=1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(tracer.stderr.close)
        self.addCleanup(lambda: tracer.poll() is None and tracer.kill())

        def attached_and_failed():
            if tracer.poll() is not None and victim.process.poll() is None:
                raise unittest.SkipTest(f"strace may not attach here: {tracer.stderr.read().decode()}")
            return victim.process.poll() is not None
        # One call fails; the directory is given up with it, and it was the only one.
        wait_for("the broker gives up", attached_and_failed)
        tracer.wait(timeout=PATIENCE)
        self.assertNotEqual(victim.process.returncode, 0)
        self.assertIn("every log directory has failed", victim.log())
        victim.kill()
        load.wait_progress()
        victim.start()
        cluster.wait_isr(TOPIC, [0, 1, 2])
        load.stop()
        print(f"counts failed_fsync acknowledged={load.check(self)} unacknowledged={load.unacknowledged}")


if __name__ == "__main__":
    unittest.main()
