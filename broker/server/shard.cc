#include "broker/server/shard.h"

#include <algorithm>

#include <glog/logging.h>

#include "broker/server/group_topic.h"
#include "broker/server/partition_metrics.h"
#include "broker/server/request_router.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

ReplicaOptions ReplicaOptionsOf(const BrokerConfig& config) {
  ReplicaOptions out;
  out.replica_lag_time_max = config.replica_lag_time_max;
  out.fetch_wait_max = std::min(config.replica_fetch_wait_max, config.replica_lag_time_max / 2);
  out.fetch_min_bytes = config.replica_fetch_min_bytes;
  out.fetch_partition_bytes = config.replica_fetch_max_bytes;
  out.fetch_response_bytes = config.replica_fetch_response_max_bytes;
  out.fetch_backoff = config.replica_fetch_backoff;
  out.retention_check_interval = config.retention_check_interval;
  return out;
}

// Threads of the blocking pool that searches of all shards may take, where there are not more shards.
constexpr size_t kSearchThreads = 8;
constexpr size_t kMostSearches = 2;  // of one shard

RpcServerLimits RpcLimitsOf(const BrokerConfig& config, size_t shards) {
  RpcServerLimits out;
  out.max_frame_bytes = config.max_request_bytes;
  out.max_requests_in_flight = config.queued_max_requests;
  out.max_bytes_in_flight = std::max<size_t>(out.max_bytes_in_flight, 2 * config.max_request_bytes);
  out.client_budget_bytes = std::max(out.client_budget_bytes / shards, 4 * config.max_request_bytes);
  out.replication_budget_bytes =
      std::max(out.replication_budget_bytes / shards, 2 * config.max_request_bytes);
  out.max_connections = std::max<size_t>(1, config.max_connections / shards);
  out.idle_timeout = config.connections_max_idle;
  return out;
}

ShardLogsOptions LogOptionsOf(const BrokerConfig& config, size_t shards) {
  ShardLogsOptions out;
  out.checkpoint_interval = config.high_watermark_checkpoint_interval;
  out.recovery_threads = std::max<size_t>(1, config.recovery_threads * config.log_dirs.size() / shards);
  out.scrub = {.bytes_per_second = config.scrub_bytes_per_second, .interval = config.scrub_interval};
  // Not rounded down to 0, which would turn it off.
  if (out.scrub.bytes_per_second > 0) {
    out.scrub.bytes_per_second = std::max<uint64_t>(1, out.scrub.bytes_per_second / shards);
  }
  if (config.log_open_files > 0) out.open_files = std::max<size_t>(1, config.log_open_files / shards);
  return out;
}

}  // namespace

TopicSettings SettingsOf(const TopicConfigs& configs) {
  TopicSettings out;
  out.log.segment_bytes = configs.segment_bytes;
  out.log.segment_time = configs.segment_time;
  out.log.index_interval_bytes = configs.index_interval_bytes;
  out.log.max_message_bytes = configs.max_message_bytes;
  out.log.durability = configs.synced ? AckDurability::kSynced : AckDurability::kReplicated;
  out.log.file_delete_delay = configs.file_delete_delay;
  out.log.flush_messages = configs.flush_messages;
  out.log.flush_time = configs.flush_time;
  out.log.compaction = {.enabled = configs.cleanup_compact,
                        .min_dirty_ratio = configs.min_cleanable_dirty_ratio,
                        .min_lag = configs.min_compaction_lag,
                        .max_lag = configs.max_compaction_lag,
                        .delete_retention = configs.delete_retention};
  out.min_insync_replicas = configs.min_insync_replicas;
  out.retention = {
      .deletes = configs.cleanup_delete, .time = configs.retention_time, .bytes = configs.retention_bytes};
  return out;
}

Shard::Shard(BrokerContext& context, size_t index)
    : context_(context),
      index_(index),
      thread_(context.env.StartLoop(fmt::format("shard-{}", index))),
      loop_(thread_->loop()),
      life_scope_(loop_, fmt::format("shard-{}-life", index)),
      scope_(loop_, fmt::format("shard-{}", index)),
      config_(context.live),
      quotas_(loop_, context.config.quota_windows),
      searches_(loop_, std::clamp<size_t>(kSearchThreads / std::max<size_t>(1, context.config.num_shards), 1,
                                          kMostSearches)) {}

Shard::~Shard() {
  CHECK(!table_ && !rpc_) << "a shard was destroyed before it was closed";
  // Ends the thread first: what was posted may still name the members below.
  thread_.reset();
}

