// Crashes at every change of the disk, and random histories against a model. The claim: after a crash a log
// is a prefix of what was appended and holds all of what was flushed; it is never damaged.
#include <cstdlib>

#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

// What a log must be, as its user knows it.
struct Model {
  std::vector<SeenBatch> batches;
  Offset start = 0;
  Offset start_below = 0;               // the log start was never told to be above it
  Offset flushed = 0;                   // was told to be on disk
  Offset committed = 0;                 // the highest high watermark it ever had since it was last cut
  std::optional<Offset> restarting_at;  // under way

  Offset end() const { return batches.empty() ? start : batches.back().next_offset; }
  void CutTo(Offset offset) {
    while (!batches.empty() && batches.back().next_offset > offset) batches.pop_back();
  }
};

std::string Text(const EpochTable& epochs) {
  std::string out;
  for (const auto& entry : epochs.entries()) out += fmt::format("{}@{} ", entry.epoch, entry.start);
  return out;
}

// One step of a history, run on the loop. Updates the model before what may be there and after what must be.
class History {
 public:
  History(LogWorld& world, uint64_t seed) : world_(world), random_(seed) {}
  Model& model() { return model_; }

  Task<void> Open() {
    const auto log = co_await world_.logs().OpenOrCreate(world_.key(), "orders", world_.config());
    CHECK(log) << ToString(log.error());
    log_ = *log;
  }

  // What recovery has left must be a prefix of the model with all that was flushed.
  Task<void> Compare() {
    CHECK(!log_->damage()) << log_->damage()->message;
    std::vector<SeenBatch> found;
    for (Offset at = log_->start_offset(); at < log_->end_offset();) {
      const auto read = co_await log_->Read(at, ~0ull, 4096);
      CHECK(read) << ToString(read.error());
      for (SeenBatch& batch : ParseBatches(read->bytes)) found.push_back(std::move(batch));
      CHECK_GT(read->next_offset, at);
      at = read->next_offset;
    }
    // The log start may go back to what was durable, and never goes beyond what was asked for.
    std::vector<SeenBatch> below;
    while (!model_.batches.empty() && log_->start_offset() <= model_.start_below &&
           model_.batches.front().next_offset <= log_->start_offset()) {
      if (model_.batches.front().next_offset > log_->durable_start()) below.push_back(model_.batches.front());
      model_.batches.erase(model_.batches.begin());
    }
    const bool restarted =
        model_.restarting_at && log_->end_offset() <= *model_.restarting_at && found.empty();
    if (restarted) {
      model_.batches.clear();
      below.clear();
    } else {
      CHECK_LE(found.size(), model_.batches.size())
          << "log [" << log_->start_offset() << ", " << log_->end_offset() << ")";
      for (size_t i = 0; i < found.size(); ++i)
        CHECK(found[i] == model_.batches[i]) << "batch " << i << " differs";
      model_.batches.resize(found.size());
    }
    CHECK_GE(log_->end_offset(), model_.flushed) << "flushed data was lost";
    CHECK_EQ(log_->flushed_end(), log_->end_offset());
    CHECK_LE(log_->checkpointed_high_watermark(), std::max(model_.committed, log_->start_offset()));
    // Epochs follow from the batches.
    EpochTable epochs;
    for (const SeenBatch& batch : model_.batches) epochs.Begin(batch.epoch, batch.base_offset);
    epochs.AdvanceStart(log_->start_offset());
    CHECK(found.empty() || epochs.entries() == log_->epochs().entries())
        << "the epoch table is wrong: " << Text(log_->epochs()) << " instead of " << Text(epochs) << ", log ["
        << log_->start_offset() << ", " << log_->end_offset() << ")";
    CHECK_GE(log_->start_offset(), model_.restarting_at ? 0 : model_.start) << "the log start went back";
    model_.batches.insert(model_.batches.begin(), below.begin(), below.end());
    model_.start = log_->durable_start();
    model_.start_below = std::max(model_.start_below, log_->start_offset());
    model_.flushed = log_->end_offset();
    model_.committed = std::min(model_.committed, log_->end_offset());
    model_.restarting_at.reset();
    if (!model_.batches.empty()) epoch_ = std::max(epoch_, model_.batches.back().epoch);
  }

