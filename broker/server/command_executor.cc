#include "broker/server/command_executor.h"

#include <map>
#include <set>

#include <glog/logging.h>

#include "broker/log/log_dirs.h"
#include "broker/server/gather.h"
#include "broker/server/shard.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

// Opening logs after an unclean stop takes what it takes; the controller sends again meanwhile, which does no
// harm.
constexpr Duration kApplyPatience = std::chrono::minutes(10);
constexpr Duration kMetadataPatience = 30s;

using FailedStates = std::vector<v1::LeaderAndIsrResponse::Partition>;
using FailedStops = std::vector<v1::StopReplicaResponse::Partition>;

// The part of each shard, topics kept together.
std::vector<std::vector<v1::TopicState>> Split(const BrokerContext& context,
                                               const v1::LeaderAndIsrRequest& request, FailedStates* failed) {
  std::vector<std::vector<v1::TopicState>> by_shard(context.shards.size());
  for (const v1::TopicState& topic : request.topics()) {
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    const Result<> legal = ValidateTopicName(topic.name());
    std::vector<v1::TopicState*> part(context.shards.size(), nullptr);
    for (const v1::PartitionState& partition : topic.partitions()) {
      if (!id || !legal) {
        v1::LeaderAndIsrResponse::Partition refused;
        refused.set_topic_id(topic.id());
        refused.set_partition(partition.partition());
        ToProto(id ? legal.error() : id.error(), refused.mutable_error());
        failed->push_back(std::move(refused));
        continue;
      }
      const size_t shard = context.OwnerOf({*id, partition.partition()}).index();
      if (part[shard] == nullptr) {
        v1::TopicState state;
        state.set_name(topic.name());
        state.set_id(topic.id());
        state.set_deleting(topic.deleting());
        by_shard[shard].push_back(std::move(state));
        part[shard] = &by_shard[shard].back();
      }
      *part[shard]->add_partitions() = partition;
    }
  }
  return by_shard;
}

std::vector<PartitionKey> KeysOf(const v1::LeaderAndIsrRequest& request) {
  std::vector<PartitionKey> keys;
  for (const v1::TopicState& topic : request.topics()) {
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    if (!id) continue;
    for (const v1::PartitionState& partition : topic.partitions())
      keys.push_back({*id, partition.partition()});
  }
  return keys;
}

Task<FailedStates> ApplyOn(Shard& owner, std::vector<v1::TopicState> topics,
                           std::vector<BrokerInfo> leaders) {
  if (!owner.active() || owner.scope().stopping()) {
    FailedStates failed;
    for (const v1::TopicState& topic : topics) {
      for (const v1::PartitionState& partition : topic.partitions()) {
        v1::LeaderAndIsrResponse::Partition refused;
        refused.set_topic_id(topic.id());
        refused.set_partition(partition.partition());
        ToProto(Error{v1::BROKER_NOT_READY, "the broker is stopping"}, refused.mutable_error());
        failed.push_back(std::move(refused));
      }
    }
    co_return failed;
  }
  owner.NoteBrokers(leaders);
  co_return co_await owner.table()->ApplyLeaderAndIsr(std::move(topics));
}

Task<FailedStops> StopOn(Shard& owner, std::vector<v1::StopReplicaRequest::Replica> replicas) {
  if (owner.active() && !owner.scope().stopping()) {
    co_return co_await owner.table()->StopReplicas(std::move(replicas));
  }
  FailedStops failed;
  for (const auto& replica : replicas) {
    v1::StopReplicaResponse::Partition refused;
    refused.set_topic_id(replica.topic_id());
    refused.set_partition(replica.partition());
    ToProto(Error{v1::BROKER_NOT_READY, "the broker is stopping"}, refused.mutable_error());
    failed.push_back(std::move(refused));
  }
  co_return failed;
}

using Held = std::vector<std::pair<PartitionKey, std::string>>;

Task<Held> ReplicasOn(Shard& owner) {
  Held out;
  if (!owner.active()) co_return out;
  for (Partition* partition : owner.table()->All()) out.emplace_back(partition->key(), partition->topic());
  co_return out;
}

}  // namespace

