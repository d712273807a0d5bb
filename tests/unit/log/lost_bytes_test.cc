// Files of a log that are gone or cut short: none of it passes for records that were deleted, none is cut
// away, and what another replica has comes back.
#include "tests/simulation/env/sim_disk_tree.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

class LostBytes : public testing::Test {
 protected:
  LostBytes() {
    log_ = &world_.Start();
    for (int i = 0; i < 60; ++i) CHECK(world_.Append(*log_, MakeBatch(fmt::format("b{}", i), 2, 100), 1));
    world_.WaitForFlush(*log_);
    CHECK(world_.Checkpoint());
    before_ = world_.ReadAll(*log_);
    for (const SegmentFacts& segment : log_->DescribeSegments()) bases_.push_back(segment.base_offset);
    CHECK_GT(bases_.size(), 3u);
  }
  void Stop(bool clean) {
    if (clean) {
      CHECK(world_.CloseCleanly());
    } else {
      world_.Kill(true);
    }
  }
  void Remove(Offset base) {
    for (const char* suffix : {".log", ".index", ".timeindex"})
      world_.disk().RemovePath(world_.LogPath(base, suffix));
  }
  void MoveStartTo(Offset start) {
    world_.Call([&] {
      log_->AdvanceStartTo(start);
      return true;
    });
    ASSERT_TRUE(world_.process().Await([&] { return log_->CheckpointStart(); }));
  }
  Result<> Survey() {
    return world_.process().Await([this] { return log_->Survey(); });
  }
  RetentionDecision Retain(Duration time, WallMillis now) {
    return world_.Call([&] {
      return DecideRetention(log_->DescribeSegments(), {.time = time}, now, log_->start_offset(),
                             log_->end_offset());
    });
  }
  // What the healthy replica has.
  Task<Result<std::string>> Fetch(Offset from) {
    std::string_view rest = whole_;
    while (!rest.empty()) {
      BatchView batch;
      CHECK(ParseBatch(rest, &batch, nullptr, nullptr) == BatchParse::kOk);
      if (batch.base_offset + ParseBody(batch.body)->last_offset_delta >= from) break;
      rest.remove_prefix(batch.total_bytes());
    }
    co_return std::string(rest);
  }

  LogWorld world_;
  Log* log_ = nullptr;
  std::vector<SeenBatch> before_;
  std::vector<Offset> bases_;
  std::string whole_;
};

TEST_F(LostBytes, TheOldestSegmentsAreMissedAndComeBack) {
  for (Offset at = 0; at < log_->end_offset();) {
    const auto read = world_.Read(*log_, at);
    whole_ += read->bytes;
    at = read->next_offset;
  }
  for (const bool clean : {true, false}) {
    Stop(clean);
    Remove(bases_[0]);
    Remove(bases_[1]);
    log_ = &world_.Start();
    EXPECT_EQ(log_->start_offset(), 0u) << "the next segment's base is no log start; clean: " << clean;
    ASSERT_TRUE(Survey());
    ASSERT_FALSE(log_->damage());
    ASSERT_EQ(log_->damaged().ranges().size(), 1u);
    EXPECT_EQ(log_->damaged().ranges()[0].first, 0u);
    EXPECT_EQ(log_->damaged().ranges()[0].last, bases_[2] - 1);
    EXPECT_EQ(world_.Read(*log_, 0).error().code, v1::CORRUPT_MESSAGE);
    EXPECT_TRUE(world_.Read(*log_, bases_[2]));
    const auto repaired =
        world_.process().Await([&] { return log_->Repair(0, [this](Offset from) { return Fetch(from); }); });
    ASSERT_TRUE(repaired) << ToString(repaired.error());
    EXPECT_EQ(world_.ReadAll(*log_), before_);
    if (clean) bases_.erase(bases_.begin() + 1);
  }
}

