// Passes of compaction over a log, seen from outside: what stays, what goes, what readers and followers meet.
#include <set>

#include "broker/log/cleaner_files.h"
#include "broker/log/scrub_cursor.h"
#include "common/record/crc32c.h"
#include "tests/unit/compaction/keyed_log.h"

namespace tidemark {
namespace {

// Reads the log from its start to its end until told to stop.
Task<void> ReadOn(Log* log, bool* done, int* reads) {
  while (!*done) {
    for (Offset at = log->start_offset(); at < log->end_offset() && !*done;) {
      const auto read = co_await log->Read(at, ~0ull, 1024);
      CHECK(read) << ToString(read.error());
      CHECK_GT(read->next_offset, at);
      at = read->next_offset;
      ++*reads;
    }
  }
}

Task<void> CleanAside(Log* log, CleanerThrottle* throttle, WallMillis now, bool* done) {
  CleanTools tools{.throttle = throttle, .now = now};
  (void)co_await log->Clean(tools);
  *done = true;
}

class CompactedLog : public testing::Test {
 protected:
  explicit CompactedLog(std::vector<std::string> dirs = {"/data"}) : world_(1, std::move(dirs)) {
    world_.config().segment_bytes = 1024;
    world_.config().compaction = {.enabled = true, .max_lag = {}, .delete_retention = 1000ms};
    log_ = &world_.Start();
  }

  void Append(const std::vector<KeyedRecord>& records, v1::Compression codec = v1::COMPRESSION_NONE,
              LeaderEpoch epoch = 0) {
    const Offset base = log_->end_offset();
    for (size_t i = 0; i < records.size(); ++i) model_.Add(base + i, records[i]);
    ASSERT_TRUE(world_.Append(*log_, MakeKeyed(records, 1000, codec), epoch, 5000));
  }
  // So many records over so many keys.
  void Fill(int count, int keys, v1::Compression codec = v1::COMPRESSION_NONE) {
    for (int i = 0; i < count; ++i) {
      Append({{fmt::format("k{}", i % keys), fmt::format("value {} {}", ++values_, std::string(40, 'x'))}},
             codec);
    }
  }
  // Makes everything appended so far cleanable.
  void Settle() {
    world_.WaitForFlush(*log_);
    ASSERT_TRUE(world_.Call([this] {
      log_->SetHighWatermark(log_->end_offset());
      return log_->RollActive();
    }));
    ASSERT_TRUE(world_.world().RunUntil([this] { return !log_->flush_needed(); }, 60s));
  }
  Result<CleanReport> Clean(CleanTools tools = {}) {
    if (tools.now == 0) tools.now = now_;
    tools.throttle = &throttle_;
    return world_.process().Await([this, tools] { return log_->Clean(tools); });
  }
  LogContent Content() {
    return world_.process().Await([this] { return ReadContent(log_); });
  }
  void Check() { model_.Check(Content()); }

