// Crashes at every change of the disk during compaction, and random histories of keyed records with passes,
// crashes, truncations and tombstones. The claim: the last value of each key that was on disk is there, no
// deleted key comes back, batches stay contiguous, and a log is never damaged.
#include <cstdlib>

#include "tests/simulation/log_property/offline_verdict.h"
#include "tests/unit/compaction/keyed_log.h"

namespace tidemark {
namespace {

class KeyedHistory {
 public:
  KeyedHistory(LogWorld& world, uint64_t seed) : world_(world), random_(seed) {}

  Task<void> Open() {
    const auto log = co_await world_.logs().OpenOrCreate(world_.key(), "orders", world_.config());
    CHECK(log) << ToString(log.error());
    log_ = *log;
  }

  // What a crash has left: all that was on disk, compacted or not, and perhaps some of the rest.
  Task<void> Compare() {
    CHECK(!log_->damage()) << log_->damage()->message;
    CHECK_GE(log_->end_offset(), flushed_) << "flushed records were lost";
    CHECK_LE(log_->end_offset(), model_.end());
    model_.CutTo(log_->end_offset());
    const LogContent content = co_await ReadContent(log_);
    model_.Check(content);
    CHECK_LE(log_->tombstone_drops().below(), log_->end_offset());
    // A tombstone is only missing below what is told to have gone; so are keys that it deleted.
    for (const auto& [key, offset] : tombstones_) {
      if (offset >= log_->tombstone_drops().below() && offset < log_->end_offset() &&
          model_.IsLast(key, offset)) {
        CHECK(content.records.contains(offset)) << "a tombstone has gone that nobody knows of";
      }
    }
    flushed_ = log_->end_offset();
  }

  Task<void> Append(int batches) {
    for (int i = 0; i < batches; ++i) {
      std::vector<KeyedRecord> records;
      for (uint64_t n = 1 + random_.Below(4); n > 0; --n) {
        KeyedRecord record{fmt::format("key{}", random_.Below(keys_)), std::nullopt};
        if (random_.Below(4) != 0)
          record.value = fmt::format("{}:{}", ++value_, std::string(random_.Below(60), 'v'));
        records.push_back(std::move(record));
      }
      const Offset base = log_->end_offset();
      for (size_t r = 0; r < records.size(); ++r) {
        if (!records[r].value) tombstones_.emplace_back(records[r].key, base + r);
        model_.Add(base + r, records[r]);
      }
      const auto codec = static_cast<v1::Compression>(random_.Below(5));
      const FinishedBatch batch = MakeKeyed(records, 1000, codec);
      const UnstampedBatch unstamped = Unstamped(batch);
      const auto appended = log_->AppendAsLeader(std::span(&unstamped, 1), epoch_, 5000);
      CHECK(appended) << ToString(appended.error());
    }
    co_return;
  }

  Task<void> Flush() {
    log_->RequestFlush();
    while (log_->flushed_end() < log_->end_offset() || log_->flush_needed()) {
      co_await Sleep(world_.process().main_loop(), 1ms, "test");
      log_->RequestFlush();
    }
    flushed_ = log_->flushed_end();
    log_->SetHighWatermark(flushed_);
  }

  Task<void> Pass() {
    if (random_.Below(2) == 0) {
      const auto rolled = log_->RollActive();
      CHECK(rolled) << ToString(rolled.error());
      co_await Flush();
    }
    now_ += static_cast<WallMillis>(random_.Below(2000));
    CleanTools tools{.hash_key = {random_.Next(), random_.Next()},
                     .map_bytes = random_.Below(3) == 0 ? 1u : 1u << 20,
                     .throttle = &throttle_,
                     .now = now_};
    const auto report = co_await log_->Clean(tools);
    CHECK(report || report.error().code == v1::CANCELLED) << ToString(report.error());
    if (report) ++passes_;
  }

  Task<void> Checkpoint() {
    const auto done = co_await world_.logs().Checkpoint();
    CHECK(done) << ToString(done.error());
  }

  // Above what is committed only, as followers do after an election that was not unclean.
  Task<void> TruncateTail() {
    const Offset to = flushed_ + random_.Below(log_->end_offset() - flushed_ + 1);
    const auto done = co_await log_->TruncateTo(to);
    CHECK(done) << ToString(done.error());
    model_.CutTo(log_->end_offset());
    std::erase_if(tombstones_, [&](const auto& entry) { return entry.second >= log_->end_offset(); });
    epoch_ += 1;
    const auto begun = co_await log_->BeginEpoch(epoch_);
    CHECK(begun) << ToString(begun.error());
  }

  Task<void> RandomStep() {
    switch (random_.Below(8)) {
      case 0:
      case 1:
      case 2:
        return Append(static_cast<int>(1 + random_.Below(6)));
      case 3:
        return Flush();
      case 4:
      case 5:
        return Pass();
      case 6:
        return Checkpoint();
      default:
        return TruncateTail();
    }
  }

  // Raised by the opening after a crash: the log may know a later one than the history does.
  void NewLife() {
    epoch_ += 1;
    std::erase_if(tombstones_, [&](const auto& entry) { return entry.second >= log_->end_offset(); });
  }
  void set_keys(uint64_t keys) { keys_ = keys; }
  int passes() const { return passes_; }
  SimRandom& random() { return random_; }
  const Log& log() const { return *log_; }

