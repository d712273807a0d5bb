"""The main job on real input: the Debian package index, produced with acks=all while leaders and the controller are
killed with SIGKILL and restarted; nothing acknowledged is lost, order holds per key, replicas agree."""
import json
import pathlib
import re
import subprocess
import threading
import unittest

from harness import BIN, PATIENCE, SHORT_SESSIONS, ClusterTest, record_pb2, wait_for

TOPIC = "packages"
PARTITIONS = 3


def package_index():
    """[(package, stanza as one line)], tens of thousands of them."""
    def dump():
        text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
        return [stanza for stanza in text.split("\n\n") if stanza.startswith("Package:")]
    stanzas = dump()
    if len(stanzas) < 10000:
        subprocess.run(["apt-get", "update"], capture_output=True, check=True)
        stanzas = dump()
    records = []
    for stanza in stanzas:
        name = stanza.split("\n", 1)[0].removeprefix("Package:").strip()
        records.append((name, json.dumps(stanza, ensure_ascii=False)))
    return records


def segment_batches(folder):
    """[(base offset, leader epoch, body crc, body)] of a partition folder, by generated code alone."""
    batches = []
    for path in sorted(pathlib.Path(folder).glob("*.log")):
        for batch in record_pb2.LogSegment.FromString(path.read_bytes()).batches:
            batches.append((batch.base_offset, batch.leader_epoch, batch.body_crc, batch.body))
    return batches


class KillStream(ClusterTest):
    def test_nothing_acknowledged_is_lost_while_leaders_are_killed(self):
        records = package_index()
        self.assertGreaterEqual(len(records), 10000)
        cluster = self.cluster(3, **SHORT_SESSIONS)
        cluster.create_topic(TOPIC, PARTITIONS, 3)
        cluster.wait_isr(TOPIC, [0, 1, 2])

        producer = subprocess.Popen(
            [str(BIN / "tidemark-console-producer"), "--bootstrap-server", cluster.bootstrap, "--topic", TOPIC,
             "--producer-property", "acks=all", "--producer-property", "delivery.timeout.ms=120000",
             "--property", "parse.key=true", "--property", "key.separator=\t"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(lambda: producer.poll() is None and producer.kill())
        stderr = []
        reader = threading.Thread(target=lambda: stderr.append(producer.stderr.read()), daemon=True)
        reader.start()

        # One slice of the stream goes in during each fault, so that every fault meets records in flight.
        faults = [("leader", partition) for partition in range(PARTITIONS)] + [("controller", None)]
        slices = len(faults) + 1
        for number in range(slices):
            part = records[len(records) * number // slices:len(records) * (number + 1) // slices]
            data = "".join(f"{key}\t{value}\n" for key, value in part).encode()
            half = data.rfind(b"\n", 0, len(data) // 2) + 1
            producer.stdin.write(data[:half])
            producer.stdin.flush()
            victim = None
            if number < len(faults):
                kind, partition = faults[number]
                victim = self.leader_of(cluster, partition) if kind == "leader" else self.controller_of(cluster)
                victim.kill()
            producer.stdin.write(data[half:])
            producer.stdin.flush()
            if victim is not None:
                victim.start()
                cluster.wait_isr(TOPIC, [0, 1, 2])
        producer.stdin.close()
        self.assertEqual(producer.wait(timeout=3 * PATIENCE), 0, lambda: stderr)
        reader.join(timeout=PATIENCE)

        self.check_consumed(cluster, records)
        self.check_replicas(cluster)

    def leader_of(self, cluster, partition):
        leader = wait_for("the partition has a leader", lambda: [
            l for l in [cluster.describe(TOPIC).get(partition, (-1,))[0]] if l >= 0])[0]
        return cluster.brokers[leader]

    def controller_of(self, cluster):
        client = cluster.zookeeper.client()
        try:
            data, _ = wait_for("there is a controller", lambda: client.get("/controller"))
            return cluster.brokers[json.loads(data)["brokerid"]]
        finally:
            client.stop()
            client.close()

    def check_consumed(self, cluster, records):
        lines = cluster.consume(TOPIC, form="%k\\t%v\\n")
        seen = {}  # key -> values in order of first occurrence
        for line in lines:
            key, value = line.split("\t", 1)
            values = seen.setdefault(key, {})
            values.setdefault(value, None)
        produced = {}
        for key, value in records:
            produced.setdefault(key, {}).setdefault(value, None)
        missing = [key for key in produced if key not in seen]
        self.assertEqual(missing, [], f"{len(missing)} keys lost")
        for key, values in produced.items():
            self.assertEqual(list(seen[key]), list(values), f"records of key {key}")
        self.assertEqual(set(seen) - set(produced), set(), "keys never produced")
        self.assertLess(len(lines), 2 * len(records))

    def check_replicas(self, cluster):
        def settled():
            tables = [cluster.brokers[b].http("/state") for b in range(3)]
            return all(status == 200 for status, _ in tables)
        wait_for("brokers answer /state", settled)
        wait_for("all replicas have the same end", lambda: self.ends_agree(cluster))
        for broker in cluster.brokers:
            self.assertEqual(broker.terminate(), 0)
        for partition in range(PARTITIONS):
            folders = [broker.data / f"{TOPIC}-{partition}" for broker in cluster.brokers]
            reference = segment_batches(folders[0])
            self.assertTrue(reference)
            for folder in folders[1:]:
                self.assertEqual(segment_batches(folder), reference, f"{folder} differs")
            dumps = []
            for folder in folders:
                logs = ",".join(str(path) for path in sorted(folder.glob("*.log")))
                out = cluster.tool("dump-log", "--files", logs).out
                dumps.append([line for line in out.splitlines() if line.startswith("baseOffset:")])
                self.assertIn("No damage found", cluster.tool("dump-log", "--verify", folder).out)
            self.assertEqual(len(dumps[0]), len(reference))
            strip = [[re.sub(r" position: \d+", "", line) for line in dump] for dump in dumps]
            self.assertEqual(strip[0], strip[1])
            self.assertEqual(strip[0], strip[2])

    def ends_agree(self, cluster):
        sizes = [[sum(p.stat().st_size for p in (b.data / f"{TOPIC}-{n}").glob("*.log")) for n in range(PARTITIONS)]
                 for b in cluster.brokers]
        return sizes[0] == sizes[1] == sizes[2]


if __name__ == "__main__":
    unittest.main()
