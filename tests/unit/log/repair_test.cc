// Repair of damaged ranges from what another replica has.
#include <set>

#include "broker/log/cleaner_files.h"
#include "broker/log/scrub_cursor.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

class RepairedLog : public testing::Test {
 protected:
  RepairedLog() {
    log_ = &world_.Start();
    for (int i = 0; i < 100; ++i) {
      CHECK(world_.Append(*log_, MakeBatch(fmt::format("b{}", i), 2, 60), static_cast<LeaderEpoch>(i / 10)));
    }
    world_.WaitForFlush(*log_);
    world_.world().RunFor(1s);
    before_ = world_.ReadAll(*log_);
    for (const std::string& path : world_.disk().Paths()) {
      if (path.ends_with(".log")) segments_.push_back(path);
    }
    for (Offset at = 0; at < log_->end_offset();) {
      const auto read = world_.Read(*log_, at);
      whole_ += read->bytes;
      at = read->next_offset;
    }
  }

  void FlipIn(size_t batch) {
    for (const std::string& path : segments_) {
      const std::string content = *world_.disk().Content(path);
      const size_t at = content.find(before_[batch].body);
      if (at == std::string::npos) continue;
      CHECK(world_.disk().FlipBit(path, (at + before_[batch].body.size() / 2) * 8 + 3));
      return;
    }
    LOG(FATAL) << "no such batch";
  }

  void Scrub() {
    const auto cursor = std::make_shared<ScrubCursor>();
    while (true) {
      const auto step = world_.process().Await([&] { return log_->Scrub(cursor, 1 << 20); });
      CHECK(step) << ToString(step.error());
      if (step->done) return;
    }
  }

  // What the healthy replica answers: `max` bytes at most, cut anywhere.
  Task<Result<std::string>> Fetch(Offset from) {
    asked_.push_back(from);
    if (refuse_) co_return std::unexpected(*refuse_);
    if (rotten_.contains(from)) co_return Fail(v1::CORRUPT_MESSAGE, "rotten here as well");
    std::string_view rest = source_.empty() ? whole_ : source_;
    while (!rest.empty()) {
      BatchView batch;
      CHECK(ParseBatch(rest, &batch, nullptr, nullptr) == BatchParse::kOk);
      const Offset next = batch.base_offset + ParseBody(batch.body)->last_offset_delta + 1;
      if (next > from) break;
      rest.remove_prefix(batch.total_bytes());
    }
    size_t good = 0;  // up to what is rotten there
    while (good < rest.size() && good < max_) {
      BatchView batch;
      CHECK(ParseBatch(rest.substr(good), &batch, nullptr, nullptr) == BatchParse::kOk);
      if (rotten_.contains(batch.base_offset)) break;
      good += batch.total_bytes();
    }
    co_return std::string(rest.substr(0, std::min(good, max_)));
  }

  Task<Result<std::string>> CleanThenFetch(CleanerThrottle* throttle, std::optional<ErrorCode>* cleaned,
                                           Offset from) {
    const auto done = co_await log_->Clean({.throttle = throttle, .now = 5000});
    *cleaned = done ? v1::NONE : done.error().code;
    co_return co_await Fetch(from);
  }
  Task<void> RepairWith(Log* log, std::string bytes, std::optional<ErrorCode>* ended) {
    const auto done = co_await log->Repair(0, [this, &bytes](Offset) { return Answer(bytes); });
    *ended = done ? v1::NONE : done.error().code;
  }
  Task<Result<std::string>> Answer(std::string bytes) { co_return bytes; }
  Task<void> RepairUntil(std::stop_token stop, std::optional<ErrorCode>* ended) {
    const auto done =
        co_await log_->Repair(before_[10].base_offset, [this](Offset from) { return Fetch(from); }, stop);
    *ended = done ? v1::NONE : done.error().code;
  }

  Result<> RepairOnce() { return RepairAt(log_->damaged().ranges().front().first); }
  Result<> RepairAt(Offset first) {
    return world_.process().Await(
        [&] { return log_->Repair(first, [this](Offset from) { return Fetch(from); }); });
  }

  void RepairAll() {
    for (int tries = 0; !log_->damaged().empty() && tries < 50; ++tries) {
      const Result<> done = RepairOnce();
      if (!done) {
        ASSERT_EQ(done.error().code, v1::BROKER_NOT_READY) << ToString(done.error());
      }
      world_.world().RunFor(100ms);
    }
    ASSERT_TRUE(log_->damaged().empty());
  }