  LogWorld world_;
  Log* log_ = nullptr;
  KeyedModel model_;
  CleanerThrottle throttle_{std::nullopt};
  WallMillis now_ = 1'000'000;
  int values_ = 0;
};

TEST_F(CompactedLog, KeepsTheLastValueOfEachKeyAndShrinks) {
  Fill(200, 10);
  Settle();
  const uint64_t before = log_->size_bytes();
  const auto report = Clean();
  ASSERT_TRUE(report) << ToString(report.error());
  EXPECT_EQ(report->to, 200u);
  EXPECT_EQ(report->keys, 10u);
  Check();
  EXPECT_EQ(Content().records.size(), 10u);
  EXPECT_LT(log_->size_bytes(), before / 5);
  EXPECT_EQ(log_->end_offset(), 200u);
  EXPECT_FALSE(log_->damage());
  EXPECT_FALSE(world_.Call([&] { return log_->DecideCleaning(now_); }).due);
}

TEST_F(CompactedLog, IsTheSameAfterAReopening) {
  Fill(100, 7);
  Settle();
  ASSERT_TRUE(Clean());
  const LogContent before = Content();
  ASSERT_TRUE(world_.Checkpoint());
  for (const bool clean : {true, false}) {
    if (clean) {
      ASSERT_TRUE(world_.CloseCleanly());
    } else {
      world_.Kill(/*power_loss=*/true);
    }
    log_ = &world_.Start();
    EXPECT_EQ(Content().records, before.records);
    EXPECT_FALSE(world_.Call([&] { return log_->DecideCleaning(now_); }).due)
        << "the cleaner's checkpoint is lost";
  }
}

TEST_F(CompactedLog, ItsLagsCountFromTheAppendAlsoAfterAReopening) {
  constexpr WallMillis kAppended = 5000;
  constexpr WallMillis kFuture = 4'000'000'000'000;
  for (int i = 0; i < 60; ++i) {
    const FinishedBatch batch = MakeKeyed({{fmt::format("k{}", i % 3), std::string(60, 'x')}}, kFuture);
    ASSERT_TRUE(world_.Append(*log_, batch, 0, kAppended));
  }
  Settle();
  ASSERT_TRUE(world_.Checkpoint());
  world_.config().compaction.min_lag = 10s;
  world_.config().compaction.max_lag = 60s;
  for (const bool clean : {true, false}) {
    if (clean) {
      ASSERT_TRUE(world_.CloseCleanly());
    } else {
      world_.Kill(/*power_loss=*/true);
    }
    log_ = &world_.Start();
    ASSERT_TRUE(world_.process().Await([this] { return log_->Survey(); }));
    size_t learnt = 0;
    while (const auto wanted = log_->DecideCleaning(kAppended + 70'000).append_time_wanted) {
      ASSERT_TRUE(world_.process().Await([&] { return log_->LearnAppendTime(*wanted); }));
      ASSERT_LE(++learnt, log_->segment_count());
    }
    EXPECT_FALSE(log_->DecideCleaning(kAppended + 9'000).due) << "it is young";
    EXPECT_TRUE(log_->DecideCleaning(kAppended + 11'000).due);
    EXPECT_FALSE(log_->DecideCleaning(kAppended + 11'000).overdue);
    EXPECT_TRUE(log_->DecideCleaning(kAppended + 61'000).overdue);
  }
}

TEST_F(CompactedLog, WaitsForRoomBesideWhatItRewrites) {
  Fill(100, 7);
  Settle();
  const auto& directory = world_.dirs().directories().front();
  world_.dirs().SetSpaceLimits({.min_free = 0, .reserve = 10'000});
  directory->held_bytes = 10'000;
  directory->free_bytes = 10'500;  // any segment is larger than what is left above the reserve
  const auto writes = world_.disk().count(DiskOp::kWrite);
  const auto reads = world_.disk().count(DiskOp::kRead);
  const auto refused = Clean();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::DISK_FULL);
  EXPECT_EQ(world_.disk().count(DiskOp::kWrite), writes);
  EXPECT_EQ(world_.disk().count(DiskOp::kRead), reads) << "nothing is read in vain";
  EXPECT_FALSE(log_->failure() || log_->uncleanable());
  directory->free_bytes = 100'000;
  ASSERT_TRUE(Clean());
  Check();
  EXPECT_EQ(Content().records.size(), 7u);
}

TEST_F(CompactedLog, EndsWhereOthersFillTheDiskMeanwhile) {
  Fill(100, 7);
  Settle();
  const LogContent before = Content();
  world_.dirs().SetSpaceLimits({.min_free = 0, .reserve = 1000});
  const auto& directory = world_.dirs().directories().front();
  directory->held_bytes = 1000;
  directory->free_bytes = 100'000;
  world_.disk().SetHook([&directory](DiskOp op, const std::string& path) {
    if (op == DiskOp::kWrite && path.ends_with(".cleaned")) directory->free_bytes = 0;
  });
  EXPECT_EQ(Clean().error().code, v1::DISK_FULL);
  world_.disk().SetHook({});
  for (const std::string& path : world_.disk().Paths()) EXPECT_FALSE(path.ends_with(".cleaned")) << path;
  EXPECT_EQ(Content().records, before.records);
  directory->free_bytes = 100'000;
  ASSERT_TRUE(Clean());
  Check();
}

TEST_F(CompactedLog, GivesColdFilesBackToTheDiskAndKeepsWarmOnes) {
  const auto given_back = [this] {
    std::set<std::string> names;
    for (const auto& [path, ranges] : world_.disk().dont_need()) names.insert(path);
    return names;
  };
  world_.disk().SetColdReadChance(0);
  Fill(60, 7);
  Settle();
  ASSERT_TRUE(Clean());
  EXPECT_EQ(given_back(), std::set<std::string>()) << "what is in the cache is in use";
  Fill(60, 7);
  Settle();
  world_.disk().SetColdReadChance(1);
  std::set<std::string> read;
  for (const SegmentFacts& segment : world_.Call([this] { return log_->DescribeSegments(); })) {
    if (segment.size > 0) read.insert(world_.LogPath(segment.base_offset));
  }
  ASSERT_TRUE(Clean());
  std::set<std::string> names = given_back();
  for (const std::string& path : read) EXPECT_TRUE(names.contains(path)) << path;
  EXPECT_TRUE(names.contains(world_.LogPath(0, ".log.cleaned")));
  Check();
}

TEST_F(CompactedLog, SecondPassesCleanWhatCameSince) {
  for (int pass = 0; pass < 5; ++pass) {
    Fill(60, 9 + pass);
    Settle();
    ASSERT_TRUE(Clean());
    Check();
    EXPECT_EQ(Content().records.size(), 9u + static_cast<size_t>(pass));
  }
}

TEST_F(CompactedLog, EveryCodecIsKept) {
  for (const v1::Compression codec : {v1::COMPRESSION_GZIP, v1::COMPRESSION_SNAPPY, v1::COMPRESSION_LZ4,
                                      v1::COMPRESSION_ZSTD, v1::COMPRESSION_NONE}) {
    for (int i = 0; i < 20; ++i) {
      Append({{"a", fmt::format("{}", i)},
              {fmt::format("{}-{}", static_cast<int>(codec), i % 3), "v"},
              {"b", "x"}},
             codec);
    }
  }
  Settle();
  ASSERT_TRUE(Clean());
  Check();
  const LogContent content = Content();
  EXPECT_EQ(content.records.size(), 5u * 3 + 2);
  std::set<v1::Compression> codecs;
  for (const SeenBatch& batch : world_.ReadAll(*log_)) codecs.insert(ParseBody(batch.body)->compression);
  EXPECT_EQ(codecs.size(), 5u);
}

TEST_F(CompactedLog, TombstonesStayForTheirTimeAndThenGo) {
  Append({{"a", "1"}, {"b", "1"}});
  Fill(30, 3);
  Append({{"a", std::nullopt}});
  Settle();
  ASSERT_TRUE(Clean());
  Check();
  EXPECT_TRUE(Content().last.contains("a")) << "the tombstone has to be seen by those who read";
  EXPECT_EQ(log_->tombstone_drops().below(), 0u);
  // Before its time, whatever else is compacted.
  now_ += 900;
  Fill(60, 3);
  Settle();
  ASSERT_TRUE(Clean());
  EXPECT_TRUE(Content().last.contains("a"));
  now_ += 200;
  Fill(60, 3);
  Settle();
  ASSERT_TRUE(Clean());
  Check();
  EXPECT_FALSE(Content().last.contains("a"));
  EXPECT_EQ(log_->tombstone_drops().below(), 33u);
  // Remembered through any crash.
  world_.Kill(true);
  log_ = &world_.Start();
  EXPECT_EQ(log_->tombstone_drops().below(), 33u);
  Check();
}

TEST_F(CompactedLog, TombstonesStayWhileAFollowerHasYetToFetchThem) {
  Append({{"a", "1"}});
  Append({{"a", std::nullopt}});
  for (int pass = 0; pass < 3; ++pass) {
    Fill(40, 3);
    Settle();
    now_ += 5000;
    ASSERT_TRUE(Clean({.keep_tombstones_from = 1}));
    EXPECT_TRUE(Content().last.contains("a"));
  }
  Fill(40, 3);
  Settle();
  ASSERT_TRUE(Clean({.keep_tombstones_from = 2}));
  EXPECT_FALSE(Content().last.contains("a"));
}

TEST_F(CompactedLog, AFullMapEndsThePassEarlierAndTheNextGoesOn) {
  Fill(600, 300);
  Settle();
  int passes = 0;
  Offset to = 0;
  while (to < log_->end_offset()) {
    const auto report = Clean({.map_bytes = 1});  // the least there is: 57 keys
    ASSERT_TRUE(report);
    ASSERT_GT(report->to, to);
    to = report->to;
    ++passes;
    Check();
  }
  EXPECT_GT(passes, 5);
  EXPECT_EQ(Content().records.size(), 300u);
}

TEST_F(CompactedLog, NothingAboveTheHighWatermarkOrInTheActiveSegmentIsTouched) {
  Fill(100, 2);
  world_.WaitForFlush(*log_);
  ASSERT_TRUE(world_.world().RunUntil([this] { return !log_->flush_needed(); }, 60s));
  world_.Call([&] {
    log_->SetHighWatermark(50);
    return true;
  });
  const auto report = Clean();
  ASSERT_TRUE(report);
  EXPECT_LE(report->to, 50u);
  EXPECT_GT(report->to, 30u);
  Check();
  const LogContent content = Content();
  for (Offset offset = report->to; offset < 100; ++offset)
    EXPECT_TRUE(content.records.contains(offset)) << offset;
}

TEST_F(CompactedLog, EpochsStayVisible) {
  for (LeaderEpoch epoch = 1; epoch <= 6; ++epoch) {
    for (int i = 0; i < 5; ++i) Append({{"same", fmt::format("{}", ++values_)}}, v1::COMPRESSION_NONE, epoch);
  }
  Settle();
  const auto epochs = log_->epochs().entries();
  ASSERT_EQ(epochs.size(), 6u);
  ASSERT_TRUE(Clean());
  Check();
  EXPECT_GE(Content().empty_batches, 4u);
  // Told by the batches alone.
  ASSERT_TRUE(world_.CloseCleanly());
  world_.disk().RemovePath("/data/orders-0/leader-epoch-checkpoint");
  log_ = &world_.Start();
  EXPECT_EQ(log_->epochs().entries(), epochs);
}

TEST_F(CompactedLog, ARecordWithoutAKeyFromBeforeGoes) {
  BatchBuilder builder;
  ASSERT_TRUE(builder.Append(std::nullopt, "no key", 1));
  const auto batch = builder.Finish(v1::COMPRESSION_NONE);
  ASSERT_TRUE(world_.Append(*log_, *batch));
  Settle();
  const auto report = Clean();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->records_without_key, 1u);
  EXPECT_TRUE(Content().records.empty());
  EXPECT_EQ(log_->end_offset(), 1u);
}

TEST_F(CompactedLog, TimestampsAreFoundInWhatStays) {
  for (int i = 0; i < 100; ++i) {
    Append({{fmt::format("k{}", i % 4), std::string(50, 'x')}});
  }
  Settle();
  ASSERT_TRUE(Clean());
  const auto found = world_.process().Await([this] { return log_->FindTimestamp(-3, ~0ull); });
  ASSERT_TRUE(found) << ToString(found.error());
  ASSERT_TRUE(*found);
  EXPECT_GE((*found)->offset, 96u);
}

TEST_F(CompactedLog, AFollowerInTheMiddleOfWhatTheLeaderHasCompactedGoesOn) {
  Fill(90, 3);
  Settle();
  ASSERT_TRUE(Clean());
  Fill(5, 5);
  // Another replica that had fetched up to every place before the leader compacted.
  for (const Offset had : {1u, 30u, 57u, 87u, 88u, 89u, 90u}) {
    LogWorld follower(3);
    Log& log = follower.Start();
    for (Offset i = 0; i < had; ++i) {
      ASSERT_TRUE(follower.Append(log, MakeKeyed({{"old", "value"}}), 0, 5000));
    }
    while (log.end_offset() < log_->end_offset()) {
      const Offset from = log.end_offset();
      auto read = world_.Read(*log_, from, ~0ull, 300);
      ASSERT_TRUE(read);
      const auto appended = follower.Call([&] { return log.AppendAsFollower(read->bytes); });
      ASSERT_TRUE(appended) << ToString(appended.error()) << " with " << had;
      ASSERT_GT(log.end_offset(), from);
    }
    EXPECT_EQ(log.end_offset(), log_->end_offset());
  }
}

TEST_F(CompactedLog, ReadersUnderWayMeetTheOldBytesOrTheNew) {
  Fill(300, 40);
  Settle();
  for (int pass = 0; pass < 6; ++pass) {
    // Readers at every place, over and over, while the pass runs.
    auto done = std::make_shared<bool>(false);
    world_.process().Keep(done);
    auto reads = std::make_shared<int>(0);
    world_.process().Keep(reads);
    for (int reader = 0; reader < 4; ++reader) {
      world_.process().Spawn("reader", [this, done, reads] { return ReadOn(log_, done.get(), reads.get()); });
    }
    world_.disk().SetColdReadChance(0.5);
    ASSERT_TRUE(Clean());
    *done = true;
    Check();
    EXPECT_GT(*reads, 3);
    EXPECT_FALSE(log_->damage());
    Fill(100, 40);
    Settle();
  }
  EXPECT_THAT(world_.disk().freed_on_loops(), testing::IsEmpty()) << "a shard stands still meanwhile";
}

TEST_F(CompactedLog, AppendsGoOnWhileAPassRuns) {
  Fill(300, 40);
  Settle();
  auto cleaned = std::make_shared<bool>(false);
  world_.process().Keep(cleaned);
  throttle_ = CleanerThrottle(1e6);
  world_.process().Spawn("pass",
                         [this, cleaned] { return CleanAside(log_, &throttle_, now_, cleaned.get()); });
  int appended = 0;
  while (!*cleaned) {
    Fill(1, 40);
    ++appended;
    world_.world().RunFor(1ms);
  }
  EXPECT_GT(appended, 10);
  world_.WaitForFlush(*log_);
  Check();
}

TEST_F(CompactedLog, APassOvertakenByATruncationEndsAndLeavesNothingBehind) {
  Fill(300, 40);
  Settle();
  auto cleaned = std::make_shared<bool>(false);
  world_.process().Keep(cleaned);
  throttle_ = CleanerThrottle(200e3);
  world_.process().Spawn("pass",
                         [this, cleaned] { return CleanAside(log_, &throttle_, now_, cleaned.get()); });
  world_.world().RunFor(30ms);
  ASSERT_FALSE(*cleaned);
  ASSERT_TRUE(world_.Truncate(*log_, 100));
  model_.CutTo(log_->end_offset());
  ASSERT_TRUE(world_.world().RunUntil([&] { return *cleaned; }, 60s));
  Check();
  for (const std::string& path : world_.disk().Paths())
    EXPECT_THAT(path, testing::Not(testing::HasSubstr(".cleaned")));
  Fill(50, 40);
  Settle();
  throttle_ = CleanerThrottle(std::nullopt);
  ASSERT_TRUE(Clean());
  Check();
}

TEST_F(CompactedLog, ACloseDoesNotWaitForASlowPass) {
  Fill(300, 40);
  Settle();
  auto cleaned = std::make_shared<bool>(false);
  world_.process().Keep(cleaned);
  throttle_ = CleanerThrottle(1000.0);
  world_.process().Spawn("pass",
                         [this, cleaned] { return CleanAside(log_, &throttle_, now_, cleaned.get()); });
  world_.world().RunFor(1s);
  ASSERT_FALSE(*cleaned);
  ASSERT_TRUE(world_.CloseCleanly());
  log_ = &world_.Start();
  Check();
}

TEST_F(CompactedLog, DamageThatAPassMeetsIsTheLogs) {
  Fill(100, 3);
  Settle();
  ASSERT_TRUE(world_.disk().FlipBit(world_.LogPath(0), 8 * 200));
  const auto report = Clean();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, v1::CORRUPT_MESSAGE);
  EXPECT_FALSE(log_->damage());
  EXPECT_FALSE(log_->failure());
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  EXPECT_FALSE(log_->DecideCleaning(now_).due) << "until it is repaired";
}

TEST_F(CompactedLog, AFullDiskPostponesThePass) {
  Fill(300, 40);
  Settle();
  world_.disk().Fail({.op = DiskOp::kWrite, .path = ".cleaned", .fault = DiskFault::kNoSpace});
  const auto report = Clean();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, v1::DISK_FULL);
  EXPECT_FALSE(log_->failure());
  EXPECT_FALSE(log_->uncleanable());
  ASSERT_TRUE(Clean());
  Check();
}

TEST_F(CompactedLog, AFailedWriteIsTheDirectorys) {
  Fill(300, 40);
  Settle();
  world_.disk().Fail({.op = DiskOp::kSync, .path = ".cleaned"});
  ASSERT_FALSE(Clean());
  EXPECT_TRUE(log_->failure());
}

TEST_F(CompactedLog, WhatCannotBeReadIsQuarantinedAndReported) {
  // A body whose records do not hold what it says: nobody can compact it, its checksums match.
  FinishedBatch batch = MakeKeyed({{"a", "1"}, {"b", "2"}});
  v1::BatchBody body;
  ASSERT_TRUE(body.ParseFromString(batch.body));
  body.set_record_count(3);
  batch.body = body.SerializeAsString();
  batch.body_crc = Crc32c(batch.body);
  ASSERT_TRUE(world_.Append(*log_, batch));
  Settle();
  const auto report = Clean();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, v1::INVALID_RECORD);
  EXPECT_TRUE(log_->uncleanable());
  EXPECT_FALSE(log_->damage());
  EXPECT_FALSE(log_->failure());
  EXPECT_FALSE(world_.Call([&] { return log_->DecideCleaning(now_); }).due);
}

// A pass that meets damage notes where it is, so that it is repaired, whatever else the search comes by.
TEST_F(CompactedLog, WhatAPassReadsDamagedIsNotedBehindAnIndexThatIsRebuilt) {
  Fill(300, 40);
  Settle();
  std::vector<std::string> logs;
  for (const std::string& path : world_.disk().Paths()) {
    if (path.ends_with(".log")) logs.push_back(path);
  }
  ASSERT_GT(logs.size(), 3u);
  const std::string index = logs[0].substr(0, logs[0].size() - 4) + ".timeindex";
  ASSERT_TRUE(world_.disk().FlipBit(index, 3));
  ASSERT_TRUE(world_.disk().FlipBit(logs[2], world_.disk().Content(logs[2])->size() * 4));
  const auto report = Clean();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, v1::CORRUPT_MESSAGE);
  EXPECT_EQ(log_->damaged().ranges().size(), 1u) << "somebody can repair it now";
  EXPECT_TRUE(log_->compaction_blocked());
  EXPECT_FALSE(log_->uncleanable());
}

TEST_F(CompactedLog, SegmentsWhoseRecordsAreAllGoneAreWholeToTheScrubber) {
  // Each key once, then all of them again: segments are left that have no record, and so no timestamp. Of
  // each epoch one batch stays, so that there are several of them.
  for (LeaderEpoch epoch = 0; epoch < 200; ++epoch) {
    Append({{fmt::format("key{}", epoch % 100), std::string(100, 'v')}}, v1::COMPRESSION_NONE, epoch);
  }
  Settle();
  ASSERT_TRUE(Clean());
  Check();
  const auto cursor = std::make_shared<ScrubCursor>();
  for (bool done = false; !done;) {
    const auto step = world_.process().Await([&] { return log_->Scrub(cursor, 1000); });
    ASSERT_TRUE(step);
    EXPECT_FALSE(step->index_rebuilt);
    done = step->done;
  }
  EXPECT_FALSE(log_->compaction_blocked());
}

class CompactedLogDamagedBelowItsStart : public CompactedLog {
 protected:
  CompactedLogDamagedBelowItsStart() {
    Fill(100, 40);
    Settle();
    CHECK(world_.disk().FlipBit(world_.LogPath(0), 8 * 200));
  }
  void Scrub() {
    const auto cursor = std::make_shared<ScrubCursor>();
    for (bool done = false; !done;) {
      const auto step = world_.process().Await([&] { return log_->Scrub(cursor, 1 << 20); });
      ASSERT_TRUE(step);
      done = step->done;
    }
  }
  void StartAt(Offset start) {
    world_.Call([&] {
      log_->AdvanceStartTo(start);
      return true;
    });
  }
  bool Due() {
    return world_.Call([this] { return log_->DecideCleaning(now_); }).due;
  }
  // Offsets whose record nobody is promised any more.
  void CheckFromStart() {
    KeyedModel left;
    for (const auto& [offset, record] : appended_) {
      if (offset >= log_->start_offset()) left.Add(offset, record);
    }
    left.Check(Content());
  }
  void Remember() {
    for (const auto& [offset, record] : Content().records) appended_[offset] = record;
  }

  std::map<Offset, KeyedRecord> appended_;
};

TEST_F(CompactedLogDamagedBelowItsStart, IsCompactedAllTheSame) {
  StartAt(4);
  Remember();
  Scrub();
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  ASSERT_LT(log_->damaged().ranges()[0].last, 4u);
  EXPECT_EQ(log_->damaged_ranges_found(), 0u) << "nobody can read it";
  EXPECT_FALSE(log_->compaction_blocked());
  ASSERT_TRUE(Due());
  const auto report = Clean();
  ASSERT_TRUE(report) << ToString(report.error());
  EXPECT_EQ(report->to, 100u);
  EXPECT_TRUE(log_->damaged().empty());
  CheckFromStart();
  Scrub();
  EXPECT_TRUE(log_->damaged().empty()) << "what was written in its place is whole";
  world_.Kill(/*power_loss=*/true);
  log_ = &world_.Start();
  EXPECT_FALSE(log_->damage());
  CheckFromStart();
}

TEST_F(CompactedLogDamagedBelowItsStart, IsCompactedAlsoWhereThePassIsTheFirstToMeetIt) {
  StartAt(4);
  Remember();
  ASSERT_FALSE(Clean());
  ASSERT_TRUE(Due());
  ASSERT_TRUE(Clean());
  EXPECT_FALSE(log_->compaction_blocked());
  CheckFromStart();
}

TEST_F(CompactedLogDamagedBelowItsStart, ASegmentWhollyBelowTheStartIsWaitedFor) {
  Offset second = 0;
  for (const std::string& path : world_.disk().Paths()) {
    if (path.ends_with(".log") && path != world_.LogPath(0)) {
      second = std::stoull(path.substr(path.size() - 24, 20));
      break;
    }
  }
  ASSERT_GT(second, 0u);
  StartAt(second);
  Remember();
  Scrub();
  EXPECT_FALSE(log_->compaction_blocked());
  EXPECT_FALSE(Due());
  ASSERT_TRUE(world_.Checkpoint());
  ASSERT_TRUE(world_.process().Await([this] { return log_->RemoveBelowStart(); }));
  EXPECT_TRUE(log_->damaged().empty());
  ASSERT_TRUE(Due());
  const auto report = Clean();
  ASSERT_TRUE(report) << ToString(report.error());
  CheckFromStart();
}

TEST_F(CompactedLogDamagedBelowItsStart, ARangeThatReachesToTheStartIsRepairedFirst) {
  Scrub();
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  StartAt(log_->damaged().ranges()[0].last);
  EXPECT_TRUE(log_->compaction_blocked());
  EXPECT_FALSE(Due());
}

class CompactedLogThatMoves : public CompactedLog {
 protected:
  CompactedLogThatMoves() : CompactedLog({"/data1", "/data2"}) {}

  void BeginMove() {
    ASSERT_TRUE(
        world_.Call([this] { return world_.logs().MoveTo(world_.key(), 1 - log_->directory_index()); }));
  }
  void EndMove() {
    ASSERT_TRUE(world_.world().RunUntil([this] { return !world_.logs().MoveOf(world_.key()); }, 600s));
    log_ = world_.logs().Find(world_.key());
  }
  bool Due() {
    return world_.Call([this] { return log_->DecideCleaning(now_); }).due;
  }
};

TEST_F(CompactedLogThatMoves, IsLeftAloneByCompactionMeanwhile) {
  Fill(300, 40);
  Settle();
  auto cleaned = std::make_shared<bool>(false);
  world_.process().Keep(cleaned);
  throttle_ = CleanerThrottle(50e3);
  world_.process().Spawn("pass",
                         [this, cleaned] { return CleanAside(log_, &throttle_, now_, cleaned.get()); });
  world_.world().RunFor(100ms);
  ASSERT_FALSE(*cleaned);
  BeginMove();
  // Long before it would have come through.
  ASSERT_TRUE(world_.world().RunUntil([&] { return *cleaned; }, 1s));
  if (world_.logs().MoveOf(world_.key())) {
    EXPECT_FALSE(Due());
    EXPECT_EQ(Clean().error().code, v1::CANCELLED);
  }
  EndMove();
  EXPECT_EQ(world_.logs().move_counters().finished, 1u);
  Settle();
  Check();
  EXPECT_TRUE(Due()) << "at its new place it is compacted";
  throttle_ = CleanerThrottle(std::nullopt);
  ASSERT_TRUE(Clean());
  Check();
  EXPECT_EQ(Content().records.size(), 40u);
}

TEST_F(CompactedLogThatMoves, IsCompactedAgainWhenTheMoveWasGivenUp) {
  Fill(300, 40);
  Settle();
  BeginMove();
  world_.world().RunFor(1ms);
  ASSERT_TRUE(world_.Call([this] { return world_.logs().MoveTo(world_.key(), log_->directory_index()); }));
  EndMove();
  EXPECT_EQ(world_.logs().move_counters().given_up, 1u);
  ASSERT_TRUE(Clean());
  Check();
}

TEST_F(CompactedLogThatMoves, TakesWhatCompactionKnowsOfItAlong) {
  Append({{"a", "1"}, {"b", "1"}});
  Append({{"a", std::nullopt}});
  Fill(60, 3);
  for (int pass = 0; pass < 2; ++pass) {
    Settle();
    now_ += 5000;
    ASSERT_TRUE(Clean());
    Fill(60, 3);
  }
  Settle();
  const Offset cleaned_to = log_->cleaned_to();
  const uint64_t serial = log_->tombstone_drops().serial();
  ASSERT_GT(cleaned_to, 60u);
  ASSERT_EQ(log_->tombstone_drops().below(), 3u);
  ASSERT_GT(serial, 0u);
  BeginMove();
  EndMove();
  EXPECT_EQ(log_->cleaned_to(), cleaned_to);
  EXPECT_EQ(log_->tombstone_drops().below(), 3u);
  EXPECT_EQ(log_->tombstone_drops().serial(), serial) << "followers are judged by it";
  Check();
  for (const bool power_loss : {true, false}) {
    world_.Kill(power_loss);
    log_ = &world_.Start();
    EXPECT_EQ(log_->cleaned_to(), cleaned_to);
    EXPECT_EQ(log_->tombstone_drops().below(), 3u);
    Check();
  }
}

// Found by the property test: the checkpoint was lowered to the cut before the cut.
TEST_F(CompactedLog, ATruncationCutShortDoesNotForgetThatTombstonesHaveGone) {
  Append({{"a", "1"}});
  Append({{"a", std::nullopt}});
  for (int pass = 0; pass < 3; ++pass) {
    Fill(60, 3);
    Settle();
    now_ += 5000;
    ASSERT_TRUE(Clean());
  }
  ASSERT_EQ(log_->tombstone_drops().below(), 2u);
  world_.disk().SetHook([this](DiskOp op, const std::string& path) {
    const bool of_log = path.find("/orders-0/") != std::string::npos;
    if (of_log && (op == DiskOp::kRemove || op == DiskOp::kTruncate)) world_.process().Kill(true);
  });
  EXPECT_FALSE(world_.RunOrDie([this]() -> Task<void> { (void)co_await log_->TruncateTo(1); }));
  world_.disk().SetHook({});
  world_.Kill(true);
  log_ = &world_.Start();
  EXPECT_EQ(log_->end_offset(), model_.end());
  EXPECT_EQ(log_->tombstone_drops().below(), 2u);
  Check();
}

TEST_F(CompactedLog, WhatItsLeaderHasDroppedIsRememberedBeforeItIsCopied) {
  Fill(10, 3);
  Settle();
  ASSERT_TRUE(world_.process().Await([this] { return log_->AdoptDroppedTombstones(8); }));
  EXPECT_EQ(log_->tombstone_drops().below(), 8u);
  world_.Kill(/*power_loss=*/true);
  log_ = &world_.Start();
  EXPECT_EQ(log_->tombstone_drops().below(), 8u);
  // What comes after this log's end is not missing in it when it leads from there.
  ASSERT_TRUE(world_.process().Await([this] { return log_->AdoptDroppedTombstones(100); }));
  EXPECT_EQ(log_->tombstone_drops().below(), 100u);
  ASSERT_TRUE(world_.process().Await([this] { return log_->BeginEpoch(1); }));
  EXPECT_EQ(log_->tombstone_drops().below(), 10u);
}

// Near the largest segment.bytes what is written into a batch makes the rewritten segment larger than one
// that is appended to may be.
TEST_F(CompactedLog, TheIndexOfARewrittenSegmentReachesBeyondTwoGibibytes) {
  static_assert(kMaxRewrittenBytes / 2 >= kMaxSegmentBytes);
  const std::string prefix = SegmentPathPrefix("/data/orders-0", 1000);
  const uint64_t position = kMaxSegmentBytes + 12'345;
  SegmentIndex index(1000);
  index.OnBatch(1000, 0, 5, 1);
  index.OnBatch(1500, position, 7, 1);
  FileSystem& files = world_.process().files();
  ASSERT_TRUE(WriteCleanedIndex(files, prefix,
                                index.EncodeOffsets(0) + index.SealOffsets(1600, kMaxRewrittenBytes),
                                index.EncodeTimes(0) + index.SealTimes()));
  for (const char* suffix : {".index", ".timeindex"})
    ASSERT_TRUE(files.Rename(prefix + suffix + std::string(kCleanedSuffix), prefix + suffix));
  EXPECT_EQ(LookUpPosition(files, prefix, 1000, 1550), position);
  const auto seal = ReadSeal(files, prefix, 1000);
  ASSERT_TRUE(seal);
  EXPECT_EQ(seal->size, kMaxRewrittenBytes);
}

}  // namespace
}  // namespace tidemark
