// Named tests for the bugs of ZooKeeper-era Kafka that a replica can have, each as it happened there.
#include <gtest/gtest.h>

#include "common/fault.h"
#include "tests/unit/replica/cluster.h"

namespace tidemark {
namespace {

// KAFKA-1211, KIP-101: a follower truncated to its own late high watermark, then led without acknowledged
// records.
void LateHighWatermark(std::string* bodies) {
  Cluster cluster(2);
  cluster.Hold(Hop::kFetchAnswer, 1, 2);
  cluster.Run(1s);
  cluster.Release(Hop::kFetchAnswer, 1, 2);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto acked = cluster.Await(1, 1);
  // The answer that would tell the follower of the new high watermark never comes.
  for (int i = 0; i < 100 && !*acked; ++i) {
    cluster.Run(1ms);
    if (cluster[1].replica().high_watermark() == 1) cluster.Hold(Hop::kFetchAnswer, 1, 2);
  }
  ASSERT_TRUE(*acked && **acked);
  cluster[2].Kill();
  cluster[2].Start();
  cluster.Send({2});
  cluster[1].Kill();
  cluster.Elect(2);
  *bodies = cluster[2].log().Bodies();
}

TEST(Museum, Case1AFollowerDoesNotTruncateToItsHighWatermark) {
  std::string bodies;
  LateHighWatermark(&bodies);
  EXPECT_EQ(bodies, "a");
}

// KAFKA-6361, KIP-279: after two fast failovers the follower's last epoch is not known to the new leader.
TEST(Museum, Case2TwoFastFailoversEndInOneHistory) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  // 1 writes two records that nobody fetches.
  cluster.Hold(Hop::kFetchAnswer, 1, 0);
  ASSERT_TRUE(cluster.Produce(1, "x", 1));
  ASSERT_TRUE(cluster.Produce(1, "y", 1));
  cluster.Elect(2, {2});
  cluster.Hold(Hop::kFetchAnswer, 2, 0);
  ASSERT_TRUE(cluster.Produce(2, "p", 1));
  cluster.Elect(3, {3});
  ASSERT_TRUE(cluster.Produce(3, "q", 1));
  cluster.held.clear();
  cluster.released.NotifyAll();
  cluster.Send({1, 2});
  cluster.Run(5s);
  for (BrokerId b : {1, 2, 3}) EXPECT_EQ(cluster[b].log().Bodies(), "aq") << b;
  EXPECT_EQ(cluster[1].log().records(), cluster[3].log().records());
  EXPECT_EQ(cluster[2].log().records(), cluster[3].log().records());
  EXPECT_GE(cluster[1].table->counters().truncations, 1u);
}

// KAFKA-6880, 7395, KIP-320: a broker deaf to the controller goes on fetching through two elections.
TEST(Museum, Case3ADeafBrokerIsFencedByTheEpochInEveryFetch) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster.Hold(Hop::kFetchAnswer, 1, 2);
  ASSERT_TRUE(cluster.Produce(1, "x", 1));
  cluster.Run(200ms);
  ASSERT_EQ(cluster[3].log().Bodies(), "ax");
  // 3 hears nothing of these: 2 leads and writes, then 1 again.
  cluster.Elect(2, {1, 2});
  cluster.Release(Hop::kFetchAnswer, 1, 2);
  ASSERT_TRUE(cluster.Produce(2, "p", 1));
  cluster.Run();
  cluster.Elect(1, {1, 2});
  ASSERT_TRUE(cluster.Produce(1, "q", 1));
  cluster.Run();
  ASSERT_EQ(cluster[1].log().Bodies(), "apq");
  EXPECT_EQ(cluster[3].log().Bodies(), "ax") << "nothing of another epoch was appended";
  EXPECT_FALSE(cluster[1].replica().leader_state()->followers()[1].ends) << "nor counted";
  cluster.Send({3});
  cluster.Run();
  EXPECT_EQ(cluster[3].log().records(), cluster[1].log().records());
}

