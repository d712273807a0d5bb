// The pure decisions: counted ends, high watermark, ISR membership, divergence.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "broker/replica/divergence.h"
#include "broker/replica/high_watermark.h"
#include "broker/replica/isr_decision.h"
#include "broker/replica/leader_state.h"

namespace tidemark {
namespace {

constexpr AckDurability kSynced = AckDurability::kSynced;
constexpr AckDurability kReplicated = AckDurability::kReplicated;

TEST(CountedEnd, IsTheFlushedEndWhenAcknowledgedMeansOnDisk) {
  EXPECT_EQ(CountedEnd({.log_end = 10, .flushed_end = 7}, kSynced), 7u);
  EXPECT_EQ(CountedEnd({.log_end = 10, .flushed_end = 7}, kReplicated), 10u);
}

TEST(CountedEnd, StaysLessThanFlushMessagesAheadOfTheDisk) {
  EXPECT_EQ(CountedEnd({.log_end = 10, .flushed_end = 7}, {kReplicated, 1}), 7u);
  EXPECT_EQ(CountedEnd({.log_end = 10, .flushed_end = 7}, {kReplicated, 3}), 9u);
  EXPECT_EQ(CountedEnd({.log_end = 10, .flushed_end = 7}, {kReplicated, 4}), 10u);
  EXPECT_EQ(CountedEnd({.log_end = 10, .flushed_end = 7}, {kSynced, 4}), 7u);
  EXPECT_EQ(CountedEnd({.log_end = ~Offset{0}, .flushed_end = 0}, {kReplicated, INT64_MAX}), ~Offset{0});
  EXPECT_EQ(CountedEnd({.log_end = 5, .flushed_end = 7}, {kReplicated, 2}), 5u);
}

TEST(CountedEnd, NeverCountsMoreThanTheLogHolds) {
  EXPECT_EQ(CountedEnd({.log_end = 5, .flushed_end = 7}, kSynced), 5u);
}

TEST(HighWatermark, IsTheLeastCountedEndAndNeverGoesBack) {
  for (Offset current = 0; current < 5; ++current) {
    for (Offset a = 0; a < 5; ++a) {
      for (Offset b = 0; b < 5; ++b) {
        const std::optional<Offset> ends[] = {a, b};
        EXPECT_EQ(NextHighWatermark(current, ends, 2, 2), std::max(current, std::min(a, b)));
        EXPECT_EQ(NextHighWatermark(current, ends, 1, 2), current) << "the ISR is too small";
      }
    }
  }
}

TEST(HighWatermark, StandsWhileAMemberIsNotKnownInThisEpoch) {
  const std::optional<Offset> ends[] = {9, std::nullopt};
  EXPECT_EQ(NextHighWatermark(3, ends, 2, 1), 3u);
}

TEST(HighWatermark, RequiresAtMostAsManyMembersAsThereAreReplicas) {
  EXPECT_EQ(RequiredInSync(2, 1), 1u);
  EXPECT_EQ(RequiredInSync(2, 3), 2u);
  EXPECT_EQ(RequiredInSync(0, 3), 1u);
}

TEST(HighWatermark, OfAFollowerIsBoundedByItsOwnLogAndNeverFalls) {
  EXPECT_EQ(AdoptedHighWatermark(3, 9, 5), 5u);
  EXPECT_EQ(AdoptedHighWatermark(3, 4, 5), 4u);
  EXPECT_EQ(AdoptedHighWatermark(3, 1, 5), 3u);
}

class IsrTest : public testing::Test {
 protected:
  IsrView View() {
    return {.leader = 1,
            .committed = isr,
            .followers = followers,
            .durability = kSynced,
            .leader_log_end = 10,
            .high_watermark = 8,
            .epoch_start = 5,
            .now = now,
            .lag_time_max = 30s};
  }
  std::vector<BrokerId> isr{1, 2};
  std::vector<FollowerProgress> followers{{.broker = 2, .broker_epoch = 7}, {.broker = 3, .broker_epoch = 8}};
  MonoTime now = MonoTime{} + 1000s;
};

TEST_F(IsrTest, AFollowerThatDoesNotCatchUpLeavesAfterTheLagTime) {
  NoteProgress(followers[0], {10, 10}, kSynced, 10, now);
  now += 31s;
  EXPECT_TRUE(ShrinkCandidates(View()).empty()) << "it has everything, however long ago it said so";
  NoteProgress(followers[0], {9, 9}, kSynced, 10, now);
  EXPECT_EQ(ShrinkCandidates(View()), std::vector<BrokerId>{2});
}

TEST_F(IsrTest, AnIdleFollowerGetsTheWholeLagTimeFromTheNextAppend) {
  NoteProgress(followers[0], {9, 9}, kSynced, 9, now);
  now += 1000s;
  NoteLeaderAppend(followers[0], kSynced, 9, now);
  now += 30s;
  EXPECT_TRUE(ShrinkCandidates(View()).empty());
  now += 1s;
  EXPECT_EQ(ShrinkCandidates(View()), std::vector<BrokerId>{2});
}

TEST_F(IsrTest, AFollowerThatTrailsByLessThanTheLagTimeStays) {
  // Each fetch tells what was the leader's end two fetches ago: never at the end, never far behind.
  Offset leader_end = 100;
  for (int i = 0; i < 100; ++i, now += 5s, leader_end += 10) {
    NoteProgress(followers[0], {leader_end, leader_end - 20}, kSynced, leader_end, now);
  }
  IsrView view = View();
  view.leader_log_end = leader_end;
  EXPECT_TRUE(ShrinkCandidates(view).empty());
}

TEST_F(IsrTest, AMemberThatLostCommittedRecordsLeavesAtOnce) {
  NoteProgress(followers[0], {7, 7}, kSynced, 10, now);
  EXPECT_EQ(ShrinkCandidates(View()), std::vector<BrokerId>{2});
}

TEST_F(IsrTest, AStalledLeaderJudgesNobody) {
  IsrView view = View();
  view.may_shrink = false;
  EXPECT_TRUE(ShrinkCandidates(view).empty());
  EXPECT_FALSE(LeaderStalled({now, now - 15s, 15s, {}, 30s}));
  EXPECT_TRUE(LeaderStalled({now, now - 40s, 15s, {}, 30s})) << "it was paused";
  EXPECT_TRUE(LeaderStalled({now, now - 15s, 15s, now - 31s, 30s})) << "its own disk hangs";
}

TEST_F(IsrTest, JoiningNeedsTheHighWatermarkAndTheStartOfTheEpochAndABrokerEpoch) {
  followers[1].caught_up_at = now;
  for (Offset epoch_start : {5, 9}) {
    for (Offset flushed = 4; flushed <= 10; ++flushed) {
      NoteProgress(followers[1], {10, flushed}, kSynced, 10, now);
      IsrView view = View();
      view.epoch_start = epoch_start;
      EXPECT_EQ(!ExpandCandidates(view).empty(), flushed >= 8 && flushed >= epoch_start) << flushed;
    }
  }
  followers[1].broker_epoch = kNoBrokerEpoch;
  EXPECT_TRUE(ExpandCandidates(View()).empty());
}

EpochTable Table(std::vector<EpochTable::Entry> entries) {
  EpochTable table;
  for (const auto& entry : entries) table.Begin(entry.epoch, entry.start);
  return table;
}

TEST(Divergence, EqualHistoriesAgree) {
  const EpochTable epochs = Table({{1, 0}, {3, 5}});
  EXPECT_EQ(AnswerFollowerFetch({0, 10, &epochs}, {10, 3}).verdict, FetchVerdict::kAgree);
  EXPECT_EQ(AnswerFollowerFetch({0, 10, &epochs}, {5, 1}).verdict, FetchVerdict::kAgree);
  EXPECT_EQ(AnswerFollowerFetch({0, 10, &epochs}, {0, {}}).verdict, FetchVerdict::kAgree);
}

TEST(Divergence, ALongerTailOfAnEpochDiverges) {
  const EpochTable epochs = Table({{1, 0}, {3, 5}});
  const LeaderAnswer answer = AnswerFollowerFetch({0, 10, &epochs}, {7, 1});
  EXPECT_EQ(answer.verdict, FetchVerdict::kDiverging);
  EXPECT_EQ(answer.diverging, (EpochBoundary{1, 5}));
}

TEST(Divergence, AnUnknownEpochIsAnsweredWithTheLargestBelowIt) {
  const EpochTable epochs = Table({{1, 0}, {3, 5}});
  EXPECT_EQ(AnswerFollowerFetch({0, 10, &epochs}, {7, 2}).diverging, (EpochBoundary{1, 5}));
}

TEST(Divergence, BelowTheLogStartIsToldAsSuch) {
  const EpochTable epochs = Table({{4, 20}});
  EXPECT_EQ(AnswerFollowerFetch({20, 30, &epochs}, {19, 3}).verdict, FetchVerdict::kBelowLogStart);
  EXPECT_EQ(AnswerFollowerFetch({20, 30, &epochs}, {20, 3}).verdict, FetchVerdict::kAgree);
  EXPECT_EQ(AnswerFollowerFetch({20, 30, &epochs}, {25, 3}).diverging, (EpochBoundary{3, 20}));
}

TEST(Divergence, AnEmptyFollowerBeyondTheLeaderStartsAnewAtItsEnd) {
  const EpochTable leaders = Table({{4, 2}});
  const LeaderAnswer answer = AnswerFollowerFetch({0, 2, &leaders}, {9, {}});
  ASSERT_EQ(answer.verdict, FetchVerdict::kDiverging);
  const EpochTable own;
  const auto cut = TruncationPoint({9, 9, &own}, answer.diverging);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->end, 2u);
  EXPECT_TRUE(cut->restart);
}

TEST(Divergence, AnAnswerThatCutsNothingIsRefused) {
  const EpochTable own = Table({{1, 0}});
  EXPECT_FALSE(TruncationPoint({0, 5, &own}, {1, 9}));
}

// Any two histories that grew from common beginnings: the rounds end, and leave exactly the common prefix.
TEST(Divergence, RoundsEndInTheLongestCommonPrefix) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    // A record is the epoch that wrote it; at one offset, the same epoch is the same record.
    std::vector<LeaderEpoch> leader, follower;
    const auto grow = [&](std::vector<LeaderEpoch>& log, LeaderEpoch epoch) {
      log.insert(log.end(), random() % 4, epoch);
    };
    LeaderEpoch epoch = 1;
    for (; epoch < 4; ++epoch) grow(leader, epoch);
    follower = leader;
    // Each epoch has one writer; the other replica may copy a part of what it wrote only after truncating to
    // it.
    for (; epoch < 9; ++epoch) grow(random() % 2 == 0 ? leader : follower, epoch);
    const auto table = [](const std::vector<LeaderEpoch>& log) {
      EpochTable epochs;
      for (size_t i = 0; i < log.size(); ++i) epochs.Begin(log[i], i);
      return epochs;
    };
    size_t common = 0;
    while (common < leader.size() && common < follower.size() && leader[common] == follower[common]) ++common;
    EpochTable leaders = table(leader);
    leaders.Begin(20, leader.size());
    for (int rounds = 0;; ++rounds) {
      ASSERT_LT(rounds, 20);
      const EpochTable own = table(follower);
      const LogShape shape{0, follower.size(), &own};
      const LeaderAnswer answer =
          AnswerFollowerFetch({0, leader.size(), &leaders}, {follower.size(), LastRecordEpoch(shape)});
      if (answer.verdict == FetchVerdict::kAgree) break;
      const auto cut = TruncationPoint(shape, answer.diverging);
      ASSERT_TRUE(cut);
      follower.resize(cut->end);
    }
    ASSERT_EQ(follower.size(), common);
  }
}

