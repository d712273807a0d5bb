// What retention decides, and what a log does when its start moves.
#include "broker/log/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr WallMillis kNow = 1'000'000'000;
constexpr WallMillis kHour = 3'600'000;

// Three segments of 100 offsets and 1000 bytes each, whose last records are 30, 20 and 10 hours old.
std::vector<SegmentFacts> ThreeSegments() {
  std::vector<SegmentFacts> out;
  for (Offset i = 0; i < 3; ++i) {
    const WallMillis time = kNow - static_cast<WallMillis>(30 - 10 * i) * kHour;
    out.push_back({.base_offset = 100 * i,
                   .end_offset = 100 * (i + 1),
                   .size = 1000,
                   .max_timestamp = time,
                   .first_append_time = i == 2 ? std::optional(time - kHour) : std::nullopt,
                   .last_append_time = time});
  }
  return out;
}

RetentionConfig Hours(int64_t hours) { return {.time = std::chrono::hours(hours)}; }

TEST(Retention, ExpiredSegmentsGoFromTheOldestOn) {
  const auto decision = DecideRetention(ThreeSegments(), Hours(15), kNow, 0, 300);
  EXPECT_EQ(decision.log_start, 200u);
  EXPECT_EQ(decision.segments, 2u);
  EXPECT_EQ(decision.bytes, 2000u);
  EXPECT_EQ(decision.reason, RetentionReason::kTime);
  EXPECT_FALSE(decision.roll_active);
  // The active segment has taken records for 11 of 15 hours: it is rolled 4 hours from now, expires in 5.
  EXPECT_EQ(decision.next, kNow + 4 * kHour);
}

TEST(Retention, AnExpiredActiveSegmentGoesWhole) {
  const auto decision = DecideRetention(ThreeSegments(), Hours(5), kNow, 0, 300);
  EXPECT_EQ(decision.log_start, 300u);
  EXPECT_TRUE(decision.roll_active);
}

TEST(Retention, AnActiveSegmentThatNewRecordsRenewIsRolled) {
  std::vector<SegmentFacts> segments = ThreeSegments();
  segments[2].max_timestamp = segments[2].last_append_time.emplace(kNow);
  const auto decision = DecideRetention(segments, Hours(8), kNow, 200, 300);
  EXPECT_EQ(decision.log_start, 200u);
  EXPECT_TRUE(decision.roll_active) << "its first record is 11 hours old";
  segments[2].first_append_time = kNow - 5000;
  EXPECT_FALSE(DecideRetention(segments, {.time = 1s}, kNow, 200, 300).roll_active)
      << "a tiny retention.ms does not make a segment per second";
}

TEST(Retention, NothingAboveTheHighWatermarkGoes) {
  for (const Offset high_watermark : {0u, 99u, 100u, 199u, 299u}) {
    const auto decision = DecideRetention(ThreeSegments(), Hours(1), kNow, 0, high_watermark);
    EXPECT_EQ(decision.log_start, high_watermark / 100 * 100);
    EXPECT_LE(decision.log_start, high_watermark);
  }
}

TEST(Retention, TheNewestOfAYoungSegmentKeepsWhatIsOlderThanItself) {
  std::vector<SegmentFacts> segments = ThreeSegments();
  segments[0].max_timestamp = segments[0].last_append_time.emplace(kNow);
  EXPECT_EQ(DecideRetention(segments, Hours(1), kNow, 0, 300).log_start, 0u) << "only a prefix goes";
}

TEST(Retention, BySizeTheLogStaysAtOrAboveTheLimit) {
  const auto by_size = [](uint64_t bytes) {
    return DecideRetention(ThreeSegments(), {.bytes = bytes}, kNow, 0, 300);
  };
  EXPECT_EQ(by_size(3000).log_start, 0u);
  EXPECT_EQ(by_size(2001).log_start, 0u);
  EXPECT_EQ(by_size(2000).log_start, 100u);
  EXPECT_EQ(by_size(2000).reason, RetentionReason::kSize);
  EXPECT_EQ(by_size(1).log_start, 200u);
  EXPECT_FALSE(by_size(1).next);
  EXPECT_EQ(by_size(0).log_start, 300u);
  EXPECT_TRUE(by_size(0).roll_active);
}

TEST(Retention, WhatLiesBelowTheLogStartCountsForNothing) {
  EXPECT_EQ(DecideRetention(ThreeSegments(), {.bytes = 2000}, kNow, 100, 300).log_start, 100u);
  EXPECT_EQ(DecideRetention(ThreeSegments(), {.bytes = 1000}, kNow, 150, 300).log_start, 200u);
}

