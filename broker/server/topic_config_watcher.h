// TopicConfigWatcher: the configs of the topics that have replicas here, as /config/topics holds them over
// the broker's own, kept fresh by ConfigChanges. Control loop only; shards get immutable snapshots.
//
// A topic's overrides are read when its first replica comes, before the replica is made, so that no replica
// ever runs with another topic's or with default settings; they belong to one topic id, because a re-created
// topic starts anew. What cannot be read or is illegal in ZooKeeper is logged, and the last good value stays;
// without one, nothing is deleted for want of it (CautiousTopicConfigs).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/server/broker_context.h"
#include "broker/server/config_changes.h"
#include "common/async/scope.h"
#include "common/config/passed_over.h"
#include "common/zk/zk_keeper.h"

namespace tidemark {

class TopicConfigWatcher final : public ConfigListener {
 public:
  // Called with every new picture and the topics whose settings are other than before.
  using Publish = std::function<void(TopicSettingsPtr, std::vector<std::string> changed)>;

  TopicConfigWatcher(EventLoop& loop, ZkKeeper& keeper, BrokerConfigPtr config, Publish publish);

  // The broker's own configs, which topics fall back to, are others now.
  void SetBrokerConfig(BrokerConfigPtr config);
  TopicSettingsPtr current() const { return current_; }

  struct Wanted {
    std::string topic;
    TopicId id;
    bool operator<(const Wanted& other) const { return topic < other.topic; }
  };
  // Reads the overrides of topics not known yet (or of another incarnation) and publishes them.
  // BROKER_NOT_READY when ZooKeeper does not answer: nothing is known then.
  Task<Result<>> Ensure(std::vector<Wanted> topics);
  void Forget(const std::string& topic, const TopicId& id);
  // The overrides as they stand in ZooKeeper now; empty when there are none. INVALID_CONFIG: they cannot be
  // read.
  struct StoredOverrides {
    Properties good;  // what is in force of them
    std::vector<PassedOverConfig> passed_over;
  };
  Task<Result<StoredOverrides>> ReadOverrides(std::string topic);

  Task<ZkResult<>> OnConfigChanges(const ConfigChangeSet& changes) override;

  Task<void> Close();

 private:
  struct Entry {
    TopicId id;
    Properties overrides;
    TopicSettings settings;
  };

  // What is in the znodes, nothing where there is none. Those that cannot be read are logged and not among
  // them.
  using Fetched = std::map<std::string, std::optional<std::string>>;
  Task<ZkResult<Fetched>> Fetch(std::vector<std::string> topics);
  void Set(const std::string& topic, const TopicId& id, Properties overrides);
  void PublishNow(std::vector<std::string> changed);

  EventLoop& loop_;
  ZkKeeper& keeper_;
  BrokerConfigPtr config_;
  Publish publish_;
  Scope scope_;
  std::map<std::string, Entry> topics_;
  TopicSettingsPtr current_;
};

}  // namespace tidemark
