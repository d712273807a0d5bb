// ClusterContext: the cluster as the controller of one term has read it from ZooKeeper, with the little that
// only memory knows (who is shutting down, which replicas failed). Plain values, owned by the term; control
// loop only.
//
// Invariants: `topic_names` maps the id of each topic in `topics` to its name; a partition's `version` is
// that of the state znode which `state` was read from or written as.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/config/topic_configs.h"
#include "common/net/transport.h"
#include "common/types.h"
#include "controller/partition_leadership.h"
#include "tidemark/v1/control_api.pb.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark {

// A broker with a usable registration.
struct LiveBrokerContext {
  BrokerId id = kNoBroker;
  BrokerEpoch epoch = kNoBrokerEpoch;
  int32_t node_version = 0;
  bool clean_start = false;    // its stop before this life was clean
  bool shutting_down = false;  // asked for controlled shutdown in this life
  bool new_log_dirs = false;   // logs of its former life may be gone
  // With new log directories: the replicas that it has taken over in this life, so they are there.
  std::set<PartitionKey> proven;
  Endpoint control_endpoint;  // of the inter-broker listener
  v1::LiveBroker wire;        // as commands tell of it
};

struct PartitionContext {
  std::vector<BrokerId> replicas;  // preferred leader first
  // Nothing: the partition is new and waits for a live replica.
  std::optional<Leadership> state;
  int32_t version = -1;
  int64_t mzxid = 0;
  PartitionEpoch epoch() const { return static_cast<PartitionEpoch>(version); }
};

struct TopicContext {
  std::string name;
  TopicId id;
  v1::TopicZnode node;
  int32_t node_version = 0;
  Properties overrides;
  TopicConfigs configs;
  std::map<PartitionIndex, PartitionContext> partitions;
  bool deleting = false;
  // Why nothing is decided for the topic; empty when it is well.
  std::string quarantine;

  bool decidable() const { return quarantine.empty() && !deleting; }
};

// A replica that cannot serve, in the life `broker_epoch` of its broker.
struct FailedReplica {
  BrokerEpoch broker_epoch = kNoBrokerEpoch;
  // Its log is damaged as a whole, its disk is well: out of the ISR it begins anew and serves again in this
  // life.
  bool log_damaged = false;
};

struct ClusterContext {
  std::map<BrokerId, LiveBrokerContext> brokers;
  std::map<std::string, TopicContext, std::less<>> topics;
  std::unordered_map<TopicId, std::string> topic_names;
  // Topics and brokers whose znodes cannot be read, and why.
  std::map<std::string, std::string> unreadable_topics;
  std::map<std::string, std::string> unreadable_brokers;
  // Markers under /admin/delete_topics.
  std::set<std::string, std::less<>> deletions;
  // Replicas whose log directory failed, and only copies in sync whose logs are damaged.
  std::map<std::pair<BrokerId, PartitionKey>, FailedReplica> failed_replicas;
  // Members of an ISR whose broker no longer has their log (its directory was replaced), in the life of the
  // broker that said so; until they are out of the ISR and may begin anew, empty.
  std::map<std::pair<BrokerId, PartitionKey>, BrokerEpoch> lost_replicas;

  const LiveBrokerContext* Broker(BrokerId id) const {
    const auto it = brokers.find(id);
    return it == brokers.end() ? nullptr : &it->second;
  }
  TopicContext* Topic(const TopicId& id) {
    const auto it = topic_names.find(id);
    return it == topic_names.end() ? nullptr : &topics.at(it->second);
  }
  bool ReplicaFailed(BrokerId broker, const PartitionKey& key) const {
    const auto it = failed_replicas.find({broker, key});
    return it != failed_replicas.end() && brokers.contains(broker) &&
           brokers.at(broker).epoch == it->second.broker_epoch;
  }
  bool ReplicaLost(BrokerId broker, const PartitionKey& key) const {
    const auto it = lost_replicas.find({broker, key});
    return it != lost_replicas.end() && brokers.contains(broker) && brokers.at(broker).epoch == it->second;
  }
  // Its broker is live, but the replica cannot serve.
  bool ReplicaOffline(BrokerId broker, const PartitionKey& key) const {
    return ReplicaFailed(broker, key) || ReplicaLost(broker, key);
  }
  BrokerEpoch EpochOf(BrokerId id) const {
    const LiveBrokerContext* broker = Broker(id);
    return broker == nullptr ? kNoBrokerEpoch : broker->epoch;
  }
  // The life of its broker in which the member was taken into the ISR of `partition`, as far as can be told.
  BrokerEpoch EpochOfMember(const IsrMember& member, const PartitionContext& partition) const;
  // Partitions may exist of which nothing can be told: their znodes cannot be read.
  bool Incomplete() const;
  // What decisions about a partition go by.
  PartitionFacts Facts(const TopicContext& topic, PartitionIndex index) const;
};

// A registration as read. INVALID_CONFIG names what is wrong with it.
Result<LiveBrokerContext> MakeLiveBroker(BrokerId id, const v1::BrokerZnode& node, BrokerEpoch epoch);

// The partitions of a topic znode, without states. INVALID_REPLICA_ASSIGNMENT names the partition that is
// impossible.
Result<std::map<PartitionIndex, PartitionContext>> MakePartitions(const v1::TopicZnode& node);

}  // namespace tidemark
