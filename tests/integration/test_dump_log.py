"""tidemark-dump-log on what real brokers leave behind: after kills under load, and after damage."""
import json
import os
import subprocess
import unittest

from harness import BIN, ClusterTest, wait_for


class DumpLog(ClusterTest):
    def verify(self, cluster, path, *words):
        return cluster.tool("dump-log", "--verify", path, *words, check=False)

    def stored(self, broker):
        return sum(path.stat().st_size for path in broker.data.glob("load-*/*.log"))

    def test_a_broker_killed_under_load_leaves_no_damage(self):
        cluster = self.cluster(1, log__segment__bytes=100000)
        cluster.create_topic("load", 4, 1)
        broker = cluster.brokers[0]
        for life in range(4):
            lines = cluster.folder / "lines"
            lines.write_text("".join(f"life {life} record {n} {'x' * 100}\n" for n in range(30000)))
            with lines.open() as source:
                producer = subprocess.Popen(
                    [str(BIN / "tidemark-console-producer"), "--bootstrap-server", cluster.bootstrap, "--topic", "load",
                     "--producer-property", "batch.size=2000"],
                    stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_for("records arrive", lambda size=self.stored(broker): self.stored(broker) > size + 100000)
                broker.kill()
            finally:
                producer.kill()
                producer.wait()
            result = self.verify(cluster, broker.data)
            self.assertEqual(result.returncode, 0, result.out + result.err)
            self.assertIn("No damage found", result.out)
            self.assertIn("note: ", result.out, "there is no clean mark")
            broker.start()
        self.assertEqual(broker.terminate(), 0)
        self.assertNotIn("note: ", self.verify(cluster, broker.data).out)

    def test_damage_is_found_with_its_file_and_byte(self):
        cluster = self.cluster(1)
        cluster.create_topic("data", 1, 1)
        cluster.produce("data", [f"record {n} " + "x" * 100 for n in range(1000)], "--producer-property", "batch.size=4000")
        broker = cluster.brokers[0]
        self.assertEqual(broker.terminate(), 0)
        path = broker.data / "data-0" / f"{0:020d}.log"
        whole = path.read_bytes()
        lines = [json.loads(line) for line in
                 cluster.tool("dump-log", "--files", path, "--print-data-log", "--json").out.splitlines()]
        batches = [line for line in lines if line["type"] == "batch"]
        records = [line for line in lines if line["type"] == "record"]
        self.assertEqual(len(records), 1000)
        self.assertEqual(records[999]["payload"], "record 999 " + "x" * 100)
        self.assertTrue(all(batch["isvalid"] for batch in batches))

        target = batches[len(batches) // 2]
        damaged = bytearray(whole)
        damaged[target["position"] + target["size"] // 2] ^= 0x40
        path.write_bytes(damaged)
        for where in (broker.data, broker.data / "data-0", path):
            result = self.verify(cluster, where)
            self.assertEqual(result.returncode, 1, result.out)
            self.assertIn(f"damage: {path}: byte {target['position']}: ", result.out)
        findings = [json.loads(line) for line in self.verify(cluster, broker.data, "--json").out.splitlines()]
        self.assertEqual([f["position"] for f in findings if f["type"] == "damage"], [target["position"]])
        self.assertEqual(findings[-1]["type"], "verdict")
        self.assertEqual(findings[-1]["damage"], 1)
        self.assertEqual(bytes(damaged), path.read_bytes(), "verification changes nothing")

        # Cut below what was flushed: damage; garbage after it: a note.
        path.write_bytes(whole[:-1])
        self.assertEqual(self.verify(cluster, broker.data).returncode, 1)
        path.write_bytes(whole + b"\x0a\xff\x01" + os.urandom(50))
        result = self.verify(cluster, broker.data)
        self.assertEqual(result.returncode, 0, result.out)
        self.assertIn(f"note: {path}: byte {len(whole)}: ", result.out)
        path.write_bytes(whole)
        index = path.with_suffix(".index")
        index.unlink()
        self.assertEqual(self.verify(cluster, broker.data).returncode, 0)

    def test_kafkas_flags_are_taken(self):
        cluster = self.cluster(1)
        cluster.create_topic("data", 1, 1)
        cluster.produce("data", ["x" * 100] * 500, "--producer-property", "batch.size=2000")
        broker = cluster.brokers[0]
        folder = broker.data / "data-0"
        files = ",".join(str(folder / f"{0:020d}{suffix}") for suffix in (".log",))
        out = cluster.tool("dump-log", "--files", files, "--deep-iteration", "--max-message-size", 1000000,
                           "--value-decoder-class", "kafka.serializer.StringDecoder").out
        self.assertRegex(out, r"(?m)^baseOffset: 0 lastOffset: \d+ count: \d+ .* isvalid: true$")
        self.assertRegex(out, r"(?m)^\| offset: 0 ")
        decoded = cluster.tool("dump-log", "--files", files, "--transaction-log-decoder")
        self.assertRegex(decoded.out, r"(?m)^\| offset: 0 .*x{100}")
        self.assertIn("--transaction-log-decoder has no effect", decoded.err)
        self.assertEqual(broker.terminate(), 0)
        index = folder / f"{0:020d}.index"
        self.assertIn("passed sanity check", cluster.tool("dump-log", "--files", index, "--index-sanity-check").out)
        cluster.tool("dump-log", "--files", index, "--verify-index-only")
        refused = cluster.tool("dump-log", "--files", folder / "notes.txt", check=False)
        self.assertNotEqual(refused.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
