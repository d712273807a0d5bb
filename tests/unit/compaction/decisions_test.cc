// Which log is compacted, how far, and in which groups; who has missed a tombstone; how fast a cleaner may
// go.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/log/cleaner.h"
#include "broker/log/cleaner_decision.h"
#include "broker/log/offset_map.h"
#include "common/result.h"

namespace tidemark {
namespace {

constexpr WallMillis kNow = 1'000'000;

CleanableSegment Sealed(Offset base, Offset end, uint64_t bytes, WallMillis timestamp = 0) {
  return {.base_offset = base,
          .end_offset = end,
          .bytes = bytes,
          .max_timestamp = timestamp,
          .first_append_time = timestamp,
          .settled = true};
}

// Three sealed segments of 100 bytes and 10 offsets, and an active one.
CleanableLog ThreeSealed() {
  return {.segments = {Sealed(0, 10, 100),
                       Sealed(10, 20, 100),
                       Sealed(20, 30, 100),
                       {.base_offset = 30, .end_offset = 40, .bytes = 100, .first_append_time = 0}},
          .high_watermark = 40,
          .flushed_end = 40};
}

CompactionConfig Compacted() { return {.enabled = true, .max_lag = {}}; }

TEST(DecideClean, TakesSealedSegmentsOnlyNeverTheActiveOne) {
  const CleanDecision decision = DecideClean(ThreeSealed(), Compacted(), kNow);
  EXPECT_TRUE(decision.due);
  EXPECT_EQ(decision.first_dirty, 0u);
  EXPECT_EQ(decision.end, 30u);
  EXPECT_EQ(decision.dirty_bytes, 300u);
  EXPECT_EQ(decision.dirty_ratio, 1.0);
}

TEST(DecideClean, LeavesTopicsAloneThatAreNotCompacted) {
  EXPECT_FALSE(DecideClean(ThreeSealed(), {.max_lag = {}}, kNow).due);
}

TEST(DecideClean, StaysBelowWhatIsCommittedAndOnDisk) {
  CleanableLog log = ThreeSealed();
  log.high_watermark = 29;  // in the third segment
  EXPECT_EQ(DecideClean(log, Compacted(), kNow).end, 20u);
  log.high_watermark = 40;
  log.flushed_end = 19;
  EXPECT_EQ(DecideClean(log, Compacted(), kNow).end, 10u);
  log.flushed_end = 40;
  log.segments[1].settled = false;  // its seal is not on disk yet
  EXPECT_EQ(DecideClean(log, Compacted(), kNow).end, 10u);
}

TEST(DecideClean, IsDueWhenMoreThanTheDirtyRatioIsDirty) {
  CleanableLog log = ThreeSealed();
  CompactionConfig config = Compacted();
  config.min_dirty_ratio = 0.5;
  log.cleaned_to = 20;
  EXPECT_NEAR(DecideClean(log, config, kNow).dirty_ratio, 1.0 / 3, 1e-9);
  EXPECT_FALSE(DecideClean(log, config, kNow).due);
  log.cleaned_to = 10;
  EXPECT_TRUE(DecideClean(log, config, kNow).due);
  config.min_dirty_ratio = 0;
  log.cleaned_to = 30;
  EXPECT_FALSE(DecideClean(log, config, kNow).due) << "nothing is dirty";
}

TEST(DecideClean, ASegmentThatAPassEndedInCountsAsDirty) {
  CleanableLog log = ThreeSealed();
  log.cleaned_to = 25;
  const CleanDecision decision = DecideClean(log, Compacted(), kNow);
  EXPECT_EQ(decision.first_dirty, 25u);
  EXPECT_EQ(decision.dirty_bytes, 100u);
}

TEST(DecideClean, BeginsAtTheLogStartAndDistrustsACheckpointBeyondTheLog) {
  CleanableLog log = ThreeSealed();
  log.log_start = 15;
  EXPECT_EQ(DecideClean(log, Compacted(), kNow).first_dirty, 15u);
  log.log_start = 0;
  log.cleaned_to = 41;
  EXPECT_EQ(DecideClean(log, Compacted(), kNow).first_dirty, 0u);
}

TEST(DecideClean, MinCompactionLagProtectsTheYoung) {
  CleanableLog log = ThreeSealed();
  CompactionConfig config = Compacted();
  config.min_lag = 10s;
  log.segments[1].max_timestamp = kNow - 9'000;
  EXPECT_EQ(DecideClean(log, config, kNow).end, 10u);
  EXPECT_EQ(DecideClean(log, config, kNow + 2'000).end, 30u);
  // What is clean already is not waited for again.
  log.cleaned_to = 20;
  EXPECT_EQ(DecideClean(log, config, kNow).end, 30u);
}

TEST(DecideClean, MinCompactionLagCountsFromTheAppendWhereTimestampsAreOfTheFuture) {
  CleanableLog log = ThreeSealed();
  CompactionConfig config = Compacted();
  config.min_lag = 10s;
  log.segments[1].max_timestamp = kNow + 1'000'000'000;
  log.segments[2].max_timestamp = kNoTimestamp;
  CleanDecision decision = DecideClean(log, config, kNow);
  EXPECT_EQ(decision.end, 10u);
  EXPECT_EQ(decision.append_time_wanted, 10u);
  log.segments[1].last_append_time = kNow - 9'000;
  decision = DecideClean(log, config, kNow);
  EXPECT_EQ(decision.end, 10u) << "it is young";
  EXPECT_FALSE(decision.append_time_wanted);
  decision = DecideClean(log, config, kNow + 1'000);
  EXPECT_EQ(decision.end, 20u);
  EXPECT_EQ(decision.append_time_wanted, 20u) << "nothing else tells the age of records without timestamps";
  log.segments[2].last_append_time = kNow - 9'000;
  EXPECT_EQ(DecideClean(log, config, kNow + 1'000).end, 30u);
  // What was cleaned empty has no append time, nor anything to protect.
  log.segments[1].last_append_time.reset();
  log.segments[1].bytes = 0;
  EXPECT_EQ(DecideClean(log, config, kNow + 1'000).end, 30u);
}

TEST(DecideClean, MaxCompactionLagMakesDueAndRollsTheActiveSegment) {
  CleanableLog log = ThreeSealed();
  CompactionConfig config = Compacted();
  config.min_dirty_ratio = 0.9;
  config.max_lag = 10s;
  log.cleaned_to = 20;
  log.segments[2].first_append_time = kNow - 9'000;
  log.segments[3].first_append_time = kNow - 8'000;
  EXPECT_FALSE(DecideClean(log, config, kNow).due);
  EXPECT_FALSE(DecideClean(log, config, kNow).roll_active);
  EXPECT_TRUE(DecideClean(log, config, kNow + 1'500).overdue);
  EXPECT_TRUE(DecideClean(log, config, kNow + 1'500).due);
  EXPECT_TRUE(DecideClean(log, config, kNow + 2'500).roll_active);
}

TEST(DecideClean, OverdueLogsGoFirstThenTheDirtiest) {
  const CleanDecision half{.dirty_ratio = 0.5};
  const CleanDecision whole{.dirty_ratio = 1.0};
  const CleanDecision overdue{.dirty_ratio = 0.1, .overdue = true};
  EXPECT_TRUE(MoreUrgent(whole, half));
  EXPECT_FALSE(MoreUrgent(half, whole));
  EXPECT_TRUE(MoreUrgent(overdue, whole));
  EXPECT_FALSE(MoreUrgent(whole, overdue));
}

std::vector<std::pair<size_t, size_t>> Groups(const std::vector<CleanableSegment>& segments, Offset end,
                                              uint64_t most) {
  std::vector<std::pair<size_t, size_t>> out;
  for (const CleanGroup& group : GroupSegments(segments, end, most))
    out.emplace_back(group.first, group.last);
  return out;
}

TEST(GroupSegments, KeepsOutputsBelowTheSizeOfASegment) {
  using testing::ElementsAre;
  using testing::Pair;
  const std::vector<CleanableSegment> segments = {Sealed(0, 10, 60), Sealed(10, 20, 40), Sealed(20, 30, 90),
                                                  Sealed(30, 40, 500), Sealed(40, 50, 1)};
  EXPECT_THAT(Groups(segments, 50, 100), ElementsAre(Pair(0, 2), Pair(2, 3), Pair(3, 4), Pair(4, 5)));
  EXPECT_THAT(Groups(segments, 25, 100), ElementsAre(Pair(0, 2), Pair(2, 3)));
  EXPECT_THAT(Groups(segments, 0, 100), ElementsAre());
}

TEST(GroupSegments, KeepsOffsetsWithinWhatAnIndexCanAddress) {
  using testing::ElementsAre;
  using testing::Pair;
  const Offset far = kMaxSegmentOffsets;
  const std::vector<CleanableSegment> segments = {Sealed(0, 10, 1), Sealed(10, far, 1),
                                                  Sealed(far, far + 9, 1)};
  EXPECT_THAT(Groups(segments, far + 9, 100), ElementsAre(Pair(0, 2), Pair(2, 3)));
}

TEST(SipHash, GivesThePublishedVectors) {
  const SipKey key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
  // vectors_sip128 of the reference implementation, for inputs of 0, 1 and 15 bytes: 00 01 02 ...
  EXPECT_EQ(SipHash128(key, ""), (Hash128{0xe6a825ba047f81a3ULL, 0x930255c71472f66dULL}));
  EXPECT_EQ(SipHash128(key, std::string_view("\0", 1)),
            (Hash128{0x44af996bd8c187daULL, 0x45fc229b11597634ULL}));
}

TEST(OffsetMap, RemembersTheLastOffsetOfEachKey) {
  OffsetMap map({1, 2}, 1 << 20, 0.9, 1000);
  for (Offset i = 0; i < 3000; ++i) ASSERT_TRUE(map.Put(fmt::format("key-{}", i % 1000), i));
  EXPECT_EQ(map.size(), 1000u);
  for (Offset i = 0; i < 1000; ++i) EXPECT_EQ(map.Find(fmt::format("key-{}", i)), 2000 + i);
  EXPECT_EQ(map.Find("key-1000"), std::nullopt);
  EXPECT_EQ(map.Find(""), std::nullopt);
}

TEST(OffsetMap, AFullMapRefusesNewKeysAndKeepsItsOwn) {
  OffsetMap map({1, 2}, 100 * OffsetMap::kSlotBytes, 0.9, 1'000'000);
  EXPECT_EQ(map.capacity(), 90u);
  for (Offset i = 0; i < 90; ++i) ASSERT_TRUE(map.Put(fmt::format("key-{}", i), i));
  EXPECT_FALSE(map.Put("another", 90));
  EXPECT_TRUE(map.Put("key-5", 91));
  EXPECT_EQ(map.Find("key-5"), 91u);
  EXPECT_EQ(map.Find("another"), std::nullopt);
}

TEST(OffsetMap, TakesNoMoreMemoryThanItIsGivenOrNeeds) {
  EXPECT_LE(OffsetMap({1, 2}, 1 << 20, 0.9, ~0ull).memory_bytes(), 1u << 20);
  EXPECT_LE(OffsetMap({1, 2}, 1 << 30, 0.9, 1000).memory_bytes(), 1200 * OffsetMap::kSlotBytes);
}

TEST(TombstoneDrops, AFollowerAboveAllThatHasGoneGoesOn) {
  TombstoneDrops drops(100);
  EXPECT_TRUE(drops.SeenBy({}, 100));
  EXPECT_FALSE(drops.SeenBy({}, 99));
}

TEST(TombstoneDrops, AFollowerThatBeganEmptyAfterwardsGoesOnBelow) {
  TombstoneDrops drops(100);
  const TombstoneDrops::Mark begun{drops.serial(), 0};
  EXPECT_TRUE(drops.SeenBy(begun, 40));
}

TEST(TombstoneDrops, WhatGoesAboveWhatAFollowerHadMakesItBeginAnew) {
  TombstoneDrops drops;
  const TombstoneDrops::Mark at_40{drops.serial(), 40};
  drops.Add(40);
  EXPECT_TRUE(drops.SeenBy(at_40, 60)) << "it had all that went";
  drops.Add(41);
  EXPECT_FALSE(drops.SeenBy(at_40, 60)) << "it may have fetched past the tombstone at 40 after that had gone";
  EXPECT_TRUE(drops.SeenBy(TombstoneDrops::Mark{drops.serial(), 60}, 80));
}

TEST(TombstoneDrops, AFollowerThatLostItsTailIsJudgedByWhatItHas) {
  TombstoneDrops drops;
  const TombstoneDrops::Mark at_60{drops.serial(), 60};
  drops.Add(50);
  EXPECT_TRUE(drops.SeenBy(at_60, 60));
  EXPECT_FALSE(drops.SeenBy(at_60, 45));
}

TEST(TombstoneDrops, ManyPassesLaterOnlyTheBoundIsKnown) {
  TombstoneDrops drops;
  const TombstoneDrops::Mark at_10{drops.serial(), 10};
  drops.Add(100);
  for (int i = 0; i < 100; ++i) drops.Add(5);
  EXPECT_FALSE(drops.SeenBy(at_10, 20));
  EXPECT_TRUE(drops.SeenBy(TombstoneDrops::Mark{0, 100}, 120));
}

TEST(CleanerThrottle, KeepsTheRateOverManySteps) {
  CleanerThrottle throttle(1000.0);
  MonoTime now{};
  for (int i = 0; i < 10; ++i) now += throttle.Charge(500, now);
  EXPECT_EQ(now - MonoTime{}, 5s);
  EXPECT_EQ(CleanerThrottle(std::nullopt).Charge(1 << 30, now), Duration::zero());
}

}  // namespace
}  // namespace tidemark
