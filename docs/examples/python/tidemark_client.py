#!/usr/bin/python3
"""A Tidemark producer, consumer and member of a consumer group from protoc's output and the standard library alone.

    protoc -I proto --python_out=generated proto/tidemark/v1/*.proto
    PYTHONPATH=generated docs/examples/python/tidemark_client.py 127.0.0.1:9092 produce TOPIC < lines
    PYTHONPATH=generated docs/examples/python/tidemark_client.py 127.0.0.1:9092 consume TOPIC
    PYTHONPATH=generated docs/examples/python/tidemark_client.py 127.0.0.1:9092 group TOPIC GROUP
"""
import contextlib
import itertools
import math
import signal
import socket
import struct
import sys
import time
import uuid

from tidemark.v1 import envelope_pb2 as wire, error_pb2 as error, record_pb2 as record

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


class Failed(RuntimeError):
    """An error that a broker answered."""


class Away(Failed):
    """Not there, or not now: to be asked again. What became of the request is unknown, so a produce may repeat."""


class Fenced(Failed):
    """Others have the member's partitions: it is to begin anew."""


KINDS = {error.ERROR_CLASS_RETRY: Away, error.ERROR_CLASS_REFRESH_METADATA: Away, error.ERROR_CLASS_REJOIN: Fenced}


def check(e):
    if e.code != error.NONE:
        raise KINDS.get(e.error_class, Failed)(error.ErrorCode.Name(e.code), e.message)


class Topic:
    """A topic, and the brokers: `known` are all that it was told of, `places` who has a partition or a group."""

    def __init__(self, bootstrap, name, patience):
        self.known, self.name, self.patience = bootstrap.split(","), name, patience
        self.connections, self.correlation, self.places = {}, itertools.count(1), {}
        self.insist(self.look_up)

    def call(self, request, address=None):
        """Asks the broker there; without an address any, each time the next. A frame is length and message."""
        if address is None:
            address = self.known.pop(0)
            self.known.append(address)
        request.header.correlation_id, request.header.protocol_version = next(self.correlation), 1
        request.header.client_id = "python-example"
        try:
            if address not in self.connections:
                place = address.rsplit(":", 1)  # host and port
                self.connections[address] = socket.create_connection(place, self.patience).makefile("rwb")
            stream = self.connections[address]
            stream.write(struct.pack(">I", request.ByteSize()) + request.SerializeToString())
            stream.flush()
            length, = struct.unpack(">I", stream.read(4))
            data, = struct.unpack(f"{length}s", stream.read(length))
        except (OSError, struct.error) as e:
            self.connections.pop(address, None)  # its answer may still come, and is not that of the next request
            raise Away(f"{address}: {e}") from e
        response = wire.Response.FromString(data)
        check(response.header.error)
        return getattr(response, response.WhichOneof("body"))

    def look_up(self):
        request = wire.Request()
        request.metadata.topics.add(name=self.name)
        metadata = self.call(request)
        check(metadata.topics[0].error)
        addresses = {b.id: f"{b.host}:{b.port}" for b in metadata.brokers}
        self.known += [a for a in addresses.values() if a not in self.known]
        self.id, self.partitions = metadata.topics[0].id, sorted(p.partition for p in metadata.topics[0].partitions)
        return {p.partition: addresses[p.leader] for p in metadata.topics[0].partitions if p.leader in addresses}

    def ask(self, place, look_up, request):
        if place not in self.places:
            self.places.update(look_up())
        return self.call(request, self.places.get(place))  # where nobody has it, any broker says so

    def ask_leader(self, partition, request):
        answer = self.ask(partition, self.look_up, request).topics[0].partitions[0]
        check(answer.error)
        return answer

    def pause(self):
        self.places.clear()  # others may have them soon
        time.sleep(0.2)

    def insist(self, attempt, *words, patience=math.inf):
        until = time.monotonic() + patience
        while True:
            try:
                return attempt(*words)
            except Away:
                if time.monotonic() >= until:
                    raise
                self.pause()


def produce(topic, partition, lines):
    now = int(time.time() * 1000)
    records = record.RecordSet(records=[
        record.Record(value=line.encode(), offset_delta=n) for n, line in enumerate(lines)]).SerializeToString()
    body = record.BatchBody(last_offset_delta=len(lines) - 1, base_timestamp=now, max_timestamp=now,
                            record_count=len(lines), records_size=len(records), records=records).SerializeToString()
    request = wire.Request()
    request.produce.acks = -1
    part = request.produce.topics.add(id=topic.id).partitions.add(partition=partition)
    part.batches.add(body_crc=crc32c(body), body=body)
    return topic.ask_leader(partition, request).base_offset


