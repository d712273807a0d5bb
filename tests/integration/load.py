"""Producers that never stop and remember what was acknowledged; and the check that all of it is still there.

Every attempt sends values that were never sent before, so a lost answer is an unknown outcome and nothing else: such a
value may be in the log once or not at all, an acknowledged one is there once.
"""
import contextlib
import random
import threading
import time

from harness import Wire, crc32c, envelope_pb2, record_pb2, wait_for


class Load:
    """Threads that produce with acks=all to every partition of a topic until they are stopped."""

    RECORDS = 10  # of a batch

    def __init__(self, cluster, topic, producers=4):
        self.cluster = cluster
        self.topic = topic
        self.acknowledged = []  # values; appended by the threads (atomic), never removed
        self.unacknowledged = 0  # refused, or with an unknown outcome
        self.stopping = threading.Event()
        self.going = threading.Event()  # cleared: the threads pause between two batches
        self.going.set()
        self.paused = threading.Semaphore(0)
        self.threads = [threading.Thread(target=self._produce, args=(n,), daemon=True) for n in range(producers)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()
        self.going.set()
        for thread in self.threads:
            thread.join()

    def wait_progress(self, batches=20):
        """Waits until so many more batches were acknowledged."""
        goal = len(self.acknowledged) + batches * self.RECORDS
        wait_for("producers make progress", lambda: len(self.acknowledged) >= goal)

    def _leaders(self):
        """(topic id, partition -> address) as some live broker tells."""
        broker = random.choice(self.cluster.brokers)
        with Wire(broker.address, timeout=5) as connection:
            request = envelope_pb2.Request()
            request.metadata.topics.add(name=self.topic)
            answer = connection.call(request).metadata
        addresses = {b.id: f"{b.host}:{b.port}" for b in answer.brokers}
        state = answer.topics[0]
        return state.id, {p.partition: addresses[p.leader] for p in state.partitions if p.leader in addresses}

    def _produce(self, number):
        sent = 0
        while not self.stopping.is_set():
            if not self.going.is_set():
                self.paused.release()
                self.going.wait()
            try:
                topic_id, leaders = self._leaders()
                if not leaders:
                    self.stopping.wait(0.05)
                    continue
                partition = random.choice(list(leaders))
                with Wire(leaders[partition], timeout=5) as connection:
                    while not self.stopping.is_set() and self.going.is_set():
                        values = [f"{number}-{sent + n}" for n in range(self.RECORDS)]
                        sent += self.RECORDS
                        self.unacknowledged += self.RECORDS
                        if not self._send(connection, topic_id, partition, values):
                            self.stopping.wait(0.02)
                            break
                        self.unacknowledged -= self.RECORDS
                        self.acknowledged.extend(values)
            except (OSError, AssertionError, IndexError):
                self.stopping.wait(0.05)  # the broker has gone; ask again

    @staticmethod
    def _send(connection, topic_id, partition, values):
        records = record_pb2.RecordSet(records=[
            record_pb2.Record(value=value.encode(), offset_delta=n) for n, value in enumerate(values)])
        records = records.SerializeToString()
        now = int(time.time() * 1000)  # old records would be deleted by retention
        body = record_pb2.BatchBody(
            record_count=len(values), last_offset_delta=len(values) - 1, records=records, records_size=len(records),
            base_timestamp=now, max_timestamp=now).SerializeToString()
        request = envelope_pb2.Request()
        request.produce.acks = -1
        request.produce.timeout_ms = 4000
        part = request.produce.topics.add(id=topic_id).partitions.add(partition=partition)
        part.batches.add(body_crc=crc32c(body), body=body)
        response = connection.call(request)
        if response.header.error.code or not response.produce.topics:
            return False
        return response.produce.topics[0].partitions[0].error.code == 0

    @contextlib.contextmanager
    def pause(self):
        """No batch is sent meanwhile."""
        if self.stopping.is_set():
            yield
            return
        self.going.clear()
        for _ in self.threads:
            self.paused.acquire()
        try:
            yield
        finally:
            self.going.set()

    def check(self, test):
        """Every record acknowledged by now is in the log, once. Returns how many."""
        with self.pause():
            return self._check(test)

    def _check(self, test):
        acknowledged = list(self.acknowledged)
        seen = {}

        def complete():
            seen.clear()
            for line in self.cluster.consume(self.topic, check=False):
                seen[line] = seen.get(line, 0) + 1
            return not [value for value in acknowledged if value not in seen]
        with contextlib.suppress(AssertionError):
            wait_for("every acknowledged record is read", complete)
        lost = [value for value in acknowledged if value not in seen]
        test.assertEqual(lost[:20], [], f"{len(lost)} of {len(acknowledged)} acknowledged records lost")
        twice = [value for value, count in seen.items() if count > 1]
        test.assertEqual(twice[:20], [], f"{len(twice)} records are there more than once")
        return len(acknowledged)
