// A broker's logs in a simulated world: one host, one process at a time, one or more shards on its main loop.
// Shared by the tests of broker/log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/log/log_dirs.h"
#include "broker/log/shard_logs.h"
#include "common/record/batch.h"
#include "common/record/builder.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

inline constexpr const char* kHost = "b1";

inline TopicId MakeTopicId(uint8_t n) {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes.fill(n);
  return TopicId(bytes);
}

// A batch of `records` records whose values have `value_bytes` bytes each.
inline FinishedBatch MakeBatch(std::string_view word, uint32_t records = 1, size_t value_bytes = 20,
                               WallMillis timestamp = 1000) {
  BatchBuilder builder;
  for (uint32_t i = 0; i < records; ++i) {
    std::string value(word);
    value.resize(std::max(value_bytes, value.size()), '.');
    CHECK(builder.Append(fmt::format("{}-{}", word, i), value, timestamp + i));
  }
  return std::move(*builder.Finish(v1::COMPRESSION_NONE));
}

inline UnstampedBatch Unstamped(const FinishedBatch& batch) {
  return {batch.body, batch.body_crc, batch.record_count - 1, batch.max_timestamp};
}

// One batch of a read.
struct SeenBatch {
  Offset base_offset = 0;
  Offset next_offset = 0;
  LeaderEpoch epoch = 0;
  std::string body;
  bool operator==(const SeenBatch&) const = default;
};

inline std::vector<SeenBatch> ParseBatches(std::string_view bytes) {
  std::vector<SeenBatch> out;
  while (!bytes.empty()) {
    BatchView batch;
    CHECK(ParseBatch(bytes, &batch, nullptr, nullptr) == BatchParse::kOk);
    const auto info = ParseBody(batch.body);
    CHECK(info);
    out.push_back({batch.base_offset, batch.base_offset + info->last_offset_delta + 1, batch.leader_epoch,
                   std::string(batch.body)});
    bytes.remove_prefix(batch.total_bytes());
  }
  return out;
}

class LogWorld {
 public:
  explicit LogWorld(uint64_t seed = 1, std::vector<std::string> dirs = {"/data"})
      : world_(seed), dirs_(dirs) {
    config_.index_interval_bytes = 256;
    config_.segment_bytes = 4096;
  }

  SimDisk& disk() { return world_.disk(kHost); }
  SimProcess& process() { return *process_; }
  LogDirs& dirs() { return *log_dirs_; }
  ShardLogs& logs() { return *logs_; }
  SimWorld& world() { return world_; }
  LogConfig& config() { return config_; }
  ShardLogsOptions& shard_options() { return shard_options_; }
  const PartitionKey& key() const { return key_; }
  void set_key(PartitionKey key) { key_ = key; }

  // Starts a process and opens the directories.
  Result<> StartDirs(BrokerId broker = 1, const std::string& cluster = "c1") {
    process_ = &world_.StartProcess(kHost);
    auto opened = process_->Await([this] { return LogDirs::Open(*process_, process_->main_loop(), dirs_); });
    if (!opened) return std::unexpected(opened.error());
    log_dirs_ = std::shared_ptr<LogDirs>(std::move(*opened));
    process_->Keep(log_dirs_);
    TM_RETURN_IF_ERROR(process_->Await([this, broker, cluster] { return log_dirs_->Bind(broker, cluster); }));
    process_->Await([this]() -> Task<bool> {
      logs_ = std::make_shared<ShardLogs>(*log_dirs_, process_->main_loop(), shard_options_);
      co_return true;
    });
    process_->Keep(logs_);
    return {};
  }

  Result<Log*> OpenLog(const std::string& topic = "orders") {
    return process_->Await([this, topic] { return logs_->OpenOrCreate(key_, topic, config_); });
  }

  // Both; the log must open.
  Log& Start() {
    auto started = StartDirs();
    CHECK(started) << ToString(started.error());
    auto log = OpenLog();
    CHECK(log) << ToString(log.error());
    return **log;
  }

