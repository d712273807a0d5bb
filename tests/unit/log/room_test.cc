// Changes that lack room on their way: space, inodes, descriptors. What has begun is seen through; what
// cannot be for long fails its log alone.
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

void FillRoom(LogWorld& world, Log& log, int batches, LeaderEpoch epoch = 0) {
  for (int i = 0; i < batches; ++i) {
    ASSERT_TRUE(world.Append(log, MakeBatch(fmt::format("w{}-{}", epoch, i), 2, 100), epoch));
  }
  world.Call([&] {
    log.RequestFlush();
    return true;
  });
  world.WaitForFlush(log);
}

Result<> RestartAt(LogWorld& world, Log& log, Offset offset) {
  return world.process().Await([&log, offset] { return log.RestartAt(offset); });
}

Result<> RemoveBelow(LogWorld& world, Log& log, Offset offset) {
  world.Call([&] {
    log.AdvanceStartTo(offset);
    return true;
  });
  return world.process().Await([&log] { return log.RemoveBelowStart(); });
}

TEST(RoomForAChange, ATruncationThatFindsNoDescriptorWaitsForOne) {
  LogWorld world;
  Log& log = world.Start();
  FillRoom(world, log, 40);
  ASSERT_GT(log.segment_count(), 1u);
  world.disk().Fail(
      {.op = DiskOp::kSyncDirectory, .path = "orders-0", .fault = DiskFault::kNoSpace, .times = 3});
  ASSERT_TRUE(world.Truncate(log, 10));
  EXPECT_EQ(log.end_offset(), 10u);
  EXPECT_FALSE(world.dirs().directories()[0]->failed);
  FillRoom(world, log, 2, 1);
  const auto kept = world.ReadAll(log);
  world.Kill(/*power_loss=*/true);
  EXPECT_EQ(world.ReadAll(world.Start()), kept);
}

TEST(RoomForAChange, ALogThatIsToStartAnewWaitsForItsFile) {
  LogWorld world;
  Log& log = world.Start();
  FillRoom(world, log, 40);
  world.disk().Fail({.op = DiskOp::kOpen, .path = ".log", .fault = DiskFault::kNoSpace, .times = 2});
  ASSERT_TRUE(RestartAt(world, log, 500));
  EXPECT_FALSE(world.dirs().directories()[0]->failed);
  EXPECT_EQ(log.start_offset(), 500u);
  FillRoom(world, log, 2, 1);
  world.Kill(true);
  Log& again = world.Start();
  EXPECT_EQ(again.start_offset(), 500u);
  EXPECT_EQ(again.end_offset(), 504u);
}

TEST(RoomForAChange, OneThatHasMadeItsFileMakesItAgain) {
  LogWorld world;
  Log& log = world.Start();
  FillRoom(world, log, 40);
  // The second sync of the directory: the epoch table's has passed, the new segment is there.
  world.disk().Fail(
      {.op = DiskOp::kSyncDirectory, .path = "orders-0", .fault = DiskFault::kNoSpace, .nth = 2, .times = 1});
  ASSERT_TRUE(RestartAt(world, log, 0));
  FillRoom(world, log, 1, 1);
  world.Kill(true);
  EXPECT_EQ(world.Start().end_offset(), 2u);
}

TEST(RoomForAChange, RetentionOnAFullDiskUnlinksWhatItCannotRename) {
  LogWorld world;
  world.config().file_delete_delay = 60s;
  Log& log = world.Start();
  FillRoom(world, log, 80);
  const size_t before = log.segment_count();
  ASSERT_GT(before, 2u);
  world.disk().Fail({.op = DiskOp::kRename, .path = "orders-0", .fault = DiskFault::kNoSpace, .times = 1000});
  ASSERT_TRUE(RemoveBelow(world, log, 100));
  EXPECT_LT(log.segment_count(), before);
  EXPECT_FALSE(world.dirs().directories()[0]->failed);
  EXPECT_FALSE(log.failure());
  for (const auto& entry : *world.process().files().List("/data/orders-0")) {
    EXPECT_FALSE(entry.name.ends_with(".deleted")) << entry.name;
  }
}

TEST(RoomForAChange, ALackThatLastsFailsOneLogAndNotItsDirectory) {
  LogWorld world;
  Log& log = world.Start();
  FillRoom(world, log, 40);
  world.disk().Fail(
      {.op = DiskOp::kSyncDirectory, .path = "orders-0", .fault = DiskFault::kNoSpace, .times = 1000});
  EXPECT_EQ(world.Truncate(log, 10).error().code, v1::KAFKA_STORAGE_ERROR);
  EXPECT_TRUE(log.failure());
  EXPECT_FALSE(world.dirs().directories()[0]->failed);
  // Not a clean stop: the next start looks at what is there.
  EXPECT_FALSE(world.CloseCleanly());
  world.disk().ClearFailures();
  Log& again = world.Start();
  EXPECT_FALSE(again.damage());
  EXPECT_GE(again.end_offset(), 10u);
}

TEST(RoomForAChange, ASyncThatFailsIsTheDirectorysWhateverItsNumber) {
  LogWorld world;
  Log& log = world.Start();
  FillRoom(world, log, 40);
  world.disk().Fail({.op = DiskOp::kSync, .path = ".log", .fault = DiskFault::kNoSpace});
  ASSERT_FALSE(world.Truncate(log, 10));
  EXPECT_TRUE(world.dirs().directories()[0]->failed);
}

}  // namespace
}  // namespace tidemark
