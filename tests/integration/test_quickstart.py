"""README's first command does what it says and leaves nothing behind, also when it is interrupted."""
import os
import pathlib
import re
import signal
import subprocess
import unittest

from harness import BIN, ROOT, wait_for

SCRIPT = str(ROOT / "deploy/quickstart.sh")


def processes_of(folder):
    """Pids whose command line names the folder."""
    pids = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if folder.encode() in (entry / "cmdline").read_bytes():
                    pids.append(int(entry.name))
            except OSError:
                continue
    return pids


@unittest.skipUnless(BIN == ROOT / "build/release/bin", "the quick start runs the release programs")
class QuickStart(unittest.TestCase):
    def folder_in(self, text):
        return re.search(r"brokers in (\S+)", text)[1]

    def test_runs_to_its_end_and_stops_everything(self):
        result = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=900, check=False,
                                stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("byte for byte", result.stdout)
        self.assertRegex(result.stdout, r"readers +packages +\d +\d+ +\d+ +1 ", "the lag of the group")
        self.assertRegex(result.stdout, r"first consumed record: \d")
        folder = self.folder_in(result.stdout)
        self.assertEqual(processes_of(folder), [])
        self.assertFalse(os.path.exists(folder))

    def test_interrupted_leaves_no_process(self):
        process = subprocess.Popen([SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
        text = ""
        while "Created topic" not in text:
            line = process.stdout.readline()
            self.assertTrue(line, text)
            text += line
        folder = self.folder_in(text)
        self.assertTrue(processes_of(folder))
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
        self.assertNotEqual(process.wait(timeout=120), 0)
        process.stdout.close()
        wait_for("nothing runs any more", lambda: not processes_of(folder))


if __name__ == "__main__":
    unittest.main()
