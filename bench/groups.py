#!/usr/bin/python3
"""What consumer groups cost the broker that coordinates them.

    bench/groups.py [--members 10000] [--groups 1000] [--offsets 1000000] [--seconds 30] [--bin DIR] [--python DIR]

A ZooKeeper and one broker on loopback. First the members join their groups and beat every three seconds, as the broker
tells them to, evenly spread over time; measured is the processor time of the broker, by the scheduler's nanoseconds,
beside that of a stretch before in which nobody beats, and how long an answer took. Then offsets are committed,
the broker is stopped and started, and measured is how long it takes until all groups are read back, by its own word.
The members are frames prepared beforehand on a few connections, so that the load costs little itself.
"""
import argparse
import concurrent.futures
import heapq
import os
import pathlib
import re
import selectors
import shutil
import struct
import sys
import tempfile
import time

from many_partitions import ROOT, Broker, Process, run, wait_for

CONNECTIONS = 8
BEAT = 3.0  # seconds; group.consumer.heartbeat.interval.ms
PARTITIONS = 1000  # of the topic whose offsets are committed
READ = 20          # of the topic that the members read


class Connection:
    """Frames out, frames in; answers are matched by correlation id."""

    def __init__(self, address):
        from harness import Wire
        self.wire = Wire(address, timeout=600)
        self.buffer = bytearray()

    def frame(self, request, correlation):
        request.header.correlation_id, request.header.protocol_version = correlation, 1
        data = request.SerializeToString()
        return struct.pack(">I", len(data)) + data

    def frames(self):
        """Whole frames that have come."""
        self.buffer += self.wire.socket.recv(1 << 20)
        at, out = 0, []
        while len(self.buffer) - at >= 4:
            length, = struct.unpack_from(">I", self.buffer, at)
            if len(self.buffer) - at - 4 < length:
                break
            out.append(bytes(self.buffer[at + 4:at + 4 + length]))
            at += 4 + length
        del self.buffer[:at]
        return out


def ask(connection, request):
    """One call, tried again while the coordinator is not ready."""
    from harness import error_pb2

    def once():
        response = connection.wire.call(request)
        error = response.header.error
        if error.code and error.error_class in (error_pb2.ERROR_CLASS_RETRY, error_pb2.ERROR_CLASS_REFRESH_METADATA):
            time.sleep(0.1)
            return None
        if error.code:
            raise SystemExit(f"error: {error_pb2.ErrorCode.Name(error.code)}: {error.message}")
        return response
    return wait_for("an answer", once)


class Member:
    def __init__(self, group, number):
        self.group, self.id, self.epoch = group, f"{group}-member-{number}", 0
        self.frame, self.correlation = b"", 0


def beat_of(member, first):
    from harness import envelope_pb2
    request = envelope_pb2.Request()
    beat = request.consumer_group_heartbeat
    beat.group_id, beat.member_id, beat.member_epoch = member.group, member.id, member.epoch
    if first:
        beat.subscription.topics.append("clicks")
        # So long that nobody is fenced while the others still join.
        beat.rebalance_timeout_ms, beat.session_timeout_ms = 1_800_000, 1_800_000
        beat.owned.SetInParent()
    return request


def join(connection, members):
    """All of one group, until each has said that it gave back what it was asked for."""
    for member in members:
        member.epoch = ask(connection, beat_of(member, True)).consumer_group_heartbeat.member_epoch
    for _ in range(4):
        for member in members:
            request = beat_of(member, False)
            # It holds nothing of what it may hold; enough for the coordinator to move on.
            request.consumer_group_heartbeat.owned.SetInParent()
            member.epoch = ask(connection, request).consumer_group_heartbeat.member_epoch


def beat_for(connections, members, seconds):
    """Beats of all members, each every BEAT seconds; latencies of the answers in seconds, and how many failed."""
    from harness import envelope_pb2
    poll = selectors.DefaultSelector()
    for connection in connections:
        poll.register(connection.wire.socket, selectors.EVENT_READ, connection)
    begun = time.monotonic()
    due = [(begun + BEAT * n / len(members), n) for n in range(len(members))]
    heapq.heapify(due)
    sent, latencies, failed = {}, [], 0
    while True:
        now = time.monotonic()
        while due and due[0][0] <= now and now < begun + seconds:
            when, n = heapq.heappop(due)
            member = members[n]
            connections[n % CONNECTIONS].wire.socket.sendall(member.frame)
            sent[member.correlation] = now
            heapq.heappush(due, (when + BEAT, n))
        if now >= begun + seconds and not sent:
            return latencies, failed
        if now >= begun + seconds + 30:
            raise SystemExit(f"error: {len(sent)} heartbeats were not answered")
        for key, _ in poll.select(0.001):
            for frame in key.data.frames():
                response = envelope_pb2.Response.FromString(frame)
                latencies.append(time.monotonic() - sent.pop(response.header.correlation_id))
                failed += response.header.error.code != 0