class WishTest : public testing::Test {
 protected:
  WishTest() {
    state.set_leader(1);
    state.set_leader_epoch(4);
    state.set_partition_epoch(9);
    for (BrokerId b : {1, 2, 3}) state.add_replicas(b);
    for (BrokerId b : {1, 2}) state.add_isr(b);
  }
  LeaderState Make() {
    LeaderState leader(state, 1, 5, now);
    for (BrokerId b : {2, 3}) {
      auto follower = leader.NoteFetchFrom(b, 70 + b);
      NoteProgress(**follower, {10, 10}, kSynced, 10, now);
    }
    return leader;
  }
  IsrView View(const LeaderState& leader) { return leader.View(kSynced, 10, 8, now, 30s, true); }
  static Result<v1::AlterPartitionResponse::Partition> Refusal(ErrorCode code) {
    v1::AlterPartitionResponse::Partition answer;
    answer.mutable_error()->set_code(code);
    return answer;
  }
  v1::PartitionState state;
  MonoTime now = MonoTime{} + 1000s;
  const PartitionKey key{};
};

TEST_F(WishTest, NamesTheMembersBrokerEpochs) {
  LeaderState leader = Make();
  const auto wish = leader.NextWish(View(leader));
  ASSERT_TRUE(wish);
  const auto request = leader.BeginWish(*wish, key, 71);
  ASSERT_EQ(request.isr_size(), 3);
  for (const auto& member : request.isr()) EXPECT_EQ(member.broker_epoch(), 70 + member.broker_id());
  EXPECT_EQ(request.partition_epoch(), 9u);
}

