// Starts in directories that have lost one of their checkpoint files.
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

std::string PathOf(CheckpointKind kind) { return fmt::format("/data/{}", CheckpointFileName(kind)); }

class MissingCheckpoint : public testing::Test {
 protected:
  MissingCheckpoint() {
    log_ = &world_.Start();
    Fill(40);
    CHECK(world_.Checkpoint());
  }
  void Fill(int batches) {
    for (int i = 0; i < batches; ++i) CHECK(world_.Append(*log_, MakeBatch("x", 1, 200)));
    world_.WaitForFlush(*log_);
  }
  void StopAndLose(CheckpointKind kind, bool clean) {
    if (clean) {
      CHECK(world_.CloseCleanly());
    } else {
      world_.Kill(true);
    }
    CHECK(world_.disk().Content(PathOf(kind)));
    world_.disk().RemovePath(PathOf(kind));
  }
  void FlipIn(Offset base, double where) {
    const size_t bytes = world_.disk().Content(world_.LogPath(base))->size();
    CHECK(world_.disk().FlipBit(world_.LogPath(base),
                                static_cast<size_t>(where * static_cast<double>(bytes)) * 8));
  }
  Offset ActiveBase() const { return log_->DescribeSegments().back().base_offset; }

  LogWorld world_;
  Log* log_ = nullptr;
};

TEST(NewDirectory, HasAllCheckpointFilesBeforeItsFirstLog) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  for (size_t i = 0; i < kCheckpointKinds; ++i) {
    EXPECT_TRUE(world.disk().DurableContent(PathOf(static_cast<CheckpointKind>(i)))) << i;
  }
  // A crash right after the first appends is no lost file.
  Log* log = *world.OpenLog();
  ASSERT_TRUE(world.Append(*log, MakeBatch("x")));
  world.WaitForFlush(*log);
  world.Kill(true);
  log = &world.Start();
  EXPECT_EQ(log->end_offset(), 1u);
  EXPECT_TRUE(world.dirs().directories()[0]->at_start.Has(CheckpointKind::kRecoveryPoint));
}

TEST_F(MissingCheckpoint, WithoutRecoveryPointsNothingGoodIsCutBehindWhatIsBad) {
  const Offset base = ActiveBase();
  StopAndLose(CheckpointKind::kRecoveryPoint, /*clean=*/false);
  FlipIn(base, 0.3);
  log_ = &world_.Start();
  EXPECT_TRUE(log_->damage()) << "rot must not pass for a torn tail";
  world_.Kill(true);
  log_ = &world_.Start();
  EXPECT_TRUE(log_->damage()) << "nor at the start after, when there is a file again";
}

TEST_F(MissingCheckpoint, TheStartIsAnUncleanOneThatReadsEverything) {
  for (const CheckpointKind kind :
       {CheckpointKind::kRecoveryPoint, CheckpointKind::kHighWatermark, CheckpointKind::kLogStart}) {
    StopAndLose(kind, /*clean=*/true);
    ASSERT_TRUE(world_.StartDirs());
    EXPECT_FALSE(world_.dirs().last_stop_was_clean()) << CheckpointFileName(kind);
    // Neither is the next one, whatever this process leaves behind.
    world_.Kill(true);
    ASSERT_TRUE(world_.StartDirs());
    EXPECT_FALSE(world_.dirs().last_stop_was_clean());
    log_ = *world_.OpenLog();
    EXPECT_TRUE(log_->surveyed());
    EXPECT_FALSE(log_->damage());
    EXPECT_EQ(log_->end_offset(), 40u);
    EXPECT_EQ(log_->checkpointed_high_watermark(), 0u) << "a lower bound";
    ASSERT_TRUE(world_.Checkpoint());
  }
}

// Also where all of its lines were zero, so that nothing ever changes in it.
TEST_F(MissingCheckpoint, ADamagedFileIsWrittenAnewAndTheNextStopIsACleanOne) {
  for (size_t i = 0; i < kCheckpointKinds; ++i) {
    const std::string path = PathOf(static_cast<CheckpointKind>(i));
    ASSERT_TRUE(world_.CloseCleanly());
    ASSERT_TRUE(world_.disk().FlipBit(path, 8));
    log_ = &world_.Start();
    ASSERT_TRUE(world_.Checkpoint());
    ASSERT_TRUE(world_.CloseCleanly());
    ASSERT_TRUE(DecodeCheckpoint(*world_.disk().Content(path), path)) << path;
    log_ = &world_.Start();
    EXPECT_TRUE(world_.dirs().last_stop_was_clean()) << path;
    EXPECT_EQ(log_->end_offset(), 40u);
    EXPECT_FALSE(log_->damage());
  }
}

TEST_F(MissingCheckpoint, WithoutLogStartsDeletedRecordsStayDeleted) {
  const Offset start = ActiveBase() + 3;
  world_.Call([&] {
    log_->AdvanceStartTo(start);
    return true;
  });
  ASSERT_TRUE(world_.process().Await([&] { return log_->CheckpointStart(); }));
  ASSERT_TRUE(world_.process().Await([&] { return log_->RemoveBelowStart(); }));
  world_.Call([&] {
    log_->RequestFlush();
    return true;
  });
  world_.world().RunFor(1s);
  StopAndLose(CheckpointKind::kLogStart, /*clean=*/false);
  log_ = &world_.Start();
  EXPECT_EQ(log_->start_offset(), start) << "the epoch table tells";
}

TEST_F(MissingCheckpoint, WithoutTheFileOfDroppedTombstonesAnyMayHaveGone) {
  StopAndLose(CheckpointKind::kDroppedTombstones, /*clean=*/true);
  log_ = &world_.Start();
  EXPECT_EQ(log_->tombstone_drops().below(), 40u);
  ASSERT_TRUE(world_.Checkpoint());
  world_.Kill(true);
  log_ = &world_.Start();
  EXPECT_EQ(log_->tombstone_drops().below(), 40u) << "the file that is there again says so";
}

}  // namespace
}  // namespace tidemark