  Task<void> Append() {
    std::vector<FinishedBatch> batches;
    std::vector<UnstampedBatch> unstamped;
    for (uint64_t i = 0, n = 1 + random_.Below(3); i < n; ++i) {
      batches.push_back(MakeBatch(fmt::format("w{}", ++word_), 1 + random_.Below(3), random_.Below(400)));
    }
    Offset offset = log_->end_offset();
    for (const FinishedBatch& batch : batches) {
      unstamped.push_back(Unstamped(batch));
      model_.batches.push_back({offset, offset + batch.record_count, epoch_, batch.body});
      offset += batch.record_count;
    }
    const auto result = log_->AppendAsLeader(unstamped, epoch_, 1000);
    CHECK(result) << ToString(result.error());
    CHECK_EQ(result->end_offset, offset);
    co_return;
  }

  Task<void> AwaitFlush() {
    log_->RequestFlush();
    while (log_->flushed_end() < log_->end_offset()) {
      co_await Sleep(world_.process().main_loop(), 1ms, "test");
    }
    model_.flushed = log_->flushed_end();
    model_.committed = std::max(model_.committed, model_.flushed);
  }

  Task<void> NewEpoch() {
    epoch_ += 1 + static_cast<LeaderEpoch>(random_.Below(2));
    const auto begun = co_await log_->BeginEpoch(epoch_);
    CHECK(begun) << ToString(begun.error());
  }

  // As retention and DeleteRecords do it. What is below the start may still be found after a crash.
  Task<void> DropHead() {
    if (log_->flushed_end() <= log_->start_offset()) co_return;
    const Offset to = log_->start_offset() + 1 + random_.Below(log_->flushed_end() - log_->start_offset());
    model_.start_below = std::max(model_.start_below, to);
    model_.committed = std::max(model_.committed, to);
    log_->AdvanceStartTo(to);
    CHECK_EQ(log_->start_offset(), to);
    const uint64_t dice = random_.Below(4);
    if (dice == 0) {
      const auto rolled = log_->RollActive();
      CHECK(rolled) << ToString(rolled.error());
    }
    if (dice == 1) {
      const auto kept = co_await log_->CheckpointStart();
      CHECK(kept) << ToString(kept.error());
      CHECK_GE(log_->durable_start(), to);
      model_.start = to;
    }
    const auto removed = co_await log_->RemoveBelowStart();
    CHECK(removed) << ToString(removed.error());
  }

  Task<void> Truncate() {
    if (log_->end_offset() == log_->start_offset()) co_return;
    const Offset to = log_->start_offset() + random_.Below(log_->end_offset() - log_->start_offset() + 1);
    // Until it is done both the old end and the new one may be found; of what goes nothing is promised.
    Model after = model_;
    after.CutTo(to);
    // A batch that the log start cuts through goes whole, and the start with it.
    Offset cut = to;
    for (const SeenBatch& batch : model_.batches) {
      if (batch.base_offset < to && to < batch.next_offset) cut = batch.base_offset;
    }
    after.start = model_.start = std::min(model_.start, cut);
    model_.flushed = std::min(model_.flushed, cut);
    const Offset old_end = log_->end_offset();
    const auto done = co_await log_->TruncateTo(to);
    CHECK(done) << ToString(done.error());
    CHECK_EQ(log_->end_offset(), to == old_end ? old_end : cut);
    after.committed = std::min(model_.committed, after.end());
    model_ = after;
    model_.flushed = std::min(log_->flushed_end(), cut);
    // Elections raise the epoch after a truncation.
    co_await NewEpoch();
  }

  Task<void> Restart() {
    const Offset at = random_.Below(2) == 0 ? 0 : log_->end_offset() + random_.Below(50);
    model_.flushed = 0;
    model_.restarting_at = at;
    const auto done = co_await log_->RestartAt(at);
    CHECK(done) << ToString(done.error());
    model_.batches.clear();
    model_.start = model_.start_below = model_.flushed = model_.committed = at;
    model_.restarting_at.reset();
    co_await NewEpoch();
  }

  Task<void> Checkpoint() {
    if (model_.committed > log_->end_offset()) model_.committed = log_->end_offset();
    log_->SetHighWatermark(std::max(model_.committed, log_->start_offset()));
    const auto done = co_await world_.logs().Checkpoint();
    CHECK(done) << ToString(done.error());
  }

  Task<void> RandomStep() {
    const uint64_t dice = random_.Below(100);
    if (dice < 55) {
      co_await Append();
    } else if (dice < 75) {
      co_await AwaitFlush();
    } else if (dice < 80) {
      co_await NewEpoch();
    } else if (dice < 88) {
      co_await Truncate();
    } else if (dice < 90) {
      co_await Restart();
    } else if (dice < 95) {
      co_await DropHead();
    } else {
      co_await Checkpoint();
    }
  }

