// ConfigChanges: follows the notifications under /config/changes and has those who keep configs read again
// what they name. Owned by Broker; control loop only.
//
// A notification only says that something changed: what a listener is told of it reads from ZooKeeper, and it
// is told of everything after each (re)connection, because notifications may have come and gone meanwhile. A
// listener that could not read is told again, with all the others, less and less often, until it could.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/async/scope.h"
#include "common/zk/zk_keeper.h"

namespace tidemark {

// What may have changed: entity paths ("topics/orders", "brokers/<default>"), or anything.
struct ConfigChangeSet {
  bool all = false;
  std::set<std::string> entities;
};

class ConfigListener {
 public:
  virtual ~ConfigListener() = default;
  // Reads again what of `changes` is its own. An error: ZooKeeper did not answer. What it answers of one
  // znode that cannot be read (no access, no path) is the listener's to log; others must not wait for it.
  virtual Task<ZkResult<>> OnConfigChanges(const ConfigChangeSet& changes) = 0;
};

class ConfigChanges final : private ZkKeeper::Listener {
 public:
  ConfigChanges(EventLoop& loop, ZkKeeper& keeper);
  ~ConfigChanges() override;  // Close() first

  // Before Start; the listeners live until Close has returned.
  void AddListener(ConfigListener* listener) { listeners_.push_back(listener); }
  void Start();
  Task<void> Close();

 private:
  // ZkKeeper::Listener.
  void OnZkUp(ZkSession& session, bool new_session) override;
  void OnZkSuspended() override {}
  void OnZkExpired() override {}

  void LookAgain();
  Task<void> Follow();
  Task<ZkResult<>> ReadChanges();
  // The entities that notifications not seen before name.
  Task<ZkResult<ConfigChangeSet>> ReadNotifications(ZkSession& session,
                                                    const std::vector<std::string>& children);
  Task<void> Purge(std::vector<std::string> children);

  EventLoop& loop_;
  ZkKeeper& keeper_;
  Scope scope_;
  std::vector<ConfigListener*> listeners_;
  bool started_ = false;
  bool following_ = false;
  bool look_again_ = false;
  // Everything is to be read while these differ.
  uint64_t rounds_wanted_ = 1;
  uint64_t rounds_done_ = 0;
  // The notifications that are there and have been obeyed, and since when they are known; old ones are
  // removed. By name rather than by a highest number, which would begin anew with the folder.
  std::map<std::string, MonoTime> seen_;
};

}  // namespace tidemark
