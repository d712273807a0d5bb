// A coordinator on a bench: a shard's GroupCoordinator over one real replica of __consumer_offsets, whose log
// is in memory and whose roles, topics, time and trouble the test hands out.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/group/group_coordinator.h"
#include "common/record/batch.h"
#include "tests/unit/replica/test_loop.h"

namespace tidemark {

// Keeps stamped batches; all of them are durable at once.
class BatchLog final : public ReplicaLog {
 public:
  explicit BatchLog(PartitionKey key) : key_(key) {}

  const std::string& directory() const override { return directory_; }
  Offset start_offset() const override { return 0; }
  Offset end_offset() const override { return batches_.empty() ? 0 : batches_.back().end; }
  Offset flushed_end() const override { return end_offset(); }
  Offset checkpointed_high_watermark() const override { return high_watermark_; }
  uint64_t size_bytes() const override { return 0; }
  Result<> RoomFor(SpaceUse) const override {
    if (full) return Fail(v1::DISK_FULL);
    return {};
  }
  const EpochTable& epochs() const override { return epochs_; }
  const std::optional<Error>& failure() const override { return none_; }
  const std::optional<Error>& damage() const override { return none_; }
  const DamageList& damaged() const override { return damaged_; }
  uint64_t damaged_ranges_found() const override { return 0; }
  bool spliceable() const override { return false; }
  Task<Result<>> Repair(Offset, Log::FetchRange, std::stop_token) override { co_return Result<>{}; }
  Result<Offset> EndOfBatches(std::string_view) const override { return Fail(v1::CORRUPT_MESSAGE); }
  Result<AppendResult> AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                      WallMillis now) override {
    const Offset base = end_offset();
    for (const UnstampedBatch& batch : batches) {
      const Offset at = end_offset();
      std::string bytes(
          StampBatch(batch.body, batch.body_crc, at, epoch, now, key_.topic, key_.partition).view());
      bytes.append(batch.body);
      epochs_.Begin(epoch, at);
      batches_.push_back({at, at + batch.last_offset_delta + 1, std::move(bytes)});
    }
    if (flushed_) flushed_();
    return AppendResult{base, end_offset(), now, 1};
  }
  Result<AppendResult> AppendAsFollower(std::string_view) override { return Fail(v1::CORRUPT_MESSAGE); }
  Task<Result<LogRead>> Read(Offset from, Offset below, size_t max_bytes) override {
    LogRead read{{}, from};
    for (const Batch& batch : batches_) {
      if (batch.end <= from || batch.end > below) continue;
      if (!read.bytes.empty() && read.bytes.size() + batch.bytes.size() > max_bytes) break;
      read.bytes += batch.bytes;
      read.next_offset = batch.end;
    }
    co_return std::move(read);
  }
  Task<Result<std::optional<TimestampLookup>>> FindTimestamp(WallMillis, Offset) override {
    co_return std::optional<TimestampLookup>{};
  }
  Task<Result<>> BeginEpoch(LeaderEpoch epoch) override {
    epochs_.Begin(epoch, end_offset());
    co_return Result<>{};
  }
  Task<Result<>> TruncateTo(Offset) override { co_return Result<>{}; }
  Task<Result<>> RestartAt(Offset) override { co_return Result<>{}; }
  void AdvanceStartTo(Offset) override {}
  Offset durable_start() const override { return 0; }
  Task<Result<>> CheckpointStart() override { co_return Result<>{}; }
  const TombstoneDrops& tombstone_drops() const override { return drops_; }
  Task<Result<>> AdoptDroppedTombstones(Offset) override { co_return Result<>{}; }
  bool surveyed() const override { return true; }
  Task<Result<>> Survey() override { co_return Result<>{}; }
  std::vector<SegmentFacts> DescribeSegments() const override { return {}; }
  Task<Result<>> LearnAppendTime(Offset) override { co_return Result<>{}; }
  Result<> RollActive() override { return {}; }
  void RequestFlush() override {}
  void SetFlushListener(std::function<void()> listener) override { flushed_ = std::move(listener); }
  void SetHighWatermark(Offset offset) override { high_watermark_ = offset; }
  void SetConfig(const LogConfig&) override {}

  // A log that ends in the middle of what was appended together: the last `batches` are lost.
  void Cut(size_t batches) { batches_.resize(batches_.size() - batches); }
  size_t batches() const { return batches_.size(); }
  bool full = false;

 private:
  struct Batch {
    Offset base;
    Offset end;
    std::string bytes;
  };
  const PartitionKey key_;
  const std::string directory_ = "memory";
  std::vector<Batch> batches_;
  EpochTable epochs_;
  DamageList damaged_;
  TombstoneDrops drops_;
  Offset high_watermark_ = 0;
  std::optional<Error> none_;
  std::function<void()> flushed_;
};

