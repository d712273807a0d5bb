// What the property test of the log (tests/simulation/log_property) has found, one test each.
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

// Appends `count` batches of two records each and waits until they are on disk.
void FillEpoch(LogWorld& world, Log& log, int count, LeaderEpoch epoch = 0) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(world.Append(log, MakeBatch(fmt::format("w{}-{}", epoch, i), 2), epoch));
  }
  world.Call([&] {
    log.RequestFlush();
    return true;
  });
  world.WaitForFlush(log);
}

TEST(LogFindings, ATruncationBelowTheStartLowersTheDurableStartToo) {
  LogWorld world;
  Log& log = world.Start();
  FillEpoch(world, log, 3);
  // In the middle of the batch [2, 4).
  world.Call([&] {
    log.AdvanceStartTo(3);
    return true;
  });
  ASSERT_TRUE(world.Checkpoint());
  ASSERT_TRUE(world.Truncate(log, 3));
  EXPECT_EQ(log.start_offset(), 2u);
  FillEpoch(world, log, 2, 1);
  world.Kill(true);
  Log& again = world.Start();
  EXPECT_EQ(again.start_offset(), 2u) << "an acknowledged record is hidden";
  EXPECT_EQ(again.end_offset(), 6u);
}

TEST(LogFindings, AStartThatOnlyTheEpochTableTellsOfIsKept) {
  LogWorld world;
  Log& log = world.Start();
  FillEpoch(world, log, 2, 1);
  FillEpoch(world, log, 2, 2);
  world.Call([&] {
    log.AdvanceStartTo(4);
    return true;
  });
  FillEpoch(world, log, 1, 2);  // writes the table, not the checkpoint
  world.Kill(false);
  Log& again = world.Start();
  EXPECT_EQ(again.start_offset(), 4u);
  EXPECT_EQ(again.epochs().EpochAt(again.start_offset()), 2);
}

TEST(LogFindings, AnEpochTableWithoutEntriesIsRebuiltWhenThereAreRecords) {
  LogWorld world;
  Log& log = world.Start();
  FillEpoch(world, log, 2, 5);
  ASSERT_TRUE(world.Checkpoint());
  world.Call([&] {
    log.AdvanceStartTo(4);
    return true;
  });
  ASSERT_TRUE(world.Append(log, MakeBatch("more", 2), 5));
  ASSERT_TRUE(world.Truncate(log, 4));
  world.Kill(false);
  Log& again = world.Start();
  ASSERT_LT(again.start_offset(), again.end_offset());
  EXPECT_EQ(again.epochs().EpochAt(again.start_offset()), 5);
}

TEST(LogFindings, ACheckpointThatAFullDiskRefusedIsWrittenLater) {
  LogWorld world;
  Log& log = world.Start();
  FillEpoch(world, log, 3);
  world.Call([&] {
    log.AdvanceStartTo(4);
    return true;
  });
  world.disk().Fail({.op = DiskOp::kWrite, .path = "-checkpoint.tmp", .fault = DiskFault::kNoSpace});
  ASSERT_FALSE(world.Checkpoint());
  ASSERT_TRUE(world.Checkpoint());
  world.Kill(true);
  EXPECT_EQ(world.Start().start_offset(), 4u);
}

TEST(LogFindings, ARestartThatAFullDiskRefusedHidesNothing) {
  LogWorld world;
  Log& log = world.Start();
  FillEpoch(world, log, 3);
  ASSERT_TRUE(world.Checkpoint());
  world.disk().Fail({.op = DiskOp::kWrite, .path = "-checkpoint.tmp", .fault = DiskFault::kNoSpace});
  const auto refused = world.process().Await([&log] { return log.RestartAt(5); });
  ASSERT_FALSE(refused);
  ASSERT_EQ(refused.error().code, v1::DISK_FULL);
  world.Call([&] {
    log.SetHighWatermark(4);
    return true;
  });
  ASSERT_TRUE(world.Checkpoint());  // of something else; the files are written whole
  world.Kill(true);
  Log& again = world.Start();
  EXPECT_EQ(again.start_offset(), 0u);
  EXPECT_EQ(world.ReadAll(again).size(), 3u);
}

TEST(LogFindings, ATruncationWaitsForALowerRecoveryPointThatAFullDiskHasRefusedBefore) {
  LogWorld world;
  Log& log = world.Start();
  FillEpoch(world, log, 4);
  ASSERT_TRUE(world.Checkpoint());  // 8
  // The truncation is refused, but the log promises less already, and a round tries to say so.
  world.disk().Fail(
      {.op = DiskOp::kWrite, .path = "-checkpoint.tmp", .fault = DiskFault::kNoSpace, .times = 2});
  ASSERT_FALSE(world.Truncate(log, 4));
  ASSERT_FALSE(world.Checkpoint());
  ASSERT_TRUE(world.Truncate(log, 4));
  world.Kill(false);
  Log& again = world.Start();
  EXPECT_FALSE(again.damage()) << again.damage()->message;
  EXPECT_EQ(again.end_offset(), 4u);
}

TEST(LogFindings, WhatAFullDiskRefusedDoesNotComeBackUnderALaterSegment) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    LogWorld world(seed);
    world.config().segment_time = 1s;
    Log& log = world.Start();
    FillEpoch(world, log, 2);
    ASSERT_TRUE(world.Checkpoint());
    world.disk().Fail({.op = DiskOp::kWrite, .path = ".log", .fault = DiskFault::kNoSpace});
    ASSERT_EQ(world.Append(log, MakeBatch("refused", 2)).error().code, v1::DISK_FULL);
    ASSERT_TRUE(world.Append(log, MakeBatch("next", 2), 0, 5'000'000));  // rolls
    world.WaitForFlush(log);
    ASSERT_EQ(log.segment_count(), 2u);
    world.Kill(true);
    Log& again = world.Start();
    EXPECT_FALSE(again.damage());
    EXPECT_EQ(again.end_offset(), 6u) << "an acknowledged record is lost";
  }
}

TEST(LogFindings, WhatAFailedSyncLeftInThePageCacheIsNotTakenForDurable) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    LogWorld world(seed);
    Log& log = world.Start();
    FillEpoch(world, log, 1);
    world.disk().Fail({.op = DiskOp::kSync, .path = ".log"});
    ASSERT_TRUE(world.Append(log, MakeBatch("lost?", 2)));
    world.WaitForFlush(log);
    ASSERT_TRUE(log.failure());
    world.Kill(false);
    // The page cache still has it, and takes it for clean.
    const Offset end = world.Start().end_offset();
    world.Kill(true);
    EXPECT_EQ(world.Start().end_offset(), end) << "it was said to be on disk";
  }
}

}  // namespace
}  // namespace tidemark