 private:
  LogWorld& world_;
  SimRandom random_;
  KeyedModel model_;
  std::vector<std::pair<std::string, Offset>> tombstones_;
  Log* log_ = nullptr;
  CleanerThrottle throttle_{std::nullopt};
  WallMillis now_ = 1'000'000;
  LeaderEpoch epoch_ = 0;
  Offset flushed_ = 0;
  uint64_t keys_ = 12;
  int value_ = 0;
  int passes_ = 0;
};

void KillAtOp(LogWorld& world, int op, bool power_loss) {
  auto left = std::make_shared<int>(op);
  world.disk().SetHook([&world, left, power_loss](DiskOp, const std::string&) {
    if (--*left == 0) world.process().Kill(power_loss);
  });
}

void Configure(LogWorld& world) {
  world.config().segment_bytes = 1200;
  world.config().compaction = {.enabled = true, .max_lag = {}, .delete_retention = 500ms};
}

Task<void> FixedHistory(KeyedHistory* history) {
  co_await history->Open();
  for (int pass = 0; pass < 3; ++pass) {
    co_await history->Append(14);
    co_await history->Flush();
    co_await history->Pass();
    co_await history->Pass();
    co_await history->Checkpoint();
  }
}

class CrashInCompaction : public testing::TestWithParam<bool> {};

TEST_P(CrashInCompaction, AtEveryChangeOfTheDiskLeavesAWholeLog) {
  const bool power_loss = GetParam();
  int op = 0;
  for (bool finished = false; !finished;) {
    ++op;
    SCOPED_TRACE(fmt::format("killed at change {}", op));
    LogWorld world(static_cast<uint64_t>(op));
    Configure(world);
    ASSERT_TRUE(world.StartDirs());
    KeyedHistory history(world, 5);
    KillAtOp(world, op, power_loss);
    finished = world.RunOrDie([&] { return FixedHistory(&history); });
    if (finished) EXPECT_GE(history.passes(), 5);
    world.disk().SetHook({});
    world.Kill(power_loss);
    const auto verdict = [&world](AfterCrash crash) {
      return OfflineDamage(world.disk(), "/data", crash).value_or("");
    };
    ASSERT_EQ(verdict(power_loss ? AfterCrash::kPowerLoss : AfterCrash::kKill), "")
        << "the crash is called damage";
    // Twice: what the recovery did must stand, and a further pass goes on where the first one was cut off.
    for (int life = 0; life < 2; ++life) {
      ASSERT_TRUE(world.StartDirs());
      ASSERT_TRUE(world.RunOrDie([&]() -> Task<void> {
        co_await history.Open();
        co_await history.Compare();
        history.NewLife();
        co_await history.Append(3);
        co_await history.Flush();
        co_await history.Pass();
        co_await history.Compare();
      }));
      for (const std::string& path : world.disk().Paths()) {
        EXPECT_FALSE(path.ends_with(".cleaned") || path.ends_with(".swap")) << path;
      }
      world.Kill(true);
      ASSERT_EQ(verdict(AfterCrash::kPowerLoss), "")
          << "what recovery and a pass after it left is called damage";
    }
  }
  EXPECT_GT(op, 300) << "the history is too short to mean something";
  LOG(INFO) << op << " crash states";
}

INSTANTIATE_TEST_SUITE_P(Kill, CrashInCompaction, testing::Bool(),
                         [](const auto& info) { return info.param ? "PowerLoss" : "SigKill"; });

// TIDEMARK_SEED repeats one run; TIDEMARK_SEEDS says how many.
TEST(CompactionProperty, RandomHistoriesKeepTheLastValueOfEachKey) {
  const char* one = std::getenv("TIDEMARK_SEED");
  const char* many = std::getenv("TIDEMARK_SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  const uint64_t count = one != nullptr ? 1 : many != nullptr ? std::strtoull(many, nullptr, 10) : 40;
  int passes = 0;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(fmt::format("TIDEMARK_SEED={}", seed));
    LogWorld world(seed);
    Configure(world);
    if (seed % 3 == 0) world.config().durability = AckDurability::kReplicated;
    KeyedHistory history(world, seed * 17);
    history.set_keys(1 + history.random().Below(60));
    for (int life = 0; life < 6; ++life) {
      ASSERT_TRUE(world.StartDirs());
      const bool clean = history.random().Below(4) == 0;
      const bool power_loss = history.random().Below(2) == 0;
      if (!clean) KillAtOp(world, 1 + static_cast<int>(history.random().Below(400)), power_loss);
      const bool lived = world.RunOrDie([&]() -> Task<void> {
        co_await history.Open();
        co_await history.Compare();
        history.NewLife();
        for (int step = 0; step < 40; ++step) co_await history.RandomStep();
        co_await history.Flush();
        co_await history.Compare();
      });
      world.disk().SetHook({});
      if (lived && clean) {
        ASSERT_TRUE(world.CloseCleanly());
      } else {
        world.Kill(power_loss);
      }
    }
    passes += history.passes();
  }
  EXPECT_GT(passes, static_cast<int>(count)) << "hardly anything was compacted";
}

}  // namespace
}  // namespace tidemark
