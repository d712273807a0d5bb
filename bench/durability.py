#!/usr/bin/env python3
"""What an acknowledgement from the disk costs: throughput at ack.durability=synced against replicated.

    bench/durability.py [--producers 16] [--mib 256] [--rounds 3] [--partitions 16] [--bin DIR]

Three brokers of deploy/cluster.sh, acks=all, three replicas, 1 KiB records in batches of 64 KiB. In each round the same bytes are
produced to a topic of either kind by so many producers at once, each a process of its own; the median of the rounds counts.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from many_partitions import PATIENCE, ROOT, run

RECORD = 1024


def produce(bin_dir, bootstrap, topic, producers, records):
    begun = time.monotonic()
    children = [
        subprocess.Popen(
            [bin_dir / "tidemark-producer-perf-test", "--topic", topic, "--num-records", str(records // producers), "--record-size",
             str(RECORD), "--throughput", "-1", "--producer-props", f"bootstrap.servers={bootstrap}", "acks=all",
             "batch.size=65536", "linger.ms=5"], stdout=subprocess.DEVNULL)
        for _ in range(producers)
    ]
    statuses = [child.wait(timeout=PATIENCE) for child in children]
    if any(statuses):
        raise SystemExit(f"error: producers ended with {statuses}")
    return records * RECORD / 1e6 / (time.monotonic() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--producers", type=int, default=16)
    parser.add_argument("--partitions", type=int, default=16)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-durability-"))
    cluster = ROOT / "deploy/cluster.sh"
    figures = {"replicated": [], "synced": []}
    try:
        run(cluster, "start", "--dir", folder, "--brokers", 3, "--bin", options.bin)
        bootstrap = (folder / "bootstrap").read_text().strip()
        for number in range(options.rounds):
            for kind, results in figures.items():
                topic = f"{kind}-{number}"
                run(options.bin / "tidemark-topics", "--bootstrap-server", bootstrap, "--create", "--topic", topic, "--partitions",
                    options.partitions, "--replication-factor", 3, "--config", f"ack.durability={kind}", "--config",
                    "retention.ms=-1")
                results.append(produce(options.bin, bootstrap, topic, options.producers, options.mib * 1024))
                run(options.bin / "tidemark-topics", "--bootstrap-server", bootstrap, "--delete", "--topic", topic)
    finally:
        subprocess.run([cluster, "stop", "--dir", folder], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    medians = {kind: statistics.median(results) for kind, results in figures.items()}
    for kind, results in figures.items():
        print(f"{kind:10} {medians[kind]:6.0f} MB/s  ({', '.join(f'{r:.0f}' for r in results)})")
    print(f"synced / replicated: {medians['synced'] / medians['replicated']:.2f} (aim: at least 0.7), "
          f"{options.producers} producers")


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C")
    main()