// Each of what tells where a log begins is enough when the others are lost with its oldest files.
TEST_F(LostBytes, OneWitnessOfTheStartIsEnough) {
  const std::string epochs = "/data/orders-0/leader-epoch-checkpoint";
  const std::string starts = "/data/log-start-offset-checkpoint";
  const std::string points = "/data/recovery-point-offset-checkpoint";
  for (Offset at = 0; at < log_->end_offset();) {
    const auto read = world_.Read(*log_, at);
    whole_ += read->bytes;
    at = read->next_offset;
  }
  using Lost = std::vector<std::string>;
  for (const Lost& lost : {Lost{epochs}, Lost{starts}, Lost{epochs, points}, Lost{starts, points}}) {
    for (const bool moved : {false, true}) {
      SCOPED_TRACE(fmt::format("without {}, start moved: {}", fmt::join(lost, ", "), moved));
      const Offset begin = moved ? 3 : 0;
      Stop(true);
      const std::shared_ptr<SimTree> tree = world_.disk().Snapshot();
      log_ = &world_.Start();
      MoveStartTo(begin);
      Stop(true);
      // Within a batch only the index tells where its segment began.
      if (moved) world_.disk().RemovePath(world_.LogPath(0));
      if (!moved) Remove(0);
      for (const std::string& path : lost) world_.disk().RemovePath(path);
      for (const bool again : {false, true}) {
        log_ = &world_.Start();
        EXPECT_EQ(log_->start_offset(), begin) << "again: " << again;
        ASSERT_TRUE(Survey());
        ASSERT_FALSE(log_->damage());
        ASSERT_EQ(log_->damaged().ranges().size(), 1u);
        EXPECT_EQ(log_->damaged().ranges()[0].last, bases_[1] - 1);
        ASSERT_TRUE(world_.Checkpoint());
        if (!again) Stop(false);
      }
      const auto repaired = world_.process().Await(
          [&] { return log_->Repair(begin, [this](Offset from) { return Fetch(from); }); });
      ASSERT_TRUE(repaired) << ToString(repaired.error());
      EXPECT_EQ(world_.ReadAll(*log_).size(), before_.size() - (moved ? 1 : 0));
      Stop(true);
      log_ = &world_.Start();
      EXPECT_EQ(log_->start_offset(), begin);
      EXPECT_TRUE(log_->damaged().empty());
      Stop(true);
      world_.disk().Restore(tree->Clone());
      log_ = &world_.Start();
    }
  }
}

// At every change that the deletion makes a crash leaves a log that misses nothing, also where what tells of
// its start is lost after it but for one.
TEST_F(LostBytes, WhatWasDeletedIsNotMissed) {
  world_.config().file_delete_delay = 0s;
  const char* const kNothing = "";
  Stop(true);
  const std::shared_ptr<SimTree> tree = world_.disk().Snapshot();
  for (const std::string lost :
       {kNothing, "/data/orders-0/leader-epoch-checkpoint", "/data/log-start-offset-checkpoint",
        "/data/recovery-point-offset-checkpoint"}) {
    SCOPED_TRACE(lost);
    for (int n = 1;; ++n) {
      world_.disk().Restore(tree->Clone());
      log_ = &world_.Start();
      auto left = std::make_shared<int>(n);
      world_.disk().SetHook([this, left](DiskOp, const std::string&) {
        if (--*left == 0) world_.process().Kill(true);
      });
      const bool done = world_.RunOrDie([this]() -> Task<void> {
        world_.logs().Find(world_.key())->AdvanceStartTo(bases_[2] + 1);
        (void)co_await world_.logs().Find(world_.key())->RemoveBelowStart();
      });
      world_.disk().SetHook({});
      world_.Kill(true);
      if (!lost.empty()) world_.disk().RemovePath(lost);
      log_ = &world_.Start();
      ASSERT_TRUE(Survey());
      EXPECT_TRUE(log_->damaged().empty()) << "killed at change " << n;
      EXPECT_FALSE(log_->damage());
      if (!done) {
        world_.Kill(true);
        continue;
      }
      EXPECT_GT(n, 6);
      EXPECT_GE(log_->start_offset(), bases_[2]);
      world_.Kill(true);
      break;
    }
  }
}

