"""Consumer groups over generated code alone: members share and take over, and commits outlive the coordinator's broker."""
import unittest
import uuid

from harness import SHORT_SESSIONS, ClusterTest, Wire, wait_for, envelope_pb2, error_pb2

RETRY = (error_pb2.ERROR_CLASS_RETRY, error_pb2.ERROR_CLASS_REFRESH_METADATA)


class GroupError(AssertionError):
    def __init__(self, error):
        super().__init__(f"{error_pb2.ErrorCode.Name(error.code)}: {error.message}")
        self.code = error.code


class GroupClient:
    """Follows a group's coordinator."""

    def __init__(self, cluster, group):
        self.cluster, self.group, self.wire, self.coordinator = cluster, group, None, None

    def find(self):
        """Asks any live broker; sets `coordinator` to its id."""
        for broker in self.cluster.brokers:
            if broker.process is None:
                continue
            request = envelope_pb2.Request()
            request.find_coordinator.group_ids.append(self.group)
            with Wire(broker.address) as wire:
                found = wire.call(request).find_coordinator
            if not found.coordinators:
                continue
            place = found.coordinators[0]
            if place.error.code == error_pb2.NONE and self.cluster.brokers[place.broker_id].process is not None:
                self.coordinator = place.broker_id
                return f"{place.host}:{place.port}"
        return None

    def ask(self, fill, item_error=lambda response: None):
        """Sends what `fill` puts into a request until the answer is not about who coordinates."""
        def once():
            request = envelope_pb2.Request()
            fill(request)
            try:
                if self.wire is None:
                    address = self.find()
                    if address is None:
                        return None
                    self.wire = Wire(address)
                response = self.wire.call(request)
            except (OSError, EOFError):
                self.drop()
                return None
            error = response.header.error if response.header.error.code else item_error(response)
            if error is not None and error.code and error.error_class in RETRY:
                self.drop()
                return None
            return response
        response = wait_for(f"the coordinator of {self.group} answers", once)
        if response.header.error.code:
            raise GroupError(response.header.error)
        return response

    def drop(self):
        if self.wire is not None:
            self.wire.close()
            self.wire = None

    def committed(self):
        answer = self.ask(lambda r: r.offset_fetch.groups.add(group_id=self.group),
                          lambda r: r.offset_fetch.groups[0].error)
        return {p.partition: p.offset for t in answer.offset_fetch.groups[0].topics for p in t.partitions}

    def describe(self):
        def fill(request):
            request.describe_groups.group_ids.append(self.group)
        return self.ask(fill, lambda r: r.describe_groups.groups[0].error).describe_groups.groups[0]


class Member(GroupClient):
    """A member that lets go at once of what it is asked for."""

    def __init__(self, cluster, group, topic, session_ms=60000):
        super().__init__(cluster, group)
        self.session_ms = session_ms
        self.id, self.epoch, self.topic, self.topic_id, self.held = str(uuid.uuid4()), 0, topic, b"", set()

    def beat(self, epoch=None):
        def fill(request):
            beat = request.consumer_group_heartbeat
            beat.group_id, beat.member_id = self.group, self.id
            beat.member_epoch = self.epoch if epoch is None else epoch
            if beat.member_epoch == 0:
                beat.subscription.topics.append(self.topic)
                beat.rebalance_timeout_ms, beat.session_timeout_ms = 60000, self.session_ms
            beat.owned.SetInParent()
            if self.held:
                beat.owned.topics.add(topic_id=self.topic_id, partitions=sorted(self.held))
        answer = self.ask(fill).consumer_group_heartbeat
        self.epoch = answer.member_epoch
        if answer.HasField("assignment"):
            self.held = {p for t in answer.assignment.topics for p in t.partitions}
            self.topic_id = answer.assignment.topics[0].topic_id if answer.assignment.topics else self.topic_id
        return self.held

    def commit(self, offsets):
        def fill(request):
            commit = request.offset_commit
            commit.group_id, commit.member_id, commit.member_epoch = self.group, self.id, self.epoch
            topic = commit.topics.add(topic_id=self.topic_id)
            for partition, offset in offsets.items():
                topic.partitions.add(partition=partition, offset=offset)
        answer = self.ask(fill)
        return {p.partition for t in answer.offset_commit.topics for p in t.partitions if not p.error.code}


class Groups(ClusterTest):
    def settled(self, *members):
        """All beat until every partition is held and the shares differ by one at most."""
        def even():
            shares = [member.beat() for member in members]
            return sum(map(len, shares)) == 6 and max(map(len, shares)) - min(map(len, shares)) <= 1 and \
                len(set().union(*shares)) == 6
        wait_for("the members share all partitions evenly", even)

    def test_members_share_and_one_takes_over(self):
        cluster = self.cluster(3, offsets__topic__num__partitions=5)
        cluster.create_topic("orders", 6, 3)
        # Only who is to die has a short session: the other may stand still.
        first, second = Member(cluster, "readers", "orders"), Member(cluster, "readers", "orders", session_ms=6000)
        self.settled(first)
        self.settled(first, second)
        self.assertEqual(len(first.describe().members), 2)
        # The second dies without a word: the first has everything when the session has timed out.
        second.drop()
        self.settled(first)
        self.assertIn(second.id, first.describe().last_rebalance.detail)
        with self.assertRaises(GroupError) as fenced:
            second.beat()
        self.assertEqual(fenced.exception.code, error_pb2.UNKNOWN_MEMBER_ID)
        second.epoch, second.held = 0, set()
        self.settled(first, second)
        second.beat(epoch=-1)
        self.settled(first)

    def test_commits_outlive_the_coordinators_broker(self):
        cluster = self.cluster(3, offsets__topic__num__partitions=5, **SHORT_SESSIONS)
        cluster.create_topic("orders", 6, 3)
        member = Member(cluster, "readers", "orders")
        self.settled(member)
        cluster.wait_isr("__consumer_offsets", [0, 1, 2])
        for round_ in range(3):
            for offset in range(20):
                wanted = {p: round_ * 100 + offset for p in member.held}
                self.assertEqual(len(wanted), 6)
                # What is refused may be stored all the same, when followers were slow to follow: it is sent again.
                wait_for("all is committed", lambda w=wanted: member.commit(w) == set(w))
            member.find()
            dead = cluster.brokers[member.coordinator]
            dead.kill()
            member.drop()
            self.assertEqual(member.committed(), wanted)
            self.assertNotEqual(member.coordinator, dead.id)
            self.settled(member)
            dead.start()
            cluster.wait_isr("__consumer_offsets", [0, 1, 2])


if __name__ == "__main__":
    unittest.main()
