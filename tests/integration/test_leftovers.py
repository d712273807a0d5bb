"""A test that is told to end gives back all that it took of the machine: its processes, also those that are stopped, that
hang in a frozen file system or whose parents have ended, the file system and its loop device; and no further test begins."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

import disks
from harness import PATIENCE, ClusterTest, alive, wait_for

TAKER = """
import json, signal, subprocess, sys, time, unittest
import disks
from harness import ClusterTest, wait_for

def state(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]

class Taker(ClusterTest):
    def test_1_takes(self):
        stopped = subprocess.Popen(["sleep", "1000"])
        stopped.send_signal(signal.SIGSTOP)
        orphan = subprocess.run(["bash", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True)
        taken = {"pids": [stopped.pid, int(orphan.stdout)], "disk": None, "folder": str(self.folder)}
        try:
            disks.require(self, "ext4")
            disk = disks.Image(self.folder / "disk", 16 << 20).mount()
            taken["disk"] = str(disk.path)
            if FREEZES:
                disk.freeze()
                writer = subprocess.Popen(["touch", str(disk.path / "file")])
                wait_for("it hangs", lambda: state(writer.pid) == "D")
                taken["pids"].append(writer.pid)
        except unittest.SkipTest as reason:
            print(reason, file=sys.stderr)
        print(json.dumps(taken), flush=True)
        HOW

    def test_2_is_not_begun(self):
        print("begun", file=sys.stderr)

unittest.main()
"""


class Leftovers(ClusterTest):
    def run_taker(self, how, number=None):
        """What it took, its status, and what it said."""
        script = self.folder / "taker.py"
        script.write_text(TAKER.replace("HOW", how).replace("FREEZES", str(number is not None)))
        with open(self.folder / "errors", "wb") as errors:
            taker = subprocess.Popen([sys.executable, "-B", str(script)], stdout=subprocess.PIPE, stderr=errors, text=True,
                                     env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent),
                                          "TIDEMARK_TEST_DIR": str(self.folder)})
        self.addCleanup(lambda: taker.poll() is None and taker.kill())
        self.addCleanup(taker.stdout.close)
        taken = json.loads(taker.stdout.readline())
        self.addCleanup(self.end, taken)
        if number is not None:
            self.assertTrue(all(alive(pid) for pid in taken["pids"]))
            taker.send_signal(number)
        taker.wait(timeout=PATIENCE)
        return taken, taker.returncode, (self.folder / "errors").read_text()

    def end(self, taken):
        """Where it did not."""
        if not self._failed():
            return
        if taken["disk"]:
            disks.run("fsfreeze", "-u", taken["disk"], check=False)
            disks.run("umount", "-l", taken["disk"], check=False)
            disks.detach(taken["disk"] + ".img")
        for pid in taken["pids"]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def assert_given_back(self, taken):
        for pid in taken["pids"]:
            wait_for(f"process {pid} has ended", lambda p=pid: not alive(p))
        if taken["disk"]:
            self.assertNotIn(taken["disk"], pathlib.Path("/proc/mounts").read_text())
            wait_for("its loop device is free", lambda: taken["disk"] not in disks.run("losetup", "-a"))

    def test_told_to_end(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            taken, status, said = self.run_taker("time.sleep(1000)", number)
            self.assertNotEqual(status, 0)
            self.assertIn(f"interrupted by {number.name}", said)
            self.assertIn("interrupted: __main__.Taker.test_1_takes", said)
            self.assertIn("in test_1_takes", said, "it shows where it was")
            self.assertNotIn("begun", said)
            self.assertTrue(os.path.exists(taken["folder"]), "what is to be looked at is kept")
            self.assert_given_back(taken)

    def test_ends_by_itself(self):
        for how, wanted in (("pass", 0), ("self.fail()", 1), ("sys.exit(3)", 1)):
            taken, status, said = self.run_taker(how)
            self.assertEqual(status, wanted, said)
            self.assertIn("begun", said)
            self.assertIn("left behind, and killed", said)
            self.assert_given_back(taken)


if __name__ == "__main__":
    unittest.main()