TEST_F(WishTest, AJoiningMemberCountsFromTheMomentItIsAskedFor) {
  LeaderState leader = Make();
  EXPECT_EQ(leader.MaximalIsr(), (std::vector<BrokerId>{1, 2}));
  leader.BeginWish(*leader.NextWish(View(leader)), key, 71);
  EXPECT_EQ(leader.MaximalIsr(), (std::vector<BrokerId>{1, 2, 3}));
}

TEST_F(WishTest, ARefusedMemberCountsNoMoreUnlessAnEarlierTryMayHaveBeenGranted) {
  for (bool lost_before : {false, true}) {
    LeaderState leader = Make();
    const auto wish = leader.NextWish(View(leader));
    leader.BeginWish(*wish, key, 71);
    if (lost_before) {
      EXPECT_EQ(leader.EndWish(*wish, Fail(v1::REQUEST_TIMED_OUT), now, 1s), WishOutcome::kUnknown);
    }
    EXPECT_EQ(leader.EndWish(*wish, Refusal(v1::INELIGIBLE_REPLICA), now, 1s), WishOutcome::kRefused);
    EXPECT_EQ(leader.MaximalIsr().size(), lost_before ? 3u : 2u);
    // In doubt the state is asked for even when nothing is wanted.
    EXPECT_EQ(leader.NextWish(View(leader)).has_value(), lost_before);
  }
}

