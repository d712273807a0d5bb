#include "broker/replica/replica_table.h"

#include <algorithm>
#include <utility>

namespace tidemark {

// Keeps a slot while a coroutine needs it; the last one removes an empty slot.
class ReplicaTable::SlotUse {
 public:
  SlotUse(ReplicaTable& table, const PartitionKey& key) : table_(table), key_(key) {
    auto [found, added] = table_.slots_.try_emplace(key);
    if (added) found->second = std::make_unique<Slot>(table_.context_.loop);
    slot_ = found->second.get();
    ++slot_->users;
  }
  ~SlotUse() {
    if (--slot_->users == 0 && slot_->partition == nullptr) table_.slots_.erase(key_);
  }
  SlotUse(const SlotUse&) = delete;
  SlotUse& operator=(const SlotUse&) = delete;
  Slot* operator->() const { return slot_; }

 private:
  ReplicaTable& table_;
  PartitionKey key_;
  Slot* slot_;
};

// Collects the failures of pieces of work that run at once.
template <typename Answer>
struct ReplicaTable::Gather {
  explicit Gather(EventLoop& loop) : done(loop, "replica commands") {}
  Waiter done;
  size_t pending = 1;
  std::vector<Answer> failed;

  void Finish(const PartitionKey& key, const Result<>& result) {
    if (!result) {
      Answer& answer = failed.emplace_back();
      answer.set_topic_id(key.topic.ToBytes());
      answer.set_partition(key.partition);
      *answer.mutable_error() = ToProto(result.error());
    }
    if (--pending == 0) done.Wake();
  }
};

ReplicaTable::ReplicaTable(EventLoop& loop, const Clock& clock, BrokerDirectory& brokers, IsrChannel& isr,
                           LogStore& logs, ReplicationChannelFactory& channels, ReplicaOptions options,
                           std::function<TopicSettings(const std::string& topic)> settings_of)
    : context_{loop, clock, brokers, isr, logs, options, {}, this, &channels, loop.Now()},
      channels_(channels),
      settings_of_(std::move(settings_of)),
      scope_(loop, "replica table"),
      options_changed_(loop),
      retention_(
          loop, clock, options.retention_check_interval,
          [this] {
            std::vector<PartitionKey> keys;
            for (const auto& [key, slot] : slots_) {
              if (slot->partition != nullptr && slot->partition->leading()) keys.push_back(key);
            }
            return keys;
          },
          [this](const PartitionKey& key) { return CheckRetention(key); }) {}

ReplicaTable::~ReplicaTable() {
  CHECK(slots_.empty() && fetchers_.empty()) << "a replica table was destroyed before it was closed";
}

void ReplicaTable::Start() {
  CHECK(!std::exchange(started_, true));
  context_.last_isr_check = context_.loop.Now();
  scope_.Spawn("isr checks", CheckLoop());
  scope_.Spawn("retention", retention_.Run(scope_.stop_token()));
}

Partition* ReplicaTable::Find(const PartitionKey& key) {
  context_.loop.CheckOwner();
  auto found = slots_.find(key);
  return found == slots_.end() ? nullptr : found->second->partition.get();
}

std::vector<Partition*> ReplicaTable::All() {
  std::vector<Partition*> all;
  all.reserve(slots_.size());
  for (auto& [key, slot] : slots_) {
    if (slot->partition != nullptr) all.push_back(slot->partition.get());
  }
  return all;
}

size_t ReplicaTable::size() const {
  return static_cast<size_t>(
      std::ranges::count_if(slots_, [](auto& s) { return s.second->partition != nullptr; }));
}

// --- commands

Task<std::vector<v1::LeaderAndIsrResponse::Partition>> ReplicaTable::ApplyLeaderAndIsr(
    std::vector<v1::TopicState> topics) {
  Gather<v1::LeaderAndIsrResponse::Partition> gather(context_.loop);
  struct Wish {
    PartitionKey key;
    const std::string* topic;
    v1::PartitionState* state;
  };
  std::vector<Wish> first, rest;
  for (v1::TopicState& topic : topics) {
    const auto id = TopicId::FromBytes(topic.id());
    for (v1::PartitionState& state : *topic.mutable_partitions()) {
      ++gather.pending;
      if (!id) {
        gather.Finish({{}, state.partition()}, std::unexpected(id.error()));
        continue;
      }
      const bool lead = state.leader() == context_.brokers.self();
      (lead ? first : rest).push_back({{*id, state.partition()}, &topic.name(), &state});
    }
  }
  // Logs are recovered in the order in which they are asked for: those that clients wait for come first.
  for (const auto* some : {&first, &rest}) {
    for (const auto& [key, topic, state] : *some) {
      scope_.Spawn("leader and isr", ApplyOne(key, *topic, std::move(*state), &gather));
    }
  }
  if (--gather.pending == 0) gather.done.Wake();
  co_await gather.done;
  co_return std::move(gather.failed);
}

Task<void> ReplicaTable::ApplyOne(PartitionKey key, std::string topic, v1::PartitionState state,
                                  Gather<v1::LeaderAndIsrResponse::Partition>* gather) {
  const Result<> result = co_await ApplyState(key, std::move(topic), std::move(state));
  gather->Finish(key, result);
}

// A member of the ISR has acknowledged what it held, unless an unclean election has given that up.
LogExpected ReplicaTable::Expected(const v1::PartitionState& state) const {
  if (state.is_new()) return LogExpected::kNew;
  const bool in_sync = std::ranges::find(state.isr(), context_.brokers.self()) != state.isr().end();
  const bool given_up = state.recovery_state() == v1::LEADER_RECOVERY_STATE_RECOVERING;
  return in_sync && !given_up ? LogExpected::kHeld : LogExpected::kPerhaps;
}

Task<Result<>> ReplicaTable::ApplyState(PartitionKey key, std::string topic, v1::PartitionState state) {
  SlotUse slot(*this, key);
  AsyncLock::Guard guard = co_await slot->lock.Acquire("replica command");
  if (closed_) co_return Fail(v1::CANCELLED, "the replicas are closing");
  if (slot->partition == nullptr) {
    TM_CO_RETURN_IF_ERROR(ValidateTopicName(topic));
    const TopicSettings settings = settings_of_(topic);
    auto log = co_await context_.logs.OpenOrCreate(key, topic, settings.log, Expected(state));
    if (closed_) co_return Fail(v1::CANCELLED, "the replicas are closing");
    if (!log) {
      refused_[key] = {topic, ToString(log.error())};
      if (log.error().code == v1::DISK_FULL) {
        // The same for all of a directory, again and again until there is room.
        LOG_EVERY_T(ERROR, 10) << topic << "-" << key.partition
                               << " cannot be opened: " << ToString(log.error());
      } else {
        LOG(ERROR) << topic << "-" << key.partition << " cannot be opened: " << ToString(log.error());
      }
      // The controller tries again when there may be room, and takes out of the ISR what is lost.
      if (log.error().code == v1::DISK_FULL || log.error().code == v1::REPLICA_NOT_AVAILABLE)
        co_return std::unexpected(std::move(log).error());
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}-{}: {}", topic, key.partition, log.error().message);
    }
    refused_.erase(key);
    // Asked for again: they may have changed while the log was recovered.
    slot->partition = std::make_unique<Partition>(context_, key, topic, *log, settings_of_(topic));
    if (on_made_) on_made_(*slot->partition);
  }
  Partition& partition = *slot->partition;
  const std::optional<LeaderEpoch> before = partition.leader_epoch();
  const Result<> done = co_await partition.ApplyLeaderAndIsr(std::move(state));
  if (partition.leading() && partition.leader_epoch() != before) retention_.CheckSoon(key);
  co_return done;
}

