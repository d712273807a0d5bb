// CommandExecutor: obeys the controller's commands: fences them, then hands each shard its part and gathers
// the outcome. Control loop only. Commands are begun one after the other in the order of their arrival (a
// StopReplica must not overtake the LeaderAndIsr before it); the shards' work of successive commands
// overlaps.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/replica/async_lock.h"
#include "broker/server/broker_context.h"
#include "broker/server/cluster_snapshot.h"
#include "broker/server/control_fence.h"
#include "broker/server/topic_config_watcher.h"
#include "common/zk/zk_keeper.h"

namespace tidemark {

class CommandExecutor {
 public:
  CommandExecutor(BrokerContext& context, ZkKeeper& keeper, TopicConfigWatcher& configs);

  void SetBrokerEpoch(BrokerEpoch epoch) { fence_.SetBrokerEpoch(epoch); }
  const ClusterSnapshot::Ptr& snapshot() const { return snapshot_; }
  const ControlFence& fence() const { return fence_; }
  // True after the first full LeaderAndIsr of this registration was worked off: replicas are in service.
  bool took_over() const { return took_over_; }
  // True once one was in this process's life: a controller has acted on a registration of it.
  bool took_over_once() const { return took_over_once_; }
  void OnRegistrationLost() { took_over_ = named_everything_ = false; }

  Task<v1::LeaderAndIsrResponse> LeaderAndIsr(v1::LeaderAndIsrRequest request);
  Task<v1::UpdateMetadataResponse> UpdateMetadata(v1::UpdateMetadataRequest request);
  Task<v1::StopReplicaResponse> StopReplica(v1::StopReplicaRequest request);

 private:
  using Failed = std::vector<v1::LeaderAndIsrResponse::Partition>;

  // Obeys (true), or the error to answer.
  Task<Result<>> Fence(v1::ControllerStamp stamp);
  Task<Result<ControllerEpoch>> EpochInZooKeeper();
  // Removes from the request what has no configs known, and says so.
  Task<Failed> EnsureConfigs(v1::LeaderAndIsrRequest* request);
  Task<std::vector<v1::StopReplicaRequest::Replica>> FindStrays(const v1::LeaderAndIsrRequest& request);
  void NoteOpened(bool everything, const std::vector<PartitionKey>& named,
                  const v1::LeaderAndIsrResponse& response);
  // What ZooKeeper says for certain of a topic id. kReplaced: another topic has its name now.
  enum class TopicFate { kUnknown, kGone, kReplaced };
  Task<TopicFate> FateOf(std::string topic, TopicId id);
  // Found folders that may be copies that a person has put there: no checkpoint names them.
  using Folder = std::pair<PartitionKey, std::string>;
  std::set<Folder> PossibleCopies() const;
  Task<void> RemoveStrays(std::vector<v1::StopReplicaRequest::Replica> strays);
  // What failed. `turn` ends when all shards have it: a partition's commands keep their order there.
  // REQUEST_TIMED_OUT: some may not be stopped.
  Task<Result<std::vector<v1::StopReplicaResponse::Partition>>> StopOnShards(
      std::vector<v1::StopReplicaRequest::Replica> replicas, std::optional<AsyncLock::Guard> turn = {});

  BrokerContext& context_;
  ZkKeeper& keeper_;
  TopicConfigWatcher& configs_;
  ControlFence fence_;
  AsyncLock order_;
  ClusterSnapshot::Ptr snapshot_ = ClusterSnapshot::Empty();
  // Controller epoch and sequence of the last metadata obeyed.
  std::pair<ControllerEpoch, uint64_t> metadata_order_{0, 0};
  bool took_over_ = false;
  bool took_over_once_ = false;
  bool named_everything_ = false;  // a full command came from which nothing was left out
  // Of the replicas named since the last full command, those that could not be opened. Kept only while a
  // missing log may have been lost.
  std::set<PartitionKey> not_opened_;
};

}  // namespace tidemark