  LogWorld world_;
  Log* log_ = nullptr;
  std::vector<SeenBatch> before_;
  std::vector<std::string> segments_;
  std::string whole_;
  std::string source_;
  size_t max_ = ~size_t{0};
  std::optional<Error> refuse_;
  std::set<Offset> rotten_;  // offsets that are not to be had
  std::vector<Offset> asked_;
};

TEST_F(RepairedLog, WaitsForRoomBesideWhatItRepairs) {
  FlipIn(3);
  Scrub();
  world_.dirs().SetSpaceLimits({.min_free = 0, .reserve = 10'000});
  const auto& directory = world_.dirs().directories().front();
  directory->held_bytes = 10'000;
  directory->free_bytes = 10'500;
  EXPECT_EQ(RepairOnce().error().code, v1::DISK_FULL);
  for (const std::string& path : world_.disk().Paths()) EXPECT_FALSE(path.ends_with(".cleaned")) << path;
  directory->free_bytes = 100'000;
  RepairAll();
  EXPECT_EQ(world_.ReadAll(*log_), before_);
}

TEST_F(RepairedLog, EveryDamagedRangeBecomesWhatItWas) {
  std::vector<std::string> contents;
  for (const std::string& path : segments_) contents.push_back(*world_.disk().Content(path));
  for (const size_t batch : {0, 1, 7, 18, 19, 60}) FlipIn(batch);
  Scrub();
  RepairAll();
  EXPECT_EQ(world_.ReadAll(*log_), before_);
  for (size_t i = 0; i < segments_.size(); ++i)
    EXPECT_EQ(*world_.disk().Content(segments_[i]), contents[i]) << i;
  Scrub();
  EXPECT_TRUE(log_->damaged().empty());
  world_.Kill(true);
  log_ = &world_.Start();
  EXPECT_FALSE(log_->damage());
  EXPECT_EQ(world_.ReadAll(*log_), before_) << "the repair is on the disk";
  EXPECT_THAT(world_.disk().freed_on_loops(), testing::IsEmpty());
}

TEST_F(RepairedLog, SmallAnswersThatEndInTheMiddleOfABatchDo) {
  max_ = 300;
  const std::string content = *world_.disk().Content(segments_[1]);
  ASSERT_TRUE(world_.disk().SetContent(segments_[1], content.substr(0, content.size() / 3)));
  Scrub();
  RepairAll();
  EXPECT_GT(asked_.size(), 5u);
  EXPECT_EQ(*world_.disk().Content(segments_[1]), content);
  EXPECT_EQ(world_.ReadAll(*log_), before_);
}

TEST_F(RepairedLog, AMissingSegmentComesBack) {
  const std::string content = *world_.disk().Content(segments_[2]);
  world_.disk().RemovePath(segments_[2]);
  Scrub();
  RepairAll();
  EXPECT_EQ(*world_.disk().Content(segments_[2]), content);
  EXPECT_EQ(world_.ReadAll(*log_), before_);
}

TEST_F(RepairedLog, ASwapThatFailsAtItsCommitFailsTheDirectory) {
  FlipIn(7);
  Scrub();
  // The swap may be on the disk: what is cut and appended after it would be gone at the next start.
  world_.disk().Fail({DiskOp::kSyncDirectory, "/data/orders-0"});
  EXPECT_EQ(RepairOnce().error().code, v1::KAFKA_STORAGE_ERROR);
  EXPECT_TRUE(log_->failure());
  world_.Kill(true);
  log_ = &world_.Start();
  EXPECT_FALSE(log_->damage());
  EXPECT_EQ(log_->end_offset(), 200u);
}

TEST_F(RepairedLog, TheActiveSegmentIsRolledFirst) {
  const size_t segments = log_->segment_count();
  FlipIn(99);
  Scrub();
  RepairAll();
  EXPECT_EQ(log_->segment_count(), segments + 1);
  EXPECT_EQ(world_.ReadAll(*log_), before_);
  EXPECT_TRUE(world_.Append(*log_, MakeBatch("on"), 9));
}

TEST_F(RepairedLog, WhatIsNotWhatWasThereIsRefused) {
  FlipIn(10);
  Scrub();
  const std::string damaged = *world_.disk().Content(segments_[0]);
  // Another epoch.
  const FinishedBatch other = MakeBatch("b10", 2, 60);
  const BatchPrefix prefix = StampBatch(other.body, other.body_crc, before_[10].base_offset, 0, 5000,
                                        world_.key().topic, world_.key().partition);
  source_ = std::string(prefix.view()) + other.body;
  EXPECT_EQ(RepairOnce().error().code, v1::INVALID_RECORD);
  // Two batches' place taken by one.
  const FinishedBatch large = MakeBatch("b10", 3, 60);
  const BatchPrefix reaching = StampBatch(large.body, large.body_crc, before_[10].base_offset, 1, 5000,
                                          world_.key().topic, world_.key().partition);
  source_ = std::string(reaching.view()) + large.body;
  EXPECT_EQ(RepairOnce().error().code, v1::INVALID_RECORD);
  // The source is rotten too.
  source_ = whole_;
  source_[source_.find(before_[10].body) + 40] ^= 1;
  EXPECT_EQ(RepairOnce().error().code, v1::CORRUPT_MESSAGE);
  refuse_ = Error{v1::NETWORK_EXCEPTION, "gone"};
  EXPECT_EQ(RepairOnce().error().code, v1::NETWORK_EXCEPTION);
  EXPECT_EQ(*world_.disk().Content(segments_[0]), damaged) << "nothing has changed";
  EXPECT_EQ(log_->damaged().ranges().size(), 1u);
  for (const std::string& path : world_.disk().Paths()) EXPECT_FALSE(path.ends_with(kCleanedSuffix)) << path;
}

TEST_F(RepairedLog, DamageMetOnTheWayIsNotedAndRepairedToo) {
  FlipIn(2);
  Scrub();
  FlipIn(5);
  EXPECT_EQ(RepairOnce().error().code, v1::CORRUPT_MESSAGE);
  EXPECT_EQ(log_->damaged().ranges().size(), 2u);
  RepairAll();
  EXPECT_EQ(world_.ReadAll(*log_), before_);
}

TEST_F(RepairedLog, WhatNobodyHasKeepsNothingElseWaiting) {
  const std::string content = *world_.disk().Content(segments_[0]);
  for (const size_t batch : {3, 4, 5, 8, 10}) FlipIn(batch);
  Scrub();
  ASSERT_EQ(log_->damaged().ranges().size(), 3u);
  const Offset middle = before_[4].base_offset;
  rotten_ = {middle, before_[8].base_offset};
  // Asked for what can be had.
  ASSERT_TRUE(RepairAt(before_[10].base_offset));
  const auto left = log_->damaged().ranges();
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[0].first, before_[3].next_offset) << "the batches before it came";
  EXPECT_EQ(left[0].last, before_[5].next_offset - 1);
  EXPECT_EQ(left[1].first, before_[8].base_offset);
  for (const SeenBatch& batch : before_) {
    const bool kept = log_->damaged().Find(batch.base_offset) != nullptr;
    const auto read = world_.Read(*log_, batch.base_offset, ~0ull, 1);
    ASSERT_EQ(read.has_value(), !kept) << batch.base_offset;
    if (read) {
      EXPECT_EQ(ParseBatches(read->bytes).at(0), batch);
    }
  }
  Scrub();
  EXPECT_EQ(log_->damaged().ranges().size(), 2u) << "what stays damaged is found where it was";
  EXPECT_EQ(RepairAt(middle).error().code, v1::CORRUPT_MESSAGE);
  // Once there is one who has them.
  rotten_.clear();
  RepairAll();
  EXPECT_EQ(*world_.disk().Content(segments_[0]), content);
  EXPECT_EQ(world_.ReadAll(*log_), before_);
}

TEST_F(RepairedLog, WhatStaysDamagedIsStillAsLateAsItWas) {
  WallMillis latest = 0;
  for (int i = 0; i < 60; ++i) {
    const WallMillis time = i == 20 ? 2'000'000 : 1'000'000 + i;
    if (i == 20) latest = time;
    CHECK(world_.Append(*log_, MakeBatch(fmt::format("t{}", i), 1, 60, time), 9));
  }
  ASSERT_TRUE(world_.Call([&] { return log_->RollActive(); }));
  world_.WaitForFlush(*log_);
  world_.world().RunFor(1s);
  before_ = world_.ReadAll(*log_);
  segments_.clear();
  for (const std::string& path : world_.disk().Paths()) {
    if (path.ends_with(".log")) segments_.push_back(path);
  }
  whole_.clear();
  for (Offset at = 0; at < log_->end_offset();) {
    const auto read = world_.Read(*log_, at);
    whole_ += read->bytes;
    at = read->next_offset;
  }
  FlipIn(120);
  FlipIn(122);
  Scrub();
  rotten_ = {before_[120].base_offset};
  ASSERT_TRUE(RepairAt(before_[122].base_offset));
  ASSERT_EQ(log_->damaged().ranges().size(), 1u);
  for (const bool restarted : {false, true}) {
    if (restarted) {
      ASSERT_TRUE(world_.CloseCleanly());
      log_ = &world_.Start();
    }
    const auto found = world_.process().Await([&] { return log_->FindTimestamp(latest, ~0ull); });
    ASSERT_FALSE(found) << "it is in what is damaged; restarted: " << restarted;
    EXPECT_EQ(found.error().code, v1::CORRUPT_MESSAGE);
  }
}

TEST_F(RepairedLog, WhatIsBelowTheLogStartIsNotAskedFor) {
  // Below the start, across it, and above.
  for (const size_t batch : {1, 4, 7, 8, 9, 12}) FlipIn(batch);
  Scrub();
  const Offset start = before_[8].base_offset + 1;
  world_.Call([&] {
    log_->AdvanceStartTo(start);
    return true;
  });
  ASSERT_TRUE(RepairAt(before_[12].base_offset));
  EXPECT_TRUE(log_->damaged().empty());
  for (const Offset from : asked_) EXPECT_GE(from, start) << "no other replica has it any more";
  const auto all = world_.ReadAll(*log_);
  EXPECT_EQ(all, std::vector(before_.begin() + 8, before_.end()));
  Scrub();
  EXPECT_TRUE(log_->damaged().empty()) << "the batches follow each other";
  ASSERT_TRUE(world_.Checkpoint());
  world_.Kill(true);
  for (const char* suffix : {".index", ".timeindex"}) world_.disk().RemovePath(world_.LogPath(0, suffix));
  log_ = &world_.Start();
  EXPECT_FALSE(log_->damage()) << log_->damage()->message;
  EXPECT_EQ(world_.ReadAll(*log_), all);
}

TEST_F(RepairedLog, AskingInVainCopiesNothing) {
  FlipIn(10);
  Scrub();
  refuse_ = Error{v1::CORRUPT_MESSAGE, "rotten here as well"};
  const auto operations = [this] {
    return world_.disk().count(DiskOp::kOpen) + world_.disk().count(DiskOp::kRead) +
           world_.disk().count(DiskOp::kWrite);
  };
  const uint64_t before = operations();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(RepairOnce().error().code, v1::CORRUPT_MESSAGE);
  EXPECT_EQ(asked_.size(), 10u);
  EXPECT_EQ(operations(), before);
}

TEST_F(RepairedLog, NoCompactionWritesTheSameFilesMeanwhile) {
  FlipIn(10);
  Scrub();
  CleanerThrottle throttle(std::nullopt);
  std::optional<ErrorCode> cleaned;
  const auto repaired = world_.process().Await([&] {
    return log_->Repair(before_[10].base_offset, [&](Offset from) -> Task<Result<std::string>> {
      return CleanThenFetch(&throttle, &cleaned, from);
    });
  });
  EXPECT_TRUE(repaired);
  EXPECT_EQ(cleaned, v1::CANCELLED);
  EXPECT_EQ(world_.ReadAll(*log_), before_);
}

TEST_F(RepairedLog, TheLogsOfAShardTakeTurns) {
  FlipIn(10);
  Scrub();
  world_.set_key({MakeTopicId(8), 0});
  Log* const other = *world_.OpenLog("payments");
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(world_.Append(*other, MakeBatch(fmt::format("p{}", i), 2, 60)));
  world_.WaitForFlush(*other);
  world_.world().RunFor(1s);
  const std::string first = world_.Read(*other, 0, ~0ull, 1)->bytes;
  ASSERT_TRUE(world_.disk().FlipBit("/data/payments-0/00000000000000000000.log", 100 * 8));
  ASSERT_FALSE(world_.Read(*other, 0));
  world_.dirs().copy_pace().SetRate(500);
  std::optional<ErrorCode> here, there;
  world_.process().Spawn("repair", [&] { return RepairUntil({}, &here); });
  world_.process().Spawn("repair", [&] { return RepairWith(other, first, &there); });
  size_t most = 0;
  while (!here || !there) {
    world_.world().RunFor(100ms);
    size_t written = 0;
    for (const std::string& path : world_.disk().Paths()) written += path.ends_with(".log.cleaned") ? 1 : 0;
    most = std::max(most, written);
  }
  EXPECT_EQ(here, v1::NONE);
  EXPECT_EQ(there, v1::NONE);
  EXPECT_EQ(most, 1u);
}

TEST_F(RepairedLog, ItIsWrittenAtTheRateOfCopiesAndEndsWhenItIsStopped) {
  FlipIn(10);
  Scrub();
  const uint64_t bytes = world_.disk().Content(segments_[0])->size();
  world_.dirs().copy_pace().SetRate(100);
  const MonoTime begin = world_.world().Now();
  ASSERT_TRUE(RepairOnce());
  EXPECT_GE(world_.world().Now() - begin, std::chrono::seconds(bytes / 100 - 1));
  EXPECT_LE(world_.world().Now() - begin, std::chrono::seconds(bytes / 100 + 5));
  for (const bool held : {false, true}) {
    FlipIn(10);
    Scrub();
    std::stop_source stop;
    std::optional<ErrorCode> ended;
    world_.process().Spawn("repair", [&] { return RepairUntil(stop.get_token(), &ended); });
    world_.world().RunFor(5s);
    ASSERT_FALSE(ended);
    world_.Call([&] {
      if (held) log_->HoldRepairs(true);
      if (!held) stop.request_stop();
      return true;
    });
    world_.world().RunFor(1s);
    EXPECT_EQ(ended, v1::CANCELLED);
    world_.Call([&] {
      log_->HoldRepairs(false);
      world_.dirs().copy_pace().SetRate(0);
      return true;
    });
    RepairAll();
    world_.dirs().copy_pace().SetRate(100);
  }
}

TEST_F(RepairedLog, ACrashAtAnyStepLeavesTheDamagedOrTheWholeSegment) {
  size_t whole = 0;
  size_t damaged = 0;
  for (int step = 0; step < 400; ++step) {
    FlipIn(10);
    Scrub();
    ASSERT_EQ(log_->damaged().ranges().size(), 1u);
    world_.disk().SetHook([this, left = std::make_shared<int>(step)](DiskOp, const std::string&) {
      if ((*left)-- == 0) world_.process().Kill(true);
    });
    const bool survived = world_.RunOrDie([this]() -> Task<void> {
      (void)co_await log_->Repair(log_->damaged().ranges().front().first,
                                  [this](Offset from) { return Fetch(from); });
    });
    world_.disk().SetHook({});
    if (survived) {
      EXPECT_GT(whole, 0u);
      EXPECT_GT(damaged, 0u);
      return;
    }
    world_.Kill(true);
    log_ = &world_.Start();
    ASSERT_FALSE(log_->damage()) << log_->damage()->message;
    Scrub();
    if (log_->damaged().empty()) {
      ++whole;
    } else {
      ++damaged;
      RepairAll();
    }
    ASSERT_EQ(world_.ReadAll(*log_).size(), before_.size()) << "after step " << step;
    ASSERT_TRUE(world_.ReadAll(*log_) == before_);
  }
  FAIL() << "the repair never ends";
}

// Whatever of the two comes first: what was cut does not come back with the segment that is swapped in.
TEST(RepairAndTruncation, WhatIsCutMeanwhileStaysCut) {
  class Scene : public RepairedLog {
   public:
    // True: the repair was told that the log has changed.
    bool Run(Duration delay) {
      FlipIn(1);
      Scrub();
      const auto cut = std::make_shared<bool>(false);
      const auto done = world_.process().Await([&] {
        return log_->Repair(2, [this, delay, cut](Offset from) {
          world_.process().Spawn("truncation", [this, delay, cut] { return Cut(log_, delay, cut); });
          return Fetch(from);
        });
      });
      CHECK(world_.world().RunUntil([&] { return *cut; }, 60s));
      EXPECT_EQ(log_->end_offset(), 10u);
      world_.WaitForFlush(*log_);
      world_.Kill(true);
      log_ = &world_.Start();
      EXPECT_TRUE(log_->damage() || log_->end_offset() == 10) << log_->end_offset();
      return !done && done.error().code == v1::CANCELLED;
    }

   private:
    Task<void> Cut(Log* log, Duration delay, std::shared_ptr<bool> cut) {
      co_await Sleep(world_.process().main_loop(), delay, "truncation");
      const auto done = co_await log->TruncateTo(10);
      EXPECT_TRUE(done) << ToString(done.error());
      *cut = true;
    }
    void TestBody() override {}
  };
  int cancelled = 0;
  for (int step = 0; step < 100; ++step) {
    SCOPED_TRACE(step);
    cancelled += Scene().Run(step * 100us);
  }
  EXPECT_GT(cancelled, 0);
}

}  // namespace
}  // namespace tidemark