CommandExecutor::CommandExecutor(BrokerContext& context, ZkKeeper& keeper, TopicConfigWatcher& configs)
    : context_(context), keeper_(keeper), configs_(configs), order_(context.control_loop) {}

Task<Result<ControllerEpoch>> CommandExecutor::EpochInZooKeeper() {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  const std::string path(zkpath::kControllerEpoch);
  ZkResult<> synced = std::unexpected(ZkCode::kConnectionLoss);
  if (session) synced = co_await session->Sync(path);
  if (!synced) {
    co_return Fail(v1::BROKER_NOT_READY, "the controller's epoch cannot be verified in ZooKeeper: {}",
                   ToString(synced.error()));
  }
  const ZkResult<ZkNode> node = co_await session->Get(path);
  if (!node) {
    co_return Fail(v1::BROKER_NOT_READY, "the controller's epoch cannot be verified in ZooKeeper: {}",
                   ToString(node.error()));
  }
  co_return DecodeControllerEpoch(node->data);
}

Task<Result<>> CommandExecutor::Fence(v1::ControllerStamp stamp) {
  TM_CO_ASSIGN_OR_RETURN(FenceVerdict verdict, fence_.Check(stamp));
  if (verdict == FenceVerdict::kObey) co_return Result<>();
  TM_CO_ASSIGN_OR_RETURN(const ControllerEpoch epoch, co_await EpochInZooKeeper());
  fence_.NoteVerified(epoch);
  if (stamp.controller_epoch() > epoch) {
    LOG(ERROR) << "a command with controller epoch " << stamp.controller_epoch() << " by broker "
               << stamp.controller_id() << " is not obeyed: ZooKeeper knows of " << epoch;
    co_return Fail(v1::STALE_CONTROLLER_EPOCH, "epoch {} is not in ZooKeeper, which holds {}",
                   stamp.controller_epoch(), epoch);
  }
  TM_CO_ASSIGN_OR_RETURN(verdict, fence_.Check(stamp));
  if (verdict == FenceVerdict::kObey) {
    LOG(INFO) << "broker " << stamp.controller_id() << " is the controller of epoch " << epoch;
    co_return Result<>();
  }
  co_return Fail(v1::BROKER_NOT_READY, "the controller epoch changed while it was verified");
}

Task<CommandExecutor::Failed> CommandExecutor::EnsureConfigs(v1::LeaderAndIsrRequest* request) {
  std::vector<TopicConfigWatcher::Wanted> wanted;
  for (const v1::TopicState& topic : request->topics()) {
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    if (id && ValidateTopicName(topic.name())) wanted.push_back({.topic = topic.name(), .id = *id});
  }
  const TopicSettingsPtr before = configs_.current();
  const Result<> ensured = co_await configs_.Ensure(wanted);
  Failed failed;
  if (ensured) co_return failed;
  // Topics whose settings were known go on; a replica without its settings is not made.
  google::protobuf::RepeatedPtrField<v1::TopicState> rest;
  for (v1::TopicState& topic : *request->mutable_topics()) {
    if (before->by_topic.contains(topic.name())) {
      *rest.Add() = std::move(topic);
      continue;
    }
    for (const v1::PartitionState& partition : topic.partitions()) {
      v1::LeaderAndIsrResponse::Partition refused;
      refused.set_topic_id(topic.id());
      refused.set_partition(partition.partition());
      ToProto(ensured.error(), refused.mutable_error());
      failed.push_back(std::move(refused));
    }
  }
  request->mutable_topics()->Swap(&rest);
  co_return failed;
}

