// Read-ahead for readers that catch up, and giving back what lies behind them.
#include "broker/log/read_ahead.h"

#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kSize = 64 * kMiB;

TEST(ReadAhead, AWarmStreamAsksForNothing) {
  ReadStream stream;
  for (uint64_t at = 0; at < kSize; at += kMiB) {
    EXPECT_FALSE(AdviseAfterRead(&stream, at, at + kMiB, kSize, false, true, false).any());
  }
}

TEST(ReadAhead, AColdStreamStaysAheadByABoundedWindowAndGivesBackEachByteOnce) {
  ReadStream stream;
  uint64_t asked_until = 0, dropped_until = 0;
  for (uint64_t at = 0; at < kSize; at += kMiB) {
    const uint64_t until = at + kMiB;
    const ReadAdvice advice = AdviseAfterRead(&stream, at, until, kSize, at == 0, true, false);
    if (advice.need_from < advice.need_until) {
      EXPECT_GE(advice.need_from, asked_until) << "nothing is asked for twice";
      asked_until = advice.need_until;
    }
    EXPECT_LE(asked_until, std::min(kSize, until + kReadAheadBytes));
    EXPECT_GE(asked_until, std::min(kSize, until + kMiB)) << "the next read finds its bytes";
    if (advice.drop_from < advice.drop_until) {
      EXPECT_EQ(advice.drop_from, dropped_until);
      EXPECT_LE(advice.drop_until, until - kDropLagBytes);
      dropped_until = advice.drop_until;
    }
  }
  EXPECT_GE(dropped_until, kSize - kDropLagBytes - kDropStepBytes);
}

TEST(ReadAhead, AReadInTheMiddleOfNowhereIsNoStream) {
  ReadStream stream;
  EXPECT_FALSE(AdviseAfterRead(&stream, 5 * kMiB, 6 * kMiB, kSize, true, false, false).any());
  EXPECT_TRUE(AdviseAfterRead(&stream, 6 * kMiB, 7 * kMiB, kSize, true, true, false).any())
      << "the second one that follows it is";
}

TEST(ReadAhead, TheActiveSegmentIsNotGivenBack) {
  ReadStream stream;
  for (uint64_t at = 0; at < kSize; at += kMiB) {
    const ReadAdvice advice = AdviseAfterRead(&stream, at, at + kMiB, kSize, true, true, true);
    EXPECT_EQ(advice.drop_from, advice.drop_until);
  }
}

TEST(ReadAhead, WhatWasWarmBeforeIsNotGivenBack) {
  ReadStream stream;
  for (uint64_t at = 0; at < 20 * kMiB; at += kMiB) {
    (void)AdviseAfterRead(&stream, at, at + kMiB, kSize, false, true, false);
  }
  uint64_t first = kSize;
  for (uint64_t at = 20 * kMiB; at < kSize; at += kMiB) {
    const ReadAdvice advice = AdviseAfterRead(&stream, at, at + kMiB, kSize, true, true, false);
    if (advice.drop_from < advice.drop_until) first = std::min(first, advice.drop_from);
  }
  EXPECT_EQ(first, 20 * kMiB);
}

TEST(ReadAhead, AReaderThatCatchesUpReadsAheadAndOneAtTheTailDoesNot) {
  for (const bool cold : {true, false}) {
    LogWorld world;
    world.disk().SetColdReadChance(cold ? 1 : 0);
    world.config().segment_bytes = 16 * kMiB;
    Log& log = world.Start();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, kMiB)));
    world.WaitForFlush(log);
    EXPECT_EQ(world.ReadAll(log, 2 * kMiB).size(), 20u);
    world.world().RunFor(1s);
    EXPECT_EQ(world.disk().will_need().empty(), !cold);
    EXPECT_EQ(world.disk().dont_need().empty(), !cold);
    EXPECT_FALSE(world.disk().dont_need().contains(world.LogPath(15))) << "the tail stays";
  }
}

TEST(ReadAhead, WhatWasReadAheadIsCheckedThoughItIsNoLongerCold) {
  LogWorld world;
  world.disk().SetColdReadChance(1);
  world.config().segment_bytes = 16 * kMiB;
  Log& log = world.Start();
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, kMiB)));
  world.WaitForFlush(log);
  ASSERT_EQ(world.Read(log, 0, ~0ull, 3 * kMiB)->next_offset, 2u);
  ASSERT_TRUE(world.disk().FlipBit(world.LogPath(0), (3 * kMiB) * 8));  // in the body of batch 2
  world.disk().SetColdReadChance(0);
  EXPECT_EQ(world.Read(log, 2, ~0ull, 3 * kMiB).error().code, v1::CORRUPT_MESSAGE);
}

}  // namespace
}  // namespace tidemark
