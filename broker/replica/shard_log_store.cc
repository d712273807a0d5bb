#include "broker/replica/shard_log_store.h"

#include <string>
#include <utility>

#include "common/record/batch.h"

namespace tidemark {

// While the log is switched to another directory no call reaches it: what can fail is refused with a
// retriable error, what can wait waits.
class ShardLogStore::Forward final : public ReplicaLog {
 public:
  Forward(ShardLogs& logs, Log& log) : logs_(logs), log_(&log), settled_(logs.loop()) {}

  const std::string& directory() const override { return log_->directory(); }
  Offset start_offset() const override { return log_->start_offset(); }
  Offset end_offset() const override { return log_->end_offset(); }
  Offset flushed_end() const override { return log_->flushed_end(); }
  Offset checkpointed_high_watermark() const override { return log_->checkpointed_high_watermark(); }
  uint64_t size_bytes() const override { return log_->size_bytes(); }
  Result<> RoomFor(SpaceUse use) const override { return logs_.RoomFor(*log_, use); }
  const EpochTable& epochs() const override { return log_->epochs(); }
  const std::optional<Error>& failure() const override { return log_->failure(); }
  const std::optional<Error>& damage() const override { return log_->damage(); }
  const DamageList& damaged() const override { return log_->damaged(); }
  uint64_t damaged_ranges_found() const override { return found_before_ + log_->damaged_ranges_found(); }
  bool spliceable() const override { return log_->spliceable(); }
  // Not while it is switched: what is read then is checked as always, and the repair is asked for again.
  Task<Result<>> Repair(Offset offset, Log::FetchRange fetch, std::stop_token stop) override {
    if (switching_) co_return Busy();
    co_return co_await log_->Repair(offset, std::move(fetch), std::move(stop));
  }
  Result<Offset> EndOfBatches(std::string_view batches) const override {
    Offset end = 0;
    while (!batches.empty()) {
      BatchView batch;
      std::string why;
      if (ParseBatch(batches, &batch, nullptr, &why) != BatchParse::kOk)
        return Fail(v1::CORRUPT_MESSAGE, "a fetched batch is not whole: {}", why);
      TM_RETURN_IF_ERROR(VerifyBatch(batch, log_->key().topic, log_->key().partition));
      TM_ASSIGN_OR_RETURN(const BodyInfo body, ParseBody(batch.body));
      end = batch.base_offset + body.last_offset_delta + 1;
      batches.remove_prefix(batch.total_bytes());
    }
    return end;
  }

  Result<AppendResult> AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                      WallMillis now) override {
    if (switching_) return Busy();
    return log_->AppendAsLeader(batches, epoch, now);
  }
  Result<AppendResult> AppendAsFollower(std::string_view batches) override {
    if (switching_) return Busy();
    return log_->AppendAsFollower(batches);
  }
  Task<Result<LogRead>> Read(Offset from, Offset below, size_t max_bytes) override {
    if (!switching_) return log_->Read(from, below, max_bytes);
    return ReadLater(from, below, max_bytes);
  }
  Task<Result<std::optional<TimestampLookup>>> FindTimestamp(WallMillis timestamp, Offset below) override {
    co_await Settled();
    co_return co_await log_->FindTimestamp(timestamp, below);
  }
  Task<Result<>> BeginEpoch(LeaderEpoch epoch) override {
    co_await Settled();
    co_return co_await log_->BeginEpoch(epoch);
  }
  Task<Result<>> TruncateTo(Offset offset) override {
    co_await Settled();
    co_return co_await log_->TruncateTo(offset);
  }
  Task<Result<>> RestartAt(Offset offset) override {
    co_await Settled();
    co_return co_await log_->RestartAt(offset);
  }
  void AdvanceStartTo(Offset offset) override {
    // Whoever raises the start does so again.
    if (!switching_) log_->AdvanceStartTo(offset);
  }
  void RequestFlush() override {
    if (!switching_) log_->RequestFlush();
  }
  void SetFlushListener(std::function<void()> listener) override {
    listener_ = std::move(listener);
    log_->SetFlushListener(listener_);
  }
  void SetHighWatermark(Offset offset) override {
    high_watermark_ = offset;
    log_->SetHighWatermark(offset);
  }
  void SetConfig(const LogConfig& config) override {
    config_ = config;
    log_->SetConfig(config);
  }

  Offset durable_start() const override { return log_->durable_start(); }
  Task<Result<>> CheckpointStart() override {
    co_await Settled();
    co_return co_await log_->CheckpointStart();
  }
  const TombstoneDrops& tombstone_drops() const override { return log_->tombstone_drops(); }
  Task<Result<>> AdoptDroppedTombstones(Offset below) override {
    co_await Settled();
    co_return co_await log_->AdoptDroppedTombstones(below);
  }
  bool surveyed() const override { return log_->surveyed(); }
  Task<Result<>> Survey() override {
    co_await Settled();
    co_return co_await log_->Survey();
  }
  std::vector<SegmentFacts> DescribeSegments() const override { return log_->DescribeSegments(); }
  Task<Result<>> LearnAppendTime(Offset base_offset) override {
    co_await Settled();
    co_return co_await log_->LearnAppendTime(base_offset);
  }
  Result<> RollActive() override {
    if (switching_) return Busy();
    return log_->RollActive();
  }

  void BeforeSwitch() { switching_ = true; }
  void AfterSwitch(Log& log) {
    switching_ = false;
    if (&log != log_) {
      log_->SetFlushListener(nullptr);
      found_before_ += log_->damaged_ranges_found();
      log_ = &log;
      if (config_) log_->SetConfig(*config_);
      if (high_watermark_) log_->SetHighWatermark(*high_watermark_);
      log_->SetFlushListener(listener_);
    }
    settled_.NotifyAll();
    // All of it is on disk now; or it has failed.
    if (listener_) listener_();
  }

 private:
  std::unexpected<Error> Busy() const {
    return Fail(v1::BROKER_NOT_READY, "{}-{} is being switched to another log directory", log_->topic(),
                log_->key().partition);
  }
  Task<void> Settled() {
    while (switching_) co_await settled_.Wait("switch of a log directory");
  }
  Task<Result<LogRead>> ReadLater(Offset from, Offset below, size_t max_bytes) {
    co_await Settled();
    co_return co_await log_->Read(from, below, max_bytes);
  }

  ShardLogs& logs_;
  Log* log_;
  bool switching_ = false;
  Notifier settled_;
  std::function<void()> listener_;
  uint64_t found_before_ = 0;  // damaged ranges, by the logs that were in other directories
  std::optional<Offset> high_watermark_;
  std::optional<LogConfig> config_;
};

ShardLogStore::ShardLogStore(ShardLogs& logs) : logs_(logs) {
  logs_.SetSwitchObserver({.before =
                               [this](const PartitionKey& key) {
                                 if (auto it = open_.find(key); it != open_.end()) it->second->BeforeSwitch();
                               },
                           .after =
                               [this](const PartitionKey& key, Log& log) {
                                 if (auto it = open_.find(key); it != open_.end())
                                   it->second->AfterSwitch(log);
                               }});
}
ShardLogStore::~ShardLogStore() { logs_.SetSwitchObserver({}); }

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
