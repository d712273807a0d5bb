#!/usr/bin/python3
"""A Tidemark producer, consumer and member of a consumer group from protoc's output and the standard library alone.

    protoc -I proto --python_out=generated proto/tidemark/v1/*.proto
    PYTHONPATH=generated docs/examples/python/tidemark_client.py 127.0.0.1:9092 produce TOPIC < lines
    PYTHONPATH=generated docs/examples/python/tidemark_client.py 127.0.0.1:9092 consume TOPIC
    PYTHONPATH=generated docs/examples/python/tidemark_client.py 127.0.0.1:9092 group TOPIC GROUP
"""
import itertools
import signal
import socket
import struct
import sys
import time
import uuid

from tidemark.v1 import envelope_pb2 as wire, error_pb2 as error, record_pb2 as record

AGAIN = (error.ERROR_CLASS_RETRY, error.ERROR_CLASS_REFRESH_METADATA)
TABLE = [0] * 256
for n in range(256):
    c = n
    for _ in range(8):
        c = (c >> 1) ^ 0x82F63B78 if c & 1 else c >> 1
    TABLE[n] = c


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Broker:
    """One connection: a 4-byte big-endian length, then a Request or Response."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.stream = self.socket.makefile("rb")
        self.correlation = itertools.count(1)

    def call(self, request):
        request.header.correlation_id = next(self.correlation)
        request.header.protocol_version = 1
        request.header.client_id = "python-example"
        data = request.SerializeToString()
        self.socket.sendall(struct.pack(">I", len(data)) + data)
        length, = struct.unpack(">I", self.stream.read(4))
        response = wire.Response.FromString(self.stream.read(length))
        fail(response.header.error)
        return response


class Failed(RuntimeError):
    def __init__(self, e):
        super().__init__(f"{error.ErrorCode.Name(e.code)}: {e.message}")
        self.code, self.error_class = e.code, e.error_class


def fail(e):
    if e.code != error.NONE:
        raise Failed(e)


class Topic:
    """A topic's id and a connection to the leader of each partition, looked up anew when asked."""

    def __init__(self, bootstrap, name):
        self.bootstrap, self.name = bootstrap, name
        self.refresh()

    def refresh(self):
        request = wire.Request()
        request.metadata.topics.add(name=self.name)
        metadata = Broker(self.bootstrap).call(request).metadata
        topic = metadata.topics[0]
        fail(topic.error)
        addresses = {b.id: f"{b.host}:{b.port}" for b in metadata.brokers}
        self.id = topic.id
        self.leaders = {p.partition: Broker(addresses[p.leader]) for p in topic.partitions if p.leader in addresses}

    def ask(self, partition, fill):
        """Sends what `fill` puts into a request to the partition's leader; follows the leader when it moves."""
        while True:
            try:
                request = wire.Request()
                fill(request).id = self.id
                body = getattr(self.leaders[partition].call(request), request.WhichOneof("body"))
                answer = body.topics[0].partitions[0]
                if answer.error.error_class not in AGAIN:
                    fail(answer.error)
                    return answer
            except (OSError, KeyError, struct.error):
                pass  # the leader is away: the outcome is unknown, so a produce may repeat
            time.sleep(0.2)
            self.refresh()


def produce(topic, partition, lines):
    now = int(time.time() * 1000)
    records = record.RecordSet(records=[
        record.Record(value=line.encode(), offset_delta=n) for n, line in enumerate(lines)]).SerializeToString()
    body = record.BatchBody(last_offset_delta=len(lines) - 1, base_timestamp=now, max_timestamp=now,
                            record_count=len(lines), records_size=len(records), records=records).SerializeToString()

    def fill(request):
        request.produce.acks = -1
        request.produce.topics.add().partitions.add(partition=partition).batches.add(body_crc=crc32c(body), body=body)
        return request.produce.topics[0]
    return topic.ask(partition, fill).base_offset


def earliest(topic, partition):
    def fill(request):
        request.list_offsets.topics.add().partitions.add(partition=partition, timestamp=-2)
        return request.list_offsets.topics[0]
    return topic.ask(partition, fill).offset


def consume(topic, partition, offset):
    """Returns (records, next offset); empty when the end is reached."""
    def fill(request):
        request.fetch.max_wait_ms = 500
        request.fetch.topics.add().partitions.add(partition=partition, fetch_offset=offset, max_bytes=1 << 20)
        return request.fetch.topics[0]
    try:
        answer = topic.ask(partition, fill)
    except Failed as e:
        if e.code != error.OFFSET_OUT_OF_RANGE:
            raise
        return [], earliest(topic, partition)  # the oldest records are gone: go on where the log begins now
    values = []
    for batch in record.LogSegment.FromString(answer.records).batches:
        assert crc32c(batch.body) == batch.body_crc, f"damaged batch at offset {batch.base_offset}"
        body = record.BatchBody.FromString(batch.body)
        assert body.compression == record.COMPRESSION_NONE, "this example reads uncompressed batches"
        for r in record.RecordSet.FromString(body.records).records:
            if batch.base_offset + r.offset_delta >= offset:
                values.append(r.value.decode())
        offset = max(offset, batch.base_offset + body.last_offset_delta + 1)
    return values, offset