Task<v1::LeaderAndIsrResponse> CommandExecutor::LeaderAndIsr(v1::LeaderAndIsrRequest request) {
  v1::LeaderAndIsrResponse response;
  Gather<FailedStates> gather(context_.control_loop, context_.shards.size());
  std::vector<v1::StopReplicaRequest::Replica> strays;
  const bool full = request.full();
  const bool everything = full && !request.incomplete();
  std::vector<PartitionKey> named;
  // Only while it matters; see NoteOpened.
  if (context_.dirs->may_have_lost_logs()) named = KeysOf(request);
  {
    const AsyncLock::Guard turn = co_await order_.Acquire("controller command");
    if (const Result<> obeyed = co_await Fence(request.stamp()); !obeyed) {
      ToProto(obeyed.error(), response.mutable_error());
      co_return response;
    }
    if (full) strays = co_await FindStrays(request);
    Failed failed = co_await EnsureConfigs(&request);
    std::vector<BrokerInfo> leaders;
    for (const v1::LiveBroker& broker : request.live_leaders())
      leaders.push_back(BrokerInfo::FromProto(broker));
    std::vector<std::vector<v1::TopicState>> by_shard = Split(context_, request, &failed);
    for (auto& one : failed) *response.add_partitions() = std::move(one);
    for (const auto& owner : context_.shards) {
      gather.Start(owner->index(), owner->loop(), owner->scope(), "leader and isr",
                   [&owner = *owner, topics = std::move(by_shard[owner->index()]), leaders]() mutable {
                     return ApplyOn(owner, std::move(topics), std::move(leaders));
                   });
    }
  }
  const WaitOutcome waited = co_await gather.Wait(
      "leader and isr", context_.control_loop.Now() + kApplyPatience, context_.control_scope.stop_token());
  if (waited != WaitOutcome::kReady) {
    ToProto({v1::REQUEST_TIMED_OUT, "a shard did not finish"}, response.mutable_error());
    co_return response;
  }
  for (auto& part : gather.results()) {
    for (auto& one : *part) *response.add_partitions() = std::move(one);
  }
  NoteOpened(everything, named, response);
  if (full) {
    took_over_ = took_over_once_ = true;
    if (!strays.empty()) context_.control_scope.Spawn("remove strays", RemoveStrays(std::move(strays)));
  }
  co_return response;
}

// When every replica of a full command, from which nothing was left out, has been opened, or begun anew with
// the controller's knowledge, no log can be missing any more because its directory was replaced.
void CommandExecutor::NoteOpened(bool everything, const std::vector<PartitionKey>& named,
                                 const v1::LeaderAndIsrResponse& response) {
  if (!context_.dirs->may_have_lost_logs() || (!everything && !named_everything_)) return;
  if (everything) not_opened_.clear();
  named_everything_ = true;
  for (const PartitionKey& key : named) not_opened_.erase(key);
  for (const auto& failed : response.partitions()) {
    const Result<TopicId> id = TopicId::FromBytes(failed.topic_id());
    if (id) not_opened_.insert({*id, failed.partition()});
  }
  if (!not_opened_.empty()) return;
  auto settle = [](LogDirs* dirs) -> Task<void> {
    const Result<> settled = co_await dirs->SettleLostLogs();
    LOG_IF(WARNING, !settled) << "marks of new log directories: " << ToString(settled.error());
  };
  context_.control_scope.Spawn("settle log directories", settle(context_.dirs));
}

Task<std::vector<v1::StopReplicaRequest::Replica>> CommandExecutor::FindStrays(
    const v1::LeaderAndIsrRequest& request) {
  std::set<PartitionKey> wanted;
  for (const v1::TopicState& topic : request.topics()) {
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    if (!id) continue;
    for (const v1::PartitionState& partition : topic.partitions())
      wanted.insert({*id, partition.partition()});
  }
  std::map<PartitionKey, std::string> here;
  for (const FoundPartition& found : context_.dirs->found()) {
    if (found.topic_id) here[{*found.topic_id, found.partition}] = found.topic;
  }
  Gather<Held> gather(context_.control_loop, context_.shards.size());
  for (const auto& owner : context_.shards) {
    gather.Start(owner->index(), owner->loop(), owner->scope(), "list replicas",
                 [&owner = *owner] { return ReplicasOn(owner); });
  }
  (void)co_await gather.Wait("list replicas", context_.control_loop.Now() + kMetadataPatience,
                             context_.control_scope.stop_token());
  for (auto& part : gather.results()) {
    if (!part) continue;
    for (auto& [key, topic] : *part) here[key] = topic;
  }
  std::vector<v1::StopReplicaRequest::Replica> strays;
  for (const auto& [key, topic] : here) {
    if (wanted.contains(key)) continue;
    v1::StopReplicaRequest::Replica replica;
    replica.set_topic_id(key.topic.ToBytes());
    replica.set_partition(key.partition);
    replica.set_topic(topic);
    replica.set_delete_data(true);
    replica.set_topic_deleted(true);
    strays.push_back(std::move(replica));
  }
  co_return strays;
}