// Its first wish is lost on the way; the next one is answered. Only a risen partition epoch makes the first
// void.
TEST_F(WishTest, AnEarlierWishCountsUntilThePartitionEpochHasRisen) {
  LeaderState leader = Make();
  const auto first = leader.NextWish(View(leader));
  leader.BeginWish(*first, key, 71);
  EXPECT_EQ(leader.EndWish(*first, Fail(v1::REQUEST_TIMED_OUT), now, 1s), WishOutcome::kUnknown);
  leader.FindFollower(3)->ends.reset();
  const auto second = leader.NextWish(View(leader));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->isr, (std::vector<BrokerId>{1, 2}));
  leader.BeginWish(*second, key, 71);
  auto answer = Refusal(v1::NONE);
  *answer->mutable_state() = state;
  EXPECT_EQ(leader.EndWish(*second, answer, now, 1s), WishOutcome::kUnknown);
  EXPECT_EQ(leader.MaximalIsr(), (std::vector<BrokerId>{1, 2, 3})) << "it may still be granted";
  EXPECT_TRUE(leader.NextWish(View(leader))) << "and is asked about again";
  answer->mutable_state()->set_partition_epoch(10);
  EXPECT_EQ(leader.EndWish(*second, answer, now, 1s), WishOutcome::kAdopted);
  EXPECT_EQ(leader.MaximalIsr(), (std::vector<BrokerId>{1, 2}));
  EXPECT_FALSE(leader.in_doubt());
}