// KIP-320's first try: the high watermark rose on a fetch of an older epoch.
TEST(Museum, Case4AFetchOfAnOlderEpochMovesNoHighWatermark) {
  Cluster cluster(2);
  cluster.Run();
  // The fetch that tells that 2 has the record is held up over a re-election.
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Hold(Hop::kFetch, 2, 1);
  cluster.Run(700ms);
  ASSERT_EQ(cluster[2].log().Bodies(), "a");
  const Offset before = cluster[1].replica().high_watermark();
  cluster.Elect(1, {1});
  const uint64_t fenced = cluster[1].table->counters().fenced_requests;
  cluster.Release(Hop::kFetch, 2, 1);
  cluster.Run(100ms);
  EXPECT_EQ(cluster[1].replica().high_watermark(), before);
  EXPECT_GT(cluster[1].table->counters().fenced_requests, fenced);
  cluster.Send({2});
  cluster.Run();
  EXPECT_EQ(cluster[1].replica().high_watermark(), 1u);
}

// KAFKA-7164, 7128: a follower joined the ISR before it had reached the start of the leader's epoch.
TEST(Museum, Case5NobodyJoinsBelowTheStartOfTheEpoch) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[3].Kill();
  cluster.Elect(1);
  ASSERT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
  // 2 has a record that is not committed as far as it knows; then it leads.
  cluster.Run();
  cluster.Hold(Hop::kFetch, 2, 1);
  ASSERT_TRUE(cluster.Produce(1, "b", 1));
  cluster.Run(700ms);
  ASSERT_EQ(cluster[2].log().Bodies(), "ab");
  cluster[1].Kill();
  cluster.state.clear_isr();
  cluster.state.add_isr(2);
  cluster.Elect(2);
  cluster[3].Start();
  // 3 is given nothing beyond what it has: it is at the high watermark it knew, below the start of the epoch.
  cluster[3].disk->auto_flush = false;
  cluster.Send({3});
  cluster.Run(1s);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{2}));
  cluster[3].disk->auto_flush = true;
  cluster[3].disk->Flush();
  cluster.Run();
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{2, 3}));
}

// KAFKA-2729: a cached version that was stale for ever.
TEST(Museum, Case6AVersionConflictIsAdoptedOrStepsBack) {
  Cluster cluster(3);
  cluster.Run();
  // Somebody else changed the state in the same leader epoch, and the leader was not told.
  cluster.state.set_partition_epoch(cluster.state.partition_epoch() + 5);
  cluster[3].Kill();
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run(60s);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
  EXPECT_EQ(cluster[1].replica().partition_epoch(), cluster.state.partition_epoch());
  // Another epoch: it leads no more.
  cluster.Elect(2, {}, false);
  cluster[3].Start();
  cluster.Send({3});
  cluster[2].Kill();
  ASSERT_TRUE(cluster.Produce(1, "b", 1));
  cluster.Run(60s);
  EXPECT_EQ(cluster[1].replica().role(), PartitionRole::kNone);
  EXPECT_EQ(cluster.Produce(1, "c", 1).error().code, v1::NOT_LEADER_OR_FOLLOWER);
  EXPECT_EQ(cluster[1].replica().leader_known().leader, 2);
}

// KAFKA-9539, KIP-570: a late StopReplica deleted a live replica.
TEST(Museum, Case9ALateStopReplicaIsFenced) {
  Cluster cluster(2);
  v1::StopReplicaRequest::Replica stop;
  stop.set_topic_id(cluster.key.topic.ToBytes());
  stop.set_topic("t");
  stop.set_leader_epoch(0);
  stop.set_delete_data(true);
  cluster.Elect(1);
  auto failed = cluster.loop.Run(cluster[2].table->StopReplicas({stop}));
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].error().code(), v1::FENCED_LEADER_EPOCH);
  EXPECT_NE(cluster[2].disk, nullptr);
  stop.set_leader_epoch(1);
  EXPECT_TRUE(cluster.loop.Run(cluster[2].table->StopReplicas({stop})).empty());
  EXPECT_EQ(cluster[2].disk, nullptr);
  EXPECT_EQ(cluster[2].table->Find(cluster.key), nullptr);
}

