#include "broker/server/cluster_snapshot.h"

#include <algorithm>

#include <glog/logging.h>

namespace tidemark {
namespace {

PartitionInfo FromProto(const v1::PartitionState& state) {
  PartitionInfo out{.leader = state.leader(), .leader_epoch = state.leader_epoch()};
  out.replicas.assign(state.replicas().begin(), state.replicas().end());
  out.isr.assign(state.isr().begin(), state.isr().end());
  out.offline.assign(state.offline_replicas().begin(), state.offline_replicas().end());
  return out;
}

}  // namespace

BrokerInfo BrokerInfo::FromProto(const v1::LiveBroker& broker) {
  BrokerInfo out{.id = broker.id(), .epoch = broker.epoch()};
  for (const v1::ListenerEndpoint& endpoint : broker.endpoints()) {
    out.endpoints[endpoint.listener()] = {endpoint.host(), static_cast<uint16_t>(endpoint.port())};
  }
  out.rack = broker.rack();
  out.admin_address = broker.admin_address();
  out.inter_broker_listener = broker.inter_broker_listener();
  return out;
}

const Endpoint* BrokerInfo::On(std::string_view listener) const {
  const auto it = endpoints.find(listener);
  return it == endpoints.end() ? nullptr : &it->second;
}

ClusterSnapshot::Ptr ClusterSnapshot::Apply(const ClusterSnapshot& before,
                                            const v1::UpdateMetadataRequest& update) {
  auto next = std::make_shared<ClusterSnapshot>();
  const bool same_controller = before.controller_epoch_ == update.stamp().controller_epoch();
  next->controller_ = update.stamp().controller_id();
  next->controller_epoch_ = update.stamp().controller_epoch();
  next->version_ = same_controller ? before.version_ + 1 : 1;
  for (const v1::LiveBroker& broker : update.live_brokers()) {
    next->brokers_[broker.id()] = BrokerInfo::FromProto(broker);
  }
  if (!update.full()) {
    next->topics_ = before.topics_;
    next->by_name_ = before.by_name_;
    next->unreadable_topics_ = before.unreadable_topics_;
  }
  for (const std::string& name : update.unreadable_topics()) {
    next->unreadable_topics_ = true;
    const auto known = before.by_name_.find(name);
    if (known == before.by_name_.end()) continue;
    next->by_name_[name] = known->second;
    next->topics_[known->second] = before.topics_.at(known->second);
  }
  for (const std::string& bytes : update.deleted_topic_ids()) {
    if (const Result<TopicId> id = TopicId::FromBytes(bytes)) next->RemoveTopic(*id);
  }
  for (const v1::TopicState& topic : update.topics()) next->AddTopic(topic);
  return next;
}

void ClusterSnapshot::AddTopic(const v1::TopicState& state) {
  const Result<TopicId> id = TopicId::FromBytes(state.id());
  if (!id || !ValidateTopicName(state.name())) {
    LOG(ERROR) << "the controller named an impossible topic '" << state.name() << "'; left out";
    // It may be one that was known under its right name.
    unreadable_topics_ = true;
    return;
  }
  auto topic = std::make_shared<TopicInfo>();
  const auto known = topics_.find(*id);
  if (known != topics_.end()) {
    *topic = *known->second;
    // The id is what a topic is; its former name must not lead to it, nor to nothing when it goes.
    if (topic->name != state.name()) by_name_.erase(topic->name);
  }
  topic->name = state.name();
  topic->id = *id;
  topic->deleting = state.deleting();
  for (const v1::PartitionState& partition : state.partitions()) {
    topic->partitions[partition.partition()] = FromProto(partition);
  }
  // A re-created topic has another id under the same name.
  const auto named = by_name_.find(state.name());
  if (named != by_name_.end() && named->second != *id) topics_.erase(named->second);
  by_name_[state.name()] = *id;
  topics_[*id] = std::move(topic);
}

void ClusterSnapshot::RemoveTopic(const TopicId& id) {
  const auto it = topics_.find(id);
  if (it == topics_.end()) return;
  const auto named = by_name_.find(it->second->name);
  if (named != by_name_.end() && named->second == id) by_name_.erase(named);
  topics_.erase(it);
}

const BrokerInfo* ClusterSnapshot::Broker(BrokerId id) const {
  const auto it = brokers_.find(id);
  return it == brokers_.end() ? nullptr : &it->second;
}

const TopicInfo* ClusterSnapshot::Topic(const TopicId& id) const {
  const auto it = topics_.find(id);
  return it == topics_.end() ? nullptr : it->second.get();
}

const TopicInfo* ClusterSnapshot::Topic(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : Topic(it->second);
}

std::vector<std::string> ClusterSnapshot::TopicNames() const {
  std::vector<std::string> names;
  names.reserve(by_name_.size());
  for (const auto& [name, id] : by_name_) names.push_back(name);
  return names;
}

Error ClusterSnapshot::WhyNotHere(const PartitionKey& key, BrokerId self) const {
  const TopicInfo* topic = Topic(key.topic);
  if (topic == nullptr)
    return {v1::UNKNOWN_TOPIC_ID, fmt::format("no topic has the id {}", key.topic.ToBase64())};
  const auto it = topic->partitions.find(key.partition);
  if (it == topic->partitions.end()) {
    return {v1::UNKNOWN_TOPIC_OR_PARTITION, fmt::format("{} has no partition {}; it has {}", topic->name,
                                                        key.partition, topic->partitions.size())};
  }
  const BrokerId leader = it->second.leader;
  if (leader == kNoBroker) {
    return {v1::NOT_LEADER_OR_FOLLOWER,
            fmt::format("{}-{} has no leader at this moment", topic->name, key.partition)};
  }
  if (leader == self) {
    return {v1::NOT_LEADER_OR_FOLLOWER,
            fmt::format("broker {} is about to lead {}-{}", self, topic->name, key.partition)};
  }
  return {v1::NOT_LEADER_OR_FOLLOWER, fmt::format("broker {} does not lead {}-{}; broker {} does", self,
                                                  topic->name, key.partition, leader)};
}

void ClusterSnapshot::FillHint(const PartitionKey& key, std::string_view listener, BrokerId known_leader,
                               LeaderEpoch known_epoch, v1::LeaderHint* out) const {
  BrokerId leader = known_leader;
  LeaderEpoch epoch = known_epoch;
  if (const TopicInfo* topic = Topic(key.topic)) {
    const auto it = topic->partitions.find(key.partition);
    if (it != topic->partitions.end() && (leader == kNoBroker || it->second.leader_epoch >= epoch)) {
      leader = it->second.leader;
      epoch = it->second.leader_epoch;
    }
  }
  out->set_leader(leader);
  out->set_leader_epoch(epoch);
  const BrokerInfo* broker = Broker(leader);
  if (const Endpoint* endpoint = broker == nullptr ? nullptr : broker->On(listener)) {
    out->set_host(endpoint->host);
    out->set_port(endpoint->port);
  }
}

void ClusterSnapshot::FillTopic(const TopicInfo& topic, v1::TopicMetadata* out) const {
  out->set_name(topic.name);
  out->set_id(topic.id.ToBytes());
  out->set_internal(IsInternalTopic(topic.name));
  out->set_deleting(topic.deleting);
  for (const auto& [number, info] : topic.partitions) {
    v1::PartitionMetadata* partition = out->add_partitions();
    partition->set_partition(number);
    partition->set_leader(info.leader);
    partition->set_leader_epoch(info.leader_epoch);
    partition->mutable_replicas()->Assign(info.replicas.begin(), info.replicas.end());
    partition->mutable_isr()->Assign(info.isr.begin(), info.isr.end());
    for (const BrokerId replica : info.replicas) {
      const bool offline = std::ranges::find(info.offline, replica) != info.offline.end();
      if (offline || !brokers_.contains(replica)) partition->add_offline_replicas(replica);
    }
    if (info.leader == kNoBroker) {
      ToProto({v1::LEADER_NOT_AVAILABLE, fmt::format("{}-{} has no leader", topic.name, number)},
              partition->mutable_error());
    }
  }
}

}  // namespace tidemark