def measure_heartbeats(broker, options):
    connections = [Connection(broker.address) for _ in range(CONNECTIONS)]
    process = Process(broker.child.pid)
    each = options.members // options.groups
    groups = [[Member(f"group-{g}", n) for n in range(each)] for g in range(options.groups)]
    before = process.rss_mib()
    begun = time.monotonic()
    # The connections' sockets do the waiting, so threads are enough.
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        for done in [pool.submit(lambda c=c: [join(connections[c], group) for group in groups[c::CONNECTIONS]])
                     for c in range(CONNECTIONS)]:
            done.result()
    joined = time.monotonic() - begun
    members = [member for group in groups for member in group]
    for n, member in enumerate(members):
        member.correlation = n + 1
        member.frame = connections[0].frame(beat_of(member, False), member.correlation)
    cpu, at = process.cpu_ms(), time.monotonic()
    time.sleep(min(10, options.seconds))
    idle = (process.cpu_ms() - cpu) / (time.monotonic() - at) / 10
    cpu, at = process.cpu_ms(), time.monotonic()
    latencies, failed = beat_for(connections, members, options.seconds)
    busy = (process.cpu_ms() - cpu) / (time.monotonic() - at) / 10
    latencies.sort()
    print(f"members {len(members):,} in {len(groups):,} groups; joined in {joined:.1f} s")
    print(f"heartbeats {len(latencies):,} in {options.seconds:.0f} s, {failed} refused")
    print(f"share of a core: {busy:.2f} % beating, {idle:.2f} % without")
    print(f"CPU per heartbeat: {(busy - idle) * 1e4 * options.seconds / len(latencies):.1f} us")
    print(f"answer: p50 {latencies[len(latencies) // 2] * 1e3:.2f} ms, p99 {latencies[len(latencies) * 99 // 100] * 1e3:.2f} ms")
    print(f"memory: {process.rss_mib() - before:.1f} MiB more ({(process.rss_mib() - before) * 1024 / len(members):.1f} KiB a member)")


def measure_load(broker, options, connection, topic_id):
    from harness import envelope_pb2
    begun = time.monotonic()
    committed = 0
    while committed < options.offsets:
        request = envelope_pb2.Request()
        commit = request.offset_commit
        commit.group_id, commit.member_epoch = f"simple-{committed // PARTITIONS}", -1
        topic = commit.topics.add(topic_id=topic_id)
        for partition in range(min(PARTITIONS, options.offsets - committed)):
            topic.partitions.add(partition=partition, offset=0)
        ask(connection, request)
        committed += PARTITIONS
    print(f"offsets {options.offsets:,}, committed in {time.monotonic() - begun:.1f} s")
    broker.stop()
    said = broker.log.stat().st_size
    begun = time.monotonic()
    broker.start(0)
    ready = time.monotonic() - begun
    cpu = Process(broker.child.pid)
    wait_for("all groups are read back", lambda: broker.metric("tidemark_group_offsets") >= options.offsets
             and broker.metric("tidemark_group_partitions_loading") == 0)
    loads = [(int(groups), int(millis)) for groups, millis in
             re.findall(r"coordinates (\d+) groups .* in (\d+) ms", broker.log.read_text()[said:])]
    print(f"start: ready after {ready:.1f} s, all groups served after {time.monotonic() - begun:.1f} s")
    print(f"load of {len(loads)} partitions: {sum(m for _, m in loads)} ms in all, the longest {max(m for _, m in loads)} ms")
    print(f"CPU of the whole start: {cpu.cpu_ms() / 1000:.2f} s; memory {cpu.rss_mib():.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--groups", type=int, default=1_000)
    parser.add_argument("--offsets", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--python", type=pathlib.Path, help="generated Python code (default: beside --bin)")
    options = parser.parse_args()
    generated = options.python or options.bin.parent / "tests/integration/python"
    os.environ.setdefault("TIDEMARK_BIN", str(options.bin))
    os.environ.setdefault("TIDEMARK_PYTHON", str(generated))
    sys.path[:0] = [str(ROOT / "tests/integration"), str(generated)]
    from harness import envelope_pb2
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-groups-"))
    zookeeper = ROOT / "deploy/zookeeper/zookeeper.sh"
    connect = run(zookeeper, "start", "--dir", folder / "zookeeper").strip().splitlines()[-1]
    broker = Broker(folder, options.bin, connect)
    with broker.properties.open("a") as properties:
        properties.write("offsets.topic.replication.factor=1\n")
    try:
        broker.start(0)
        for topic, partitions in (("orders", PARTITIONS), ("clicks", READ)):
            run(broker.bin / "tidemark-topics", "--bootstrap-server", broker.address, "--create", "--topic", topic,
                "--partitions", partitions, "--replication-factor", 1, timeout=600)
        connection = Connection(broker.address)
        request = envelope_pb2.Request()
        request.find_coordinator.group_ids.append("any")
        wait_for("a coordinator", lambda: not connection.wire.call(request).find_coordinator.coordinators[0].error.code)
        request = envelope_pb2.Request()
        request.metadata.topics.add(name="orders")
        topic_id = connection.wire.call(request).metadata.topics[0].id
        measure_load(broker, options, connection, topic_id)
        measure_heartbeats(broker, options)
        broker.stop()
    finally:
        if broker.child is not None and broker.child.poll() is None:
            broker.child.kill()
            broker.child.wait()
        run(zookeeper, "stop", "--dir", folder / "zookeeper")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