// KAFKA-8836, KIP-497 and its races: the high watermark on the wrong ISR, two changes in flight.
TEST(Museum, Case10AShrinkCountsWhenItIsCommittedAndAnExpansionAtOnce) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[3].Kill();
  cluster.Hold(Hop::kAlter, 1, 0);
  ASSERT_TRUE(cluster.Produce(1, "b"));
  cluster.Run(60s);
  EXPECT_EQ(cluster[1].replica().high_watermark(), 1u) << "the shrink is not committed";
  cluster.Release(Hop::kAlter, 1, 0);
  cluster.Run();
  EXPECT_EQ(cluster[1].replica().high_watermark(), 2u);
  ASSERT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
  // 3 comes back and reaches the high watermark; the answer to the expansion is lost on the way.
  cluster.Hold(Hop::kAlterAnswer, 0, 1);
  cluster[3].Start();
  cluster.Send({3});
  cluster.Run();
  ASSERT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
  cluster.Hold(Hop::kFetch, 3, 1);
  cluster.Run(600ms);
  ASSERT_TRUE(cluster.Produce(1, "c"));
  cluster.Run(5s);
  EXPECT_EQ(cluster[1].replica().high_watermark(), 2u)
      << "3 is a member, though the leader does not know it yet";
  EXPECT_EQ(cluster.most_alters_in_flight, 1);
}

// KAFKA-14140, 13916, KIP-841: a dead broker was added back.
TEST(Museum, Case11ARefusedMemberIsNoMember) {
  Cluster cluster(2, {.min_insync_replicas = 1});
  cluster[2].Kill();
  cluster.Elect(1);
  cluster[2].Start();
  cluster.Hold(Hop::kAlter, 1, 0);
  cluster.Send({2});
  cluster.Run(300ms);
  ASSERT_EQ(cluster.alters_in_flight, 1);
  cluster[2].Kill();
  cluster.Release(Hop::kAlter, 1, 0);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run(100ms);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1}));
  EXPECT_EQ(cluster[1].replica().high_watermark(), 1u);
  EXPECT_GE(cluster[1].table->counters().isr_failed_updates, 1u);
}

// KAFKA-14617, KIP-903: a replica came back with an empty disk and a late request made it a member again.
TEST(Museum, Case12AnEmptyDiskIsANewLife) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  for (const char* body : {"a", "b"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  // The wish for 3 names the life that had everything; it is late.
  cluster[3].Kill();
  cluster.Elect(1);
  cluster[3].Start();
  cluster.Hold(Hop::kAlter, 1, 0);
  cluster.Send({3});
  cluster.Run(300ms);
  ASSERT_EQ(cluster.alters_in_flight, 1);
  cluster[3].Kill(true, true);
  cluster[3].Start();
  cluster.Hold(Hop::kFetchAnswer, 1, 3);
  cluster.Send({3});
  cluster.Release(Hop::kAlter, 1, 0);
  cluster.Run(300ms);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
  EXPECT_EQ(cluster[3].log().Bodies(), "");
  cluster.Release(Hop::kFetchAnswer, 1, 3);
  cluster.Run(3s);
  EXPECT_EQ(cluster[3].log().Bodies(), "ab");
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
}

TEST(Museum, Case12AMemberThatLostItsDiskLeavesTheIsrAtOnce) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[3].Kill(true, true);
  cluster[3].Start();
  // The controller has not noticed; the leader sees it by the first fetch of the new life.
  std::vector<std::vector<BrokerId>> isrs;
  cluster.on_fetch = [&](BrokerId, const v1::FetchRequest&) { isrs.push_back(cluster.Isr()); };
  cluster.Send({3});
  cluster.Run(3s);
  EXPECT_GE(cluster[1].table->counters().isr_shrinks, 1u);
  EXPECT_EQ(cluster[3].log().Bodies(), "a");
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
}