void Shard::PostConnection(std::unique_ptr<PendingStream> stream, std::string listener, ListenerRoles roles) {
  loop_.Post([this, stream = std::move(stream), listener = std::move(listener), roles]() mutable {
    if (rpc_) rpc_->Attach(std::move(stream), std::move(listener), roles);
  });
}

void Shard::PostSnapshot(ClusterSnapshot::Ptr snapshot) {
  loop_.Post([this, snapshot = std::move(snapshot)]() mutable {
    snapshot_ = std::move(snapshot);
    if (groups_) groups_->OnTopicsChanged();
    // What metadata says replaces what a LeaderAndIsr announced, unless that is of a later life of the
    // broker.
    std::erase_if(noted_brokers_, [this](const auto& noted) {
      const BrokerInfo* known = snapshot_->Broker(noted.first);
      return known != nullptr && known->epoch >= noted.second.epoch;
    });
  });
}

void Shard::PostSettings(TopicSettingsPtr settings, std::vector<std::string> changed) {
  loop_.Post([this, settings = std::move(settings), changed = std::move(changed)]() mutable {
    settings_ = std::move(settings);
    if (!table_ || scope_.stopping()) return;
    std::unordered_map<std::string, TopicSettings> update;
    for (const std::string& topic : changed) update.emplace(topic, settings_->Of(topic));
    table_->UpdateConfigs(update);
  });
}

void Shard::PostBrokerEpoch(BrokerEpoch epoch) {
  loop_.Post([this, epoch] { broker_epoch_ = epoch; });
}

void Shard::PostConfig(BrokerConfigPtr config) {
  loop_.Post([this, config = std::move(config)]() mutable {
    config_ = std::move(config);
    const size_t shards = context_.shards.size();
    if (rpc_) rpc_->SetLimits(RpcLimitsOf(*config_, shards));
    if (!table_ || scope_.stopping()) return;
    table_->SetOptions(ReplicaOptionsOf(*config_));
    logs_->SetOpenFiles(LogOptionsOf(*config_, shards).open_files);
  });
}

void Shard::PostQuotas(std::shared_ptr<const QuotaPicture> quotas) {
  loop_.Post([this, quotas = std::move(quotas)]() mutable {
    quotas_.Set(std::move(quotas));
    if (rpc_) rpc_->Unmute();
  });
}

Task<bool> Shard::Open() {
  router_ = std::make_unique<RequestRouter>(*this);
  rpc_ = std::make_unique<RpcServer>(loop_, RpcLimitsOf(*config_, context_.shards.size()), *router_);
  co_return true;
}

Task<bool> Shard::Activate(BrokerIdentity identity, BrokerEpoch epoch, TopicSettingsPtr settings) {
  CHECK(!table_ && context_.dirs != nullptr);
  identity_ = std::move(identity);
  broker_epoch_ = epoch;
  settings_ = std::move(settings);
  rpc_->SetIdentity({.cluster_id = identity_.cluster_id, .broker_id = identity_.broker_id});
  logs_ = std::make_unique<ShardLogs>(*context_.dirs, loop_, LogOptionsOf(*config_, context_.shards.size()));
  logs_->SetDirectoryFailureListener([this](const LogDirectory& directory, const Error& error) {
    context_.control_loop.Post([&control = context_.control, index = directory.index, error] {
      control.OnDirectoryFailure(index, error);
    });
  });
  logs_->Start();
  store_ = std::make_unique<ShardLogStore>(*logs_);
  channels_ = std::make_unique<RpcReplicationChannelFactory>(
      loop_, context_.env.transport(), context_.env.random(),
      fmt::format("broker-{}-fetcher-{}", identity_.broker_id, index_), identity_.cluster_id);
  table_ = std::make_unique<ReplicaTable>(loop_, context_.env.clock(), *this, *this, *store_, *channels_,
                                          ReplicaOptionsOf(*config_),
                                          [this](const std::string& topic) { return settings_->Of(topic); });
  groups_ = MakeGroupCoordinator(*this);
  table_->SetReplicaListener([this](Partition& partition) { groups_->OnReplicaMade(partition); });
  table_->Start();
  groups_->Start();
  co_return true;
}

Task<bool> Shard::CloseConnections() {
  if (rpc_) co_await rpc_->Close();
  rpc_.reset();
  co_return true;
}

Task<bool> Shard::CloseReplicas(bool clean) {
  for (auto& [handle, slice] : slices_) slice->cut.request_stop();
  slices_.clear();
  // Every request under way has ended by now or ends with its partitions; none may hold a slice or a
  // partition when the table goes.
  scope_.RequestStop();
  if (groups_) co_await groups_->Close();
  if (logs_) logs_->BeginClose();
  if (table_) co_await table_->Close();
  bool durable = true;
  if (logs_ && clean) {
    durable = co_await logs_->CloseCleanly();
  } else if (logs_) {
    co_await logs_->Close();
  }
  co_return durable;
}

