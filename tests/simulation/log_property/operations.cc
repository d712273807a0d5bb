// The operations of a PartitionRun and how often each comes.
#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/record/batch.h"
#include "tests/simulation/log_property/partition_run.h"

namespace tidemark {
namespace {

struct LogOperation {
  const char* name;
  uint64_t weight;
  Task<void> (PartitionRun::*run)();
};

// The place to add operations.
constexpr LogOperation kOperations[] = {
    {"append as leader", 300, &PartitionRun::AppendAsLeader},
    {"append as follower", 120, &PartitionRun::AppendAsFollower},
    {"append damaged batches", 20, &PartitionRun::AppendDamagedAsFollower},
    {"read", 150, &PartitionRun::ReadSomewhere},
    {"read all", 10, &PartitionRun::ReadAll},
    {"find timestamp", 50, &PartitionRun::FindTimestamp},
    {"await flush", 80, &PartitionRun::AwaitFlush},
    {"request flush", 40, &PartitionRun::RequestFlush},
    {"begin epoch", 20, &PartitionRun::BeginEpoch},
    {"truncate", 40, &PartitionRun::Truncate},
    {"restart", 6, &PartitionRun::Restart},
    {"advance start", 20, &PartitionRun::AdvanceStart},
    {"checkpoint start", 10, &PartitionRun::CheckpointStart},
    {"roll", 15, &PartitionRun::Roll},
    {"retention", 15, &PartitionRun::ApplyRetention},
    {"compact", 25, &PartitionRun::Compact},
    {"remove below start", 20, &PartitionRun::RemoveBelowStart},
    {"checkpoint", 40, &PartitionRun::Checkpoint},
    {"change config", 10, &PartitionRun::ChangeConfig},
    {"let time pass", 30, &PartitionRun::LetTimePass},
};

UnstampedBatch Unstamp(const ModelBatch& batch) {
  BatchView view;
  CHECK(ParseBatch(batch.bytes, &view, nullptr, nullptr) == BatchParse::kOk);
  return {view.body, view.body_crc, static_cast<uint32_t>(batch.next - batch.base - 1),
          *std::max_element(batch.timestamps.begin(), batch.timestamps.end())};
}

}  // namespace

Task<void> PartitionRun::RandomOperation() {
  static const uint64_t kTotal =
      std::accumulate(std::begin(kOperations), std::end(kOperations), uint64_t{0},
                      [](uint64_t sum, const LogOperation& operation) { return sum + operation.weight; });
  uint64_t dice = random_.Below(kTotal);
  const LogOperation* operation = kOperations;
  while (dice >= operation->weight) dice -= operation++->weight;
  VLOG(1) << topic_ << " [" << model_.start << ", " << model_.flushed << ", " << model_.end
          << "): " << operation->name;
  ++counts_.operations;
  co_await (this->*operation->run)();
  if (DamageMet() && hidden_rot_ == Rot::kNone) {
    // Of what cannot be read now nothing more is asked in this life; the next one finds all of it.
    ++counts_.unreadable;
    failed_ = true;
  } else if (DamageMet()) {
    co_await SetAside(DamageOf(*log_));
  }
  CheckState();
}

Task<void> PartitionRun::AppendAsLeader() {
  std::vector<std::shared_ptr<const ModelBatch>> batches;
  std::vector<UnstampedBatch> unstamped;
  LogModel after = model_;
  size_t largest = 0;
  for (uint64_t i = 0, n = 1 + random_.Below(3); i < n; ++i) {
    batches.push_back(MakeBatch(after.end, epoch_));
    after.Append(batches.back());
    unstamped.push_back(Unstamp(*batches.back()));
    largest = std::max(largest, batches.back()->bytes.size());
  }
  LogModel before = std::exchange(model_, after);
  const size_t segments = log_->segment_count();
  const auto result = log_->AppendAsLeader(unstamped, epoch_, now_);
  if (machine_.alive() && largest > config_.segment_bytes) {
    // The directory may have failed through another partition since the state was checked last.
    CHECK(!result &&
          (failed_ || log_->failure() || DamageMet() || result.error().code == v1::RECORD_LIST_TOO_LARGE ||
           result.error().code == v1::BROKER_NOT_READY));
    ++counts_.refused;
    model_ = std::move(before);
    co_return;
  }
  if (!Accept(result ? Result<>() : std::unexpected(result.error()), "append")) {
    // Refused for want of space: nothing of it is there. After an error of the disk it may be, until the log
    // is opened again; this one answers nothing any more.
    if (machine_.alive()) CHECK_EQ(log_->end_offset(), before.end);
    if (machine_.alive() && !failed_) {
      before.Refuse(model_);
      model_ = before;
    }
    co_return;
  }
  CHECK_EQ(result->base_offset, before.end);
  CHECK_EQ(result->end_offset, model_.end);
  counts_.rolls += log_->segment_count() - segments;
  ++counts_.appends;
}

Task<void> PartitionRun::AppendAsFollower() {
  if (random_.Chance(0.05)) ++epoch_;
  std::string bytes;
  // A fetch may begin with what is known already.
  const size_t known = std::min<size_t>(random_.Below(3), model_.batches.size());
  for (size_t i = model_.batches.size() - known; i < model_.batches.size(); ++i) {
    bytes += model_.batches[i]->bytes;
  }
  LogModel after = model_;
  for (uint64_t i = 0, n = random_.Below(4); i < n; ++i) {
    after.Append(MakeBatch(after.end, epoch_));
    bytes += after.batches.back()->bytes;
  }
  LogModel before = std::exchange(model_, after);
  const auto result = log_->AppendAsFollower(bytes);
  if (!Accept(result ? Result<>() : std::unexpected(result.error()), "append as follower")) {
    if (machine_.alive() && !failed_) {
      before.Refuse(model_);
      model_ = std::move(before);
    }
    co_return;
  }
  CHECK_EQ(result->end_offset, model_.end);
  ++counts_.appends;
}

// Flipped bits, cut ends, gaps: refused whole.
Task<void> PartitionRun::AppendDamagedAsFollower() {
  const auto batch = MakeBatch(model_.end + (random_.Chance(0.2) ? 1 + random_.Below(3) : 0), epoch_);
  std::string bytes = batch->bytes;
  if (batch->base == model_.end) {
    if (random_.Chance(0.3)) {
      bytes.resize(random_.Below(bytes.size() - 1) + 1);
    } else {
      const uint64_t bit = random_.Below(bytes.size() * 8);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
  }
  const auto result = log_->AppendAsFollower(bytes);
  CHECK(!result) << "damaged batches were taken";
  CHECK(failed_ || log_->failure() || DamageMet() || result.error().code == v1::CORRUPT_MESSAGE ||
        result.error().code == v1::BROKER_NOT_READY)
      << ToString(result.error());
  ++counts_.refused;
  co_return;
}

Task<void> PartitionRun::ReadSomewhere() {
  const Offset from =
      model_.start - std::min<Offset>(model_.start, 1) + random_.Below(model_.end - model_.start + 3);
  const Offset below = random_.Chance(0.5) ? ~0ull : from + random_.Below(20);
  const size_t max_bytes = 1 + random_.Below(random_.Chance(0.5) ? 300 : 20'000);
  const auto read = co_await log_->Read(from, below, max_bytes);
  if (!machine_.alive() || failed_ || log_->failure()) co_return;
  if (!read && disk_sick_ && read.error().code == v1::KAFKA_STORAGE_ERROR) co_return;
  if (!read && (DamageMet() || IsOfUnreadable(read.error()))) co_return;
  const std::string wrong = model_.CheckRead(from, below, max_bytes, read);
  CHECK(wrong.empty()) << wrong;
  ++counts_.reads;
}

Task<void> PartitionRun::ReadAll() {
  const auto bytes = co_await Everything();
  if (!machine_.alive() || failed_ || log_->failure()) co_return;
  if (!bytes && disk_sick_) co_return;
  CHECK(bytes) << ToString(bytes.error());
  LogModel copy = model_;
  const std::string wrong = copy.Reopen(model_.start, model_.end, *bytes);
  CHECK(wrong.empty()) << wrong;
  ++counts_.reads;
}

Task<void> PartitionRun::FindTimestamp() {
  const bool greatest = random_.Chance(0.2);
  const WallMillis timestamp = greatest ? -3 : now_ - 20'000 + static_cast<WallMillis>(random_.Below(30'000));
  const Offset below =
      random_.Chance(0.5) ? ~0ull : model_.start + random_.Below(model_.end - model_.start + 2);
  const auto found = co_await log_->FindTimestamp(timestamp, below);
  if (!machine_.alive() || failed_ || log_->failure()) co_return;
  if (!found && found.error().code == v1::OFFSET_NOT_AVAILABLE) co_return;  // changed on the way
  if (!found && (disk_sick_ || DamageMet())) co_return;
  CHECK(found) << ToString(found.error());
  const auto wanted = greatest ? model_.FindGreatest(below) : model_.Find(timestamp, below);
  CHECK_EQ(found->has_value(), wanted.has_value()) << "timestamp " << timestamp << " below " << below;
  if (!wanted) co_return;
  CHECK_EQ((*found)->offset, wanted->offset) << "timestamp " << timestamp << " below " << below;
  CHECK_EQ((*found)->timestamp, wanted->timestamp);
  CHECK_EQ((*found)->leader_epoch, wanted->leader_epoch);
}

Task<void> PartitionRun::AwaitFlush() {
  log_->RequestFlush();
  for (int i = 0; log_->flushed_end() < log_->end_offset() && !log_->failure(); ++i) {
    if (i > 500) {
      CHECK(disk_sick_) << "a flush that never ends";
      co_return;
    }
    co_await Sleep(machine_.process().main_loop(), 1ms, "test");
  }
  if (!machine_.alive() || log_->failure()) co_return;
  model_.flushed = log_->flushed_end();
  model_.committed = std::max(model_.committed, model_.flushed);
}

Task<void> PartitionRun::RequestFlush() {
  log_->RequestFlush();
  co_return;
}

Task<void> PartitionRun::BeginEpoch() {
  epoch_ += 1 + static_cast<LeaderEpoch>(random_.Below(2));
  const auto begun = co_await log_->BeginEpoch(epoch_);
  if (!Accept(begun, "begin epoch")) co_return;
  CHECK(log_->epochs().latest() == epoch_);
}

Task<void> PartitionRun::Truncate() {
  if (model_.end == model_.start) co_return;
  const Offset to = model_.start + random_.Below(model_.end - model_.start + 1);
  // Until it is done both the old end and the new one may be found; of what goes nothing is promised.
  LogModel after = model_;
  after.CutTo(to);
  const auto reads = StartReads();
  model_.flushed = std::min(model_.flushed, after.end);
  model_.durable_start = std::min(model_.durable_start, after.start);
  recovery_point_ = std::min(recovery_point_, after.end);
  const auto done = co_await log_->TruncateTo(to);
  if (!Accept(done, "truncate")) {
    if (!machine_.alive()) co_return;
    co_return co_await JoinReads(reads);
  }
  model_ = std::move(after);
  model_.flushed = std::min(log_->flushed_end(), model_.end);
  ++counts_.truncations;
  co_await JoinReads(reads);
  // Elections raise the epoch after a truncation.
  if (machine_.alive()) co_await BeginEpoch();
}

Task<void> PartitionRun::Restart() {
  const Offset at = random_.Below(3) == 0   ? 0
                    : random_.Below(2) == 0 ? model_.start + random_.Below(model_.end - model_.start + 1)
                                            : model_.end + random_.Below(50);
  const auto reads = StartReads();
  const LogModel before = model_;
  model_.flushed = 0;
  model_.durable_start = 0;
  model_.restarting_at = at;
  recovery_point_ = 0;
  const auto done = co_await log_->RestartAt(at);
  if (!Accept(done, "restart")) {
    if (!machine_.alive() || log_->failure()) co_return;
    // No space for the checkpoints: nothing has changed but what they say.
    model_.restarting_at.reset();
    co_return co_await JoinReads(reads);
  }
  model_.RestartAt(at);
  if (hidden_rot_ == Rot::kInLog) hidden_rot_ = Rot::kNone;
  ++counts_.restarts;
  co_await JoinReads(reads);
  if (machine_.alive()) co_await BeginEpoch();
}

// Retention and DeleteRecords move the start; below the high watermark, so what goes is on disk.
Task<void> PartitionRun::AdvanceStart() {
  if (model_.flushed <= model_.start) co_return;
  const Offset to = model_.start + random_.Below(model_.flushed - model_.start + 1);
  log_->AdvanceStartTo(to);
  model_.start = std::max(model_.start, to);
  model_.committed = std::max(model_.committed, to);
  co_return;
}

Task<void> PartitionRun::CheckpointStart() {
  const Offset start = model_.start;
  const auto done = co_await log_->CheckpointStart();
  if (!Accept(done, "checkpoint start")) co_return;
  CHECK_GE(log_->durable_start(), start);
  model_.durable_start = std::max(model_.durable_start, start);
}

Task<void> PartitionRun::Roll() {
  const size_t segments = log_->segment_count();
  if (Accept(log_->RollActive(), "roll")) counts_.rolls += log_->segment_count() - segments;
  co_return;
}

// As the broker does it: decide, learn what is missing, move the start. What goes is always on disk.
Task<void> PartitionRun::ApplyRetention() {
  RetentionConfig config;
  if (random_.Chance(0.7)) config.time = std::chrono::milliseconds(random_.Below(30'000));
  if (random_.Chance(0.7)) config.bytes = random_.Below(20'000);
  const Offset high_watermark = std::max(model_.flushed, model_.start);
  if (!Accept(co_await log_->Survey(), "survey")) co_return;
  RetentionDecision decision;
  for (int asked = 0;; ++asked) {
    CHECK_LT(asked, 1000) << "retention asks for ever";
    decision = DecideRetention(log_->DescribeSegments(), config, now_, log_->start_offset(), high_watermark);
    if (!decision.append_time_wanted) break;
    const auto learnt = co_await log_->LearnAppendTime(*decision.append_time_wanted);
    if (!Accept(learnt, "learn append time")) co_return;
  }
  CHECK(decision.log_start >= model_.start && decision.log_start <= high_watermark);
  if (decision.roll_active && !Accept(log_->RollActive(), "roll for retention")) co_return;
  log_->AdvanceStartTo(decision.log_start);
  model_.start = std::max(model_.start, log_->start_offset());
  CHECK_LE(model_.start, std::max(decision.log_start, high_watermark));
  model_.committed = std::max(model_.committed, model_.start);
}

// A pass, often over what was just rolled. It may reach up to the high watermark, never above it.
Task<void> PartitionRun::Compact() {
  if (random_.Chance(0.7)) {
    co_await Roll();
    if (machine_.alive() && !log_->failure()) co_await AwaitFlush();
    if (!machine_.alive() || log_->failure()) co_return;
  }
  const Offset committed = std::max(log_->flushed_end(), log_->start_offset());
  model_.committed = std::max(model_.committed, committed);
  log_->SetHighWatermark(committed);
  model_.compacted_below = committed;
  const auto reads = StartReads();
  CleanerThrottle throttle(random_.Chance(0.2) ? std::optional<double>(100e3) : std::nullopt);
  const CleanTools tools{.hash_key = {random_.Next(), random_.Next()},
                         .map_bytes = random_.Chance(0.3) ? 1u : 1u << 20,
                         .throttle = &throttle,
                         .now = now_};
  const auto report = co_await log_->Clean(tools);
  // The log's own rounds may take segments away that it was reading.
  const bool overtaken = !report && report.error().code == v1::CANCELLED;
  if (!overtaken) Accept(report ? Result<>() : std::unexpected(report.error()), "compact");
  if (!machine_.alive() || failed_ || log_->failure() || DamageMet()) co_return;
  const auto bytes = co_await Everything();
  if (!machine_.alive() || log_->failure() || DamageMet()) co_return;
  if (!bytes && disk_sick_) {  // some of it may be compacted: what, the next opening finds
    failed_ = true;
    co_return;
  }
  CHECK(bytes) << ToString(bytes.error());
  const std::string wrong = model_.EndPass(*bytes);
  CHECK(wrong.empty()) << wrong;
  CheckTombstones();
  if (report && report->records_dropped > 0) ++counts_.compactions;
  co_await JoinReads(reads);
}

Task<void> PartitionRun::RemoveBelowStart() {
  const auto reads = StartReads();
  const size_t segments = log_->segment_count();
  const auto done = co_await log_->RemoveBelowStart();
  if (Accept(done, "remove below start")) counts_.removals += segments - log_->segment_count();
  co_await JoinReads(reads);
}

Task<void> PartitionRun::Checkpoint() {
  model_.committed = std::max(model_.committed, log_->flushed_end());
  log_->SetHighWatermark(std::max(log_->flushed_end(), log_->start_offset()));
  const Offset start = log_->start_offset();
  const Offset flushed = log_->flushed_end();
  const auto done = co_await machine_.logs().Checkpoint();
  // Another directory's failure is none of this log's.
  if (!machine_.alive() || !done || failed_ || log_->failure()) {
    if (machine_.alive() && !done) CHECK(disk_sick_) << ToString(done.error());
    co_return;
  }
  model_.durable_start = std::max(model_.durable_start, start);
  recovery_point_ = std::max(recovery_point_, flushed);
  if (hidden_rot_ == Rot::kInRecoveryPoint && flushed > 0) hidden_rot_ = Rot::kNone;  // written anew
}

Task<void> PartitionRun::ChangeConfig() {
  constexpr uint64_t kSegmentBytes[] = {600, 1500, 4096, 20'000};
  constexpr uint32_t kIntervals[] = {1, 64, 256, 4096};
  config_.segment_bytes = kSegmentBytes[random_.Below(std::size(kSegmentBytes))];
  config_.index_interval_bytes = kIntervals[random_.Below(std::size(kIntervals))];
  config_.durability = random_.Chance(0.7) ? AckDurability::kSynced : AckDurability::kReplicated;
  config_.segment_time = std::chrono::seconds(10);
  config_.compaction.min_lag = random_.Chance(0.2) ? Duration(3s) : Duration::zero();
  config_.file_delete_delay = random_.Chance(0.5) ? Duration(60s) : random_.Between(0us, 3s);
  log_->SetConfig(config_);
  co_return;
}

Task<void> PartitionRun::LetTimePass() {
  now_ += static_cast<WallMillis>(random_.Below(6'000));
  co_await Sleep(machine_.process().main_loop(),
                 random_.Between(0us, random_.Chance(0.2) ? Duration(7s) : Duration(3ms)), "test");
}

}  // namespace tidemark