// KAFKA-9307 and kin: a transition failed half-way, but its epoch was on record and the retry was ignored.
// Two leaders in a row began epochs that hold no record, and the next one goes on with an older epoch's
// records.
TEST(Museum, Case2AnEpochWithoutRecordsBindsNobody) {
  Cluster cluster(3, {.min_insync_replicas = 1});
  cluster.Run();
  cluster.Hold(Hop::kFetchAnswer, 1, 2);
  ASSERT_TRUE(cluster.Produce(1, "a"));  // 3 has it, 2 does not
  cluster.Run(100ms);
  cluster.Elect(2, {2});
  cluster.Elect(3, {2, 3});
  cluster.held.clear();
  cluster.released.NotifyAll();
  cluster.Send();
  cluster.Run();
  for (BrokerId b : {1, 2, 3}) EXPECT_EQ(cluster[b].log().Bodies(), "a") << b;
  EXPECT_EQ(cluster[3].replica().high_watermark(), 1u);
}

TEST(Museum, Case17AHalfDoneTransitionIsRetried) {
  Cluster cluster(2);
  cluster[2].log().fail_begin_epoch = 1;
  cluster.Elect(2, {}, false);
  cluster.Send({2}, false);
  EXPECT_EQ(cluster[2].replica().role(), PartitionRole::kNone);
  cluster.Send({2});
  EXPECT_EQ(cluster[2].replica().role(), PartitionRole::kLeader);
}

// KAFKA-8733, KIP-501: a leader that stood still found its followers late.
TEST(Museum, Case19APausedLeaderDoesNotShrinkTheIsr) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster.Hold(Hop::kFetch, 2, 1);
  cluster.Hold(Hop::kFetch, 3, 1);
  ASSERT_TRUE(cluster.Produce(1, "b"));
  cluster.loop.Stall(100s);
  cluster.Run(10ms);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
  cluster.Release(Hop::kFetch, 2, 1);
  cluster.Release(Hop::kFetch, 3, 1);
  cluster.Run(40s);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
  EXPECT_EQ(cluster[1].table->counters().isr_shrinks, 0u);
}

#ifdef TIDEMARK_FAULT_SWITCHES
class Switch {
 public:
  explicit Switch(std::string name) : name_(std::move(name)) { SetFaultSwitch(name_, true); }
  ~Switch() { SetFaultSwitch(name_, false); }

 private:
  std::string name_;
};

TEST(PlantedBug, TruncateToHighWatermarkLosesAnAcknowledgedRecord) {
  Switch bug("truncate-to-hw");
  std::string bodies;
  LateHighWatermark(&bodies);
  EXPECT_EQ(bodies, "") << "case 1 can fail";
}

TEST(PlantedBug, AckBeforeFlushLosesAnAcknowledgedRecordWithThePower) {
  for (bool planted : {false, true}) {
    std::optional<Switch> bug;
    if (planted) bug.emplace("ack-before-flush");
    Cluster cluster(2);
    for (BrokerId b : {1, 2}) cluster[b].log().auto_flush = false;
    ASSERT_TRUE(cluster.Produce(1, "a"));
    auto acked = cluster.Await(1, 1);
    cluster.Run();
    EXPECT_EQ(acked->has_value(), planted);
  }
}

TEST(PlantedBug, FetchWithoutEpochLetsHistoriesPart) {
  for (bool planted : {false, true}) {
    std::optional<Switch> bug;
    if (planted) bug.emplace("fetch-without-epoch");
    Cluster cluster(3, {.min_insync_replicas = 1});
    ASSERT_TRUE(cluster.Produce(1, "a"));
    cluster.Run();
    cluster.Hold(Hop::kFetchAnswer, 1, 2);
    ASSERT_TRUE(cluster.Produce(1, "x", 1));
    cluster.Run(200ms);
    cluster.Elect(2, {1, 2});
    cluster.held.clear();
    cluster.released.NotifyAll();
    ASSERT_TRUE(cluster.Produce(2, "p", 1));
    cluster.Send({3});
    ASSERT_TRUE(cluster.Produce(2, "q", 1));
    cluster.Run(3s);
    EXPECT_EQ(cluster[3].log().Bodies() == cluster[2].log().Bodies(), !planted);
  }
}
#endif

}  // namespace
}  // namespace tidemark
