#include "broker/replica/shard_log_store.h"

#include <utility>

namespace tidemark {

class ShardLogStore::Forward final : public ReplicaLog {
 public:
  Forward(const ShardLogs& logs, Log& log) : logs_(logs), log_(log) {}

  const std::string& directory() const override { return log_.directory(); }
  Offset start_offset() const override { return log_.start_offset(); }
  Offset end_offset() const override { return log_.end_offset(); }
  Offset flushed_end() const override { return log_.flushed_end(); }
  Offset checkpointed_high_watermark() const override { return log_.checkpointed_high_watermark(); }
  uint64_t size_bytes() const override { return log_.size_bytes(); }
  Result<> RoomFor(SpaceUse use) const override { return logs_.RoomFor(log_, use); }
  const EpochTable& epochs() const override { return log_.epochs(); }
  const std::optional<Error>& failure() const override { return log_.failure(); }
  const std::optional<Error>& damage() const override { return log_.damage(); }

  Result<AppendResult> AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                      WallMillis now) override {
    return log_.AppendAsLeader(batches, epoch, now);
  }
  Result<AppendResult> AppendAsFollower(std::string_view batches) override {
    return log_.AppendAsFollower(batches);
  }
  Task<Result<LogRead>> Read(Offset from, Offset below, size_t max_bytes) override {
    return log_.Read(from, below, max_bytes);
  }
  Task<Result<std::optional<TimestampLookup>>> FindTimestamp(WallMillis timestamp, Offset below) override {
    return log_.FindTimestamp(timestamp, below);
  }
  Task<Result<>> BeginEpoch(LeaderEpoch epoch) override { return log_.BeginEpoch(epoch); }
  Task<Result<>> TruncateTo(Offset offset) override { return log_.TruncateTo(offset); }
  Task<Result<>> RestartAt(Offset offset) override { return log_.RestartAt(offset); }
  void AdvanceStartTo(Offset offset) override { log_.AdvanceStartTo(offset); }
  Offset durable_start() const override { return log_.durable_start(); }
  Task<Result<>> CheckpointStart() override { return log_.CheckpointStart(); }
  bool surveyed() const override { return log_.surveyed(); }
  Task<Result<>> Survey() override { return log_.Survey(); }
  std::vector<SegmentFacts> DescribeSegments() const override { return log_.DescribeSegments(); }
  Task<Result<>> LearnAppendTime(Offset base_offset) override { return log_.LearnAppendTime(base_offset); }
  Result<> RollActive() override { return log_.RollActive(); }
  void RequestFlush() override { log_.RequestFlush(); }
  void SetFlushListener(std::function<void()> listener) override {
    log_.SetFlushListener(std::move(listener));
  }
  void SetHighWatermark(Offset offset) override { log_.SetHighWatermark(offset); }
  void SetConfig(const LogConfig& config) override { log_.SetConfig(config); }

 private:
  const ShardLogs& logs_;
  Log& log_;
};

ShardLogStore::ShardLogStore(ShardLogs& logs) : logs_(logs) {}
ShardLogStore::~ShardLogStore() = default;

Task<Result<ReplicaLog*>> ShardLogStore::OpenOrCreate(PartitionKey key, std::string topic, LogConfig config,
                                                      LogExpected expected) {
  TM_CO_ASSIGN_OR_RETURN(Log* const log,
                         co_await logs_.OpenOrCreate(key, std::move(topic), config, expected));
  std::unique_ptr<Forward>& forward = open_[key];
  forward = std::make_unique<Forward>(logs_, *log);
  co_return forward.get();
}

Task<Result<>> ShardLogStore::Delete(PartitionKey key, std::string topic) {
  open_.erase(key);
  co_return co_await logs_.Delete(key, std::move(topic));
}

Task<Result<>> ShardLogStore::SetAside(PartitionKey key, std::string reason) {
  open_.erase(key);
  co_return co_await logs_.SetAside(key, std::move(reason));
}

}  // namespace tidemark
