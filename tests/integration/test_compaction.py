"""Compaction over real processes: overwritten and deleted keys, leaders killed amid cleaning, followers that were away.
TIDEMARK_KILLS says how often a leader is killed (default 4)."""
import json
import os
import random
import threading
import time
import unittest

from harness import ClusterTest, record_pb2, wait_for, without_repeats

TOPIC = "state"
DELETED = "NULL"
KEYED = ("--property", "key.separator=:", "--property")


class Compaction(ClusterTest):
    def started(self, **more):
        self.random = random.Random(int(os.environ.get("TIDEMARK_SEED", time.time())))
        self.values = {}  # key -> last value acknowledged, DELETED for a tombstone
        self.written = 0
        cluster = self.cluster(3, zookeeper__session__timeout__ms=3000, log__cleaner__backoff__ms=100, **more)
        cluster.create_topic(TOPIC, 1, 3, cleanup__policy="compact", segment__bytes=20000, min__insync__replicas=2,
                             min__cleanable__dirty__ratio="0.01", delete__retention__ms=500)
        cluster.wait_isr(TOPIC, [0, 1, 2])
        return cluster

    def write(self, cluster, lines):
        """Appends (key, value) pairs; returns when all are acknowledged. A batch sent again repeats its keys in order."""
        cluster.produce(TOPIC, [f"{key}:{value}" for key, value in lines], *KEYED, "parse.key=true", "--property",
                        f"null.marker={DELETED}", "--producer-property", "acks=all", "--producer-property", "batch.size=2000")
        self.values.update(lines)

    def overwrites(self, count, keys=40):
        lines = []
        for _ in range(count):
            self.written += 1
            deleted = self.random.random() < 0.15
            lines.append((f"key{self.random.randrange(keys)}", DELETED if deleted else f"{self.written} " + "x" * 80))
        return lines

    def fill(self, cluster):
        """Rolls the segment that is written to, which is never compacted, and makes the rest dirty."""
        self.write(cluster, [(f"filler{n % 3}", f"{n} " + "y" * 200) for n in range(150)])

    def read(self, cluster):
        """(key, value) of every record, in the order of the log."""
        records = map(json.loads, cluster.consume(TOPIC, form="json"))
        return [(r["key"], DELETED if r["value"] is None else r["value"]) for r in records]

    def on_disk(self, broker):
        """(offset, key, value) of every record of a broker that is stopped."""
        records = []
        for path in sorted((broker.data / f"{TOPIC}-0").glob("*.log")):
            for batch in record_pb2.LogSegment.FromString(path.read_bytes()).batches:
                body = record_pb2.BatchBody.FromString(batch.body)
                for record in record_pb2.RecordSet.FromString(body.records).records:
                    value = record.value.decode() if record.HasField("value") else DELETED
                    records.append((batch.base_offset + record.offset_delta, record.key.decode(), value))
        return records

    def check(self, pairs, who):
        last = dict(pairs)
        for key, value in self.values.items():
            if value == DELETED:
                self.assertEqual(last.get(key, DELETED), DELETED, f"{who}: deleted {key} has come back")
            else:
                self.assertEqual(last.get(key), value, f"{who}: {key}")
        self.assertLessEqual(set(last), set(self.values))

    def check_replicas(self, cluster):
        """Stops the brokers; every disk holds the last value of each key, at the same offset, and is whole."""
        for broker in cluster.brokers:
            self.assertEqual(broker.terminate(), 0)
        living = []
        for broker in cluster.brokers:
            records = self.on_disk(broker)
            self.check([(key, value) for _, key, value in records], f"broker {broker.id}")
            offsets = [offset for offset, _, _ in records]
            self.assertEqual(offsets, sorted(set(offsets)))
            living.append({key: (offset, value) for offset, key, value in records if self.values[key] != DELETED})
            self.assertIn("No damage found", cluster.tool("dump-log", "--verify", broker.data).out)
            self.assertNotIn("damaged log", broker.log())
            self.assertNotIn("is not compacted any more", broker.log())
        self.assertEqual(living[0], living[1])
        self.assertEqual(living[0], living[2])

    def leader(self, cluster):
        return cluster.brokers[wait_for("a leader", lambda: [l for l, _, _ in cluster.describe(TOPIC).values() if l >= 0])[0]]

    def test_the_last_value_of_each_key_stays_and_deleted_keys_go(self):
        cluster = self.started()
        for _ in range(3):
            self.write(cluster, self.overwrites(500))
            self.fill(cluster)

        def compacted():
            self.fill(cluster)
            read = self.read(cluster)
            self.check(read, "consumer")
            # What is not compacted yet is little, and every tombstone has had its time.
            return len(read) < 600 and not any(self.values[key] == DELETED for key, _ in read) or len(read)
        wait_for("compaction", lambda: compacted() is True)
        refused = cluster.produce(TOPIC, ["no key"], "--producer-property", "acks=all", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("INVALID_RECORD", refused.out + refused.err)
        self.assertIn("no key", refused.out + refused.err)
        for broker in cluster.brokers:
            self.assertIn("tidemark_cleaner_uncleanable_partitions 0\n", broker.http("/metrics")[1])
        self.check_replicas(cluster)

    def test_a_leader_killed_amid_cleaning_loses_nothing_and_brings_nothing_back(self):
        # Slow enough to be met at work: it takes 10 s and more for what is written in a round.
        cluster = self.started(log__cleaner__io__max__bytes__per__second=10000)
        kills = int(os.environ.get("TIDEMARK_KILLS", 4))
        for _ in range(kills):
            lines = self.overwrites(600)
            writer = threading.Thread(target=self.write, args=(cluster, lines), daemon=True)
            writer.start()
            leader = self.leader(cluster)
            folder = leader.data / f"{TOPIC}-0"
            wait_for("a cleaner at work", lambda: list(folder.glob("*.cleaned")) + list(folder.glob("*.swap")))
            time.sleep(self.random.random() * 0.5)  # anywhere in the pass
            leader.kill()
            leader.start()
            writer.join()
            self.assertEqual({key: self.values[key] for key, _ in lines}, dict(lines), "the writer failed")
            cluster.wait_isr(TOPIC, [0, 1, 2])
            self.check(self.read(cluster), "consumer")
        self.fill(cluster)
        self.check(self.read(cluster), "consumer")
        self.check_replicas(cluster)
        print(f"counts compaction_kills kills={kills} records={self.written}")

    def test_a_follower_that_was_away_does_not_bring_a_deleted_key_back(self):
        cluster = self.started()
        both = [("precious", "stays"), ("secret", "to be deleted")]
        self.write(cluster, both)
        # Sessions are short here: the leadership may move before the acknowledgement.
        self.assertEqual(without_repeats(self.read(cluster), both), both)
        leader = self.leader(cluster)
        away = next(broker for broker in cluster.brokers if broker is not leader)
        third = next(broker for broker in cluster.brokers if broker not in (leader, away))
        away.kill()
        self.write(cluster, [("secret", DELETED)])

        def gone():
            self.fill(cluster)
            read = dict(self.read(cluster))
            self.assertEqual(read["precious"], "stays")
            return "secret" not in read
        wait_for("the tombstone is gone", gone)
        away.start()
        cluster.wait_isr(TOPIC, [0, 1, 2])
        self.assertIn("begins anew", away.log())
        leader.kill()
        third.kill()
        third.start()
        cluster.wait_led(TOPIC, {away.id, third.id})
        read = dict(self.read(cluster))
        self.assertNotIn("secret", read)
        self.assertEqual(read["precious"], "stays")
        leader.start()
        cluster.wait_isr(TOPIC, [0, 1, 2])
        self.check_replicas(cluster)


if __name__ == "__main__":
    unittest.main(verbosity=2)
