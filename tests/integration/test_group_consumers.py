"""Group consumers as processes over many partitions, under load: coming, leaving, killed, paused, and the
coordinator's broker killed. Nothing is skipped, and nothing is read again but what was not committed."""
import collections
import contextlib
import random
import unittest

from group_members import ConsoleMember, SpreadLoad, wait_even
from harness import SHORT_SESSIONS, ClusterTest, wait_for
from test_groups import GroupClient

PARTITIONS = 48
MEMBERS = 10


class GroupConsumers(ClusterTest):
    def begin(self, **more):
        cluster = self.cluster(3, offsets__topic__num__partitions=5, group__consumer__heartbeat__interval__ms=500, **more)
        cluster.create_topic("orders", PARTITIONS, 3)
        self.brokers, self.members, self.client = cluster, [], GroupClient(cluster, "readers")
        # So that the offsets topic has its replicas before anybody is killed.
        wait_for("a coordinator", self.client.find)
        cluster.wait_isr("__consumer_offsets", [0, 1, 2])
        load = SpreadLoad(cluster, "orders", producers=2).start()
        self.addCleanup(load.stop)
        return cluster, load

    def join(self, **settings):
        member = ConsoleMember(self.brokers, "readers", "orders", len(self.members), **settings)
        self.members.append(member)
        self.addCleanup(member.end)
        return member

    def printed(self):
        """(partition, offset) -> names of the members that printed it, in any order; and all values."""
        places, values = collections.defaultdict(list), set()
        for member in self.members:
            for record in member.records():
                places[record.partition, record.offset].append(member.name)
                values.add(record.value)
        return places, values

    def wait_all_printed(self, load):
        load.stop()
        wanted = set(load.acknowledged)
        self.assertGreater(len(wanted), 1000)

        def left():
            return wanted - self.printed()[1]
        with contextlib.suppress(AssertionError):
            wait_for("every acknowledged record is printed", lambda: not left())
        missing = sorted(left())
        self.assertEqual(missing[:20], [], f"{len(missing)} of {len(wanted)} acknowledged records were not printed")

    def assert_nothing_skipped(self, places):
        """Each partition's offsets are whole, up to the last one that anybody printed."""
        for partition in range(PARTITIONS):
            offsets = sorted(offset for p, offset in places if p == partition)
            self.assertEqual(offsets, list(range(len(offsets))), f"partition {partition}")

    def test_who_comes_and_goes_costs_no_record_and_moves_only_what_it_must(self):
        _, load = self.begin()
        self.join()
        held = wait_even(self.client, PARTITIONS, self.members)
        for count in range(2, MEMBERS + 1):
            self.join()
            after = wait_even(self.client, PARTITIONS, self.members)
            moved = [p for p in held if after[p] != held[p]]
            self.assertTrue(all(after[p] == self.members[-1].name for p in moved), "only to the one that came")
            self.assertLessEqual(len(moved), -(-PARTITIONS // count))
            load.wait_progress()
            held = after
        for leaving in (self.members[1], self.members[3]):
            self.assertEqual(leaving.leave(), 0, leaving.said())
            after = wait_even(self.client, PARTITIONS, [m for m in self.members if m.process.poll() is None])
            self.assertTrue(all(after[p] == held[p] for p in held if held[p] != leaving.name), "the others keep theirs")
            load.wait_progress()
            held = after
        self.wait_all_printed(load)
        for member in self.members:
            if member.process.poll() is None:
                self.assertEqual(member.leave(), 0, member.said())
        places, _ = self.printed()
        self.assert_nothing_skipped(places)
        self.assertEqual({place: names for place, names in places.items() if len(names) > 1}, {}, "each record once")
        ends = collections.Counter(partition for partition, _ in places)
        self.assertEqual(self.client.committed(), dict(ends), "what was printed is what is committed")

    def test_kills_pauses_and_the_coordinators_death_skip_nothing(self):
        cluster, load = self.begin(**SHORT_SESSIONS)
        disturbed = collections.defaultdict(list)  # name -> what was committed when it was
        mortal = {"session_ms": 6000}  # so that who dies is soon found out
        running = [self.join(**mortal) for _ in range(MEMBERS)]
        wait_even(self.client, PARTITIONS, running)
        order = ["kill", "pause", "coordinator", "kill", "pause and coordinator", "kill"]
        random.shuffle(order)
        for what in order:
            load.wait_progress()
            victim = running.pop(random.randrange(len(running)))
            if what == "kill":
                victim.kill()
                disturbed[victim.name].append(self.client.committed())
                running.append(self.join(**mortal))
            if "pause" in what:
                victim.pause()
                disturbed[victim.name].append(self.client.committed())
            if "coordinator" in what:
                self.client.find()
                dead = cluster.brokers[self.client.coordinator]
                dead.kill()
                self.client.drop()
                wait_for("another coordinator", lambda dead=dead: self.client.find() and self.client.coordinator != dead.id)
                load.wait_progress()
                dead.start()
                cluster.wait_isr("__consumer_offsets", [0, 1, 2])
            if "pause" in what:
                wait_for("the paused member is taken out",
                         lambda v=victim: v.name not in {m.client_id for m in self.client.describe().members})
                victim.resume()
            if what != "kill":
                running.append(victim)
            wait_even(self.client, PARTITIONS, running)
        self.wait_all_printed(load)
        for member in running:
            self.assertIsNone(member.process.poll(), member.said())
        places, _ = self.printed()
        self.assert_nothing_skipped(places)
        unexplained = {
            place: names for place, names in places.items() if len(names) > 1 and not any(
                committed.get(place[0], 0) <= place[1] for name in names for committed in disturbed[name])}
        self.assertEqual(unexplained, {}, "a record is read again only past the last commit of who was disturbed")
        wait_even(self.client, PARTITIONS, running)


if __name__ == "__main__":
    unittest.main()