def consume(topic, partition, offset):
    """Returns (records, next offset); empty when the end is reached."""
    request = wire.Request()
    request.fetch.max_wait_ms = 500
    part = request.fetch.topics.add(id=topic.id).partitions.add(partition=partition)
    part.fetch_offset, part.max_bytes = offset, 1 << 20
    try:
        answer = topic.ask_leader(partition, request)
    except Failed as e:
        if e.args[0] != "OFFSET_OUT_OF_RANGE":
            raise
        request = wire.Request()  # the oldest records are gone: go on where the log begins now
        request.list_offsets.topics.add(id=topic.id).partitions.add(partition=partition, timestamp=-2)
        return [], topic.ask_leader(partition, request).offset
    values = []
    for batch in record.LogSegment.FromString(answer.records).batches:
        assert crc32c(batch.body) == batch.body_crc, f"damaged batch at offset {batch.base_offset}"
        body = record.BatchBody.FromString(batch.body)
        assert body.compression == record.COMPRESSION_NONE, "this example reads uncompressed batches"
        values += [r.value.decode() for r in record.RecordSet.FromString(body.records).records
                   if batch.base_offset + r.offset_delta >= offset]
        offset = max(offset, batch.base_offset + body.last_offset_delta + 1)
    return values, offset


class Member:
    """A member of a consumer group that reads one topic: takes on partitions and lets them go as it is told."""

    def __init__(self, topic, group):
        self.topic, self.group = topic, group
        self.id, self.epoch, self.due = str(uuid.uuid4()), 0, 0  # due: when the next heartbeat is
        self.stopping, self.told, self.positions = False, set(), {}  # partitions to hold; those held -> next offset

    def look_up(self):
        request = wire.Request()
        request.find_coordinator.group_ids.append(self.group)
        found = self.topic.call(request).coordinators[0]
        check(found.error)
        return {self.group: f"{found.host}:{found.port}"}

    def beat(self, leave=False):
        """A heartbeat, and what its answer asks for."""
        request = wire.Request()
        beat = request.consumer_group_heartbeat
        beat.group_id, beat.member_id, beat.member_epoch = self.group, self.id, -1 if leave else self.epoch
        if self.epoch == 0:
            beat.subscription.topics.append(self.topic.name)
            beat.rebalance_timeout_ms = 60000
        beat.owned.SetInParent()
        if self.positions:
            beat.owned.topics.add(topic_id=self.topic.id, partitions=sorted(self.positions))
        self.due = 0  # again at once, if this one fails, or when what is held has changed
        answer = self.topic.ask(self.group, self.look_up, request)
        self.epoch = answer.member_epoch
        if answer.HasField("assignment"):
            self.told = {p for t in answer.assignment.topics for p in t.partitions}
        if self.told == self.positions.keys():
            self.due = time.monotonic() + answer.heartbeat_interval_ms / 1000
        elif not leave:
            self.commit()  # before anything is let go
            committed = self.committed()
            self.positions = {p: self.positions.get(p, committed.get(p, 0)) for p in self.told}

    def commit(self):
        request = wire.Request()
        commit = request.offset_commit
        commit.group_id, commit.member_id, commit.member_epoch = self.group, self.id, self.epoch
        topic = commit.topics.add(topic_id=self.topic.id)
        for partition, offset in self.positions.items():
            topic.partitions.add(partition=partition, offset=offset)
        if self.positions:  # one that is refused belongs to another member, who goes on from its last commit
            self.topic.ask(self.group, self.look_up, request)

    def committed(self):
        request = wire.Request()
        request.offset_fetch.groups.add(group_id=self.group)
        group = self.topic.ask(self.group, self.look_up, request).groups[0]
        check(group.error)
        return {p.partition: p.offset for t in group.topics if t.topic_id == self.topic.id for p in t.partitions}

    def read(self):
        """Lists of values, until `stopping`. What was yielded counts as read when the next list is asked for: where a
        list was not worked off, leave() commits what was before it, and the list is read again."""
        while not self.stopping:
            try:
                if time.monotonic() >= self.due:
                    self.beat()
                    self.commit()
                if not self.positions:
                    time.sleep(0.1)
                    continue
                partition = next(iter(self.positions))
                offset = self.positions[partition] = self.positions.pop(partition)  # last in turn, also if this fails
                values, offset = consume(self.topic, partition, offset)
                if values:
                    yield values
                self.positions[partition] = offset
            except Away:
                self.topic.pause()
            except Fenced:
                self.epoch, self.due, self.told, self.positions = 0, 0, set(), {}

    def leave(self):
        self.beat()  # commits are for the newest epoch, whose answer may be lost
        self.commit()
        self.beat(leave=True)


def main(bootstrap, command, name, group=None):
    # All replicas in sync may take their time over a produce; a member that hangs on one broker neglects the others.
    topic = Topic(bootstrap, name, patience=10 if group else 40)
    if command == "produce":
        partitions = itertools.cycle(topic.partitions)
        while lines := list(itertools.islice((line.rstrip("\n") for line in sys.stdin), 500)):
            print("offset", topic.insist(produce, topic, next(partitions), lines), file=sys.stderr)
    elif command == "group":
        member = Member(topic, group)

        def stop(*_):
            member.stopping = True  # not amid a list, which would be printed and yet not counted
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            for values in member.read():
                print("\n".join(values), flush=True)
        finally:
            with contextlib.suppress(Fenced):
                topic.insist(member.leave, patience=30)  # nothing is committed until a broker that hangs is missed
    else:
        for partition in topic.partitions:
            offset, before = 0, None
            while offset != before:
                before = offset
                values, offset = topic.insist(consume, topic, partition, offset)
                if values:
                    print("\n".join(values))


if __name__ == "__main__":
    main(*sys.argv[1:])