  // Runs a function on the loop.
  template <typename F>
  auto Call(F fn) {
    using R = std::invoke_result_t<F&>;
    return process_->Await([fn = std::move(fn)]() mutable { return Wrap<R, F>(std::move(fn)); });
  }

  Result<AppendResult> Append(Log& log, const FinishedBatch& batch, LeaderEpoch epoch = 0,
                              WallMillis now = 5000) {
    return Call([&] {
      const UnstampedBatch unstamped = Unstamped(batch);
      return log.AppendAsLeader(std::span(&unstamped, 1), epoch, now);
    });
  }
  Result<LogRead> Read(Log& log, Offset from, Offset below = ~0ull, size_t max_bytes = 1 << 20) {
    return process_->Await([&log, from, below, max_bytes] { return log.Read(from, below, max_bytes); });
  }
  std::vector<SeenBatch> ReadAll(Log& log, size_t max_bytes = 1 << 20) {
    std::vector<SeenBatch> all;
    for (Offset at = log.start_offset(); at < log.end_offset();) {
      auto read = Read(log, at, ~0ull, max_bytes);
      if (!read) {
        ADD_FAILURE() << ToString(read.error());
        break;
      }
      if (read->bytes.empty()) {
        ADD_FAILURE() << "nothing at " << at << " below " << log.end_offset();
        break;
      }
      for (SeenBatch& batch : ParseBatches(read->bytes)) all.push_back(std::move(batch));
      at = read->next_offset;
    }
    return all;
  }
  void WaitForFlush(Log& log) {
    CHECK(world_.RunUntil([&] { return log.flushed_end() == log.end_offset() || log.failure(); }, 60s));
  }
  Result<> Truncate(Log& log, Offset offset) {
    return process_->Await([&log, offset] { return log.TruncateTo(offset); });
  }
  Result<> Checkpoint() {
    return process_->Await([this] { return logs_->Checkpoint(); });
  }

  bool CloseCleanly() {
    const bool clean = process_->Await([this] { return logs_->CloseCleanly(); });
    logs_.reset();
    if (clean) CHECK(process_->Await([this] { return log_dirs_->CloseCleanly(); }));
    if (!clean)
      process_->Await([this]() -> Task<bool> {
        co_await log_dirs_->Close();
        co_return true;
      });
    log_dirs_.reset();
    process_->Exit();
    return clean;
  }
  void Kill(bool power_loss) {
    if (process_->alive()) process_->Kill(power_loss);
    logs_.reset();
    log_dirs_.reset();
  }

  // Runs `body` on the loop until it ends (true) or the process is killed on the way (false).
  bool RunOrDie(std::function<Task<void>()> body) {
    auto done = std::make_shared<bool>(false);
    auto fn = std::make_shared<std::function<Task<void>()>>(std::move(body));
    process_->Keep(done);
    process_->Keep(fn);
    process_->Spawn("test body", [done, fn] { return Finish(fn, done); });
    CHECK(world_.RunUntil([&] { return *done || !process_->alive(); }, 3600s));
    return *done && process_->alive();
  }

  std::string LogPath(Offset base, std::string_view suffix = ".log") const {
    return fmt::format("{}/orders-0/{:020d}{}", dirs_.front(), base, suffix);
  }

 private:
  template <typename R, typename F>
  static Task<R> Wrap(F fn) {
    co_return fn();
  }
  static Task<void> Finish(std::shared_ptr<std::function<Task<void>()>> fn, std::shared_ptr<bool> done) {
    co_await (*fn)();
    *done = true;
  }

  SimWorld world_;
  std::vector<std::string> dirs_;
  LogConfig config_;
  ShardLogsOptions shard_options_;
  PartitionKey key_{MakeTopicId(7), 0};
  SimProcess* process_ = nullptr;
  std::shared_ptr<LogDirs> log_dirs_;
  std::shared_ptr<ShardLogs> logs_;
};

}  // namespace tidemark