Task<bool> Shard::CloseScope() {
  co_await scope_.Close();
  slices_.clear();
  groups_.reset();
  table_.reset();
  channels_.reset();
  store_.reset();
  logs_.reset();
  router_.reset();
  co_return true;
}

Result<> Shard::KnowsCluster() const {
  if (snapshot_->version() == 0) {
    // An empty picture would be a wrong one.
    return Fail(v1::BROKER_NOT_READY, "no controller has told this broker of the cluster yet");
  }
  if (broker_epoch_ == kNoBrokerEpoch) {
    return Fail(
        v1::BROKER_NOT_READY,
        "this broker is not registered in ZooKeeper, so that what it knows of the cluster may be old; "
        "ask another");
  }
  return {};
}

void Shard::NoteBrokers(const std::vector<BrokerInfo>& brokers) {
  for (const BrokerInfo& broker : brokers) {
    const BrokerInfo* known = snapshot_->Broker(broker.id);
    if (known == nullptr || known->epoch < broker.epoch) noted_brokers_[broker.id] = broker;
  }
}

std::optional<Endpoint> Shard::InterBrokerEndpoint(BrokerId broker) const {
  const auto noted = noted_brokers_.find(broker);
  const BrokerInfo* info = noted != noted_brokers_.end() ? &noted->second : snapshot_->Broker(broker);
  const Endpoint* endpoint = info == nullptr ? nullptr : info->InterBroker();
  return endpoint == nullptr ? std::nullopt : std::optional(*endpoint);
}

Task<Result<v1::AlterPartitionResponse::Partition>> Shard::AlterPartition(
    v1::AlterPartitionRequest::Partition wish) {
  using Answer = Result<v1::AlterPartitionResponse::Partition>;
  Result<Answer> answer = co_await CallOn<Answer>(
      loop_, context_.control_loop, context_.control_scope, "alter partition",
      [&control = context_.control, wish = std::move(wish)]() mutable {
        return control.AlterPartition(std::move(wish));
      },
      kNoDeadline, scope_.stop_token());
  if (!answer) co_return std::unexpected(answer.error());
  co_return std::move(*answer);
}

Task<Result<>> Shard::Resign(v1::ResignLeadershipRequest::Partition partition, v1::ResignReason reason) {
  Result<Result<>> answer = co_await CallOn<Result<>>(
      loop_, context_.control_loop, context_.control_scope, "resign leadership",
      [&control = context_.control, partition = std::move(partition), reason]() mutable {
        return control.Resign(std::move(partition), reason);
      },
      kNoDeadline, scope_.stop_token());
  if (!answer) co_return std::unexpected(answer.error());
  co_return std::move(*answer);
}

std::shared_ptr<Shard::Slice> Shard::FindSlice(uint64_t handle, std::optional<FetchReader> make_for) {
  const auto it = slices_.find(handle);
  if (it != slices_.end()) return it->second;
  if (!make_for || !table_ || scope_.stopping()) return nullptr;
  return slices_.emplace(handle, std::make_shared<Slice>(*table_, *make_for)).first->second;
}

void Shard::DropSlice(uint64_t handle) {
  const auto it = slices_.find(handle);
  if (it == slices_.end()) return;
  it->second->cut.request_stop();
  slices_.erase(it);
}

ShardReport Shard::Report() const {
  ShardReport out;
  if (rpc_) out.rpc = rpc_->stats();
  out.waits = loop_.waits().Snapshot();
  out.quotas = quotas_.counters();
  if (logs_) out.moves = logs_->move_counters();
  if (logs_) out.aside_removed = logs_->aside_removed();
  if (!table_) return out;
  if (logs_) {
    out.scrubbed = logs_->scrubbed();
    for (Log* log : logs_->All()) out.damaged_ranges += log->damaged().CountFrom(log->start_offset());
  }
  out.replicas = table_->counters();
  out.groups = groups_->counters();
  out.group_gauges = groups_->Gauges();
  for (const Partition* partition : table_->All()) CountPartition(*partition, &out);
  out.offline += table_->refused().size();
  for (const auto& [key, refused] : table_->refused()) {
    if (out.refused.size() == kMostRefusedTold) break;
    out.refused.push_back({fmt::format("{}-{}", refused.topic, key.partition), refused.why});
  }
  CountLogs(*logs_, &out);
  return out;
}

}  // namespace tidemark
