// QuotaWatcher: the quotas of client ids, as /config/clients holds them, kept fresh by ConfigChanges; and
// what is told of them and of users'. Owned by Broker; control loop only; shards get immutable pictures.
//
// What cannot be read or is illegal in ZooKeeper is logged, and the last good value stays. Quotas of users
// are stored and described, and hold for nobody: nobody authenticates.
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
#include "common/config/dynamic_configs.h"
#include "common/config/passed_over.h"
#include "common/config/quota_configs.h"

namespace tidemark {

using QuotaPicturePtr = std::shared_ptr<const QuotaPicture>;

class QuotaWatcher final : public ConfigListener {
 public:
  using Publish = std::function<void(QuotaPicturePtr)>;
  QuotaWatcher(EventLoop& loop, ZkKeeper& keeper, Publish publish);

  Task<ZkResult<>> OnConfigChanges(const ConfigChangeSet& changes) override;
  Task<void> Close();

  struct Described {
    std::vector<ConfigInForce> in_force;  // each with all its values
    std::vector<PassedOverConfig> passed_over;
  };
  // The quotas of a client, a user or a user with a client (empty names: the defaults), as ZooKeeper holds
  // them now: every one that is set there or by what it has defaults from.
  Task<Result<Described>> Describe(v1::ConfigEntity entity);
  // The clients, or the users and their pairs with clients, that have quotas; empty names for the defaults.
  Task<Result<std::vector<v1::ConfigEntity>>> Entities(v1::ConfigEntityType type);

 private:
  struct Entry {
    std::optional<std::string> data;
    Properties good;
  };
  // Znodes of clients by the names of their children under /config/clients.
  Task<ZkResult<>> Read(std::vector<std::string> children);
  // By path; what ZooKeeper answers of one that cannot be read is logged, and it is left out.
  using Nodes = std::map<std::string, std::optional<ZkNode>>;
  Task<ZkResult<Nodes>> Fetch(std::vector<std::string> paths);
  Task<Result<std::vector<std::string>>> Children(std::string folder);
  bool TakeOver(const std::string& child, std::optional<std::string> data);
  void PublishNow();

  EventLoop& loop_;
  ZkKeeper& keeper_;
  const Publish publish_;
  Scope scope_;
  std::map<std::string, Entry> clients_;
  QuotaPicturePtr current_ = std::make_shared<const QuotaPicture>();
};

}  // namespace tidemark
