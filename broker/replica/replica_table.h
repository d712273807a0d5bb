// ReplicaTable: the replicas of one shard: their partitions, fetchers and timers. Owned by the shard; shard's
// loop only. Outlives its FetchSlices and every coroutine that uses a Partition it handed out.
//
// A Partition* stays valid until Stop or Close of it begins to be answered; hold it across a co_await only
// inside the partition's own coroutines, else Find again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/replica/fetcher.h"
#include "broker/replica/partition.h"
#include "broker/replica/retention_rounds.h"

namespace tidemark {

struct RefusedReplica {
  std::string topic;
  std::string why;
};

class ReplicaTable final : private FollowSink {
 public:
  // `settings_of` gives a topic's settings when its first replica is made (later: UpdateConfig).
  ReplicaTable(EventLoop& loop, const Clock& clock, BrokerDirectory& brokers, IsrChannel& isr, LogStore& logs,
               ReplicationChannelFactory& channels, ReplicaOptions options,
               std::function<TopicSettings(const std::string& topic)> settings_of);
  ~ReplicaTable() override;  // CHECKs that it is closed

  // Told of each replica made here, before it has a role. Before Start.
  void SetReplicaListener(std::function<void(Partition&)> listener) { on_made_ = std::move(listener); }
  // Starts the ISR checks and the rounds of retention.
  void Start();

  // The part of a LeaderAndIsr that concerns this shard: states of partitions that live here. The request's
  // own fence is checked by the caller. Answers the partitions that failed; all are worked on at once.
  Task<std::vector<v1::LeaderAndIsrResponse::Partition>> ApplyLeaderAndIsr(
      std::vector<v1::TopicState> topics);
  // Stops replicas, and deletes their data where asked. FENCED_LEADER_EPOCH for an epoch below the replica's
  // (unless the topic is deleted). A replica that is not here was stopped before: no error.
  Task<std::vector<v1::StopReplicaResponse::Partition>> StopReplicas(
      std::vector<v1::StopReplicaRequest::Replica> replicas);

  // Null when there is no replica here.
  Partition* Find(const PartitionKey& key);
  // Applies a follower's one-way progress to the partitions that live here.
  void ReplicaProgress(const v1::ReplicaProgressRequest& request);
  // Adds the replicas of `topics` (empty: all).
  void Describe(const std::set<TopicId>& topics, v1::DescribeReplicasResponse* out) const;
  void UpdateConfig(const std::string& topic, const TopicSettings& settings);
  // The same of many topics, in one pass.
  void UpdateConfigs(const std::unordered_map<std::string, TopicSettings>& changed);
  std::vector<Partition*> All();
  size_t size() const;
  // Replicas that the controller wants here and whose logs could not be opened, with the reason: their
  // directory is offline or new, or the disk full. Until one can be opened, or is stopped.
  const std::map<PartitionKey, RefusedReplica>& refused() const { return refused_; }
  const ReplicaCounters& counters() const { return context_.counters; }
  // What is under way ends by the former ones.
  void SetOptions(const ReplicaOptions& options) {
    context_.options = options;
    options_changed_.NotifyAll();
    retention_.SetInterval(options.retention_check_interval);
  }
  EventLoop& loop() { return context_.loop; }

  // Stops everything: waiters are answered, fetchers closed, high watermarks handed to the logs. The logs
  // stay open (ShardLogs::CloseCleanly is the caller's next step).
  Task<void> Close();

 private:
  // One key's replica, made, changed and removed by one coroutine at a time.
  struct Slot {
    explicit Slot(EventLoop& loop) : lock(loop) {}
    AsyncLock lock;
    std::unique_ptr<Partition> partition;
    size_t users = 0;  // coroutines that hold or wait for the lock
  };
  class SlotUse;
  template <typename Answer>
  struct Gather;

  // FollowSink.
  void StartFollowing(Partition& partition) override;
  void StopFollowing(Partition& partition) override;
  void FollowerFlushed(Partition& partition) override;

  Task<void> ApplyOne(PartitionKey key, std::string topic, v1::PartitionState state,
                      Gather<v1::LeaderAndIsrResponse::Partition>* gather);
  LogExpected Expected(const v1::PartitionState& state) const;
  Task<Result<>> ApplyState(PartitionKey key, std::string topic, v1::PartitionState state);
  Task<void> StopOne(PartitionKey key, v1::StopReplicaRequest::Replica replica,
                     Gather<v1::StopReplicaResponse::Partition>* gather);
  Task<Result<>> StopReplica(PartitionKey key, v1::StopReplicaRequest::Replica replica);
  Task<void> CheckLoop();
  Task<std::optional<WallMillis>> CheckRetention(PartitionKey key);

  ReplicaContext context_;
  ReplicationChannelFactory& channels_;
  std::function<TopicSettings(const std::string&)> settings_of_;
  std::function<void(Partition&)> on_made_;
  Scope scope_;
  Notifier options_changed_;
  RetentionRounds retention_;
  std::unordered_map<PartitionKey, std::unique_ptr<Slot>> slots_;
  std::unordered_map<BrokerId, std::unique_ptr<Fetcher>> fetchers_;
  std::map<PartitionKey, RefusedReplica> refused_;
  std::unordered_map<PartitionKey, BrokerId> source_of_;  // whose fetcher has the partition
  bool started_ = false;
  bool closed_ = false;
};

}  // namespace tidemark
