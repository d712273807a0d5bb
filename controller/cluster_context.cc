#include "controller/cluster_context.h"

#include <algorithm>

#include "common/config/listeners.h"

namespace tidemark {

PartitionFacts ClusterContext::Facts(const TopicContext& topic, PartitionIndex index) const {
  const PartitionContext& partition = topic.partitions.at(index);
  PartitionFacts facts;
  facts.unclean_allowed = topic.configs.unclean_leader_election;
  facts.synced = topic.configs.synced;
  for (const BrokerId id : partition.replicas) {
    ReplicaFacts replica{.id = id};
    if (const LiveBrokerContext* broker = Broker(id)) {
      replica.lost = ReplicaLost(id, {topic.id, index});
      replica.usable = !replica.lost && !ReplicaFailed(id, {topic.id, index});
      replica.shutting_down = broker->shutting_down;
      replica.clean_start = broker->clean_start;
      replica.unproven = broker->new_log_dirs && !broker->proven.contains({topic.id, index});
      replica.epoch = broker->epoch;
    }
    facts.replicas.push_back(replica);
  }
  if (!partition.state) return facts;
  facts.state = *partition.state;
  for (IsrMember& member : facts.state.isr) member.epoch = EpochOfMember(member, partition);
  return facts;
}

bool ClusterContext::Incomplete() const {
  if (!unreadable_topics.empty()) return true;
  return std::ranges::any_of(topics, [](const auto& entry) {
    const TopicContext& topic = entry.second;
    return !topic.quarantine.empty() &&
           std::ranges::any_of(topic.partitions, [](const auto& each) { return !each.second.state; });
  });
}

BrokerEpoch ClusterContext::EpochOfMember(const IsrMember& member, const PartitionContext& partition) const {
  if (member.epoch != kNoBrokerEpoch) return member.epoch;
  // Written by someone who does not record epochs: a registration younger than the state is a new life.
  const LiveBrokerContext* broker = Broker(member.id);
  return broker != nullptr && broker->epoch < partition.mzxid ? broker->epoch : kNoBrokerEpoch;
}

Result<LiveBrokerContext> MakeLiveBroker(BrokerId id, const v1::BrokerZnode& node, BrokerEpoch epoch) {
  LiveBrokerContext broker;
  broker.id = id;
  broker.epoch = epoch;
  broker.clean_start = node.clean_shutdown();
  broker.new_log_dirs = node.new_log_dirs();
  broker.wire.set_id(id);
  broker.wire.set_epoch(epoch);
  broker.wire.set_rack(node.rack());
  broker.wire.set_admin_address(node.admin_address());
  bool found = false;
  std::string wanted = node.inter_broker_listener();
  for (const std::string& text : node.endpoints()) {
    const Result<ListenerAddress> address = ParseListenerAddress(text);
    if (!address) return Fail(v1::INVALID_CONFIG, "endpoint '{}': {}", text, address.error().message);
    if (address->host.empty() || address->port == 0) {
      return Fail(v1::INVALID_CONFIG, "endpoint '{}' cannot be connected to", text);
    }
    // A registration that does not say which one: its first.
    if (wanted.empty()) wanted = address->name;
    v1::ListenerEndpoint* endpoint = broker.wire.add_endpoints();
    endpoint->set_listener(address->name);
    endpoint->set_host(address->host);
    endpoint->set_port(address->port);
    if (address->name == wanted && !found) {
      found = true;
      broker.control_endpoint = {.host = address->host, .port = address->port};
    }
  }
  if (!found)
    return Fail(v1::INVALID_CONFIG, "there is no endpoint of the inter-broker listener '{}'", wanted);
  broker.wire.set_inter_broker_listener(wanted);
  return broker;
}

Result<std::map<PartitionIndex, PartitionContext>> MakePartitions(const v1::TopicZnode& node) {
  std::map<PartitionIndex, PartitionContext> out;
  for (const auto& [index, list] : node.partitions()) {
    PartitionContext partition;
    std::set<BrokerId> seen;
    for (const BrokerId id : list.replicas()) {
      if (id < 0)
        return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} has a replica on broker {}", index, id);
      if (!seen.insert(id).second) {
        return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} names broker {} twice", index, id);
      }
      partition.replicas.push_back(id);
    }
    if (partition.replicas.empty()) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} has no replicas", index);
    }
    out.emplace(index, std::move(partition));
  }
  if (out.empty()) return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "there are no partitions");
  if (out.rbegin()->first != out.size() - 1) {
    return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "there are {} partitions and the last is {}", out.size(),
                out.rbegin()->first);
  }
  return out;
}

}  // namespace tidemark
