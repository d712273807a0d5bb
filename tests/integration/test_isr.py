"""Followers that lag leave the ISR and return; with too few in sync acks=all is refused and consumers still read."""
import json
import time
import unittest

from harness import ClusterTest, Wire, crc32c, envelope_pb2, error_pb2, record_pb2, wait_for, without_repeats


class Isr(ClusterTest):
    def test_paused_follower_leaves_the_isr_and_returns(self):
        cluster = self.cluster(3, replica__lag__time__max__ms=2000, zookeeper__session__timeout__ms=30000)
        cluster.create_topic("lag", 1, 3)
        cluster.wait_isr("lag", [0, 1, 2])
        leader = cluster.describe("lag")[0][0]
        # Not the controller, who must take the other out: without it that would wait for its session's end.
        controller = cluster.brokers[leader].metadata().controller_id
        follower = next(b for b in cluster.brokers if b.id not in (leader, controller))
        others = sorted(b.id for b in cluster.brokers if b is not follower)
        follower.pause()
        lines = ["while it sleeps", "without it"]
        # Acknowledged only when the ISR has shrunk, and sent again where that takes longer than a request may.
        cluster.produce("lag", lines[:1])
        cluster.wait_isr("lag", others)
        cluster.produce("lag", lines[1:])
        follower.resume()
        cluster.wait_isr("lag", [0, 1, 2])
        self.assertEqual(without_repeats(cluster.consume("lag"), lines), lines)

    def test_acks_all_is_refused_with_two_of_three_replicas_down(self):
        cluster = self.cluster(3)
        cluster.create_topic("safe", 1, 3, min__insync__replicas=2)
        cluster.wait_isr("safe", [0, 1, 2])
        lines = [f"record {n}" for n in range(100)]
        cluster.produce("safe", lines)
        survivor = cluster.brokers[cluster.describe("safe")[0][0]]
        for broker in cluster.brokers:
            if broker is not survivor:
                broker.kill()
        # By the leader's own word, who may learn it after metadata tells it: until then it would append.
        wait_for("only the survivor is in sync", lambda: [
            (p["leader"], p["isr"]) for p in json.loads(survivor.http("/state")[1])["partitions"] if p["topic"] == "safe"]
            == [(survivor.id, [survivor.id])])
        answer = self.produce_once(survivor, "safe", b"refused")
        self.assertEqual(answer.error.code, error_pb2.NOT_ENOUGH_REPLICAS, answer)
        self.assertEqual(answer.error.error_class, error_pb2.ERROR_CLASS_RETRY)
        result = cluster.tool("console-producer", "--bootstrap-server", survivor.address, "--topic", "safe",
                              "--producer-property", "delivery.timeout.ms=20000", "--producer-property",
                              "request.timeout.ms=10000", stdin="refused too\n", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("1", result.err)
        self.assertIn("NOT_ENOUGH_REPLICAS", result.err)
        # Consumers still read everything below the survivor's high watermark.
        self.assertEqual(cluster.consume("safe"), lines)

    def produce_once(self, broker, topic, value):
        with Wire(broker.address) as connection:
            request = envelope_pb2.Request()
            request.metadata.topics.add(name=topic)
            topic_id = connection.call(request).metadata.topics[0].id
            records = record_pb2.RecordSet(records=[record_pb2.Record(value=value)]).SerializeToString()
            now = int(time.time() * 1000)  # old records would be deleted by retention
            body = record_pb2.BatchBody(record_count=1, records_size=len(records), records=records,
                                        base_timestamp=now, max_timestamp=now).SerializeToString()
            request = envelope_pb2.Request()
            request.produce.acks = -1
            part = request.produce.topics.add(id=topic_id)
            part.partitions.add(partition=0).batches.add(body_crc=crc32c(body), body=body)
            return connection.call(request).produce.topics[0].partitions[0]


if __name__ == "__main__":
    unittest.main()
