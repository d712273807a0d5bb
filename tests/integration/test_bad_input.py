"""Hostile bytes and wrong requests at a live broker: each gets its own clear error, honest clients notice nothing."""
import socket
import struct
import time
import unittest

from harness import ClusterTest, Wire, crc32c, envelope_pb2, error_pb2, record_pb2, wait_for

NOW = int(time.time() * 1000)  # old records would be deleted by retention


def records_bytes(*values):
    return record_pb2.RecordSet(records=[
        record_pb2.Record(value=value, offset_delta=n) for n, value in enumerate(values)]).SerializeToString()


def body_of(*values, **changes):
    records = records_bytes(*values)
    fields = dict(record_count=len(values), last_offset_delta=len(values) - 1, records=records,
                  records_size=len(records), base_timestamp=NOW, max_timestamp=NOW)
    fields.update(changes)
    return record_pb2.BatchBody(**fields).SerializeToString()


class BadInput(ClusterTest):
    def setUp(self):
        super().setUp()
        self.c = self.cluster(2, message__max__bytes=100000)
        self.c.create_topic("orders", 1, 2)
        self.c.wait_isr("orders", [0, 1])
        self.leader = self.c.brokers[self.c.describe("orders")[0][0]]
        self.other = self.c.brokers[1 - self.leader.id]
        with Wire(self.leader.address) as connection:
            request = envelope_pb2.Request()
            request.metadata.topics.add(name="orders")
            self.topic = connection.call(request).metadata.topics[0]

    def produce(self, body, crc=None, broker=None, partition=0, topic_id=None, epoch=None, acks=-1):
        with Wire((broker or self.leader).address) as connection:
            request = envelope_pb2.Request()
            request.produce.acks = acks
            part = request.produce.topics.add(id=topic_id or self.topic.id).partitions.add(partition=partition)
            if epoch is not None:
                part.leader_epoch = epoch
            part.batches.add(body_crc=crc32c(body) if crc is None else crc, body=body)
            response = connection.call(request)
            if response.header.error.code:
                return response.header
            return response.produce.topics[0].partitions[0]

    def expect(self, answer, code, *words):
        self.assertEqual(error_pb2.ErrorCode.Name(answer.error.code), error_pb2.ErrorCode.Name(code), answer)
        for word in words:
            self.assertIn(word, answer.error.message)

    def test_bytes_that_are_no_frames(self):
        honest = Wire(self.leader.address)
        with Wire(self.leader.address) as c:
            c.send_bytes(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = c.read_to_end()
            self.assertTrue(answer.startswith(b"HTTP/1.1 400"), answer)
            self.assertIn(b"Tidemark", answer)
        with Wire(self.leader.address) as c:
            c.send_bytes(bytes.fromhex("16030100a5010000a10303") + b"\0" * 64)
            c.read_to_end()
        wait_for("a line on the TLS greeting", lambda: "TLS" in self.leader.log())
        with Wire(self.leader.address) as c:  # a length over the limit
            c.send_bytes(struct.pack(">I", 0x7FFFFFFF))
            response = envelope_pb2.Response.FromString(c.read_to_end()[4:])
            self.expect(response.header, error_pb2.MESSAGE_TOO_LARGE)
        with Wire(self.leader.address) as c:  # a frame that does not parse
            c.send_bytes(struct.pack(">I", 8) + b"\xff" * 8)
            response = envelope_pb2.Response.FromString(c.read_to_end()[4:])
            self.expect(response.header, error_pb2.INVALID_REQUEST)
        with Wire(self.leader.address) as c:  # a name that is not UTF-8, which a library would tell stderr of
            request = envelope_pb2.Request()
            request.metadata.topics.add().name = "~~"
            frame = request.SerializeToString().replace(b"~~", b"\xff\xfe")
            c.send_bytes(struct.pack(">I", len(frame)) + frame)
            response = envelope_pb2.Response.FromString(c.read_to_end()[4:])
            self.expect(response.header, error_pb2.INVALID_REQUEST)
        self.assertNotIn("libprotobuf", self.leader.log())
        with Wire(self.leader.address) as c:  # a frame cut short by a close
            c.send_bytes(struct.pack(">I", 1000) + b"\x0a" * 10)
            c.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(c.read_to_end(), b"")
        half_open = [Wire(self.leader.address) for _ in range(50)]  # say half a length and then nothing
        for c in half_open:
            c.send_bytes(b"\0\0")
        request = envelope_pb2.Request()
        request.api_versions.software_name = "honest"
        self.assertEqual(honest.call(request).api_versions.broker_id, self.leader.id)
        for c in half_open:
            c.close()
        honest.close()

    def test_unknown_requests_are_answered(self):
        with Wire(self.leader.address) as c:
            self.expect(c.call(envelope_pb2.Request()).header, error_pb2.INVALID_REQUEST)
            request = envelope_pb2.Request()
            request.header.required_features.append(999999)
            request.metadata.all_topics = True
            self.expect(c.call(request).header, error_pb2.UNSUPPORTED_VERSION)
            request = envelope_pb2.Request()
            request.header.cluster_id = "another-cluster-000000"
            request.metadata.all_topics = True
            self.expect(c.call(request).header, error_pb2.INCONSISTENT_CLUSTER_ID)
            request = envelope_pb2.Request()
            request.header.expected_broker_id = 77
            request.metadata.all_topics = True
            self.expect(c.call(request).header, error_pb2.WRONG_BROKER)
            # A control command on a client's connection.
            request = envelope_pb2.Request()
            request.update_metadata.full = True
            self.expect(c.call(request).header, error_pb2.LISTENER_FORBIDDEN)
            # The connection is still good.
            request = envelope_pb2.Request()
            request.metadata.all_topics = True
            self.assertEqual(len(c.call(request).metadata.brokers), 2)

    def test_bad_batches_are_refused_and_nothing_is_appended(self):
        good = body_of(b"one", b"two")
        self.expect(self.produce(good, crc=1), error_pb2.CORRUPT_MESSAGE)
        self.expect(self.produce(body_of(b"one", record_count=2, last_offset_delta=1)), error_pb2.INVALID_RECORD)
        self.expect(self.produce(body_of(b"one", compression=9)), error_pb2.UNSUPPORTED_COMPRESSION_TYPE)
        self.expect(self.produce(body_of(b"x" * 200000)), error_pb2.MESSAGE_TOO_LARGE, "100000")
        self.assertNotEqual(self.produce(b"\xff\xff\xff").error.code, error_pb2.NONE)
        self.assertNotEqual(self.produce(body_of(b"one", compression=4)).error.code, error_pb2.NONE)
        self.assertNotEqual(self.produce(body_of(b"one", control=True)).error.code, error_pb2.NONE)
        self.assertEqual(self.produce(good).base_offset, 0)
        self.assertEqual(self.c.consume("orders"), ["one", "two"])

    def test_wrong_addresses_and_epochs(self):
        body = body_of(b"lost")
        self.expect(self.produce(body, topic_id=b"\1" * 16), error_pb2.UNKNOWN_TOPIC_ID)
        self.assertIn(error_pb2.ErrorCode.Name(self.produce(body, partition=7).error.code),
                      ["UNKNOWN_TOPIC_OR_PARTITION"])
        answer = self.produce(body, broker=self.other)
        self.expect(answer, error_pb2.NOT_LEADER_OR_FOLLOWER)
        self.assertEqual((answer.current_leader.leader, answer.current_leader.port),
                         (self.leader.id, self.leader.port))
        epoch = self.topic.partitions[0].leader_epoch
        self.expect(self.produce(body, epoch=epoch + 5), error_pb2.UNKNOWN_LEADER_EPOCH)
        self.leader.terminate()
        # Metadata may tell of it before it leads.
        wait_for("the other leads and refuses the former epoch", lambda: self.produce(
            body, broker=self.other, epoch=epoch).error.code == error_pb2.FENCED_LEADER_EPOCH)
        self.expect(self.produce(body, broker=self.other, acks=5), error_pb2.INVALID_REQUIRED_ACKS)

    def test_topic_names(self):
        with Wire(self.leader.address) as c:
            request = envelope_pb2.Request()
            request.metadata.topics.add(name="ordres")
            topic = c.call(request).metadata.topics[0]
            self.expect(topic, error_pb2.UNKNOWN_TOPIC_OR_PARTITION, "orders")
        result = self.c.tool("topics", "--bootstrap-server", self.c.bootstrap, "--create", "--topic", "bad/name",
                             "--partitions", 1, "--replication-factor", 1, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("bad/name", result.err)
        result = self.c.tool("console-consumer", "--bootstrap-server", self.c.bootstrap, "--topic", "ordres",
                             "--timeout-ms", 1000, check=False)
        self.assertEqual(result.returncode, 4)
        self.assertIn("orders", result.err)

    def test_stale_control_commands_are_fenced(self):
        with Wire(self.leader.address) as c:
            def control():
                request = envelope_pb2.Request()
                request.header.purpose = envelope_pb2.CONNECTION_PURPOSE_CONTROL
                return request
            request = control()
            request.leader_and_isr.stamp.controller_epoch = 0
            request.leader_and_isr.stamp.broker_epoch = -1
            response = c.call(request)
            self.assertIn(response.leader_and_isr.error.code,
                          [error_pb2.STALE_CONTROLLER_EPOCH, error_pb2.STALE_BROKER_EPOCH])
            # An epoch above any real one is checked in ZooKeeper and not believed.
            request = control()
            request.stop_replica.stamp.controller_epoch = 1000
            request.stop_replica.replicas.add(topic_id=self.topic.id, partition=0, delete_data=True, leader_epoch=1000)
            response = c.call(request)
            self.assertNotEqual(response.stop_replica.error.code, error_pb2.NONE)
            request = control()
            request.alter_partition.broker_id = self.other.id
            request.alter_partition.broker_epoch = 1
            part = request.alter_partition.partitions.add(topic_id=self.topic.id, partition=0)
            part.isr.add(broker_id=self.other.id, broker_epoch=1)
            response = c.call(request)
            self.assertTrue(response.header.error.code or response.alter_partition.error.code or
                            response.alter_partition.partitions[0].error.code)
        self.c.produce("orders", ["still there"])
        self.assertEqual(self.c.consume("orders"), ["still there"])


if __name__ == "__main__":
    unittest.main()
