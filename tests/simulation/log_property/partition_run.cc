#include "tests/simulation/log_property/partition_run.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/record/batch.h"
#include "common/record/builder.h"

namespace tidemark {
namespace {

constexpr v1::Compression kCodecs[] = {v1::COMPRESSION_NONE, v1::COMPRESSION_GZIP, v1::COMPRESSION_SNAPPY,
                                       v1::COMPRESSION_LZ4, v1::COMPRESSION_ZSTD};

std::string ToString(const EpochTable& table) {
  std::string out;
  for (const EpochTable::Entry& entry : table.entries())
    out += fmt::format("{}@{} ", entry.epoch, entry.start);
  return out;
}

}  // namespace

void LogCounts::Add(const LogCounts& other) {
  const auto* from = reinterpret_cast<const uint64_t*>(&other);
  auto* to = reinterpret_cast<uint64_t*>(this);
  for (size_t i = 0; i < sizeof(LogCounts) / sizeof(uint64_t); ++i) to[i] += from[i];
}

std::string ToString(const LogCounts& c) {
  return fmt::format(
      "operations={} appends={} refused={} rolls={} truncations={} restarts={} removals={} compactions={} "
      "reads={} lives={} "
      "clean_closes={} kills={} power_losses={} io_errors={} unreadable={} disk_full={} hangs={} flips={} "
      "flips_seen={}",
      c.operations, c.appends, c.refused, c.rolls, c.truncations, c.restarts, c.removals, c.compactions,
      c.reads, c.lives, c.clean_closes, c.kills, c.power_losses, c.io_errors, c.unreadable, c.disk_full,
      c.hangs, c.flips, c.flips_seen);
}

PartitionRun::PartitionRun(LogMachine& machine, SimRandom& random, LogCounts& counts, PartitionKey key,
                           std::string topic, LogConfig config)
    : machine_(machine),
      random_(random),
      counts_(counts),
      key_(key),
      topic_(std::move(topic)),
      config_(config) {}

std::shared_ptr<const ModelBatch> PartitionRun::MakeBatch(Offset base, LeaderEpoch epoch) {
  auto made = std::make_shared<ModelBatch>();
  BatchBuilder builder;
  // Mostly small ones, sometimes one as large as a segment.
  const bool large = random_.Chance(0.03);
  const uint64_t records = large ? 1 : 1 + random_.Below(4);
  for (uint64_t i = 0; i < records; ++i) {
    std::string value = fmt::format("w{}", ++words_);
    value.resize(large ? config_.segment_bytes * 2 / 3 : random_.Below(250),
                 static_cast<char>(random_.Next()));
    const WallMillis timestamp = now_ - 5000 + static_cast<WallMillis>(random_.Below(10'000));
    const bool tombstone = random_.Chance(0.05);
    const std::string key = fmt::format("key{}", random_.Below(20));
    CHECK(builder.Append(random_.Chance(0.1) ? std::nullopt : std::optional<std::string_view>(key),
                         tombstone ? std::nullopt : std::optional<std::string_view>(value), timestamp));
    made->timestamps.push_back(timestamp);
  }
  const auto finished = builder.Finish(kCodecs[random_.Below(std::size(kCodecs))]);
  CHECK(finished) << ToString(finished.error());
  const BatchPrefix prefix =
      StampBatch(finished->body, finished->body_crc, base, epoch, now_, key_.topic, key_.partition);
  made->base = base;
  made->next = base + records;
  made->epoch = epoch;
  made->bytes = std::string(prefix.view()) + finished->body;
  return made;
}

bool PartitionRun::Accept(const Result<>& result, const char* what) {
  if (!machine_.alive()) return false;
  if (result) return true;
  if (DamageMet() || IsOfUnreadable(result.error())) return false;
  if (result.error().code == v1::DISK_FULL && disk_sick_) {
    ++counts_.disk_full;
    return false;
  }
  const bool of_disk = result.error().code == v1::KAFKA_STORAGE_ERROR || result.error().code == v1::IO_ERROR;
  CHECK(disk_sick_ && of_disk) << what << ": " << ToString(result.error());
  if (!log_->failure()) return false;  // a file could not be read
  if (!failed_) ++counts_.io_errors;
  failed_ = true;
  return false;
}

std::string PartitionRun::DamageOf(const Log& log) {
  if (log.damage()) return log.damage()->message;
  return log.damaged().empty() ? "" : log.damaged().ranges().front().reason;
}

bool PartitionRun::DamageMet() const {
  return (hidden_rot_ != Rot::kNone || reads_fail_) && machine_.alive() && log_ != nullptr &&
         !DamageOf(*log_).empty();
}

void PartitionRun::CheckTombstones() const {
  CHECK_GE(log_->tombstone_drops().below(), model_.tombstones_gone_below)
      << topic_ << ": a tombstone has gone that the log does not know of";
}

void PartitionRun::CheckState() {
  if (!machine_.alive() || log_ == nullptr || failed_) return;
  if (log_->failure()) {
    // Of a log that has failed nothing more is asked; it is opened again in the next life.
    CHECK(disk_sick_) << log_->failure()->message;
    if (!failed_) ++counts_.io_errors;
    failed_ = true;
    return;
  }
  CHECK(!log_->damage()) << log_->damage()->message;
  CHECK_EQ(log_->start_offset(), model_.start);
  CHECK_EQ(log_->end_offset(), model_.end);
  CHECK_LE(log_->flushed_end(), log_->end_offset());
  // What the log says of itself is a promise.
  model_.flushed = std::max(model_.flushed, log_->flushed_end());
  model_.durable_start = std::max(model_.durable_start, std::min(log_->durable_start(), model_.start));
}

Task<Result<std::string>> PartitionRun::Everything() {
  std::string bytes;
  for (Offset at = log_->start_offset(); at < log_->end_offset();) {
    TM_CO_ASSIGN_OR_RETURN(const LogRead read, co_await log_->Read(at, ~0ull, 1 + random_.Below(5000)));
    CHECK_GT(read.next_offset, at) << "a read below the end gives nothing";
    bytes += read.bytes;
    at = read.next_offset;
  }
  co_return bytes;
}

// Rot was found: the folder goes aside and the partition begins anew, as its owner would let it.
Task<void> PartitionRun::SetAside(const std::string& reason) {
  ++counts_.flips_seen;
  const auto done = co_await machine_.logs().SetAside(key_, reason);
  if (!machine_.alive()) co_return;
  log_ = nullptr;
  if (!done && disk_sick_) {  // perhaps it is aside, perhaps not
    model_.restarting_at = 0;
    model_.flushed = model_.durable_start = recovery_point_ = 0;
    failed_ = true;
    co_return;
  }
  CHECK(done) << ToString(done.error());
  hidden_rot_ = Rot::kNone;
  model_ = LogModel();
  recovery_point_ = 0;
  co_await Open(Rot::kNone);
}

Task<void> PartitionRun::Open(Rot where) {
  if (where == Rot::kInLog || where == Rot::kInRecoveryPoint) hidden_rot_ = where;
  const bool rot = where != Rot::kNone || hidden_rot_ != Rot::kNone;
  failed_ = false;
  const LogExpected expected = created_ ? LogExpected::kPerhaps : LogExpected::kNew;
  const auto log = co_await machine_.logs().OpenOrCreate(key_, topic_, config_, expected);
  if (!machine_.alive()) co_return;
  if (!log && disk_sick_) {
    CHECK(log.error().code == v1::KAFKA_STORAGE_ERROR || log.error().code == v1::IO_ERROR ||
          log.error().code == v1::DISK_FULL)
        << ToString(log.error());
    ++(log.error().code == v1::DISK_FULL ? counts_.disk_full : counts_.io_errors);
    failed_ = true;
    co_return;
  }
  CHECK(log) << topic_ << ": " << ToString(log.error());
  log_ = *log;
  created_ = true;
  if (disk_sick_) model_.durable_start = 0;  // its checkpoint may have been unreadable
  if (reads_fail_ && !DamageOf(*log_).empty()) ++counts_.unreadable;
  if (log_->damage() && (reads_fail_ || (disk_sick_ && log_->damage()->message.find(
                                                           "recovery point unknown") != std::string::npos))) {
    log_ = nullptr;  // the same, or its bytes were: nothing is cut then, and nothing is lost
    failed_ = true;
    co_return;
  }
  if (rot && log_->damage()) co_return co_await SetAside(DamageOf(*log_));
  CHECK(!log_->damage()) << log_->damage()->message;
  const auto found = co_await Everything();
  if (!machine_.alive()) co_return;
  if (!found && disk_sick_ && !rot) {
    if (reads_fail_) ++counts_.unreadable;
    failed_ = true;
    co_return;
  }
  if (rot && !found) {
    if (disk_sick_ && DamageOf(*log_).empty()) {
      failed_ = true;
      co_return;
    }
    CHECK(!DamageOf(*log_).empty()) << "an unreadable log that is not damaged: " << ToString(found.error());
    co_return co_await SetAside(DamageOf(*log_));
  }
  CHECK(found) << topic_ << ": " << ToString(found.error());
  if (rot) {
    model_.durable_start = 0;
    // Above the recovery point rot cannot be told from a torn tail.
    model_.flushed = std::min(model_.flushed, recovery_point_);
  }
  const std::string wrong = model_.Reopen(log_->start_offset(), log_->end_offset(), *found);
  CHECK(wrong.empty()) << topic_ << " " << wrong;
  CheckTombstones();
  CHECK_EQ(log_->flushed_end(), log_->end_offset());
  CHECK_LE(log_->checkpointed_high_watermark(), std::max(model_.committed, model_.start))
      << topic_ << " [" << model_.start << ", " << model_.end << ")";
  if (!found->empty()) {
    CHECK_EQ(ToString(log_->epochs()), ToString(model_.Epochs())) << topic_ << ": the epoch table is wrong";
  }
  recovery_point_ = std::min(recovery_point_, model_.end);
  epoch_ = std::max(epoch_, log_->epochs().latest().value_or(0));
}

void PartitionRun::NoteCleanClose() {
  if (failed_) return;
  model_.flushed = recovery_point_ = model_.end;
  model_.durable_start = model_.start;
}

struct PartitionRun::ReadUnderWay {
  LogModel before;
  Offset from = 0;
  size_t max_bytes = 0;
  std::optional<Result<LogRead>> answer;
};

Task<void> PartitionRun::ReadDuringChange(std::shared_ptr<ReadUnderWay> read) {
  read->answer = co_await log_->Read(read->from, ~0ull, read->max_bytes);
}

std::vector<std::shared_ptr<PartitionRun::ReadUnderWay>> PartitionRun::StartReads() {
  std::vector<std::shared_ptr<ReadUnderWay>> reads;
  if (!random_.Chance(0.5)) return reads;
  for (uint64_t i = 0, n = 1 + random_.Below(3); i < n && model_.end > model_.start; ++i) {
    auto read = std::make_shared<ReadUnderWay>();
    read->before = model_;
    read->from = model_.start + random_.Below(model_.end - model_.start);
    read->max_bytes = 1 + random_.Below(4000);
    machine_.process().Spawn("read during change", [this, read] { return ReadDuringChange(read); });
    reads.push_back(std::move(read));
  }
  return reads;
}

// A read that a truncation, restart or compaction meets on its way answers with what was there before or
// after.
Task<void> PartitionRun::JoinReads(std::vector<std::shared_ptr<ReadUnderWay>> reads) {
  for (const auto& read : reads) {
    while (!read->answer && machine_.alive())
      co_await Sleep(machine_.process().main_loop(), 100us, "reads during change");
    if (!machine_.alive()) co_return;
    const Result<LogRead>& answer = *read->answer;
    ++counts_.reads;
    if (!answer) {
      const bool explained = answer.error().code == v1::OFFSET_OUT_OF_RANGE ||
                             (disk_sick_ && answer.error().code == v1::KAFKA_STORAGE_ERROR) ||
                             IsOfUnreadable(answer.error()) || DamageMet();
      CHECK(explained) << ToString(answer.error());
      continue;
    }
    const std::string then = read->before.CheckRead(read->from, ~0ull, read->max_bytes, answer);
    const std::string now = model_.CheckRead(read->from, ~0ull, read->max_bytes, answer);
    const bool empty = answer->bytes.empty() && answer->next_offset == read->from;
    CHECK(then.empty() || now.empty() || empty) << then << "; " << now;
  }
}

}  // namespace tidemark