  SimRandom& random() { return random_; }

 private:
  LogWorld& world_;
  SimRandom random_;
  Model model_;
  Log* log_ = nullptr;
  LeaderEpoch epoch_ = 0;
  int word_ = 0;
};

// A history that goes through every kind of change: rolls, epochs, truncation across segments, checkpoints,
// restart.
Task<void> FixedHistory(History* history) {
  co_await history->Open();
  for (int i = 0; i < 6; ++i) co_await history->Append();
  co_await history->AwaitFlush();
  co_await history->Checkpoint();
  co_await history->NewEpoch();
  for (int i = 0; i < 6; ++i) co_await history->Append();
  co_await history->AwaitFlush();
  for (int i = 0; i < 3; ++i) co_await history->DropHead();
  co_await history->Append();
  co_await history->AwaitFlush();
  co_await history->DropHead();
  co_await history->Truncate();
  co_await history->Append();
  co_await history->AwaitFlush();
  co_await history->Restart();
  co_await history->Append();
  co_await history->AwaitFlush();
  co_await history->Checkpoint();
}

void KillAtOp(LogWorld& world, int op, bool power_loss) {
  auto left = std::make_shared<int>(op);
  world.disk().SetHook([&world, left, power_loss](DiskOp, const std::string&) {
    if (--*left == 0) world.process().Kill(power_loss);
  });
}

class CrashAtEveryChange : public testing::TestWithParam<bool> {};

TEST_P(CrashAtEveryChange, LosesNothingFlushed) {
  const bool power_loss = GetParam();
  int op = 0;
  for (bool finished = false; !finished;) {
    ++op;
    SCOPED_TRACE(fmt::format("killed at change {}", op));
    LogWorld world(static_cast<uint64_t>(op));
    world.config().segment_bytes = 1500;
    ASSERT_TRUE(world.StartDirs());
    History history(world, 77);
    KillAtOp(world, op, power_loss);
    finished = world.RunOrDie([&] { return FixedHistory(&history); });
    world.disk().SetHook({});
    world.Kill(power_loss);
    ASSERT_TRUE(world.StartDirs());
    ASSERT_TRUE(world.RunOrDie([&]() -> Task<void> {
      co_await history.Open();
      co_await history.Compare();
      co_await history.Append();
      co_await history.AwaitFlush();
    }));
    world.Kill(true);
    ASSERT_TRUE(world.StartDirs());
    ASSERT_TRUE(world.RunOrDie([&]() -> Task<void> {
      co_await history.Open();
      co_await history.Compare();
    }));
  }
  EXPECT_GT(op, 50) << "the history is too short to mean something";
}

INSTANTIATE_TEST_SUITE_P(Kill, CrashAtEveryChange, testing::Bool(),
                         [](const auto& info) { return info.param ? "PowerLoss" : "SigKill"; });

// TIDEMARK_SEED repeats one run; TIDEMARK_SEEDS says how many.
TEST(LogProperty, RandomHistoriesAgreeWithTheModel) {
  const char* one = std::getenv("TIDEMARK_SEED");
  const char* many = std::getenv("TIDEMARK_SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  const uint64_t count = one != nullptr ? 1 : many != nullptr ? std::strtoull(many, nullptr, 10) : 40;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(fmt::format("TIDEMARK_SEED={}", seed));
    LOG(INFO) << "TIDEMARK_SEED=" << seed;
    LogWorld world(seed);
    world.config().segment_bytes = 1500;
    if (seed % 4 == 0) world.config().durability = AckDurability::kReplicated;
    History history(world, seed * 31);
    for (int life = 0; life < 6; ++life) {
      ASSERT_TRUE(world.StartDirs());
      const bool clean = history.random().Below(4) == 0;
      const bool power_loss = history.random().Below(2) == 0;
      if (!clean) KillAtOp(world, 1 + static_cast<int>(history.random().Below(200)), power_loss);
      const bool lived = world.RunOrDie([&]() -> Task<void> {
        co_await history.Open();
        co_await history.Compare();
        for (int step = 0; step < 40; ++step) co_await history.RandomStep();
        co_await history.AwaitFlush();
      });
      world.disk().SetHook({});
      if (lived && clean) {
        ASSERT_TRUE(world.CloseCleanly());
      } else {
        world.Kill(power_loss);
      }
    }
  }
}

}  // namespace
}  // namespace tidemark