TEST_F(WishTest, AStateOfTheOwnEpochIsAdoptedAndANewerEpochDeposes) {
  LeaderState leader = Make();
  const auto wish = leader.NextWish(View(leader));
  leader.BeginWish(*wish, key, 71);
  auto answer = Refusal(v1::INVALID_UPDATE_VERSION);
  *answer->mutable_state() = state;
  answer->mutable_state()->set_partition_epoch(12);
  EXPECT_EQ(leader.EndWish(*wish, answer, now, 1s), WishOutcome::kAdopted);
  EXPECT_EQ(leader.partition_epoch(), 12u);
  EXPECT_EQ(leader.MaximalIsr(), (std::vector<BrokerId>{1, 2}));
  answer->mutable_state()->set_leader_epoch(5);
  EXPECT_EQ(leader.EndWish(*wish, answer, now, 1s), WishOutcome::kDeposed);
  EXPECT_EQ(leader.EndWish(*wish, Refusal(v1::FENCED_LEADER_EPOCH), now, 1s), WishOutcome::kDeposed);
}

TEST_F(WishTest, OneIneligibleCandidateDoesNotKeepTheOthersOut) {
  state.add_replicas(4);
  LeaderState leader = Make();
  NoteProgress(**leader.NoteFetchFrom(4, 74), {10, 10}, kSynced, 10, now);
  bool four_joined = false;
  for (int tries = 0; tries < 10 && !four_joined; ++tries, now += 500ms) {
    const auto wish = leader.NextWish(View(leader));
    if (!wish) continue;
    leader.BeginWish(*wish, key, 71);
    const bool has_three = std::ranges::find(wish->isr, 3) != wish->isr.end();
    if (has_three) {
      leader.EndWish(*wish, Refusal(v1::INELIGIBLE_REPLICA), now, 1s);
    } else {
      four_joined = std::ranges::find(wish->isr, 4) != wish->isr.end();
    }
  }
  EXPECT_TRUE(four_joined);
}

TEST_F(WishTest, AFormerLifesFetchIsRefusedAndANewLifeBeginsWithNothing) {
  LeaderState leader = Make();
  EXPECT_EQ(leader.NoteFetchFrom(2, 71).error().code, v1::STALE_BROKER_EPOCH);
  EXPECT_TRUE((*leader.NoteFetchFrom(2, 72))->ends);
  EXPECT_FALSE((*leader.NoteFetchFrom(2, 80))->ends);
  EXPECT_EQ(leader.NoteFetchFrom(9, 1).error().code, v1::REPLICA_NOT_AVAILABLE);
}

TEST_F(WishTest, RecoveryEndsWhenEveryReplicaIsInSync) {
  state.set_recovery_state(v1::LEADER_RECOVERY_STATE_RECOVERING);
  LeaderState leader = Make();
  const auto wish = leader.NextWish(View(leader));
  ASSERT_TRUE(wish);
  EXPECT_FALSE(wish->recovering);
  leader.FindFollower(3)->ends.reset();
  EXPECT_FALSE(leader.NextWish(View(leader))) << "broker 3 may still hold what must be cut";
}

}  // namespace
}  // namespace tidemark
