// MemoryLog: a ReplicaLog in memory whose disk is a second copy: what was not flushed is lost by Crash(). A
// batch is one record with the body given, encoded as a line "offset epoch body\n".
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "broker/replica/replica_log.h"

namespace tidemark {

class MemoryLog final : public ReplicaLog {
 public:
  struct Record {
    Offset offset;
    LeaderEpoch epoch;
    std::string body;
    bool operator==(const Record&) const = default;
  };

  explicit MemoryLog(std::string topic) : topic_(std::move(topic)) {}

  const std::string& directory() const override { return topic_; }
  Offset start_offset() const override { return start_; }
  Offset end_offset() const override { return records_.empty() ? empty_end_ : records_.back().offset + 1; }
  Offset flushed_end() const override { return flushed_; }
  Offset checkpointed_high_watermark() const override { return checkpointed_hw_; }
  uint64_t size_bytes() const override { return records_.size(); }
  const EpochTable& epochs() const override { return epochs_; }
  const std::optional<Error>& failure() const override { return failure_; }
  const std::optional<Error>& damage() const override { return damage_; }
  const DamageList& damaged() const override { return damaged_; }
  uint64_t damaged_ranges_found() const override { return damaged_found_; }
  bool spliceable() const override { return splice; }
  // Asks for the damaged range and believes what comes.
  Task<Result<>> Repair(Offset offset, Log::FetchRange fetch, std::stop_token) override {
    const DamagedRange range = *damaged_.Find(offset);
    for (Offset next = range.first; next <= range.last;) {
      auto lines = co_await fetch(next);
      if (!lines) co_return std::unexpected(std::move(lines).error());
      repaired_with += *lines;
      next += static_cast<Offset>(std::count(lines->begin(), lines->end(), '\n'));
    }
    damaged_.DropSegment(range.segment);
    co_return Result<>{};
  }
  Result<Offset> EndOfBatches(std::string_view lines) const override {
    const size_t last = lines.rfind('\n', lines.size() - 2);
    const std::string line(last == std::string_view::npos ? lines : lines.substr(last + 1));
    return std::strtoull(line.c_str(), nullptr, 10) + 1;
  }
  // As found by a read or the scrubber.
  void Rot(Offset first, Offset last) {
    ++damaged_found_;
    damaged_.Add({.first = first, .last = last, .segment = first, .reason = "a flipped bit"});
    if (listener_) listener_();
  }

  Result<AppendResult> AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                      WallMillis now) override {
    if (failure_) return std::unexpected(*failure_);
    const Offset base = end_offset();
    for (const UnstampedBatch& batch : batches) Add({end_offset(), epoch, std::string(batch.body)});
    FlushByConfig();
    return AppendResult{base, end_offset(), now, batches.size()};
  }

  Result<AppendResult> AppendAsFollower(std::string_view lines) override {
    if (failure_) return std::unexpected(*failure_);
    const Offset base = end_offset();
    const size_t bytes = lines.size();
    while (!lines.empty()) {
      const size_t line_end = lines.find('\n');
      if (line_end == std::string_view::npos) return Fail(v1::CORRUPT_MESSAGE, "half a line");
      Record record;
      char* rest = nullptr;
      const std::string line(lines.substr(0, line_end));
      record.offset = std::strtoull(line.c_str(), &rest, 10);
      record.epoch = static_cast<LeaderEpoch>(std::strtoul(rest, &rest, 10));
      record.body = rest + 1;
      lines.remove_prefix(line_end + 1);
      if (record.offset < end_offset()) continue;
      if (record.offset != end_offset()) return Fail(v1::CORRUPT_MESSAGE, "a gap at {}", record.offset);
      Add(std::move(record));
    }
    FlushByConfig();
    return AppendResult{base, end_offset(), 0, bytes};
  }