class Member:
    """A member of a consumer group that reads one topic: takes on partitions and lets them go as it is told."""

    def __init__(self, bootstrap, group, topic):
        self.bootstrap, self.group, self.topic, self.coordinator = bootstrap, group, topic, None
        self.id, self.epoch, self.positions = str(uuid.uuid4()), 0, {}  # positions: partition -> next offset
        self.stopping = False  # read() ends when it is set

    def ask(self, fill):
        """Sends what `fill` puts into a request to the group's coordinator; follows it when it moves."""
        while True:
            try:
                if self.coordinator is None:
                    request = wire.Request()
                    request.find_coordinator.group_ids.append(self.group)
                    found = Broker(self.bootstrap).call(request).find_coordinator.coordinators[0]
                    fail(found.error)
                    self.coordinator = Broker(f"{found.host}:{found.port}")
                request = wire.Request()
                fill(request)
                return self.coordinator.call(request)
            except (OSError, struct.error):
                pass  # it is away
            except Failed as e:
                if e.error_class not in AGAIN:
                    raise
            self.coordinator = None
            time.sleep(0.2)

    def beat(self, epoch=None):
        """A heartbeat, and what its answer asks for. Returns how many seconds later the next one is due."""
        def fill(request):
            beat = request.consumer_group_heartbeat
            beat.group_id, beat.member_id, beat.member_epoch = self.group, self.id, self.epoch if epoch is None else epoch
            if beat.member_epoch == 0:
                beat.subscription.topics.append(self.topic.name)
                beat.rebalance_timeout_ms = 60000
            beat.owned.SetInParent()
            if self.positions:
                beat.owned.topics.add(topic_id=self.topic.id, partitions=sorted(self.positions))
        try:
            answer = self.ask(fill).consumer_group_heartbeat
        except Failed as e:
            if e.error_class != error.ERROR_CLASS_REJOIN:
                raise
            self.epoch, self.positions = 0, {}  # others have the partitions now: begin anew
            return 0
        self.epoch = answer.member_epoch
        told = {p for t in answer.assignment.topics for p in t.partitions}
        if not answer.HasField("assignment") or told == self.positions.keys():
            return answer.heartbeat_interval_ms / 1000
        self.commit()  # before anything is let go
        kept = {p: offset for p, offset in self.positions.items() if p in told}
        self.positions = {**self.committed(told - kept.keys()), **kept}
        return 0

    def commit(self):
        def fill(request):
            commit = request.offset_commit
            commit.group_id, commit.member_id, commit.member_epoch = self.group, self.id, self.epoch
            topic = commit.topics.add(topic_id=self.topic.id)
            for partition, offset in self.positions.items():
                topic.partitions.add(partition=partition, offset=offset)
        if self.positions:
            self.ask(fill)  # a partition that is refused belongs to another member, who goes on from its last commit

    def committed(self, partitions):
        if not partitions:
            return {}  # an empty list would ask for all

        def fill(request):
            group = request.offset_fetch.groups.add(group_id=self.group)
            group.topics.add(topic_id=self.topic.id, partitions=partitions)
        group = self.ask(fill).offset_fetch.groups[0]
        fail(group.error)
        return {p.partition: p.offset for t in group.topics for p in t.partitions}

    def read(self):
        """Lists of values, until `stopping`. What was yielded counts as read when the next list is asked for: where a
        list was not worked off, leave() commits what was before it, and the list is read again."""
        due = 0
        while not self.stopping:
            for partition in list(self.positions) or [None]:
                if time.monotonic() >= due:
                    due = time.monotonic() + self.beat()
                if partition in self.positions:
                    values, offset = consume(self.topic, partition, self.positions[partition])
                    if values:
                        yield values
                    self.positions[partition] = offset
                elif partition is None:
                    time.sleep(0.1)
            self.commit()

    def leave(self):
        self.coordinator = None  # whatever was under way on that connection
        self.commit()
        self.beat(epoch=-1)


def main(bootstrap, command, name, group=None):
    topic = Topic(bootstrap, name)
    if command == "produce":
        partitions = itertools.cycle(sorted(topic.leaders))
        while lines := list(itertools.islice((line.rstrip("\n") for line in sys.stdin), 500)):
            print("offset", produce(topic, next(partitions), lines), file=sys.stderr)
    elif command == "group":
        member = Member(bootstrap, group, topic)

        def stop(*_):
            member.stopping = True  # not amid a list, which would be printed and yet not counted
        signal.signal(signal.SIGTERM, stop)
        try:
            for values in member.read():
                print("\n".join(values), flush=True)
        finally:
            member.leave()
    else:
        for partition in sorted(topic.leaders):
            offset, before = 0, None
            while offset != before:
                before = offset
                values, offset = consume(topic, partition, offset)
                if values:
                    print("\n".join(values))


if __name__ == "__main__":
    main(*sys.argv[1:])
