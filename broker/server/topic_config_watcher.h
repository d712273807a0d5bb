// TopicConfigWatcher: the configs of the topics that have replicas here, as /config/topics holds them, kept
// fresh by the notifications under /config/changes. Control loop only; shards get immutable snapshots.
//
// A topic's overrides are read when its first replica comes, before the replica is made, so that no replica
// ever runs with another topic's or with default settings; they belong to one topic id, because a re-created
// topic starts anew.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/server/broker_context.h"
#include "common/async/scope.h"
#include "common/zk/zk_keeper.h"

namespace tidemark {

class TopicConfigWatcher final : private ZkKeeper::Listener {
 public:
  // Called with every new picture and the topics whose settings are other than before.
  using Publish = std::function<void(TopicSettingsPtr, std::vector<std::string> changed)>;

  TopicConfigWatcher(EventLoop& loop, ZkKeeper& keeper, const BrokerConfig& config, Publish publish);
  ~TopicConfigWatcher() override;  // Close() first

  void Start();
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
  // The overrides as they stand in ZooKeeper now; empty when there are none.
  Task<Result<Properties>> ReadOverrides(std::string topic);

  Task<void> Close();

 private:
  struct Entry {
    TopicId id;
    Properties overrides;
    TopicSettings settings;
  };

  // ZkKeeper::Listener.
  void OnZkUp(ZkSession& session, bool new_session) override;
  void OnZkSuspended() override {}
  void OnZkExpired() override {}

  void LookAgain();
  Task<void> Follow();
  Task<ZkResult<>> ReadChanges();
  // Reads the named topics' configs again; all known ones when `all`.
  Task<ZkResult<>> Reload(std::set<std::string> topics);
  Task<ZkResult<std::map<std::string, Properties>>> Fetch(std::vector<std::string> topics);
  Task<void> Purge(std::vector<std::string> children);
  void Set(const std::string& topic, const TopicId& id, Properties overrides);
  void PublishNow(std::vector<std::string> changed);

  EventLoop& loop_;
  ZkKeeper& keeper_;
  const BrokerConfig& config_;
  Publish publish_;
  Scope scope_;
  std::map<std::string, Entry> topics_;
  TopicSettingsPtr current_;
  bool started_ = false;
  bool following_ = false;
  bool look_again_ = false;
  bool reload_all_ = true;
  int64_t last_sequence_ = -1;
  // When this process first saw a notification that is still there; old ones are removed.
  std::map<std::string, MonoTime> seen_;
};

}  // namespace tidemark
