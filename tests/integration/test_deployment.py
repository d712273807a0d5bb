"""The ways to deploy a broker: as a daemon, with listeners for clients and for brokers, in racks, with topics created on
first use; and the test vectors of docs/vectors.json as a live broker and a Python program see them."""
import gzip
import importlib.util
import json
import os
import signal
import subprocess
import unittest

from harness import BIN, PATIENCE, ROOT, ClusterTest, Wire, alive, free_port, wait_for

from tidemark.v1 import envelope_pb2, error_pb2, record_pb2
from google.protobuf import json_format


class Deployment(ClusterTest):
    def test_daemon_serves_and_server_stop_ends_it(self):
        cluster = self.cluster(1, start=False)
        cluster.zookeeper.start()
        broker = cluster.brokers[0]
        broker.folder.mkdir(parents=True)
        properties = broker.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in broker.properties().items()))
        started = subprocess.run([str(BIN / "tidemark-server-start"), "-daemon", str(properties)], cwd=broker.folder,
                                 capture_output=True, text=True, timeout=PATIENCE, check=True,
                                 env={**os.environ, "LOG_DIR": str(broker.folder / "logs")})
        pid = int(started.stdout.split()[2])
        self.addCleanup(lambda: alive(pid) and os.kill(pid, signal.SIGKILL))
        log = broker.folder / "logs" / "server.log"
        wait_for("the daemon is ready", lambda: log.exists() and "ready listeners=" in log.read_text())
        self.assertEqual(os.getsid(pid), pid, "a daemon leads a session of its own")
        cluster.create_topic("orders", 1, 1)
        cluster.produce("orders", ["one"])
        self.assertEqual(cluster.consume("orders"), ["one"])
        cluster.tool("server-stop", properties)
        wait_for("the daemon has ended", lambda: not alive(pid))
        self.assertIn("stopped", log.read_text())

    def test_listeners_for_clients_and_for_brokers(self):
        cluster = self.cluster(2, start=False)
        inner = {}
        for broker in cluster.brokers:
            inner[broker.id] = free_port()
            broker.overrides.update({
                "listeners": f"CLIENT://127.0.0.1:{broker.port},INNER://127.0.0.1:{inner[broker.id]}",
                "listener.security.protocol.map": "CLIENT:PLAINTEXT,INNER:PLAINTEXT",
                "inter.broker.listener.name": "INNER"})
        cluster.start()
        cluster.create_topic("orders", 2, 2, min__insync__replicas=2)
        cluster.wait_isr("orders", [0, 1])
        lines = [f"line {n}" for n in range(200)]
        cluster.produce("orders", lines)
        self.assertEqual(sorted(cluster.consume("orders")), sorted(lines))
        # Clients are told the addresses of the listener that they came by; brokers' requests are refused there.
        request = envelope_pb2.Request()
        request.metadata.all_topics = True
        with Wire(cluster.brokers[0].address) as client:
            self.assertEqual({b.port for b in client.call(request).metadata.brokers},
                             {broker.port for broker in cluster.brokers})
            command = envelope_pb2.Request()
            command.update_metadata.full = True
            self.assertEqual(client.call(command).header.error.code, error_pb2.LISTENER_FORBIDDEN)
        with Wire(f"127.0.0.1:{inner[0]}") as client:
            self.assertEqual({b.port for b in client.call(request).metadata.brokers}, set(inner.values()))

    def test_replicas_are_spread_over_racks(self):
        cluster = self.cluster(4, start=False)
        for broker in cluster.brokers:
            broker.overrides["broker.rack"] = "east" if broker.id < 2 else "west"
        cluster.start()
        cluster.create_topic("orders", 12, 2)
        led = {}
        for leader, replicas, _ in cluster.describe("orders").values():
            self.assertEqual(len({replica < 2 for replica in replicas}), 2, f"{replicas} are in one rack")
            led[leader] = led.get(leader, 0) + 1
        self.assertEqual(led, {0: 3, 1: 3, 2: 3, 3: 3})
        # A broker without a rack among such with one: the others' racks could not be kept to.
        cluster.brokers[3].terminate()
        cluster.brokers[3].overrides.pop("broker.rack")
        cluster.brokers[3].start()
        wait_for("all know that it has none", lambda: all(
            {b.id: b.rack for b in broker.metadata().brokers}[3] == "" for broker in cluster.brokers))
        refused = cluster.tool("topics", "--bootstrap-server", cluster.bootstrap, "--create", "--topic", "more",
                               "--partitions", "2", "--replication-factor", "2", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("rack", refused.err)

    def test_topics_are_created_on_first_use_when_configured(self):
        cluster = self.cluster(2, auto__create__topics__enable="true", num__partitions="3")
        cluster.produce("fresh", ["first"])
        self.assertEqual(cluster.consume("fresh"), ["first"])
        self.assertEqual(len(cluster.describe("fresh")), 3)

    def test_vectors_on_a_live_broker(self):
        vectors = json.loads((ROOT / "docs/vectors.json").read_text())
        cluster = self.cluster(1)
        cluster.create_topic("orders", 1, 1, retention__ms=-1)  # the vectors have their own time
        broker = cluster.brokers[0]
        for vector in vectors["bad_frames"]:
            with self.subTest(vector["what"]), Wire(broker.address) as connection:
                connection.send_bytes(bytes.fromhex(vector["bytes"]))
                answer = connection.read_to_end()[4:] if vector["closes"] else None
                response = envelope_pb2.Response.FromString(answer) if vector["closes"] else connection.receive()
                self.assertEqual(error_pb2.ErrorCode.Name(response.header.error.code), vector["error"])
                if not vector["closes"]:
                    request = envelope_pb2.Request()
                    request.api_versions.software_name = "after"
                    self.assertEqual(connection.call(request).api_versions.broker_id, 0)
        with Wire(broker.address) as connection:
            request = envelope_pb2.Request()
            request.metadata.topics.add(name="orders")
            topic = connection.call(request).metadata.topics[0].id
            bodies = [(v["body"], v["body_crc"], v["error"]) for v in vectors["bad_batches"]]
            bodies += [(v["body"], v["body_crc"], "NONE") for v in vectors["batches"]]
            for body, crc, error in bodies:
                request = envelope_pb2.Request()
                request.produce.acks = -1
                part = request.produce.topics.add(id=topic).partitions.add(partition=0)
                part.batches.add(body=bytes.fromhex(body), body_crc=crc)
                answer = connection.call(request).produce.topics[0].partitions[0]
                self.assertEqual(error_pb2.ErrorCode.Name(answer.error.code), error, answer)
        # What the good ones hold, the tools read back: every codec's two records, a tombstone among them.
        values = [json.loads(line)["value"] for line in cluster.consume("orders", form="json")]
        self.assertEqual(values, ["value", None] * len(vectors["batches"]))

    def test_vectors_in_python(self):
        """The example program's own functions, on the bytes of the page."""
        spec = importlib.util.spec_from_file_location("example", ROOT / "docs/examples/python/tidemark_client.py")
        example = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        vectors = json.loads((ROOT / "docs/vectors.json").read_text())
        for vector in vectors["frames"]:
            kind = getattr(envelope_pb2, vector["kind"])
            frame = bytes.fromhex(vector["frame"])
            self.assertEqual(int.from_bytes(frame[:4], "big"), len(frame) - 4)
            self.assertEqual(kind.FromString(frame[4:]), json_format.ParseDict(vector["message"], kind()))
        for vector in vectors["batches"]:
            stored = record_pb2.LogSegment.FromString(bytes.fromhex(vector["stored"])).batches[0]
            self.assertEqual(stored.base_offset, vector["base_offset"])
            self.assertEqual(stored.append_time, vector["append_time"])
            self.assertEqual(stored.body.hex(), vector["body"])
            self.assertEqual(example.crc32c(stored.body), vector["body_crc"])
            self.assertEqual(stored.body_crc, vector["body_crc"])
            body = record_pb2.BatchBody.FromString(stored.body)
            unpack = {"none": bytes, "gzip": gzip.decompress}.get(vector["compression"])
            if unpack is None:
                continue  # no such codec in the standard library
            records = record_pb2.RecordSet.FromString(unpack(body.records)).records
            for read, wanted in zip(records, vector["records"], strict=True):
                self.assertEqual(read.key.decode(), wanted["key"])
                self.assertEqual(read.value.decode() if read.HasField("value") else None, wanted["value"])
                self.assertEqual(body.base_timestamp + read.timestamp_delta, wanted["timestamp"])
        self.assertEqual(example.crc32c(b"123456789"), 0xE3069283)


if __name__ == "__main__":
    unittest.main()