TEST(Retention, BothLimitsTogether) {
  RetentionConfig config = Hours(15);
  config.bytes = 2000;
  const auto decision = DecideRetention(ThreeSegments(), config, kNow, 0, 300);
  EXPECT_EQ(decision.log_start, 200u);
  EXPECT_EQ(decision.reason, RetentionReason::kTimeAndSize);
}

TEST(Retention, WithoutTheDeletePolicyOrLimitsNothingGoes) {
  EXPECT_EQ(DecideRetention(ThreeSegments(), {}, kNow, 0, 300).log_start, 0u);
  RetentionConfig compact = Hours(1);
  compact.deletes = false;
  compact.bytes = 0;
  EXPECT_EQ(DecideRetention(ThreeSegments(), compact, kNow, 0, 300).log_start, 0u);
}

TEST(Retention, WhatIsDamagedGoesOnlyWithWhatCameAfterIt) {
  auto segments = ThreeSegments();
  segments[0].damaged = true;
  segments[0].size = 0;
  segments[0].max_timestamp = kNoTimestamp;
  segments[0].last_append_time.reset();
  EXPECT_EQ(DecideRetention(segments, Hours(25), kNow, 0, 300).log_start, 0u) << "the second is 20 hours old";
  EXPECT_EQ(DecideRetention(segments, Hours(15), kNow, 0, 300).log_start, 200u);
  segments[1].last_append_time.reset();
  EXPECT_EQ(DecideRetention(segments, Hours(15), kNow, 0, 300).append_time_wanted, 100u);
  EXPECT_EQ(DecideRetention(segments, {.bytes = 2000}, kNow, 0, 300).log_start, 100u) << "by size as any";
  segments[1].damaged = true;
  segments[2].damaged = true;
  EXPECT_EQ(DecideRetention(segments, Hours(1), kNow, 0, 300).log_start, 0u);
}

TEST(Retention, TimestampsInTheFutureKeepNothingForEver) {
  std::vector<SegmentFacts> segments = ThreeSegments();
  for (const WallMillis future : {kNow + 5 * kHour, std::numeric_limits<WallMillis>::max()}) {
    segments[0].max_timestamp = future;
    EXPECT_EQ(DecideRetention(segments, Hours(25), kNow, 0, 300).log_start, 100u)
        << "it was appended 30 hours ago";
  }
  segments[0].last_append_time.reset();
  const auto unknown = DecideRetention(segments, Hours(25), kNow, 0, 300);
  EXPECT_EQ(unknown.log_start, 0u);
  EXPECT_EQ(unknown.append_time_wanted, 0u);
}

TEST(Retention, RecordsWithoutTimestampsAgeFromTheirAppend) {
  std::vector<SegmentFacts> segments = ThreeSegments();
  segments[0].max_timestamp = kNoTimestamp;
  EXPECT_EQ(DecideRetention(segments, Hours(25), kNow, 0, 300).log_start, 100u);
  EXPECT_EQ(DecideRetention(segments, Hours(31), kNow, 0, 300).log_start, 0u);
}

TEST(Retention, AnAppendTimeIsAskedForOnlyWhereItDecides) {
  std::vector<SegmentFacts> segments = ThreeSegments();
  for (SegmentFacts& segment : segments) segment.last_append_time.reset();
  EXPECT_EQ(DecideRetention(segments, Hours(25), kNow, 0, 300).append_time_wanted, 100u);
  EXPECT_FALSE(DecideRetention(segments, Hours(25), kNow, 0, 50).append_time_wanted);
  EXPECT_FALSE(DecideRetention(segments, {.bytes = 5000}, kNow, 0, 300).append_time_wanted);
}

TEST(Retention, AnEmptyLogHasNothingToDelete) {
  const std::vector<SegmentFacts> empty{{.base_offset = 7, .end_offset = 7}};
  const auto decision = DecideRetention(empty, {.time = 0s, .bytes = 0}, kNow, 7, 7);
  EXPECT_EQ(decision.log_start, 7u);
  EXPECT_FALSE(decision.roll_active || decision.append_time_wanted || decision.next);
}

// --- the log

void FillAt(LogWorld& world, Log& log, int batches, WallMillis append_time = 5000) {
  for (int i = 0; i < batches; ++i) {
    CHECK(world.Append(log, MakeBatch(fmt::format("w{}", i), 2, 100), 0, append_time + i));
  }
  world.WaitForFlush(log);
}

Result<> Remove(LogWorld& world, Log& log) {
  return world.process().Await([&log] { return log.RemoveBelowStart(); });
}

