// ClusterSnapshot: the cluster as the controller last told this broker. Immutable: the control loop makes the
// next one from an UpdateMetadata and posts it to every shard; any thread may read one that it holds. Topics
// are shared between successive snapshots, so that an update costs what changed plus one pointer per topic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/net/transport.h"
#include "common/types.h"
#include "tidemark/v1/client_api.pb.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

struct PartitionInfo {
  BrokerId leader = kNoBroker;
  LeaderEpoch leader_epoch = 0;
  std::vector<BrokerId> replicas;
  std::vector<BrokerId> isr;
  // On live brokers, but out of service there.
  std::vector<BrokerId> offline;
};

struct TopicInfo {
  std::string name;
  TopicId id;
  bool deleting = false;
  std::map<PartitionIndex, PartitionInfo> partitions;
};

struct BrokerInfo {
  BrokerId id = kNoBroker;
  BrokerEpoch epoch = kNoBrokerEpoch;
  std::map<std::string, Endpoint, std::less<>> endpoints;  // by listener name
  std::string rack;
  std::string admin_address;
  std::string inter_broker_listener;

  static BrokerInfo FromProto(const v1::LiveBroker& broker);
  const Endpoint* On(std::string_view listener) const;
  const Endpoint* InterBroker() const { return On(inter_broker_listener); }
};

class ClusterSnapshot {
 public:
  using Ptr = std::shared_ptr<const ClusterSnapshot>;

  static Ptr Empty() { return std::make_shared<const ClusterSnapshot>(); }
  // The next snapshot. Topics with an id of wrong size or an illegal name are left out (the sender is broken;
  // the rest of what it says is still better than nothing).
  static Ptr Apply(const ClusterSnapshot& before, const v1::UpdateMetadataRequest& update);

  BrokerId controller() const { return controller_; }
  ControllerEpoch controller_epoch() const { return controller_epoch_; }
  uint64_t version() const { return version_; }

  const std::map<BrokerId, BrokerInfo>& brokers() const { return brokers_; }
  const BrokerInfo* Broker(BrokerId id) const;
  const TopicInfo* Topic(const TopicId& id) const;
  const TopicInfo* Topic(std::string_view name) const;
  size_t topic_count() const { return topics_.size(); }
  // The controller could not read some topics: one that is missing here may exist.
  bool unreadable_topics() const { return unreadable_topics_; }
  // Names of all topics, in order.
  std::vector<std::string> TopicNames() const;

  // Why a request for this partition cannot be served here, as far as the snapshot tells: UNKNOWN_TOPIC_ID,
  // UNKNOWN_TOPIC_OR_PARTITION (names the number of partitions), or NOT_LEADER_OR_FOLLOWER (names the
  // leader).
  Error WhyNotHere(const PartitionKey& key, BrokerId self) const;
  // Fills leader, epoch and the leader's address on `listener`. `known_*`: what the partition itself knows;
  // the higher epoch wins.
  void FillHint(const PartitionKey& key, std::string_view listener, BrokerId known_leader,
                LeaderEpoch known_epoch, v1::LeaderHint* out) const;

  void FillTopic(const TopicInfo& topic, v1::TopicMetadata* out) const;

 private:
  void AddTopic(const v1::TopicState& state);
  void RemoveTopic(const TopicId& id);

  BrokerId controller_ = kNoBroker;
  ControllerEpoch controller_epoch_ = 0;
  uint64_t version_ = 0;
  bool unreadable_topics_ = false;
  std::map<BrokerId, BrokerInfo> brokers_;
  std::unordered_map<TopicId, std::shared_ptr<const TopicInfo>> topics_;
  std::map<std::string, TopicId, std::less<>> by_name_;
};

}  // namespace tidemark