Task<std::vector<v1::StopReplicaResponse::Partition>> ReplicaTable::StopReplicas(
    std::vector<v1::StopReplicaRequest::Replica> replicas) {
  Gather<v1::StopReplicaResponse::Partition> gather(context_.loop);
  for (v1::StopReplicaRequest::Replica& replica : replicas) {
    ++gather.pending;
    const auto id = TopicId::FromBytes(replica.topic_id());
    const PartitionIndex partition = replica.partition();
    if (!id) {
      gather.Finish({{}, partition}, std::unexpected(id.error()));
      continue;
    }
    scope_.Spawn("stop replica", StopOne({*id, partition}, std::move(replica), &gather));
  }
  if (--gather.pending == 0) gather.done.Wake();
  co_await gather.done;
  co_return std::move(gather.failed);
}

Task<void> ReplicaTable::StopOne(PartitionKey key, v1::StopReplicaRequest::Replica replica,
                                 Gather<v1::StopReplicaResponse::Partition>* gather) {
  const Result<> result = co_await StopReplica(key, std::move(replica));
  gather->Finish(key, result);
}

Task<Result<>> ReplicaTable::StopReplica(PartitionKey key, v1::StopReplicaRequest::Replica replica) {
  SlotUse slot(*this, key);
  AsyncLock::Guard guard = co_await slot->lock.Acquire("stop replica");
  if (closed_) co_return Fail(v1::CANCELLED, "the replicas are closing");
  std::string topic = replica.topic();
  if (slot->partition != nullptr) {
    topic = slot->partition->topic();
    // A command that was late must not stop the replica of a later epoch (KAFKA-9539).
    const auto epoch = slot->partition->leader_epoch();
    if (!replica.topic_deleted() && epoch && replica.leader_epoch() < *epoch) {
      ++context_.counters.fenced_requests;
      co_return Fail(v1::FENCED_LEADER_EPOCH, "{} is in leader epoch {}, the command in {}",
                     slot->partition->name(), *epoch, replica.leader_epoch());
    }
    LOG(INFO) << slot->partition->name() << " stops in epoch " << epoch.value_or(0)
              << (replica.delete_data() ? ", its data is deleted" : "");
    // Out of sight first, so that nobody finds it while it closes.
    const std::unique_ptr<Partition> closing = std::move(slot->partition);
    co_await closing->Close();
  }
  refused_.erase(key);
  if (!replica.delete_data()) co_return Result<>{};
  auto deleted = co_await context_.logs.Delete(key, std::move(topic));
  if (!deleted && deleted.error().code != v1::NOT_FOUND) {
    co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", deleted.error().message);
  }
  co_return Result<>{};
}