Task<CommandExecutor::TopicFate> CommandExecutor::FateOf(std::string topic, TopicId id) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session || !ValidateTopicName(topic)) co_return TopicFate::kUnknown;
  const ZkResult<> synced = co_await session->Sync(zkpath::Topic(topic));
  if (!synced) co_return TopicFate::kUnknown;
  const ZkResult<ZkNode> node = co_await session->Get(zkpath::Topic(topic));
  if (!node) co_return node.error() == ZkCode::kNoNode ? TopicFate::kGone : TopicFate::kUnknown;
  const Result<v1::TopicZnode> decoded = DecodeTopic(node->data);
  // A znode that cannot be read proves nothing.
  const bool replaced =
      decoded && decoded->topic_id().size() == TopicId::kSize && decoded->topic_id() != id.ToBytes();
  co_return replaced ? TopicFate::kReplaced : TopicFate::kUnknown;
}

std::set<CommandExecutor::Folder> CommandExecutor::PossibleCopies() const {
  std::set<Folder> out;
  for (const FoundPartition& found : context_.dirs->found()) {
    if (!found.checkpointed && found.topic_id)
      out.emplace(PartitionKey{*found.topic_id, found.partition}, found.topic);
  }
  return out;
}

Task<void> CommandExecutor::RemoveStrays(std::vector<v1::StopReplicaRequest::Replica> strays) {
  // The controller may leave a topic out because it cannot read it; only ZooKeeper's word deletes data.
  std::vector<v1::StopReplicaRequest::Replica> gone;
  std::map<std::pair<std::string, std::string>, TopicFate> known;
  const std::set<Folder> copies = PossibleCopies();
  for (v1::StopReplicaRequest::Replica& stray : strays) {
    const auto key = std::pair(stray.topic(), stray.topic_id());
    const TopicId id = *TopicId::FromBytes(stray.topic_id());
    if (!known.contains(key)) known[key] = co_await FateOf(stray.topic(), id);
    const bool copy = copies.contains({{id, stray.partition()}, stray.topic()});
    const bool certain = known[key] == TopicFate::kReplaced || (known[key] == TopicFate::kGone && !copy);
    if (certain) {
      LOG(INFO) << "removing the replica " << stray.topic() << "-" << stray.partition()
                << " of a deleted topic";
      gone.push_back(std::move(stray));
    } else {
      LOG(WARNING) << "the controller does not name " << stray.topic() << "-" << stray.partition()
                   << ", which is here; it is left alone, because its topic was not certainly deleted"
                   << (known[key] == TopicFate::kGone
                           ? ": no checkpoint names it, so that it may be a copy of "
                             "a folder; if it is rubbish, remove it"
                           : "");
    }
  }
  if (gone.empty()) co_return;
  const Result<FailedStops> failed = co_await StopOnShards(std::move(gone));
  LOG_IF(WARNING, !failed) << "stray replicas may not be removed: " << failed.error().message;
  if (!failed) co_return;
  for (const auto& one : *failed) {
    LOG(WARNING) << "a stray replica could not be removed: " << one.error().message();
  }
}