// On a disk that has no room for the checkpoint of the start the files go all the same, and are not missed.
TEST_F(LostBytes, WhatWentOnAFullDiskIsNotMissed) {
  world_.config().file_delete_delay = 0s;
  Stop(true);
  log_ = &world_.Start();
  for (const char* path : {"log-start-offset-checkpoint", "leader-epoch-checkpoint"}) {
    world_.disk().Fail({.op = DiskOp::kWrite, .path = path, .fault = DiskFault::kNoSpace, .times = 100000});
  }
  world_.Call([&] {
    log_->AdvanceStartTo(bases_[2] + 1);
    return true;
  });
  ASSERT_TRUE(world_.process().Await([&] { return log_->RemoveBelowStart(); }));
  ASSERT_FALSE(world_.disk().Content(world_.LogPath(0)));
  const auto left = world_.disk().Content(world_.LogPath(0, ".log.deleted"));
  ASSERT_TRUE(left) << "it tells, until the checkpoint does";
  EXPECT_EQ(*left, "") << "its room is what was wanted";
  for (int i = 0; i < 3; ++i) {
    world_.Kill(true);
    log_ = &world_.Start();
    ASSERT_TRUE(Survey());
    EXPECT_TRUE(log_->damaged().empty());
    EXPECT_EQ(log_->start_offset(), bases_[2]);
    ASSERT_TRUE(world_.process().Await([&] { return log_->RemoveBelowStart(); }));
  }
  world_.disk().ClearFailures();
  ASSERT_TRUE(world_.process().Await([&] { return log_->RemoveBelowStart(); }));
  EXPECT_FALSE(world_.disk().Content(world_.LogPath(0, ".log.deleted")));
  world_.Kill(true);
  log_ = &world_.Start();
  ASSERT_TRUE(Survey());
  EXPECT_TRUE(log_->damaged().empty());
}

// There was room for the checkpoint and none for the table. Alone it would tell of files that are not there.
TEST_F(LostBytes, WhatTheTableCouldNotBeToldIsNotMissedWithoutTheCheckpoint) {
  world_.config().file_delete_delay = 0s;
  Stop(true);
  log_ = &world_.Start();
  world_.disk().Fail({.op = DiskOp::kWrite,
                      .path = "leader-epoch-checkpoint",
                      .fault = DiskFault::kNoSpace,
                      .times = 100000});
  world_.Call([&] {
    log_->AdvanceStartTo(bases_[2] + 1);
    return true;
  });
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(world_.process().Await([&] { return log_->RemoveBelowStart(); }));
  ASSERT_FALSE(world_.disk().Content(world_.LogPath(0)));
  const auto left = world_.disk().Content(world_.LogPath(0, ".log.deleted"));
  ASSERT_TRUE(left) << "it tells, until the table does";
  EXPECT_EQ(*left, "");
  world_.Kill(true);
  world_.disk().RemovePath("/data/log-start-offset-checkpoint");
  log_ = &world_.Start();
  ASSERT_TRUE(Survey());
  EXPECT_TRUE(log_->damaged().empty());
  EXPECT_EQ(log_->start_offset(), bases_[2]);
}