std::vector<std::string> FilesLike(LogWorld& world, std::string_view suffix) {
  std::vector<std::string> out;
  for (const auto& entry : *world.process().files().List("/data/orders-0")) {
    if (entry.name.ends_with(suffix)) out.push_back(entry.name);
  }
  return out;
}

void MoveStart(LogWorld& world, Log& log, Offset offset) {
  world.Call([&] {
    log.AdvanceStartTo(offset);
    return true;
  });
}

TEST(LogRetention, SegmentsTellTheirFacts) {
  LogWorld world;
  Log& log = world.Start();
  FillAt(world, log, 60);
  const auto facts = log.DescribeSegments();
  ASSERT_GT(facts.size(), 2u);
  EXPECT_EQ(facts.front().base_offset, 0u);
  EXPECT_EQ(facts.back().end_offset, log.end_offset());
  for (size_t i = 0; i < facts.size(); ++i) {
    if (i > 0) EXPECT_EQ(facts[i].base_offset, facts[i - 1].end_offset);
    EXPECT_GT(facts[i].size, 0u);
    EXPECT_EQ(facts[i].max_timestamp, 1001);
    EXPECT_EQ(facts[i].last_append_time, 5000 + static_cast<WallMillis>(facts[i].end_offset) / 2 - 1);
  }
  EXPECT_EQ(facts.back().first_append_time, 5000 + static_cast<WallMillis>(facts.back().base_offset) / 2);
}

TEST(LogRetention, AppendTimesAreLearntAgainAfterARestart) {
  for (const bool clean : {true, false}) {
    LogWorld world;
    Log* log = &world.Start();
    FillAt(world, *log, 60);
    const auto before = log->DescribeSegments();
    if (clean) {
      ASSERT_TRUE(world.CloseCleanly());
    } else {
      world.Kill(true);
    }
    log = &world.Start();
    ASSERT_TRUE(world.process().Await([log] { return log->Survey(); }));
    for (const SegmentFacts& segment : log->DescribeSegments()) {
      EXPECT_FALSE(segment.last_append_time);
      const auto learnt =
          world.process().Await([log, base = segment.base_offset] { return log->LearnAppendTime(base); });
      EXPECT_TRUE(learnt) << ToString(learnt.error());
    }
    const auto after = log->DescribeSegments();
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].last_append_time, before[i].last_append_time);
      EXPECT_EQ(after[i].max_timestamp, before[i].max_timestamp);
    }
  }
}

TEST(LogRetention, AnEmptiedLogGivesItsSpaceBackAndGoesOnWhereItWas) {
  LogWorld world;
  world.config().file_delete_delay = 0s;
  Log* log = &world.Start();
  FillAt(world, *log, 30);
  const Offset end = log->end_offset();
  MoveStart(world, *log, end);
  EXPECT_TRUE(log->has_garbage());
  ASSERT_TRUE(Remove(world, *log));
  world.world().RunFor(1s);  // the new segment's entry becomes durable
  ASSERT_TRUE(Remove(world, *log));
  EXPECT_EQ(log->segment_count(), 1u);
  EXPECT_EQ(log->size_bytes(), 0u);
  EXPECT_FALSE(log->has_garbage());
  EXPECT_THAT(FilesLike(world, ".log"), ElementsAre(fmt::format("{:020d}.log", end)));
  for (const bool checkpointed : {false, true}) {
    if (checkpointed) ASSERT_TRUE(world.Checkpoint());
    world.Kill(true);
    log = &world.Start();
    EXPECT_FALSE(log->damage());
    EXPECT_EQ(log->start_offset(), end);
    EXPECT_EQ(log->end_offset(), end);
  }
  EXPECT_EQ(world.Append(*log, MakeBatch("on"))->base_offset, end);
}

TEST(LogRetention, FilesAreRemovedAfterTheirDelay) {
  LogWorld world;
  world.config().file_delete_delay = 60s;
  Log& log = world.Start();
  FillAt(world, log, 60);
  MoveStart(world, log, log.DescribeSegments()[2].base_offset);
  ASSERT_TRUE(Remove(world, log));
  EXPECT_EQ(FilesLike(world, ".log.deleted").size(), 2u);
  EXPECT_FALSE(log.has_garbage());
  world.world().RunFor(59s);
  EXPECT_FALSE(log.has_garbage());
  world.world().RunFor(2s);
  EXPECT_TRUE(log.has_garbage());
  ASSERT_TRUE(Remove(world, log));
  EXPECT_THAT(FilesLike(world, ".deleted"), IsEmpty());
}

