// When flushes are begun (flush.messages, flush.ms), how a round syncs few and many dirty files, and what its
// failures leave.
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

class FlushConfigs : public testing::Test {
 protected:
  FlushConfigs() { world_.config().durability = AckDurability::kReplicated; }
  uint64_t Syncs() { return world_.disk().count(DiskOp::kSync); }
  LogWorld world_;
};

TEST_F(FlushConfigs, AtReplicatedAnAppendIsNotFlushedByItself) {
  Log& log = world_.Start();
  ASSERT_TRUE(world_.Append(log, MakeBatch("x", 5)));
  world_.world().RunFor(10s);
  EXPECT_EQ(log.flushed_end(), 0u);
}

TEST_F(FlushConfigs, FlushMessagesBeginsOneAfterSoManyRecords) {
  world_.config().flush_messages = 10;
  Log& log = world_.Start();
  const uint64_t before = Syncs();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(world_.Append(log, MakeBatch("x", 3)));
  world_.world().RunFor(10s);
  EXPECT_EQ(Syncs(), before) << "9 are not 10";
  ASSERT_TRUE(world_.Append(log, MakeBatch("x", 3)));
  world_.world().RunFor(1s);
  EXPECT_EQ(log.flushed_end(), 12u);
  // It counts from there.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(world_.Append(log, MakeBatch("x", 3)));
  world_.world().RunFor(1s);
  EXPECT_EQ(log.flushed_end(), 12u);
  ASSERT_TRUE(world_.Append(log, MakeBatch("x", 1)));
  world_.world().RunFor(1s);
  EXPECT_EQ(log.flushed_end(), 22u);
}

TEST_F(FlushConfigs, FlushMessagesCountsAnewAfterATruncation) {
  world_.config().flush_messages = 10;
  Log& log = world_.Start();
  ASSERT_TRUE(world_.Append(log, MakeBatch("x", 12)));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(world_.Append(log, MakeBatch("x", 2)));
  world_.world().RunFor(1s);
  ASSERT_TRUE(world_.Truncate(log, 12));
  ASSERT_TRUE(world_.Append(log, MakeBatch("y", 10), 1));
  world_.world().RunFor(1s);
  EXPECT_EQ(log.flushed_end(), 22u);
}

TEST_F(FlushConfigs, FlushMsBeginsOneSoLongAfterTheFirstUnflushedAppend) {
  world_.config().flush_time = 2s;
  Log& log = world_.Start();
  ASSERT_TRUE(world_.Append(log, MakeBatch("x")));
  world_.world().RunFor(1s);
  ASSERT_TRUE(world_.Append(log, MakeBatch("x")));
  EXPECT_EQ(log.flushed_end(), 0u);
  world_.world().RunFor(1500ms);
  EXPECT_EQ(log.flushed_end(), 2u);
  const uint64_t before = Syncs();
  world_.world().RunFor(60s);
  EXPECT_EQ(Syncs(), before) << "nothing was appended since";
  ASSERT_TRUE(world_.Append(log, MakeBatch("x")));
  world_.world().RunFor(3s);
  EXPECT_EQ(log.flushed_end(), 3u);
  ASSERT_TRUE(world_.CloseCleanly());
}

TEST_F(FlushConfigs, AChangedConfigCountsForWhatIsThereAlready) {
  Log& log = world_.Start();
  ASSERT_TRUE(world_.Append(log, MakeBatch("x", 3)));
  LogConfig config = world_.config();
  config.flush_time = 1s;
  world_.Call([&] {
    log.SetConfig(config);
    return true;
  });
  world_.world().RunFor(2s);
  EXPECT_EQ(log.flushed_end(), 3u);
}

