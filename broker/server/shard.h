// Shard: one loop thread of a broker with all that belongs to it: connections, replicas, logs, and this
// thread's view of metadata and configs. Made and destroyed by Broker on the control loop; everything else
// happens on the shard's loop unless it says "any thread".
//
// Life: constructed (loop runs) -> Open (connections are taken; requests get BROKER_NOT_READY) -> Activate
// (identity known: replicas can be taken over) -> Close. Invariant: `table()` is set exactly while active.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "broker/group/group_coordinator.h"
#include "broker/log/shard_logs.h"
#include "broker/replica/fetch_slice.h"
#include "broker/replica/replica_table.h"
#include "broker/replica/rpc_replication_channel.h"
#include "broker/replica/shard_log_store.h"
#include "broker/server/broker_context.h"
#include "broker/server/client_quotas.h"
#include "broker/server/cluster_snapshot.h"
#include "broker/server/request_metrics.h"
#include "common/async/turns.h"
#include "common/net/rpc_server.h"
#include "common/record/compression.h"

namespace tidemark {

class RequestRouter;

inline constexpr size_t kMostRefusedTold = 100;

// What a shard tells about itself, for /metrics, /state and the watchdog.
struct ShardReport {
  RpcServerStats rpc;
  ReplicaCounters replicas;
  ShardLogs::MoveCounters moves;
  size_t leading = 0;
  size_t following = 0;
  size_t offline = 0;
  std::vector<std::pair<std::string, std::string>> refused;  // replicas not opened and why, the first of them
  size_t under_replicated = 0;
  size_t under_min_isr = 0;
  size_t at_min_isr = 0;
  // The most records that a follower of a partition led here has yet to fetch.
  Offset max_follower_lag = 0;
  std::map<size_t, uint64_t> bytes_by_directory;
  std::map<std::string, uint64_t> bytes_by_topic;
  GroupCounters groups;
  QuotaCounters quotas;
  GroupGauges group_gauges;
  ScrubCounters scrubbed;
  size_t damaged_ranges = 0;  // as of now
  uint64_t aside_removed = 0;
  std::vector<WaitRegistry::Entry> waits;
};

class Shard final : public BrokerDirectory, public IsrChannel {
 public:
  Shard(BrokerContext& context, size_t index);
  ~Shard() override;  // Close() first
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // --- any thread
  EventLoop& loop() const { return loop_; }
  // Requests and other work of the shard.
  Scope& scope() { return scope_; }
  // The calls of Broker that open and close the shard; they outlive scope().
  Scope& life_scope() { return life_scope_; }
  size_t index() const { return index_; }
  BrokerContext& context() const { return context_; }
  RequestMetrics& metrics() { return metrics_; }  // read anywhere, written on the loop
  // Posts: the shard acts on them in order.
  void PostConnection(std::unique_ptr<PendingStream> stream, std::string listener, ListenerRoles roles);
  void PostSnapshot(ClusterSnapshot::Ptr snapshot);
  // `changed`: topics whose settings are other than before.
  void PostSettings(TopicSettingsPtr settings, std::vector<std::string> changed);
  void PostBrokerEpoch(BrokerEpoch epoch);
  void PostConfig(BrokerConfigPtr config);
  // Whoever is being delayed is judged anew by its next request.
  void PostQuotas(std::shared_ptr<const QuotaPicture> quotas);

  // --- the shard's loop
  Task<bool> Open();
  Task<bool> Activate(BrokerIdentity identity, BrokerEpoch epoch, TopicSettingsPtr settings);
  // Takes no request any more: connections are closed, requests under way end.
  Task<bool> CloseConnections();
  // Stops replicas and closes the logs. `clean`: flushes first; the answer says whether everything is on
  // disk.
  Task<bool> CloseReplicas(bool clean);
  Task<bool> CloseScope();

  bool active() const { return table_ != nullptr; }
  ReplicaTable* table() { return table_.get(); }
  // Set exactly while active.
  GroupCoordinator* groups() { return groups_.get(); }
  // Null before the shard is active.
  ShardLogs* logs() { return logs_.get(); }
  const ClusterSnapshot& snapshot() const { return *snapshot_; }
  const BrokerIdentity& identity() const { return identity_; }
  const TopicSettingsMap& settings() const { return *settings_; }
  // In force now; another one after any wait.
  const BrokerConfig& config() const { return *config_; }
  ScratchBuffer& scratch() { return scratch_; }
  ClientQuotas& quotas() { return quotas_; }
  // Searches in logs for ListOffsets: each may keep a thread of the blocking pool for as long as it takes to
  // read a segment, and flushes need those threads, too.
  Turns& searches() { return searches_; }
  // Whether clients may be told of the cluster: not before a controller has told this broker of it, nor once
  // the broker has left ZooKeeper, when nobody does any more and clients would be led to former leaders for
  // ever.
  Result<> KnowsCluster() const;
  // Where leaders named by a LeaderAndIsr are, before the metadata that says so has arrived.
  void NoteBrokers(const std::vector<BrokerInfo>& brokers);
  ShardReport Report() const;
  // The oldest flush under way; empty when none is.
  std::optional<ShardLogs::DiskWait> OldestDiskWait() const {
    return logs_ ? logs_->OldestDiskWait() : std::nullopt;
  }

  // Fetch slices of connections of any shard, by handle. A slice dies when nobody uses it any more.
  struct Slice {
    explicit Slice(ReplicaTable& table, FetchReader reader) : fetch(table, reader) {}
    FetchSlice fetch;
    // Ends the poll under way: what there is is answered.
    std::stop_source cut;
  };
  std::shared_ptr<Slice> FindSlice(uint64_t handle, std::optional<FetchReader> make_for);
  void DropSlice(uint64_t handle);
  // A handle that no session of any shard has.
  uint64_t NextHandle() { return (static_cast<uint64_t>(index_ + 1) << 48) | ++last_handle_; }

  // BrokerDirectory.
  BrokerId self() const override { return identity_.broker_id; }
  BrokerEpoch self_epoch() const override { return broker_epoch_; }

 private:
  std::optional<Endpoint> InterBrokerEndpoint(BrokerId broker) const override;
  // IsrChannel.
  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition wish) override;
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition partition, v1::ResignReason reason) override;

  BrokerContext& context_;
  const size_t index_;
  std::unique_ptr<LoopThread> thread_;
  EventLoop& loop_;
  Scope life_scope_;
  Scope scope_;
  RequestMetrics metrics_;

  BrokerConfigPtr config_;
  BrokerIdentity identity_;
  BrokerEpoch broker_epoch_ = kNoBrokerEpoch;
  ClusterSnapshot::Ptr snapshot_ = ClusterSnapshot::Empty();
  TopicSettingsPtr settings_ = std::make_shared<TopicSettingsMap>();
  std::unordered_map<BrokerId, BrokerInfo> noted_brokers_;
  ScratchBuffer scratch_;
  ClientQuotas quotas_;
  Turns searches_;

  std::unique_ptr<RequestRouter> router_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<ShardLogs> logs_;
  std::unique_ptr<ShardLogStore> store_;
  std::unique_ptr<RpcReplicationChannelFactory> channels_;
  std::unique_ptr<ReplicaTable> table_;
  std::unique_ptr<GroupCoordinator> groups_;
  std::unordered_map<uint64_t, std::shared_ptr<Slice>> slices_;  // dies before table_
  uint64_t last_handle_ = 0;
};

}  // namespace tidemark