  Task<Result<LogRead>> Read(Offset from, Offset below, size_t max_bytes) override {
    LogRead read{{}, from};
    for (const Record& record : records_) {
      if (record.offset < from || record.offset >= below) continue;
      const std::string line = fmt::format("{} {} {}\n", record.offset, record.epoch, record.body);
      if (!read.bytes.empty() && read.bytes.size() + line.size() > max_bytes) break;
      read.bytes += line;
      read.next_offset = record.offset + 1;
    }
    if (damage_ || damaged_.Find(from) != nullptr) co_return Fail(v1::CORRUPT_MESSAGE, "rotten");
    co_return std::move(read);
  }
  Task<Result<std::optional<TimestampLookup>>> FindTimestamp(WallMillis, Offset) override {
    co_return std::optional<TimestampLookup>{};
  }
  Task<Result<>> BeginEpoch(LeaderEpoch epoch) override {
    if (failure_) co_return std::unexpected(*failure_);
    if (fail_begin_epoch > 0) {
      --fail_begin_epoch;
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "the disk said no");
    }
    epochs_.Begin(epoch, end_offset());
    co_return Result<>{};
  }
  Task<Result<>> TruncateTo(Offset offset) override {
    while (!records_.empty() && records_.back().offset >= offset) records_.pop_back();
    if (records_.empty()) empty_end_ = start_;
    flushed_ = std::min(flushed_, end_offset());
    epochs_.TruncateTo(end_offset());
    co_return Result<>{};
  }
  Task<Result<>> RestartAt(Offset offset) override {
    records_.clear();
    epochs_.Clear();
    start_ = empty_end_ = flushed_ = durable_start_ = offset;
    drops_.TruncateTo(0);
    co_return Result<>{};
  }
  void AdvanceStartTo(Offset offset) override {
    if (offset <= start_ || offset > end_offset()) return;
    std::erase_if(records_, [&](const Record& record) { return record.offset < offset; });
    if (records_.empty()) empty_end_ = offset;
    start_ = offset;
    epochs_.AdvanceStart(offset);
    flushed_ = std::max(flushed_, start_);
  }
  Offset durable_start() const override { return durable_start_; }
  Task<Result<>> CheckpointStart() override {
    if (failure_) co_return std::unexpected(*failure_);
    durable_start_ = start_;
    co_return Result<>{};
  }
  const TombstoneDrops& tombstone_drops() const override { return drops_; }
  Task<Result<>> AdoptDroppedTombstones(Offset below) override {
    drops_.Adopt(below);
    co_return Result<>{};
  }
  bool surveyed() const override { return surveyed_; }
  Task<Result<>> Survey() override {
    surveyed_ = true;
    co_return Result<>{};
  }
  std::vector<SegmentFacts> DescribeSegments() const override { return segments; }
  Task<Result<>> LearnAppendTime(Offset base_offset) override {
    for (SegmentFacts& segment : segments) {
      if (segment.base_offset == base_offset) segment.last_append_time = learnt_append_time;
    }
    co_return Result<>{};
  }
  Result<> RollActive() override {
    ++rolls;
    return {};
  }
  void RequestFlush() override {
    if (auto_flush) Flush();
  }
  void SetFlushListener(std::function<void()> listener) override { listener_ = std::move(listener); }
  void SetHighWatermark(Offset offset) override { hw_ = offset; }
  void SetConfig(const LogConfig& new_config) override { config = new_config; }

  Result<> RoomFor(SpaceUse use) const override {
    if (use == SpaceUse::kInternal || !full) return {};
    return Fail(v1::DISK_FULL, "no room");
  }

  // --- for tests
  bool full = false;
  void FlushByConfig() {
    if (config.durability == AckDurability::kSynced || end_offset() - flushed_ >= config.flush_messages)
      RequestFlush();
  }
  void Flush() {
    if (flushed_ == end_offset()) return;
    flushed_ = end_offset();
    if (listener_) listener_();
  }
  void CheckpointHighWatermark() { checkpointed_hw_ = hw_; }
  void Break() {
    failure_ = Error{v1::KAFKA_STORAGE_ERROR, "fsync failed"};
    if (listener_) listener_();
  }
  // Compaction drops the record: the place stays, as a "_".
  void Drop(Offset offset, bool tombstone) {
    for (Record& record : records_) {
      if (record.offset == offset) record.body = "_";
    }
    if (tombstone) drops_.Add(offset + 1);
  }
  void Damage() { damage_ = Error{v1::CORRUPT_MESSAGE, "a flipped bit"}; }
  // The power goes: only what was flushed is left.
  void Crash() {
    listener_ = nullptr;
    std::erase_if(records_, [&](const Record& record) { return record.offset >= flushed_; });
    if (records_.empty()) empty_end_ = std::max(start_, flushed_);
    epochs_.TruncateTo(end_offset());
    hw_ = checkpointed_hw_;
    // The records below it are gone from this model; a log start that goes back shows in the number.
    start_ = durable_start_;
  }
  const std::vector<Record>& records() const { return records_; }
  std::string Bodies() const {
    std::string all;
    for (const Record& record : records_) all += record.body;
    return all;
  }

  // What DescribeSegments tells, and LearnAppendTime finds.
  std::vector<SegmentFacts> segments{SegmentFacts{}};
  WallMillis learnt_append_time = 0;
  int rolls = 0;
  bool auto_flush = true;
  bool splice = true;
  std::string repaired_with;
  int fail_begin_epoch = 0;
  LogConfig config;

 private:
  void Add(Record record) {
    epochs_.Begin(record.epoch, record.offset);
    records_.push_back(std::move(record));
  }

  std::string topic_;
  std::vector<Record> records_;
  EpochTable epochs_;
  TombstoneDrops drops_;
  Offset start_ = 0;
  Offset empty_end_ = 0;
  Offset flushed_ = 0;
  Offset durable_start_ = 0;
  bool surveyed_ = false;
  Offset hw_ = 0;
  Offset checkpointed_hw_ = 0;
  std::optional<Error> failure_;
  std::optional<Error> damage_;
  DamageList damaged_;
  uint64_t damaged_found_ = 0;
  std::function<void()> listener_;
};

}  // namespace tidemark