TEST_F(FlushConfigs, FlushesThatComeBeforeTheirTimeLeaveNoTimersBehind) {
  world_.config().flush_messages = 2;
  world_.config().flush_time = 20s;
  Log& log = world_.Start();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(world_.Append(log, MakeBatch("x", 3)));
    world_.world().RunFor(100ms);
  }
  EXPECT_EQ(log.flushed_end(), 300u);
  EXPECT_LE(world_.logs().timed_flushes(), 1u);
  // What remains is flushed at its own time.
  ASSERT_TRUE(world_.Append(log, MakeBatch("x", 1)));
  world_.world().RunFor(19s);
  EXPECT_EQ(log.flushed_end(), 300u);
  world_.world().RunFor(2s);
  EXPECT_EQ(log.flushed_end(), 301u);
}

// --- Rounds over many logs

struct Round {
  explicit Round(size_t logs) {
    world.config().durability = AckDurability::kReplicated;
    CHECK(world.StartDirs());
    for (PartitionIndex i = 0; i < logs; ++i) {
      world.set_key({MakeTopicId(7), i});
      all.push_back(*world.OpenLog());
    }
  }
  // Appends to all and has them flushed in one round; returns the syncs it took.
  uint64_t Flush(LeaderEpoch epoch) {
    const FinishedBatch batch = MakeBatch("x", 1, 100);
    const auto syncs = [&] {
      return world.disk().count(DiskOp::kSync) + world.disk().count(DiskOp::kSyncDirectory);
    };
    const uint64_t before = syncs();
    world.Call([&] {
      const UnstampedBatch unstamped = Unstamped(batch);
      for (Log* log : all) CHECK(log->AppendAsLeader(std::span(&unstamped, 1), epoch, 1000));
      for (Log* log : all) log->RequestFlush();
      return true;
    });
    world.world().RunFor(5s);
    return syncs() - before;
  }
  LogWorld world;
  std::vector<Log*> all;
};

TEST(GroupCommitRound, FewDirtyFilesAreSyncedOneByOne) {
  Round round(10);
  round.Flush(0);
  EXPECT_EQ(round.Flush(0), 10u);
}

TEST(GroupCommitRound, ManyAreSyncedAtOnceAlsoWhereTheirEpochsBegin) {
  Round round(300);
  EXPECT_LE(round.Flush(0), 4u);
  EXPECT_LE(round.Flush(0), 2u);
  EXPECT_LE(round.Flush(1), 4u) << "300 epoch tables";
  for (Log* log : round.all) EXPECT_EQ(log->flushed_end(), 3u);
  round.world.Kill(true);
  ASSERT_TRUE(round.world.StartDirs());
  for (PartitionIndex i = 0; i < 300; ++i) {
    round.world.set_key({MakeTopicId(7), i});
    auto log = round.world.OpenLog();
    ASSERT_TRUE(log);
    ASSERT_FALSE((*log)->damage());
    ASSERT_EQ((*log)->end_offset(), 3u) << "what was flushed survives the loss of power";
    ASSERT_EQ((*log)->epochs().latest(), 1u);
  }
}

TEST(GroupCommitRound, AFailedSyncOfTheFileSystemFailsTheDirectory) {
  Round round(300);
  round.Flush(0);
  round.world.disk().Fail({.op = DiskOp::kSync, .path = "/data", .times = 1});
  round.Flush(0);
  for (Log* log : round.all) {
    EXPECT_TRUE(log->failure());
    EXPECT_EQ(log->flushed_end(), 1u);
  }
  EXPECT_TRUE(round.world.dirs().directories()[0]->failed);
}

TEST(GroupCommitRound, AFullDiskPostponesIt) {
  Round round(300);
  round.Flush(0);
  // An epoch table cannot be written.
  round.world.disk().Fail({.op = DiskOp::kWrite, .path = "checkpoint.tmp", .fault = DiskFault::kNoSpace});
  round.Flush(1);
  for (Log* log : round.all) EXPECT_FALSE(log->failure());
  round.Flush(1);
  for (Log* log : round.all) EXPECT_EQ(log->flushed_end(), 3u);
}

}  // namespace
}  // namespace tidemark