TEST_F(LostBytes, RetentionDoesNotDeleteWhatIsOnlyDamagedHere) {
  Stop(true);
  world_.disk().RemovePath(world_.LogPath(bases_[0]));
  log_ = &world_.Start();
  ASSERT_TRUE(Survey());
  ASSERT_FALSE(log_->damaged().empty());
  EXPECT_EQ(Retain(std::chrono::hours(168), 10'000).log_start, 0u) << "nothing has expired";
  // When what came after it goes, it goes.
  auto decision = Retain(1s, 100'000'000);
  ASSERT_EQ(decision.append_time_wanted, bases_[1]);
  ASSERT_TRUE(world_.process().Await([&] { return log_->LearnAppendTime(bases_[1]); }));
  EXPECT_GE(Retain(1s, 100'000'000).log_start, bases_[1]);
  EXPECT_EQ(Retain(std::chrono::hours(168), 10'000).log_start, 0u);
}

TEST_F(LostBytes, ATruncationDoesNotCutAwayWhatIsMissing) {
  for (const double left : {0.1, 0.5, 0.9}) {
    LogWorld world;
    Log* log = &world.Start();
    for (int i = 0; i < 60; ++i) CHECK(world.Append(*log, MakeBatch(fmt::format("b{}", i), 2, 100), 1));
    world.WaitForFlush(*log);
    ASSERT_TRUE(world.CloseCleanly());
    const std::string path = world.LogPath(bases_[0]);
    const std::string content = *world.disk().Content(path);
    const size_t bytes = static_cast<size_t>(left * static_cast<double>(content.size()));
    ASSERT_TRUE(world.disk().SetContent(path, content.substr(0, bytes)));
    log = &world.Start();
    const auto cut = world.Truncate(*log, bases_[1] - 1);
    EXPECT_FALSE(cut);
    EXPECT_TRUE(log->damage()) << left;
    EXPECT_EQ(world.disk().Content(path)->size(), bytes);
  }
}

// What is left of a segment says nothing of what is not there.
TEST_F(LostBytes, ALookupByTimePassesOverNothingThatIsOnlyMissingHere) {
  // Of each batch its first record's time is its number.
  enum class Lost { kTail, kAll, kTailAndSeal };
  for (const Lost lost : {Lost::kTail, Lost::kAll, Lost::kTailAndSeal}) {
    SCOPED_TRACE(static_cast<int>(lost));
    LogWorld world;
    Log* log = &world.Start();
    for (int i = 0; i < 60; ++i)
      CHECK(world.Append(*log, MakeBatch(fmt::format("b{}", i), 2, 100, 1000 + 10 * i), 1));
    world.WaitForFlush(*log);
    ASSERT_TRUE(world.CloseCleanly());
    const std::string path = world.LogPath(bases_[1]);
    if (lost == Lost::kAll) {
      world.disk().RemovePath(path);
    } else {
      const std::string content = *world.disk().Content(path);
      ASSERT_TRUE(world.disk().SetContent(path, content.substr(0, content.size() / 2)));
    }
    if (lost == Lost::kTailAndSeal) {
      for (const char* suffix : {".index", ".timeindex"})
        world.disk().RemovePath(world.LogPath(bases_[1], suffix));
    }
    log = &world.Start();
    const auto find = [&](WallMillis time, Offset below = ~0ull) {
      return world.process().Await([&] { return log->FindTimestamp(time, below); });
    };
    const auto time_of = [](Offset offset) { return static_cast<WallMillis>(1000 + 10 * (offset / 2)); };
    // The last batch of the damaged segment.
    const auto in_what_is_lost = find(time_of(bases_[2] - 2));
    ASSERT_FALSE(in_what_is_lost);
    EXPECT_EQ(in_what_is_lost.error().code, v1::CORRUPT_MESSAGE) << ToString(in_what_is_lost.error());
    ASSERT_TRUE(find(1000)) << "it comes before the damage";
    EXPECT_EQ(find(1000).value()->offset, 0u);
    EXPECT_EQ(find(time_of(bases_[1] - 2), bases_[1]).value()->offset, bases_[1] - 2);
    EXPECT_EQ(find(1'000'000, bases_[1]).value(), std::nullopt) << "the damage is above what may be told";
    const auto behind = find(time_of(bases_[2]) + 2);
    const auto greatest = find(-3);
    if (lost != Lost::kTail) {
      EXPECT_EQ(behind.error().code, v1::CORRUPT_MESSAGE) << "it may have been in what is lost";
      EXPECT_EQ(greatest.error().code, v1::CORRUPT_MESSAGE);
    } else {
      ASSERT_TRUE(behind) << ToString(behind.error());
      EXPECT_EQ(behind.value()->offset, bases_[2] + 2) << "the seal tells how late the damaged ones are";
      EXPECT_EQ(greatest.value()->offset, 119u);
    }
  }
}

TEST_F(LostBytes, ALookupByTimeNotesAFileThatIsGone) {
  world_.disk().RemovePath(world_.LogPath(bases_[1]));
  const auto found = world_.process().Await([&] { return log_->FindTimestamp(-3, bases_[2]); });
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, v1::CORRUPT_MESSAGE);
  EXPECT_NE(log_->damaged().Find(bases_[1]), nullptr);
}

// One file that is gone must not take a directory, and so all of a broker's other logs, out of service.
TEST_F(LostBytes, AnActiveFileThatIsGoneIsDamageOfItsLogAlone) {
  Stop(true);
  log_ = &world_.Start();
  const Offset end = log_->end_offset();
  world_.disk().RemovePath(world_.LogPath(bases_.back()));
  const auto appended = world_.Append(*log_, MakeBatch("x"), 9);
  ASSERT_FALSE(appended);
  EXPECT_EQ(appended.error().code, v1::KAFKA_STORAGE_ERROR);
  EXPECT_TRUE(log_->damage());
  EXPECT_FALSE(log_->failure());
  EXPECT_EQ(log_->end_offset(), end);
  const PartitionKey key = world_.key();
  world_.set_key({key.topic, key.partition + 1});
  const auto other = world_.OpenLog();
  ASSERT_TRUE(other) << ToString(other.error());
  EXPECT_TRUE(world_.Append(**other, MakeBatch("y"), 9));
  world_.set_key(key);
}

TEST_F(LostBytes, AStartNoticesABatchThatIsGone) {
  Stop(false);
  std::string content = *world_.disk().Content(world_.LogPath(0));
  BatchView batch;
  ASSERT_EQ(ParseBatch(content, &batch, nullptr, nullptr), BatchParse::kOk);
  ASSERT_TRUE(world_.disk().SetContent(world_.LogPath(0), content.substr(batch.total_bytes())));
  for (const char* suffix : {".index", ".timeindex"}) world_.disk().RemovePath(world_.LogPath(0, suffix));
  log_ = &world_.Start();
  ASSERT_TRUE(world_.process().Await([&] { return log_->Survey(); }));
  EXPECT_NE(log_->damaged().Find(0), nullptr) << "offset 0 was on disk and is not there";
}

TEST_F(LostBytes, AReplicaInSyncWhoseFolderIsGoneIsNotMadeAnew) {
  Stop(true);
  for (const std::string& path : world_.disk().Paths()) {
    if (path.find("orders-0/") != std::string::npos) world_.disk().RemovePath(path);
  }
  world_.disk().RemovePath("/data/orders-0");
  ASSERT_TRUE(world_.StartDirs());
  const auto open = [this](LogExpected expected) {
    return world_.process().Await([this, expected] {
      return world_.logs().OpenOrCreate(world_.key(), "orders", world_.config(), expected);
    });
  };
  EXPECT_EQ(open(LogExpected::kHeld).error().code, v1::REPLICA_NOT_AVAILABLE);
  // Out of the ISR it begins anew.
  EXPECT_EQ(open(LogExpected::kPerhaps).value()->end_offset(), 0u);
}

TEST_F(LostBytes, ALogIsNoStrayBecauseItsFirstBatchIsDamaged) {
  Stop(true);
  ASSERT_TRUE(world_.disk().FlipBit("/data/orders-0/partition.metadata", 100));
  ASSERT_TRUE(world_.disk().FlipBit(world_.LogPath(0), 400));
  log_ = &world_.Start();
  EXPECT_EQ(log_->end_offset(), 120u);
}

}  // namespace
}  // namespace tidemark
