// BrokerContext: what all parts of one broker share. Made by Broker before its shards; constant while they
// run, but for what says otherwise. ControlPlane is the part of the broker that lives on the control loop, as
// shards see it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/replica/topic_settings.h"
#include "common/async/scope.h"
#include "common/config/broker_config.h"
#include "common/env/environment.h"
#include "common/types.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

class LogDirs;
class Shard;

// Control loop only; shards reach it by CallOn.
class ControlPlane {
 public:
  virtual ~ControlPlane() = default;
  // Serves a request that is not one shard's: the controller's commands, requests to the controller
  // (forwarded to it where this broker is not it, unless `forwarded`), configs. The answer's body or the
  // error of the whole.
  virtual Task<Result<v1::Response>> Serve(v1::Request request, bool forwarded) = 0;
  virtual Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition wish) = 0;
  virtual Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition partition,
                                v1::ResignReason reason) = 0;
  // A log directory failed (told once per directory and shard).
  virtual void OnDirectoryFailure(size_t directory, Error error) = 0;
};

// Who this broker is. Known once ZooKeeper was asked; constant from then on but for the epoch.
struct BrokerIdentity {
  std::string cluster_id;
  BrokerId broker_id = kNoBroker;
};

// Settings of topics with replicas here, as one immutable picture.
struct TopicSettingsMap {
  std::unordered_map<std::string, TopicSettings> by_topic;
  TopicSettings defaults;
  const TopicSettings& Of(const std::string& topic) const {
    const auto it = by_topic.find(topic);
    return it == by_topic.end() ? defaults : it->second;
  }
};
using TopicSettingsPtr = std::shared_ptr<const TopicSettingsMap>;

TopicSettings SettingsOf(const TopicConfigs& configs);

// The config in force: the broker's own with what /config/brokers holds. Immutable, replaced whole.
using BrokerConfigPtr = std::shared_ptr<const BrokerConfig>;

struct BrokerContext {
  Environment& env;
  // As the broker was started. What can change at run time is in `live` and in Shard::config().
  BrokerConfig config;
  EventLoop& control_loop;
  Scope& control_scope;
  ControlPlane& control;
  // Control loop only.
  BrokerConfigPtr live;
  // Control loop only: topics that the controller is asked for because clients named them.
  std::set<std::string> topics_asked_for{};
  // Set before the shards are opened.
  LogDirs* dirs = nullptr;
  // Constant from before the first connection on.
  std::vector<std::unique_ptr<Shard>> shards;

  // The shard on whose loop the partition lives.
  Shard& OwnerOf(const PartitionKey& key) const { return *shards[StableHash(key) % shards.size()]; }
};

}  // namespace tidemark
