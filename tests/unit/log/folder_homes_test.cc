// Where a partition's folder is, while log directories fail: no second one is made beside it, and none is
// missed where there is none.
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

class FolderHomes : public testing::Test {
 protected:
  // Makes the directory fail for the life of the process.
  void FailDirectory(size_t index) {
    world_.set_key({MakeTopicId(9), 0});
    for (PartitionIndex i = 0;; ++i) {
      world_.set_key({MakeTopicId(9), i});
      Log* log = world_.OpenLog("others").value();
      if (log->directory_index() != index) continue;
      world_.disk().Fail({DiskOp::kSync, log->directory()});
      ASSERT_TRUE(world_.Append(*log, MakeBatch("x")));
      ASSERT_TRUE(world_.world().RunUntil([log] { return log->failure().has_value(); }, 60s));
      world_.set_key(orders_);
      return;
    }
  }
  Result<> Delete() {
    return world_.process().Await([this] { return world_.logs().Delete(orders_, "orders"); });
  }
  void MoveTo(size_t directory) {
    ASSERT_TRUE(world_.Call([&] { return world_.logs().MoveTo(orders_, directory); }));
    ASSERT_TRUE(world_.world().RunUntil([&] { return world_.logs().move_counters().finished == 1; }, 600s));
  }

  const PartitionKey orders_{MakeTopicId(7), 0};
  LogWorld world_{1, {"/data1", "/data2"}};
};

TEST_F(FolderHomes, AFailedDirectoryKeepsWhatWasMadeInItSinceTheStart) {
  Log& log = world_.Start();
  const size_t home = log.directory_index();
  ASSERT_TRUE(world_.Append(log, MakeBatch("kept")));
  world_.WaitForFlush(log);
  FailDirectory(home);
  EXPECT_EQ(Delete().error().code, v1::KAFKA_STORAGE_ERROR);
  // Asked for again, it is not made anew in the other one: the next start would find two.
  EXPECT_EQ(world_.OpenLog().error().code, v1::KAFKA_STORAGE_ERROR);
  world_.Kill(true);
  const auto started = world_.StartDirs();
  ASSERT_TRUE(started) << ToString(started.error());
  EXPECT_EQ(world_.OpenLog().value()->end_offset(), 1u);
}

TEST_F(FolderHomes, AFailedDirectoryDoesNotHoldWhatWasMovedOutOfIt) {
  world_.Start();
  ASSERT_TRUE(world_.CloseCleanly());
  const size_t home = world_.Start().directory_index();
  MoveTo(1 - home);
  FailDirectory(home);
  ASSERT_TRUE(Delete());
  const auto again = world_.OpenLog();
  ASSERT_TRUE(again) << ToString(again.error());
  EXPECT_EQ((*again)->directory_index(), 1 - home);
}

TEST_F(FolderHomes, AFailedDirectoryHoldsWhatWasMovedIntoIt) {
  const size_t home = world_.Start().directory_index();
  MoveTo(1 - home);
  FailDirectory(1 - home);
  EXPECT_EQ(Delete().error().code, v1::KAFKA_STORAGE_ERROR);
  EXPECT_EQ(world_.OpenLog().error().code, v1::KAFKA_STORAGE_ERROR);
  world_.Kill(true);
  const auto started = world_.StartDirs();
  ASSERT_TRUE(started) << ToString(started.error());
}

TEST_F(FolderHomes, WhatWasDeletedBeforeItsDirectoryFailedIsMadeAnewElsewhere) {
  const size_t home = world_.Start().directory_index();
  ASSERT_TRUE(Delete());
  FailDirectory(home);
  const auto again = world_.OpenLog();
  ASSERT_TRUE(again) << ToString(again.error());
  EXPECT_EQ((*again)->directory_index(), 1 - home);
}

}  // namespace
}  // namespace tidemark
