#include "controller/command_maker.h"

#include <algorithm>
#include <map>

namespace tidemark {
namespace {

bool Has(const std::vector<BrokerId>& ids, BrokerId id) { return std::ranges::find(ids, id) != ids.end(); }

void Name(const TopicContext& topic, v1::TopicState* out) {
  out->set_name(topic.name);
  out->set_id(topic.id.ToBytes());
  out->set_deleting(topic.deleting);
}

void FillMetadataState(const ClusterContext& cluster, const TopicContext& topic, v1::TopicState* out) {
  Name(topic, out);
  for (const auto& [index, partition] : topic.partitions) {
    v1::PartitionState* state = out->add_partitions();
    if (partition.state) {
      FillPartitionState(index, partition, state);
    } else {
      state->set_partition(index);
      state->set_leader(kNoBroker);
      state->mutable_replicas()->Assign(partition.replicas.begin(), partition.replicas.end());
    }
    if (topic.deleting) state->set_leader(kNoBroker);
    for (const BrokerId id : partition.replicas) {
      if (cluster.ReplicaOffline(id, {topic.id, index})) state->add_offline_replicas(id);
    }
  }
}

// Whether the leader was elected in the life that its broker has now. One that has bounced since must not
// hear that it leads before it is elected anew, in another leader epoch: what it lost with its former life
// was acknowledged in this one. That election may wait long (ZooKeeper did not confirm it, the topic is
// quarantined).
bool LeadsInPresentLife(const ClusterContext& cluster, const PartitionContext& partition) {
  const IsrMember* leader = partition.state->Member(partition.state->leader);
  return leader != nullptr && cluster.EpochOfMember(*leader, partition) == cluster.EpochOf(leader->id);
}

// Whether the broker cannot have a log of the partition yet: nothing has been decided of it since it was
// made, and the broker is in the life that it was made in. A state that has not changed may be years old, and
// a log that is not there in a later life may be lost.
bool IsNewTo(const ClusterContext& cluster, BrokerId broker, const PartitionContext& partition) {
  const IsrMember* member = partition.state->Member(broker);
  return partition.state->leader_epoch == 0 && partition.version == 0 && member != nullptr &&
         cluster.EpochOfMember(*member, partition) == cluster.EpochOf(broker);
}

// A topic whose id is not in its znode yet cannot be told of.
bool Tellable(const TopicContext& topic) { return !topic.id.IsZero(); }

}  // namespace

void FillPartitionState(PartitionIndex index, const PartitionContext& partition, v1::PartitionState* out) {
  const Leadership& state = *partition.state;
  out->set_partition(index);
  out->set_leader(state.leader);
  out->set_leader_epoch(state.leader_epoch);
  for (const IsrMember& member : state.isr) out->add_isr(member.id);
  out->set_partition_epoch(partition.epoch());
  out->mutable_replicas()->Assign(partition.replicas.begin(), partition.replicas.end());
  out->set_recovery_state(state.recovery);
  out->set_controller_epoch(state.controller_epoch);
}

v1::LeaderAndIsrRequest MakeLeaderAndIsr(const ClusterContext& cluster, BrokerId broker,
                                         const std::set<PartitionKey>* keys) {
  v1::LeaderAndIsrRequest request;
  const auto add = [&](const TopicContext& topic, PartitionIndex index, const PartitionContext& partition,
                       v1::TopicState** state) {
    if (!partition.state || !Has(partition.replicas, broker)) return;
    if (*state == nullptr) Name(topic, *state = request.add_topics());
    v1::PartitionState* out = (*state)->add_partitions();
    FillPartitionState(index, partition, out);
    out->set_is_new(IsNewTo(cluster, broker, partition));
    if (partition.state->leader == broker && !LeadsInPresentLife(cluster, partition))
      out->set_leader(kNoBroker);
  };
  if (keys == nullptr) {
    for (const auto& [name, topic] : cluster.topics) {
      if (topic.deleting || !Tellable(topic)) continue;
      v1::TopicState* state = nullptr;
      for (const auto& [index, partition] : topic.partitions) add(topic, index, partition, &state);
    }
    request.set_incomplete(cluster.Incomplete());
  } else {
    // Keys are sorted by topic id, so a topic's partitions are neighbours.
    v1::TopicState* state = nullptr;
    TopicId current;
    for (const PartitionKey& key : *keys) {
      const auto name = cluster.topic_names.find(key.topic);
      if (name == cluster.topic_names.end()) continue;
      const TopicContext& topic = cluster.topics.at(name->second);
      const auto partition = topic.partitions.find(key.partition);
      if (topic.deleting || partition == topic.partitions.end()) continue;
      if (key.topic != current) state = nullptr;
      current = key.topic;
      add(topic, key.partition, partition->second, &state);
    }
  }
  for (const auto& [id, live] : cluster.brokers) *request.add_live_leaders() = live.wire;
  return request;
}

v1::UpdateMetadataRequest MakeUpdateMetadata(const ClusterContext& cluster, const std::set<TopicId>* topics) {
  v1::UpdateMetadataRequest request;
  if (topics == nullptr) {
    for (const auto& [name, topic] : cluster.topics) {
      if (Tellable(topic)) FillMetadataState(cluster, topic, request.add_topics());
    }
    for (const auto& [name, why] : cluster.unreadable_topics) request.add_unreadable_topics(name);
  } else {
    for (const TopicId& id : *topics) {
      const auto name = cluster.topic_names.find(id);
      if (name == cluster.topic_names.end()) {
        request.add_deleted_topic_ids(id.ToBytes());
      } else {
        FillMetadataState(cluster, cluster.topics.at(name->second), request.add_topics());
      }
    }
  }
  for (const auto& [id, live] : cluster.brokers) *request.add_live_brokers() = live.wire;
  return request;
}

void FillTopicMetadata(const ClusterContext& cluster, const TopicContext& topic, v1::TopicMetadata* out) {
  out->set_name(topic.name);
  out->set_id(topic.id.ToBytes());
  out->set_internal(IsInternalTopic(topic.name));
  out->set_deleting(topic.deleting);
  for (const auto& [index, partition] : topic.partitions) {
    v1::PartitionMetadata* metadata = out->add_partitions();
    metadata->set_partition(index);
    metadata->set_leader(kNoBroker);
    metadata->mutable_replicas()->Assign(partition.replicas.begin(), partition.replicas.end());
    if (partition.state) {
      if (!topic.deleting) metadata->set_leader(partition.state->leader);
      metadata->set_leader_epoch(partition.state->leader_epoch);
      for (const IsrMember& member : partition.state->isr) metadata->add_isr(member.id);
    }
    for (const BrokerId id : partition.replicas) {
      if (cluster.Broker(id) == nullptr || cluster.ReplicaOffline(id, {topic.id, index})) {
        metadata->add_offline_replicas(id);
      }
    }
    if (metadata->leader() == kNoBroker) {
      ToProto({v1::LEADER_NOT_AVAILABLE, "no replica in sync is live"}, metadata->mutable_error());
    }
  }
}

}  // namespace tidemark
