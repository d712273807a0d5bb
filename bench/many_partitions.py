#!/usr/bin/env python3
"""What partitions cost a broker that has nothing to do with them.

    bench/many_partitions.py [--counts 1,1000,20000] [--idle SECONDS] [--bin DIR] [--keep]

For each count a ZooKeeper and one broker of its own on loopback; topics of up to 1,000 partitions with one record in
every partition of the first topic. Prints one row per count: how long the creation took, memory (VmRSS), open files
and threads, processor time and what was written over an idle stretch, and the start after a clean stop and after
SIGKILL, each until every partition is led again. Counts of operations come from /proc, so nothing slows the broker.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
PER_TOPIC = 1000
PATIENCE = 900  # seconds for any one step


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value is not None and value is not False:
                return value
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"error: not within {PATIENCE} s: {what}")


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **options).stdout


class Process:
    """What /proc says of a process."""

    def __init__(self, pid):
        self.proc = pathlib.Path(f"/proc/{pid}")

    def cpu_ms(self):
        """By the scheduler's nanoseconds, summed over the threads; the clock ticks of stat are too coarse."""
        total = 0
        for task in (self.proc / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e6

    def switches(self):
        total = 0
        for task in (self.proc / "task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
        return total

    def status(self, name):
        for line in (self.proc / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise SystemExit(f"error: no {name} in {self.proc}/status")

    def rss_mib(self):
        return self.status("VmRSS") / 1024

    def peak_mib(self):
        return self.status("VmHWM") / 1024

    def files(self):
        return len(list((self.proc / "fd").iterdir()))

    def io(self):
        return {k: int(v) for k, v in (line.split(": ") for line in (self.proc / "io").read_text().splitlines())}


class Broker:
    """One broker over a ZooKeeper that is there."""

    def __init__(self, folder, bin_dir, zookeeper):
        self.folder, self.bin = folder, bin_dir
        self.address, self.admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.properties = folder / "server.properties"
        self.properties.write_text(
            f"broker.id=0\nlisteners=PLAINTEXT://{self.address}\nadmin.listener={self.admin}\n"
            f"log.dirs={folder}/data\nzookeeper.connect={zookeeper}\n"
        )
        self.log = folder / "broker.log"
        self.child = None

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=60) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name + " "):
                    return float(line.split()[1])
        raise SystemExit(f"error: no metric {name}")

    def start(self, leading):
        """Seconds until it says ready, and until it leads so many partitions."""
        begun = time.monotonic()
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [self.bin / "tidemark-server-start", self.properties], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

        def ready():
            if self.child.poll() is not None:
                raise SystemExit(f"error: the broker ended:\n{self.log.read_text()[-2000:]}")
            with self.log.open("rb") as log:
                log.seek(offset)
                return b" ready " in log.read()

        wait_for("the ready line", ready)
        said = time.monotonic() - begun
        wait_for("all partitions led", lambda: self.metric(LEADING) >= leading)
        return said, time.monotonic() - begun

    def stop(self, how=signal.SIGTERM):
        begun = time.monotonic()
        self.child.send_signal(how)
        self.child.wait(timeout=PATIENCE)
        return time.monotonic() - begun


LEADING = 'tidemark_partitions{role="leader"}'


def create(broker, partitions):
    begun = time.monotonic()
    left, number = partitions, 0
    while left > 0:
        count = min(left, PER_TOPIC)
        run(broker.bin / "tidemark-topics", "--bootstrap-server", broker.address, "--create", "--topic",
            f"many{number}", "--partitions", count, "--replication-factor", 1, timeout=PATIENCE)
        left, number = left - count, number + 1
    wait_for("all partitions led", lambda: broker.metric(LEADING) >= partitions)
    return time.monotonic() - begun


def produce(broker, partitions):
    """About one record in every partition of the first topic."""
    records = 5 * min(partitions, PER_TOPIC)
    run(broker.bin / "tidemark-producer-perf-test", "--topic", "many0", "--num-records", records, "--record-size", 100,
        "--throughput", -1, "--producer-props", f"bootstrap.servers={broker.address}", "batch.size=0", timeout=PATIENCE)


def measure(partitions, idle, bin_dir, folder):
    data = {"partitions": partitions}
    zookeeper = ROOT / "deploy/zookeeper/zookeeper.sh"
    connect = run(zookeeper, "start", "--dir", folder / "zookeeper").strip().splitlines()[-1]
    broker = Broker(folder, bin_dir, connect)
    try:
        broker.start(0)
        data["create_s"] = create(broker, partitions)
        produce(broker, partitions)
        data["stop_s"] = broker.stop()
        data["clean_ready_s"], data["clean_led_s"] = broker.start(partitions)
        process = Process(broker.child.pid)
        time.sleep(15)  # what a start leaves to do: checkpoints, the survey of old segments
        data["rss_mib"], data["peak_mib"] = process.rss_mib(), process.peak_mib()
        data["files"], data["threads"] = process.files(), process.status("Threads")
        cpu, io, switches = process.cpu_ms(), process.io(), process.switches()
        time.sleep(idle)
        after = process.io()
        data["idle_cpu_ms"] = (process.cpu_ms() - cpu) * 10 / idle
        data["idle_switches"] = (process.switches() - switches) * 10 / idle
        data["idle_disk_bytes"] = after["write_bytes"] - io["write_bytes"]
        data["idle_write_calls"] = (after["syscw"] - io["syscw"]) * 10 / idle
        produce(broker, partitions)
        broker.stop(signal.SIGKILL)
        data["killed_ready_s"], data["killed_led_s"] = broker.start(partitions)
        data["disk_kib"] = int(run("du", "-sk", folder / "data").split()[0])
        broker.stop()
    finally:
        if broker.child is not None and broker.child.poll() is None:
            broker.child.kill()
            broker.child.wait()
        run(zookeeper, "stop", "--dir", folder / "zookeeper")
    return data


ROWS = (
    ("create topics of 1,000 partitions", "create_s", "s", 2),
    ("clean stop", "stop_s", "s", 2),
    ("start after it, to the ready line", "clean_ready_s", "s", 2),
    ("start after it, to all partitions led", "clean_led_s", "s", 2),
    ("start after SIGKILL, to the ready line", "killed_ready_s", "s", 2),
    ("start after SIGKILL, to all led", "killed_led_s", "s", 2),
    ("memory (VmRSS)", "rss_mib", "MiB", 1),
    ("memory, greatest (VmHWM)", "peak_mib", "MiB", 1),
    ("open files", "files", "", 0),
    ("threads", "threads", "", 0),
    ("idle: CPU over 10 s", "idle_cpu_ms", "ms", 1),
    ("idle: context switches over 10 s", "idle_switches", "", 0),
    ("idle: write calls over 10 s (sockets too)", "idle_write_calls", "", 0),
    ("idle: bytes written to disk", "idle_disk_bytes", "", 0),
    ("log directory on disk", "disk_kib", "KiB", 0),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", default="1,1000,20000")
    parser.add_argument("--idle", type=float, default=30)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--keep", action="store_true", help="keep the folders")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    results = []
    for partitions in map(int, options.counts.split(",")):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-many-"))
        try:
            results.append(measure(partitions, options.idle, options.bin, folder))
            print(json.dumps(results[-1]), flush=True)
        finally:
            if options.keep:
                print(f"kept: {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
    print("| figure | " + " | ".join(f"{r['partitions']:,} partitions" for r in results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for title, key, unit, digits in ROWS:
        print(f"| {title} | " + " | ".join(f"{r[key]:,.{digits}f} {unit}".strip() for r in results) + " |")
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