Task<v1::UpdateMetadataResponse> CommandExecutor::UpdateMetadata(v1::UpdateMetadataRequest request) {
  v1::UpdateMetadataResponse response;
  Gather<bool> gather(context_.control_loop, context_.shards.size());
  {
    const AsyncLock::Guard turn = co_await order_.Acquire("controller command");
    if (const Result<> obeyed = co_await Fence(request.stamp()); !obeyed) {
      ToProto(obeyed.error(), response.mutable_error());
      co_return response;
    }
    // One that arrives late, after its sender had given it up, must not undo what a later one told.
    const std::pair order(request.stamp().controller_epoch(), request.sequence());
    if (request.sequence() != 0 && order <= metadata_order_) co_return response;
    metadata_order_ = std::max(metadata_order_, order);
    snapshot_ = ClusterSnapshot::Apply(*snapshot_, request);
    for (const auto& owner : context_.shards) {
      owner->PostSnapshot(snapshot_);
      // Posted after the snapshot: its answer says that the shard has it.
      gather.Start(owner->index(), owner->loop(), owner->scope(), "update metadata",
                   []() -> Task<bool> { co_return true; });
    }
  }
  const WaitOutcome waited =
      co_await gather.Wait("update metadata", context_.control_loop.Now() + kMetadataPatience,
                           context_.control_scope.stop_token());
  if (waited != WaitOutcome::kReady) {
    ToProto({v1::REQUEST_TIMED_OUT, "a shard has not taken the metadata"}, response.mutable_error());
  }
  co_return response;
}

Task<Result<FailedStops>> CommandExecutor::StopOnShards(std::vector<v1::StopReplicaRequest::Replica> replicas,
                                                        std::optional<AsyncLock::Guard> turn) {
  std::vector<std::vector<v1::StopReplicaRequest::Replica>> by_shard(context_.shards.size());
  FailedStops failed;
  for (v1::StopReplicaRequest::Replica& replica : replicas) {
    const Result<TopicId> id = TopicId::FromBytes(replica.topic_id());
    if (!id) {
      v1::StopReplicaResponse::Partition refused;
      refused.set_topic_id(replica.topic_id());
      refused.set_partition(replica.partition());
      ToProto(id.error(), refused.mutable_error());
      failed.push_back(std::move(refused));
      continue;
    }
    if (replica.topic_deleted()) configs_.Forget(replica.topic(), *id);
    by_shard[context_.OwnerOf({*id, replica.partition()}).index()].push_back(std::move(replica));
  }
  Gather<FailedStops> gather(context_.control_loop, context_.shards.size());
  for (const auto& owner : context_.shards) {
    gather.Start(owner->index(), owner->loop(), owner->scope(), "stop replicas",
                 [&owner = *owner, part = std::move(by_shard[owner->index()])]() mutable {
                   return StopOn(owner, std::move(part));
                 });
  }
  turn.reset();
  const WaitOutcome waited = co_await gather.Wait(
      "stop replicas", context_.control_loop.Now() + kApplyPatience, context_.control_scope.stop_token());
  if (waited != WaitOutcome::kReady) co_return Fail(v1::REQUEST_TIMED_OUT, "a shard did not finish");
  for (auto& part : gather.results()) failed.insert(failed.end(), part->begin(), part->end());
  co_return failed;
}

Task<v1::StopReplicaResponse> CommandExecutor::StopReplica(v1::StopReplicaRequest request) {
  v1::StopReplicaResponse response;
  std::optional<AsyncLock::Guard> turn(co_await order_.Acquire("controller command"));
  if (const Result<> obeyed = co_await Fence(request.stamp()); !obeyed) {
    ToProto(obeyed.error(), response.mutable_error());
    co_return response;
  }
  std::vector<v1::StopReplicaRequest::Replica> replicas(request.replicas().begin(), request.replicas().end());
  Result<FailedStops> failed = co_await StopOnShards(std::move(replicas), std::move(turn));
  if (!failed) ToProto(failed.error(), response.mutable_error());
  if (failed) {
    for (auto& one : *failed) *response.add_partitions() = std::move(one);
  }
  co_return response;
}

}  // namespace tidemark
