// A partition as leader and as follower, fetch slices, and logs that fail.
#include <gtest/gtest.h>

#include "tests/unit/replica/cluster.h"

namespace tidemark {
namespace {

TEST(Produce, IsAcknowledgedWhenEveryMemberHasItOnDisk) {
  Cluster cluster(3);
  cluster[2].log().auto_flush = false;
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto acked = cluster.Await(1, 1);
  cluster.Run();
  EXPECT_EQ(cluster[2].log().Bodies(), "a");
  EXPECT_FALSE(*acked) << "broker 2 has not flushed";
  cluster[2].log().Flush();
  cluster.Run(10ms);
  ASSERT_TRUE(*acked) << "its progress comes while its fetch is parked";
  EXPECT_TRUE(**acked);
  EXPECT_EQ(cluster[1].replica().high_watermark(), 1u);
}

TEST(Produce, ReplicatedDurabilityCountsLogEnds) {
  Cluster cluster(2, {.log = {.durability = AckDurability::kReplicated}, .min_insync_replicas = 2});
  for (BrokerId b : {1, 2}) cluster[b].log().auto_flush = false;
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto acked = cluster.Await(1, 1);
  cluster.Run();
  EXPECT_TRUE(*acked && **acked);
}

TEST(Produce, FlushMessagesKeepsWhatIsAcknowledgedCloseToTheDisk) {
  Cluster cluster(
      2, {.log = {.durability = AckDurability::kReplicated, .flush_messages = 2}, .min_insync_replicas = 2});
  for (BrokerId b : {1, 2}) cluster[b].log().auto_flush = false;
  Partition& leader = cluster[1].replica();
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto first = cluster.Await(1, 1);
  cluster.Run();
  EXPECT_TRUE(*first && **first) << "one may be lost with the power";
  ASSERT_TRUE(cluster.Produce(1, "b"));
  auto second = cluster.Await(1, 2);
  cluster.Run();
  EXPECT_EQ(cluster[2].log().Bodies(), "ab");
  EXPECT_FALSE(leader.FlushedAsConfigured(2));
  cluster[1].log().Flush();
  cluster.Run(10ms);
  EXPECT_TRUE(leader.FlushedAsConfigured(2));
  EXPECT_FALSE(*second) << "broker 2 has not flushed";
  cluster[2].log().Flush();
  cluster.Run(10ms);
  EXPECT_TRUE(*second && **second) << "its progress comes while its fetch is parked";
  // With disks that answer nobody waits.
  for (BrokerId b : {1, 2}) cluster[b].log().auto_flush = true;
  for (const char* body : {"c", "d", "e"}) ASSERT_TRUE(cluster.Produce(1, body));
  auto all = cluster.Await(1, 5);
  cluster.Run(500ms);
  EXPECT_TRUE(*all && **all);
}

TEST(Produce, OneAcknowledgementWaitsForTheLeadersDiskWhereFlushMessagesSaysSo) {
  Cluster cluster(
      2, {.log = {.durability = AckDurability::kReplicated, .flush_messages = 1}, .min_insync_replicas = 2});
  cluster[1].log().auto_flush = false;
  Partition& leader = cluster[1].replica();
  ASSERT_TRUE(cluster.Produce(1, "a", 1));
  const auto wait = [&](Offset end) {
    return cluster.loop.Run(leader.WaitFlushed(end, *leader.leader_epoch(), cluster.loop.Now() + 1s, {}));
  };
  EXPECT_EQ(wait(1).error().code, v1::REQUEST_TIMED_OUT);
  cluster[1].log().Flush();
  EXPECT_TRUE(wait(1));
  ASSERT_TRUE(cluster.Produce(1, "b", 1));
  const LeaderEpoch epoch = *leader.leader_epoch();
  cluster.Elect(2);
  const auto lost = cluster.loop.Run(leader.WaitFlushed(2, epoch, cluster.loop.Now() + 1s, {}));
  EXPECT_EQ(lost.error().code, v1::NOT_LEADER_OR_FOLLOWER);
}

TEST(FullDirectory, StopsProducersAndFollowersButNoInternalTopic) {
  for (const std::string topic : {"t", "__consumer_offsets"}) {
    const bool internal = topic != "t";
    Cluster cluster(2, {.min_insync_replicas = 2}, topic);
    ASSERT_TRUE(cluster.Produce(1, "a"));
    cluster.Run();
    cluster[2].log().full = true;
    ASSERT_TRUE(cluster.Produce(1, "b"));
    cluster.Run(10s);
    EXPECT_EQ(cluster[2].log().Bodies(), internal ? "ab" : "a") << topic;
    cluster[1].log().full = true;
    const auto refused = cluster.Produce(1, "c");
    EXPECT_EQ(refused.has_value(), internal) << topic;
    if (!internal) EXPECT_EQ(refused.error().code, v1::DISK_FULL);
  }
}

TEST(Produce, IsRefusedByAFollowerWhichNamesTheLeader) {
  Cluster cluster(2);
  EXPECT_EQ(cluster.Produce(2, "a").error().code, v1::NOT_LEADER_OR_FOLLOWER);
  EXPECT_EQ(cluster[2].replica().leader_known().leader, 1);
}

TEST(Produce, IsFencedByTheLeaderEpoch) {
  Cluster cluster(1, {.min_insync_replicas = 1});
  cluster.Elect(1);
  UnstampedBatch batch{.body = "a"};
  Partition& partition = cluster[1].replica();
  EXPECT_EQ(partition.Append(std::span(&batch, 1), 1, 0).error().code, v1::FENCED_LEADER_EPOCH);
  EXPECT_EQ(partition.Append(std::span(&batch, 1), 1, 2).error().code, v1::UNKNOWN_LEADER_EPOCH);
  EXPECT_TRUE(partition.Append(std::span(&batch, 1), 1, 1));
}

TEST(Produce, NeedsEnoughMembersForAllButNotForOne) {
  Cluster cluster(3);
  cluster[2].Kill();
  cluster[3].Kill();
  cluster.Elect(1);
  EXPECT_EQ(cluster.Produce(1, "a", -1).error().code, v1::NOT_ENOUGH_REPLICAS);
  EXPECT_TRUE(cluster.Produce(1, "a", 1));
  cluster.Run();
  EXPECT_EQ(cluster[1].replica().high_watermark(), 0u) << "too few members to commit anything";
}

TEST(Produce, LearnsThatTheIsrBecameTooSmall) {
  Cluster cluster(2);
  cluster[2].Kill();
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto acked = cluster.Await(1, 1);
  cluster.Run(60s);
  ASSERT_TRUE(*acked);
  EXPECT_EQ((*acked)->error().code, v1::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
}

TEST(Produce, LearnsThatLeadershipWasLost) {
  Cluster cluster(2);
  cluster.Hold(Hop::kFetch, 2, 1);
  cluster.Run(1s);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto acked = cluster.Await(1, 1);
  cluster.Elect(2);
  ASSERT_TRUE(*acked);
  EXPECT_EQ((*acked)->error().code, v1::NOT_LEADER_OR_FOLLOWER);
}

TEST(Produce, TimesOutAtItsDeadline) {
  Cluster cluster(2);
  cluster.Hold(Hop::kFetch, 2, 1);
  cluster.Run(1s);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  const auto result = cluster.loop.Run(cluster[1].replica().WaitCommitted(1, 0, cluster.loop.Now() + 1s, {}));
  EXPECT_EQ(result.error().code, v1::REQUEST_TIMED_OUT);
}

TEST(Consumer, SeesNothingAboveTheHighWatermark) {
  Cluster cluster(2);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster.Hold(Hop::kFetch, 2, 1);
  cluster.Run(1s);
  ASSERT_TRUE(cluster.Produce(1, "b"));
  Partition& leader = cluster[1].replica();
  EXPECT_EQ(cluster.loop.Run(leader.ReadForConsumer(0, {}, 1000))->records, "0 0 a\n");
  EXPECT_EQ(cluster.loop.Run(leader.ReadForConsumer(1, {}, 1000))->records, "");
  EXPECT_EQ(cluster.loop.Run(leader.ReadForConsumer(2, {}, 1000))->records, "");
  EXPECT_EQ(cluster.loop.Run(leader.ReadForConsumer(3, {}, 1000)).error().code, v1::OFFSET_OUT_OF_RANGE);
  EXPECT_EQ(cluster.loop.Run(cluster[2].replica().ReadForConsumer(0, {}, 1)).error().code,
            v1::NOT_LEADER_OR_FOLLOWER);
}

TEST(ListOffsets, LatestIsNotToldBeforeTheEpochsStartIsCommitted) {
  Cluster cluster(2);
  cluster.Run();
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Hold(Hop::kFetch, 2, 1);
  cluster.Hold(Hop::kFetch, 1, 2);
  cluster.Run(10ms);
  cluster.Elect(2);
  Partition& leader = cluster[2].replica();
  ASSERT_EQ(leader.log_end(), 1u);
  ASSERT_EQ(leader.high_watermark(), 0u);
  EXPECT_EQ(cluster.loop.Run(leader.ListOffset(-1, {})).error().code, v1::OFFSET_NOT_AVAILABLE);
  EXPECT_EQ(cluster.loop.Run(leader.ListOffset(-2, {}))->offset(), 0u);
  cluster.Release(Hop::kFetch, 1, 2);
  cluster.Run();
  EXPECT_EQ(cluster.loop.Run(leader.ListOffset(-1, {}))->offset(), 1u);
}

TEST(Transition, ObeysOnlyWhatIsNewer) {
  Cluster cluster(2);
  cluster.Elect(1);
  v1::PartitionState old = cluster.state;
  old.set_leader_epoch(0);
  old.set_leader(2);
  EXPECT_EQ(cluster.loop.Run(cluster[1].replica().ApplyLeaderAndIsr(old)).error().code,
            v1::FENCED_LEADER_EPOCH);
  EXPECT_TRUE(cluster.loop.Run(cluster[1].replica().ApplyLeaderAndIsr(cluster.state))) << "the same again";
  EXPECT_EQ(cluster[1].table->counters().became_leader, 2u);
}

TEST(Transition, AnEpochBelowTheLogsIsRefused) {
  Cluster cluster(2);
  for (int i = 0; i < 3; ++i) cluster.Elect(1);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[1].Kill();
  cluster[1].Start();
  cluster.state.set_leader_epoch(1);  // ZooKeeper forgot two elections
  cluster.Send({1}, false);
  EXPECT_EQ(cluster[1].replica().role(), PartitionRole::kNone);
}

TEST(Follower, BeginsAnewAtTheLeadersLogStart) {
  Cluster cluster(2, {.min_insync_replicas = 1});
  cluster[2].Kill();
  cluster.Elect(1);
  for (const char* body : {"a", "b", "c"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster[1].log().AdvanceStartTo(2);
  cluster[2].Start();
  cluster.Send({2});
  cluster.Run();
  EXPECT_EQ(cluster[2].log().Bodies(), "c");
  EXPECT_EQ(cluster[2].replica().log_start(), 2u);
  EXPECT_EQ(cluster[2].replica().high_watermark(), 3u);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
}

// Both have "a" committed; 1 alone loses it. What follows depends on whether the election said so.
void UncleanLeader(Cluster& cluster, v1::LeaderRecoveryState recovery) {
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[1].Kill(true, true);
  cluster[1].Start();
  cluster.state.set_recovery_state(recovery);
  cluster.state.clear_isr();
  cluster.state.add_isr(1);
  cluster.Elect(1);
  ASSERT_TRUE(cluster.Produce(1, "z", 1));
  cluster.Run(3s);
}

TEST(Follower, TruncatesBelowItsHighWatermarkOnlyAfterAnUncleanElection) {
  Cluster recovering(2, {.min_insync_replicas = 1});
  UncleanLeader(recovering, v1::LEADER_RECOVERY_STATE_RECOVERING);
  EXPECT_EQ(recovering[2].log().Bodies(), "z");
  EXPECT_EQ(recovering.Isr(), (std::vector<BrokerId>{1, 2}));
  EXPECT_EQ(recovering.state.recovery_state(), v1::LEADER_RECOVERY_STATE_RECOVERED);

  Cluster clean(2, {.min_insync_replicas = 1});
  UncleanLeader(clean, v1::LEADER_RECOVERY_STATE_RECOVERED);
  EXPECT_EQ(clean[2].log().Bodies(), "a") << "nothing committed is cut";
  EXPECT_TRUE(clean[2].replica().offline());
  EXPECT_EQ(clean[2].table->counters().went_offline, 1u);
}

TEST(Health, ADamagedFollowerLeavesTheIsrAndIsCopiedWhole) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[3].Kill();
  cluster[3].disk->Damage();
  cluster[3].Start();
  cluster.Send({3});
  cluster.Run(3s);
  EXPECT_EQ(cluster[3].resigned, std::vector<v1::ResignReason>{v1::RESIGN_REASON_OFFLINE_LOG});
  EXPECT_EQ(cluster[3].aside, nullptr) << "nobody has told it that it is out";
  cluster.Send();
  cluster.Run(3s);
  EXPECT_EQ(cluster[3].resigned.size(), 1u);
  ASSERT_NE(cluster[3].aside, nullptr);
  EXPECT_EQ(cluster[3].aside->Bodies(), "a");
  EXPECT_EQ(cluster[3].log().Bodies(), "a");
  EXPECT_FALSE(cluster[3].replica().offline());
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
}

TEST(Health, ADamagedLeaderIsRelievedAndCopiedWhole) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[1].log().Damage();
  EXPECT_EQ(cluster.loop.Run(cluster[1].replica().ReadForConsumer(0, {}, 100)).error().code,
            v1::KAFKA_STORAGE_ERROR);
  EXPECT_EQ(cluster.Produce(1, "b").error().code, v1::KAFKA_STORAGE_ERROR);
  ASSERT_EQ(cluster.state.leader(), 2);
  cluster.Send();
  cluster.Run(3s);
  ASSERT_NE(cluster[1].aside, nullptr);
  EXPECT_EQ(cluster[1].log().Bodies(), "a");
  EXPECT_EQ(cluster.Isr().size(), 3u);
}

TEST(Repair, ADamagedFollowerFillsTheRangeFromItsLeaderAndStaysInTheIsr) {
  Cluster cluster(3);
  for (const char* body : {"a", "b", "c", "d"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  cluster[3].log().Rot(1, 2);
  cluster.Run(3s);
  EXPECT_TRUE(cluster[3].log().damaged().empty());
  EXPECT_TRUE(cluster[3].log().repaired_with.starts_with("1 0 b\n2 0 c\n")) << cluster[3].log().repaired_with;
  EXPECT_EQ(cluster[3].table->counters().repaired, 1u);
  EXPECT_EQ(cluster[3].table->counters().damaged_ranges, 1u);
  EXPECT_TRUE(cluster[3].resigned.empty());
  EXPECT_EQ(cluster[3].aside, nullptr);
  EXPECT_EQ(cluster.Isr().size(), 3u) << "what it asks for a repair says nothing of its end";
  EXPECT_FALSE(cluster[3].replica().offline());
}

TEST(Repair, ADamagedLeaderIsRelievedStaysInTheIsrAndRepairsAsFollower) {
  Cluster cluster(3);
  for (const char* body : {"a", "b", "c"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  cluster[1].log().Rot(1, 1);
  EXPECT_EQ(cluster.loop.Run(cluster[1].replica().ReadForConsumer(1, {}, 100)).error().code,
            v1::CORRUPT_MESSAGE);
  EXPECT_TRUE(cluster.loop.Run(cluster[1].replica().ReadForConsumer(0, {}, 8))) << "other offsets go on";
  EXPECT_TRUE(cluster.Produce(1, "on"));
  cluster.Run(100ms);
  ASSERT_EQ(cluster.state.leader(), 2);
  EXPECT_EQ(cluster[1].resigned.front(), v1::RESIGN_REASON_DAMAGED_LOG);
  cluster.Send();
  cluster.Run(3s);
  EXPECT_TRUE(cluster[1].log().damaged().empty());
  EXPECT_EQ(cluster.Isr().size(), 3u);
  EXPECT_EQ(cluster[1].aside, nullptr);
}

TEST(Repair, LeadershipIsNotHandedRoundWhereEveryReplicaIsDamaged) {
  Cluster cluster(3);
  for (const char* body : {"a", "b", "c"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  for (const BrokerId id : {1, 2, 3}) cluster[id].log().Rot(1, 1);
  for (int second = 0; second < 300; ++second) {
    cluster.Send();
    cluster.Run(1s);
  }
  size_t asked = 0;
  for (const BrokerId id : {1, 2, 3}) asked += cluster[id].resigned.size();
  EXPECT_GE(asked, 3u);
  EXPECT_LE(asked, 20u);
  EXPECT_EQ(cluster.Isr().size(), 3u);
  for (const BrokerId id : {1, 2, 3}) {
    EXPECT_FALSE(cluster[id].log().damaged().empty());
    EXPECT_EQ(cluster[id].aside, nullptr) << "nothing is given up for what nobody has";
  }
}

TEST(Repair, ASoleCopyGoesOnWithWhatIsWhole) {
  Cluster cluster(1, {.min_insync_replicas = 1});
  for (const char* body : {"a", "b", "c"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster[1].sole_copy = true;
  cluster[1].log().Rot(1, 1);
  cluster.Run(100s);
  EXPECT_FALSE(cluster[1].log().damaged().empty());
  EXPECT_FALSE(cluster[1].replica().offline());
  EXPECT_TRUE(cluster[1].replica().leading());
  EXPECT_TRUE(cluster.Produce(1, "on"));
  EXPECT_LE(cluster[1].resigned.size(), 6u) << "not asked again and again";
}

TEST(Repair, ACompactedLogIsCopiedWhole) {
  Cluster cluster(3);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run();
  cluster[3].log().splice = false;
  cluster[3].log().Rot(0, 0);
  cluster.Run(5s);
  EXPECT_EQ(cluster[3].aside, nullptr) << "the leader counts it by what it told of this log in this epoch";
  EXPECT_FALSE(cluster[3].replica().offline()) << "what is whole of it can still be had";
  cluster.Send();
  cluster.Run(5s);
  ASSERT_NE(cluster[3].aside, nullptr);
  EXPECT_EQ(cluster[3].log().Bodies(), "a");
  EXPECT_TRUE(cluster[3].log().damaged().empty());
  EXPECT_EQ(cluster.Isr().size(), 3u);
}

TEST(Repair, ALogIsNotGivenUpForACopyThatHasHolesOfItsOwn) {
  Cluster cluster(3);
  for (const char* body : {"a", "b", "c"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  for (const BrokerId id : {1, 2, 3}) cluster[id].log().splice = false;
  cluster[1].sole_copy = true;  // it is not relieved
  cluster[1].log().Rot(0, 0);
  cluster[3].log().Rot(2, 2);
  for (int second = 0; second < 20; ++second) {
    cluster.Send();
    cluster.Run(1s);
  }
  EXPECT_EQ(cluster[3].aside, nullptr);
  EXPECT_EQ(cluster.Isr().size(), 3u);
  EXPECT_EQ(cluster[3].log().damaged().ranges().size(), 1u);
}

TEST(Repair, AnotherLeaderThanTheOneThatWasReadIsReadFirst) {
  Cluster cluster(3);
  for (const char* body : {"a", "b"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  cluster[3].log().splice = false;
  cluster[3].log().Rot(1, 1);
  cluster.Run(50ms);
  ASSERT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2})) << "1 has shown all, and 3 may go";
  cluster[2].log().Rot(0, 0);
  cluster[2].sole_copy = true;
  cluster.Elect(2);
  cluster.Run(10s);
  EXPECT_EQ(cluster[3].aside, nullptr)
      << "its first record is the only one besides that of 1, which is not asked";
}

TEST(Repair, ARangeThatNobodyHasDoesNotKeepTheOthersWaiting) {
  Cluster cluster(3);
  for (const char* body : {"a", "b", "c", "d"}) ASSERT_TRUE(cluster.Produce(1, body));
  cluster.Run();
  cluster[1].sole_copy = true;
  for (const BrokerId id : {1, 2, 3}) cluster[id].log().Rot(1, 1);
  cluster.Run(5s);
  cluster[3].log().Rot(3, 3);
  cluster.Run(5s);
  ASSERT_EQ(cluster[3].log().damaged().ranges().size(), 1u);
  EXPECT_EQ(cluster[3].log().damaged().ranges()[0].first, 1u);
  EXPECT_EQ(cluster[3].aside, nullptr);
}

// The leader of an idle partition, told that a follower is out of the ISR, must not take it back by what it
// had before.
TEST(Repair, AReplicaThatIsToBeCopiedIsNotInSyncBeforeItHasTheCopy) {
  for (const bool leader_first : {false, true}) {
    Cluster cluster(3);
    ASSERT_TRUE(cluster.Produce(1, "a"));
    cluster.Run();
    cluster[3].log().splice = false;
    cluster[3].log().Rot(0, 0);
    cluster.Run(50ms);
    ASSERT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
    cluster.Send(leader_first ? std::vector<BrokerId>{1, 2} : std::vector<BrokerId>{3});
    for (int i = 0; i < 100; ++i) {
      cluster.Run(10ms);
      const bool member = std::ranges::count(cluster.Isr(), 3) == 1;
      const bool whole = cluster[3].aside != nullptr && cluster[3].log().Bodies() == "a";
      ASSERT_TRUE(!member || whole) << "in sync, and its log is " << cluster[3].log().Bodies();
    }
    cluster.Send();
    cluster.Run(5s);
    EXPECT_EQ(cluster.Isr().size(), 3u);
    EXPECT_EQ(cluster[3].log().Bodies(), "a");
  }
}

TEST(Health, ASoleCopyGoesOfflineWithNothingDeleted) {
  Cluster cluster(1, {.min_insync_replicas = 1});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster[1].Kill();
  cluster[1].disk->Damage();
  cluster[1].Start();
  cluster.Elect(1, {}, /*tell_anybody=*/false);
  cluster.Send({1}, /*expect_ok=*/false);
  cluster.Run(100s);
  EXPECT_EQ(cluster[1].aside, nullptr);
  EXPECT_EQ(cluster[1].log().Bodies(), "a");
  EXPECT_TRUE(cluster[1].replica().offline());
  v1::DescribeReplicasResponse response;
  cluster[1].table->Describe({}, &response);
  EXPECT_EQ(response.replicas(0).offline().code(), v1::CORRUPT_MESSAGE);
  EXPECT_EQ(cluster[1].resigned.front(), v1::RESIGN_REASON_OFFLINE_LOG);
  // A controller that does not know it yet is told so when it sends a state.
  cluster.Send({1}, /*expect_ok=*/false);
}

TEST(Health, AFailedFsyncGivesUpLeadership) {
  Cluster cluster(2);
  cluster[1].log().Break();
  cluster.Run(100ms);
  EXPECT_EQ(cluster.state.leader(), 2);
  EXPECT_EQ(cluster[1].resigned.front(), v1::RESIGN_REASON_STORAGE);
  EXPECT_EQ(cluster.Produce(1, "a").error().code, v1::KAFKA_STORAGE_ERROR);
}

TEST(Isr, AFollowerThatFallsSilentLeavesAndReturns) {
  Cluster cluster(3);
  cluster.Run();
  cluster.Hold(Hop::kFetch, 3, 1);
  cluster.Run(1s);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  auto acked = cluster.Await(1, 1);
  cluster.Run(20s);
  EXPECT_EQ(cluster.Isr().size(), 3u);
  EXPECT_FALSE(*acked);
  cluster.Run(30s);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2}));
  EXPECT_TRUE(*acked && **acked);
  cluster.Release(Hop::kFetch, 3, 1);
  cluster.Run(3s);
  EXPECT_EQ(cluster.Isr().size(), 3u);
}

TEST(FetchSession, AnIdlePartitionIsNotNamedAgain) {
  Cluster cluster(2);
  cluster.Run(3s);
  int named = 0, fetches = 0;
  cluster.on_fetch = [&](BrokerId, const v1::FetchRequest& request) {
    ++fetches;
    named += request.topics_size();
  };
  cluster.Run(10s);
  EXPECT_EQ(named, 0);
  EXPECT_LE(fetches, 21);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  cluster.Run(100ms);
  EXPECT_GE(named, 1);
}

class SliceTest : public testing::Test {
 protected:
  FetchWanted Want(Offset from, std::optional<LeaderEpoch> epoch = {}) {
    FetchWanted wanted{cluster.key, {}};
    wanted.request.set_fetch_offset(from);
    wanted.request.set_max_bytes(1000);
    if (epoch) wanted.request.set_leader_epoch(*epoch);
    return wanted;
  }
  void Open() { slice = std::make_unique<FetchSlice>(*cluster[1].table, FetchReader{}); }
  FetchSliceAnswer Collect(bool only_changed) { return cluster.loop.Run(slice->Collect(1000, only_changed)); }
  WaitOutcome Wait() { return cluster.loop.Run(slice->WaitReady(cluster.loop.Now() + 1s, {})); }
  Cluster cluster{1, {.min_insync_replicas = 1}};
  std::unique_ptr<FetchSlice> slice;
};

TEST_F(SliceTest, ASessionIsToldOnlyWhatChanged) {
  Open();
  slice->Update({Want(0)}, {});
  EXPECT_EQ(Collect(false).items.size(), 1u);
  slice->Update({}, {});
  EXPECT_TRUE(Collect(true).items.empty());
  EXPECT_EQ(Wait(), WaitOutcome::kTimedOut);
  ASSERT_TRUE(cluster.Produce(1, "a"));
  EXPECT_EQ(Wait(), WaitOutcome::kReady);
  const FetchSliceAnswer answer = Collect(true);
  ASSERT_EQ(answer.items.size(), 1u);
  EXPECT_EQ(answer.items[0].response.records(), "0 0 a\n");
  EXPECT_EQ(answer.items[0].response.high_watermark(), 1u);
}

TEST_F(SliceTest, WhatWasNotDeliveredIsThereAgain) {
  Open();
  slice->Update({Want(0)}, {});
  Collect(false);
  slice->Update({}, {});
  ASSERT_TRUE(cluster.Produce(1, "a"));
  EXPECT_EQ(Collect(true).bytes, 6u);
  EXPECT_EQ(Collect(true).bytes, 6u) << "too little for min_bytes: collected again with what comes";
}

TEST_F(SliceTest, AnErrorIsToldOnceUntilThePartitionIsNamedAgain) {
  Open();
  slice->Update({Want(7)}, {});
  EXPECT_TRUE(Collect(true).urgent);
  slice->Update({}, {});
  EXPECT_TRUE(Collect(true).items.empty());
  slice->Update({Want(7)}, {});
  EXPECT_EQ(Collect(true).items.at(0).response.error().code(), v1::OFFSET_OUT_OF_RANGE);
}

TEST_F(SliceTest, ARoleChangeAndAStoppedReplicaWakeTheReader) {
  Open();
  slice->Update({Want(0, 0)}, {});
  Collect(false);
  cluster.Elect(1);
  EXPECT_EQ(Wait(), WaitOutcome::kReady);
  FetchSliceAnswer answer = Collect(true);
  EXPECT_EQ(answer.items.at(0).response.error().code(), v1::FENCED_LEADER_EPOCH);
  EXPECT_EQ(answer.items[0].response.current_leader().leader_epoch(), 1u);
  v1::StopReplicaRequest::Replica stop;
  stop.set_topic_id(cluster.key.topic.ToBytes());
  stop.set_leader_epoch(1);
  EXPECT_TRUE(cluster.loop.Run(cluster[1].table->StopReplicas({stop})).empty());
  EXPECT_EQ(Wait(), WaitOutcome::kReady);
  slice->Update({Want(0)}, {});
  EXPECT_EQ(Collect(true).items.at(0).response.error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
}

// What a consumer that has read up to `from`, the last record in `last_epoch`, is answered.
class ComparedConsumer : public SliceTest {
 protected:
  // Epoch 0: a b c, epoch 1: none, epoch 2: d e, epoch 4: none yet.
  void Fill() {
    for (const char* body : {"a", "b", "c"}) ASSERT_TRUE(cluster.Produce(1, body));
    cluster.Elect(1);
    cluster.Elect(1);
    for (const char* body : {"d", "e"}) ASSERT_TRUE(cluster.Produce(1, body));
    cluster.Elect(1);
    cluster.Elect(1);
    Open();
  }
  FetchWanted Read(Offset from, LeaderEpoch last_epoch) {
    FetchWanted wanted = Want(from, 4);
    wanted.request.set_last_epoch(last_epoch);
    return wanted;
  }
  v1::FetchResponse::Partition Ask(FetchWanted wanted) {
    slice->Update({std::move(wanted)}, {});
    return Collect(false).items.at(0).response;
  }
  // "epoch end" where histories part, the error's name, or "" where records come or may come.
  std::string Answer(Offset from, LeaderEpoch last_epoch) {
    const auto answer = Ask(Read(from, last_epoch));
    if (answer.error().code() != v1::NONE) return ErrorName(answer.error().code());
    if (!answer.has_diverging()) return "";
    EXPECT_EQ(answer.records(), "");
    return fmt::format("{} {}", answer.diverging().epoch(), answer.diverging().end_offset());
  }
};

TEST_F(ComparedConsumer, IsToldWhereItsHistoryLeavesTheLog) {
  Fill();
  EXPECT_EQ(Answer(4, 0), "0 3");
  EXPECT_EQ(Answer(4, 1), "0 3") << "nobody has a record of that epoch";
  EXPECT_EQ(Answer(3, 1), "0 3");
  EXPECT_EQ(Answer(2, 1), "0 3") << "the end may lie above the position";
  EXPECT_EQ(Answer(6, 2), "2 5") << "above the end";
  EXPECT_EQ(Answer(100, 0), "0 3");
  EXPECT_EQ(Answer(5, 3), "2 5");
}

TEST_F(ComparedConsumer, IsToldNothingWhereItHasReadThisLog) {
  Fill();
  for (const Offset from : {1, 2, 3}) EXPECT_EQ(Answer(from, 0), "") << from;
  for (const Offset from : {4, 5}) EXPECT_EQ(Answer(from, 2), "") << from;
  EXPECT_EQ(Answer(0, 1), "") << "it has read nothing";
  EXPECT_EQ(Ask(Read(3, 0)).records(), "3 2 d\n4 2 e\n");
  ASSERT_TRUE(cluster.Produce(1, "f"));
  EXPECT_EQ(Answer(5, 2), "");
  EXPECT_EQ(Answer(6, 4), "");
}

TEST_F(ComparedConsumer, RetentionIsNoReason) {
  Fill();
  cluster[1].log().AdvanceStartTo(4);
  ASSERT_EQ(cluster[1].log().start_offset(), 4u);
  EXPECT_EQ(Answer(4, 2), "");
  EXPECT_EQ(Answer(5, 2), "");
  for (const LeaderEpoch older : {0, 1, 3})
    EXPECT_EQ(Answer(4, older), "") << "nothing of it is left " << older;
  EXPECT_EQ(Answer(5, 0), "0 4") << "that it read offset 4 in epoch 0 is no question of retention";
  EXPECT_EQ(Answer(3, 0), "OFFSET_OUT_OF_RANGE");
  EXPECT_EQ(Answer(3, 3), "OFFSET_OUT_OF_RANGE");
  cluster[1].log().AdvanceStartTo(5);
  EXPECT_EQ(Answer(5, 2), "") << "all is gone";
}

TEST_F(ComparedConsumer, WithoutAnEpochNothingIsCompared) {
  Fill();
  EXPECT_EQ(Ask(Want(2, 4)).records(), "2 0 c\n3 2 d\n4 2 e\n");
  EXPECT_EQ(Ask(Want(9, 4)).error().code(), v1::OFFSET_OUT_OF_RANGE);
}

TEST_F(ComparedConsumer, ALeaderThatMayHaveBeenReplacedSaysNothing) {
  Fill();
  EXPECT_EQ(Answer(3, 5), "UNKNOWN_LEADER_EPOCH");
  EXPECT_EQ(Answer(100, 5), "UNKNOWN_LEADER_EPOCH");
  FetchWanted wanted = Read(4, 0);
  wanted.request.set_leader_epoch(3);
  EXPECT_EQ(Ask(wanted).error().code(), v1::FENCED_LEADER_EPOCH);
  wanted.request.set_leader_epoch(5);
  EXPECT_EQ(Ask(wanted).error().code(), v1::UNKNOWN_LEADER_EPOCH);
  wanted.request.clear_leader_epoch();
  EXPECT_TRUE(Ask(wanted).has_diverging());
}

TEST_F(ComparedConsumer, EpochsOfWhatIsDamagedMayBeAGuess) {
  Fill();
  cluster[1].log().Rot(3, 3);
  EXPECT_EQ(Answer(4, 0), "");
  EXPECT_EQ(Answer(5, 0), "0 3");
}

TEST_F(ComparedConsumer, InASessionEachPositionComesWithItsEpoch) {
  Fill();
  slice->Update({Read(4, 0)}, {});
  const FetchSliceAnswer parted = Collect(true);
  EXPECT_TRUE(parted.urgent);
  EXPECT_TRUE(parted.items.at(0).response.has_diverging());
  slice->Update({Read(3, 0)}, {});
  EXPECT_EQ(Collect(true).items.at(0).response.records(), "3 2 d\n4 2 e\n");
  slice->Update({Read(5, 2)}, {});
  Collect(true);
  slice->Update({}, {});
  EXPECT_EQ(Wait(), WaitOutcome::kTimedOut);
  ASSERT_TRUE(cluster.Produce(1, "f"));
  EXPECT_EQ(Wait(), WaitOutcome::kReady);
  EXPECT_EQ(Collect(true).items.at(0).response.records(), "5 4 f\n");
}

TEST_F(SliceTest, ForgottenPartitionsAreNotAnswered) {
  Open();
  slice->Update({Want(0)}, {});
  slice->Update({}, {cluster.key});
  EXPECT_EQ(slice->partitions(), 0u);
  EXPECT_TRUE(Collect(false).items.empty());
}

}  // namespace
}  // namespace tidemark