// --- followers

void ReplicaTable::StartFollowing(Partition& partition) {
  if (closed_) return;
  const BrokerId leader = partition.follower_state()->leader;
  CHECK_NE(leader, context_.brokers.self()) << partition.name();
  StopFollowing(partition);
  std::unique_ptr<Fetcher>& fetcher = fetchers_[leader];
  if (fetcher == nullptr) fetcher = std::make_unique<Fetcher>(context_, channels_, leader);
  source_of_[partition.key()] = leader;
  fetcher->Add(partition);
}

void ReplicaTable::StopFollowing(Partition& partition) {
  auto source = source_of_.find(partition.key());
  if (source == source_of_.end()) return;
  fetchers_.at(source->second)->Remove(partition.key());
  source_of_.erase(source);
}

void ReplicaTable::FollowerFlushed(Partition& partition) {
  auto source = source_of_.find(partition.key());
  if (source != source_of_.end()) fetchers_.at(source->second)->FlushedEndMoved(partition);
}

void ReplicaTable::ReplicaProgress(const v1::ReplicaProgressRequest& request) {
  for (const auto& told : request.partitions()) {
    const auto id = TopicId::FromBytes(told.topic_id());
    if (!id) continue;
    if (Partition* partition = Find({*id, told.partition()})) {
      partition->FollowerProgressed(
          request.replica_id(), request.broker_epoch(), told.leader_epoch(), told.flushed_end(),
          told.has_log_start_offset() ? std::optional<Offset>(told.log_start_offset()) : std::nullopt);
    }
  }
}

// --- all

void ReplicaTable::Describe(const std::set<TopicId>& topics, v1::DescribeReplicasResponse* out) const {
  for (const auto& [key, slot] : slots_) {
    if (slot->partition == nullptr) continue;
    if (!topics.empty() && !topics.contains(key.topic)) continue;
    slot->partition->Describe(out->add_replicas());
  }
}

void ReplicaTable::UpdateConfig(const std::string& topic, const TopicSettings& settings) {
  UpdateConfigs({{topic, settings}});
}

void ReplicaTable::UpdateConfigs(const std::unordered_map<std::string, TopicSettings>& changed) {
  for (Partition* partition : All()) {
    const auto found = changed.find(partition->topic());
    if (found == changed.end()) continue;
    const TopicSettings& settings = found->second;
    const bool retains_otherwise = partition->settings().retention != settings.retention;
    partition->UpdateSettings(settings);
    if (retains_otherwise) retention_.CheckNow(partition->key());
  }
}

Task<std::optional<WallMillis>> ReplicaTable::CheckRetention(PartitionKey key) {
  // The partition's own use of itself keeps it for the time of the check.
  Partition* partition = Find(key);
  if (partition == nullptr) co_return std::nullopt;
  co_return co_await partition->CheckRetention();
}

Task<void> ReplicaTable::CheckLoop() {
  while (true) {
    const MonoTime next = context_.loop.Now() + context_.isr_check_interval();
    const WaitOutcome waited = co_await options_changed_.Wait("next isr check", next, scope_.stop_token());
    if (waited == WaitOutcome::kStopped) co_return;
    if (waited == WaitOutcome::kTimedOut) {
      for (Partition* partition : All()) partition->CheckIsr();
    }
    // A shorter interval counts from now on, and does not make this leader one that stalled.
    context_.last_isr_check = context_.loop.Now();
  }
}

Task<void> ReplicaTable::Close() {
  closed_ = true;
  // Fetchers first, so that nothing is appended to a partition that closes.
  for (auto& [broker, fetcher] : fetchers_) co_await fetcher->Close();
  // Then the commands under way, so that the partitions are nobody else's.
  co_await scope_.Close();
  for (Partition* partition : All()) co_await partition->Close();
  fetchers_.clear();
  source_of_.clear();
  slots_.clear();
}

}  // namespace tidemark
