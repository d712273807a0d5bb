#!/usr/bin/env python3
"""How soon a broker that was killed under full load serves again.

    bench/recovery.py [--gib 10] [--partitions 200] [--bin DIR]

A ZooKeeper and one broker of its own on loopback. Fills the partitions, kills the broker while a producer writes as fast as
it can, starts it again and says when it was ready, when it led every partition again, when the first record was
acknowledged, and how much of the logs was scanned.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from many_partitions import LEADING, PATIENCE, ROOT, Broker, run, wait_for

RECORD = 1024


def load_words(broker, records):
    return [broker.bin / "tidemark-producer-perf-test", "--topic", "load", "--num-records", str(records), "--record-size",
            str(RECORD), "--throughput", "-1", "--producer-props", f"bootstrap.servers={broker.address}", "acks=1",
            "batch.size=65536", "linger.ms=5", "buffer.memory=134217728"]


def measure(gib, partitions, bin_dir, folder):
    zookeeper = ROOT / "deploy/zookeeper/zookeeper.sh"
    connect = run(zookeeper, "start", "--dir", folder / "zookeeper").strip().splitlines()[-1]
    broker = Broker(folder, bin_dir, connect)
    load = None
    try:
        broker.start(0)
        # Nothing of what is measured is deleted meanwhile.
        run(bin_dir / "tidemark-topics", "--bootstrap-server", broker.address, "--create", "--topic", "load", "--partitions",
            partitions, "--replication-factor", 1, "--config", "retention.ms=-1", timeout=PATIENCE)
        wait_for("all partitions led", lambda: broker.metric(LEADING) >= partitions)
        begun = time.monotonic()
        run(*load_words(broker, int(gib * 2**30 / RECORD)), timeout=PATIENCE)
        filled = time.monotonic() - begun
        load = subprocess.Popen(load_words(broker, 10**9), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = int(run("du", "-sb", folder / "data").split()[0])
        wait_for("a load under way", lambda: int(run("du", "-sb", folder / "data").split()[0]) > before + 300 * 2**20)
        broker.stop(signal.SIGKILL)
        load.kill()
        load.wait()
        offset = broker.log.stat().st_size
        begun = time.monotonic()
        ready, led = broker.start(partitions)
        run(bin_dir / "tidemark-console-producer", "--bootstrap-server", broker.address, "--topic", "load",
            "--producer-property", "acks=all", input="one\n", timeout=PATIENCE)
        served = time.monotonic() - begun
        scanned = sum(map(int, re.findall(r"logs recovered, (\d+) MB scanned", broker.log.read_text()[offset:])))
        whole = int(run("du", "-sb", folder / "data").split()[0])
        print(f"{whole / 2**30:.1f} GiB in {partitions} partitions, filled in {filled:.0f} s; killed under load, ready after "
              f"{ready:.2f} s, all led after {led:.2f} s, a record acknowledged after {served:.2f} s; {scanned} MB scanned")
    finally:
        for child in (load, broker.child):
            if child is not None and child.poll() is None:
                child.kill()
                child.wait()
        run(zookeeper, "stop", "--dir", folder / "zookeeper")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=10)
    parser.add_argument("--partitions", type=int, default=200)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-recovery-"))
    try:
        measure(options.gib, options.partitions, options.bin, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