class CoordinatorBench : public BrokerDirectory,
                         public IsrChannel,
                         public LogStore,
                         public ReplicationChannelFactory,
                         public Clock {
 public:
  explicit CoordinatorBench(GroupCoordinatorOptions options = {})
      : options_(std::move(options)), log_(kKey), orders_(TopicId({7})) {
    SetTopics(4);
    StartBroker();
  }
  ~CoordinatorBench() override { StopBroker(); }

  inline static const PartitionKey kKey{TopicId({9}), 0};
  TestLoop& loop() { return loop_; }
  BatchLog& log() { return log_; }
  GroupCoordinator& groups() { return *groups_; }
  const TopicId& orders() const { return orders_; }

  // The cluster as it is told: "orders" with so many partitions; 0: nothing is known of it.
  void SetTopics(uint32_t partitions) {
    topics_.reset();
    if (partitions > 0) {
      auto next = std::make_shared<GroupTopics>();
      next->Add("orders", {orders_, partitions});
      topics_ = next;
    }
    if (groups_) groups_->OnTopicsChanged();
  }
  // It is told of all topics, and there is none.
  void DropTopics() {
    topics_ = std::make_shared<GroupTopics>();
    groups_->OnTopicsChanged();
  }
  // Appends are refused while fewer replicas than this are in sync (of two there is one).
  void SetMinInsync(uint32_t replicas) {
    settings_.min_insync_replicas = replicas;
    table_->UpdateConfig(std::string(kOffsetsTopic), settings_);
  }
  // Leads in a new epoch. The follower never fetches: while it is in sync nothing new is committed.
  void Lead(bool follower_in_sync = false) {
    v1::TopicState topic;
    topic.set_name(std::string(kOffsetsTopic));
    topic.set_id(kKey.topic.ToBytes());
    v1::PartitionState& state = *topic.add_partitions();
    state.set_leader(1);
    state.set_leader_epoch(++epoch_);
    state.set_partition_epoch(epoch_);
    state.set_is_new(epoch_ == 1);
    state.add_replicas(1);
    state.add_replicas(2);
    state.add_isr(1);
    if (follower_in_sync) state.add_isr(2);
    EXPECT_TRUE(loop_.Run(table_->ApplyLeaderAndIsr({topic})).empty());
    loop_.Settle();
  }
  // Another process on the same log.
  void Restart() {
    StopBroker();
    StartBroker();
  }

  Result<v1::ConsumerGroupHeartbeatResponse> Beat(const v1::ConsumerGroupHeartbeatRequest& request) {
    return loop_.Run(groups_->Heartbeat(kKey, request, {"client", "host"}, loop_.Now() + 5s));
  }
  static v1::ConsumerGroupHeartbeatRequest JoinRequest(const std::string& member) {
    v1::ConsumerGroupHeartbeatRequest request;
    request.set_group_id("g");
    request.set_member_id(member);
    request.set_rebalance_timeout_ms(60'000);
    request.set_session_timeout_ms(10'000);
    request.mutable_subscription()->add_topics("orders");
    request.mutable_owned();
    return request;
  }
  v1::DescribeGroupsResponse::Group Describe() {
    auto answer = loop_.Run(groups_->Describe(kKey, "g", true, loop_.Now() + 5s));
    if (answer) return std::move(*answer);
    v1::DescribeGroupsResponse::Group out;
    ToProto(answer.error(), out.mutable_error());
    return out;
  }
  // Appends records as another, faulty, coordinator may have.
  void Append(const std::vector<GroupRecord>& records) {
    const auto batches = EncodeGroupBatches(records, WallNow());
    ASSERT_TRUE(batches);
    for (const FinishedBatch& batch : *batches) {
      const UnstampedBatch one{.body = batch.body,
                               .body_crc = batch.body_crc,
                               .last_offset_delta = batch.record_count - 1,
                               .max_timestamp = batch.max_timestamp};
      ASSERT_TRUE(table_->Find(kKey)->Append(std::span(&one, 1), 1, std::nullopt));
    }
  }

 private:
  WallMillis WallNow() const override { return 1'700'000'000'000 + ToMillis(loop_.Now().time_since_epoch()); }
  BrokerId self() const override { return 1; }
  BrokerEpoch self_epoch() const override { return 10; }
  std::optional<Endpoint> InterBrokerEndpoint(BrokerId) const override { return std::nullopt; }
  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition) override {
    co_return Fail(v1::REQUEST_TIMED_OUT);
  }
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition, v1::ResignReason) override {
    co_return Result<>{};
  }
  Task<Result<ReplicaLog*>> OpenOrCreate(PartitionKey, std::string, LogConfig, LogExpected) override {
    co_return &log_;
  }
  Task<Result<>> Delete(PartitionKey, std::string) override { co_return Result<>{}; }
  Task<Result<>> SetAside(PartitionKey, std::string) override { co_return Result<>{}; }
  std::unique_ptr<ReplicationChannel> Connect(BrokerId, const Endpoint&) override { return nullptr; }

  void StartBroker() {
    table_ = std::make_unique<ReplicaTable>(loop_, *this, *this, *this, *this, *this, ReplicaOptions{},
                                            [this](const std::string&) { return settings_; });
    groups_ = std::make_unique<GroupCoordinator>(loop_, *this, *table_, options_, [this] { return topics_; });
    table_->SetReplicaListener([this](Partition& partition) { groups_->OnReplicaMade(partition); });
    table_->Start();
    groups_->Start();
  }
  void StopBroker() {
    loop_.Run(groups_->Close());
    loop_.Run(table_->Close());
    groups_.reset();
    table_.reset();
  }

  TestLoop loop_;
  const GroupCoordinatorOptions options_;
  BatchLog log_;
  const TopicId orders_;
  TopicSettings settings_;
  std::shared_ptr<const GroupTopics> topics_;
  std::unique_ptr<ReplicaTable> table_;
  std::unique_ptr<GroupCoordinator> groups_;
  uint32_t epoch_ = 0;
};

}  // namespace tidemark