TEST(LogRetention, FilesTakenAwayAreRemovedAtTheNextStart) {
  LogWorld world;
  Log* log = &world.Start();
  FillAt(world, *log, 60);
  const Offset start = log->DescribeSegments()[2].base_offset;
  MoveStart(world, *log, start);
  ASSERT_TRUE(Remove(world, *log));
  EXPECT_THAT(FilesLike(world, ".deleted"), Not(IsEmpty()));
  world.Kill(true);
  log = &world.Start();
  EXPECT_THAT(FilesLike(world, ".deleted"), IsEmpty());
  EXPECT_EQ(log->start_offset(), start);
}

TEST(LogRetention, AReaderOfASegmentThatGoesEndsWellOrIsToldThatItIsGone) {
  for (const Duration delay : {Duration(0s), Duration(60s)}) {
    LogWorld world;
    world.config().file_delete_delay = delay;
    world.disk().SetColdReadChance(1.0);
    Log* log = &world.Start();
    FillAt(world, *log, 60);
    ASSERT_TRUE(world.CloseCleanly());
    log = &world.Start();
    ASSERT_TRUE(world.process().Await([log] { return log->Survey(); }));
    const Offset start = log->DescribeSegments()[2].base_offset;
    // Both are under way at once: the read waits for the disk while its segment is taken away.
    auto read = std::make_shared<std::optional<Result<LogRead>>>();
    world.process().Keep(read);
    world.process().Spawn("reader", [log, read]() -> Task<void> {
      return [](Log* l, std::shared_ptr<std::optional<Result<LogRead>>> out) -> Task<void> {
        out->emplace(co_await l->Read(1, ~0ull, 4000));
      }(log, read);
    });
    MoveStart(world, *log, start);
    ASSERT_TRUE(Remove(world, *log));
    ASSERT_TRUE(world.world().RunUntil([&] { return read->has_value(); }, 60s));
    if (**read) {
      EXPECT_EQ(ParseBatches((**read)->bytes).front().base_offset, 0u);
    } else {
      EXPECT_EQ((**read).error().code, v1::OFFSET_OUT_OF_RANGE);
    }
    EXPECT_FALSE(log->damage());
    EXPECT_EQ(world.Read(*log, 1).error().code, v1::OFFSET_OUT_OF_RANGE);
    EXPECT_THAT(world.disk().freed_on_loops(), testing::IsEmpty()) << "the reader closed it last";
  }
}

TEST(LogRetention, ProductionGoesOnWhileSegmentsAreRemoved) {
  LogWorld world;
  Log& log = world.Start();
  FillAt(world, log, 100);
  MoveStart(world, log, 150);
  const bool removed = world.RunOrDie([&]() -> Task<void> {
    Scope scope(world.process().main_loop(), "removal");
    scope.Spawn("remove", [](Log* l) -> Task<void> {
      const auto done = co_await l->RemoveBelowStart();
      CHECK(done) << ToString(done.error());
    }(&log));
    const FinishedBatch batch = MakeBatch("meanwhile");
    const UnstampedBatch unstamped = Unstamped(batch);
    const auto appended = log.AppendAsLeader(std::span(&unstamped, 1), 0, 6000);
    CHECK(appended) << ToString(appended.error());
    co_await scope.Close();
  });
  EXPECT_TRUE(removed);
  EXPECT_EQ(log.end_offset(), 201u);
}

TEST(LogStart, IsDurableWhenCheckpointStartReturns) {
  LogWorld world;
  Log* log = &world.Start();
  FillAt(world, *log, 10);
  MoveStart(world, *log, 7);
  EXPECT_EQ(log->durable_start(), 0u);
  ASSERT_TRUE(world.process().Await([log] { return log->CheckpointStart(); }));
  EXPECT_EQ(log->durable_start(), 7u);
  world.Kill(true);
  log = &world.Start();
  EXPECT_EQ(log->start_offset(), 7u);
  EXPECT_EQ(log->durable_start(), 7u);
}

TEST(LogStart, NeverMovesAboveWhatIsOnDisk) {
  LogWorld world;
  world.config().durability = AckDurability::kReplicated;
  Log& log = world.Start();
  ASSERT_TRUE(world.Append(log, MakeBatch("x", 5)));
  MoveStart(world, log, 5);
  EXPECT_EQ(log.start_offset(), 0u);
  world.Call([&] {
    log.RequestFlush();
    return true;
  });
  world.WaitForFlush(log);
  MoveStart(world, log, 9);
  EXPECT_EQ(log.start_offset(), 5u);
}

}  // namespace
}  // namespace tidemark
