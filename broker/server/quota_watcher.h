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
#include "common/config/quota_configs.h"

namespace tidemark {

using QuotaPicturePtr = std::shared_ptr<const QuotaPicture>;

class QuotaWatcher final : public ConfigListener {
 public:
  using Publish = std::function<void(QuotaPicturePtr)>;
  QuotaWatcher(EventLoop& loop, ZkKeeper& keeper, Publish publish);

  Task<ZkResult<>> OnConfigChanges(const ConfigChangeSet& changes) override;
  Task<void> Close();

  // The quotas of a client or user (an empty name: the default), as ZooKeeper holds them now: every one that
  // is set there or by the default, each with all its values.
  Task<Result<std::vector<ConfigInForce>>> Describe(v1::ConfigEntityType type, std::string name);
  // The clients or users that have quotas, an empty name for the default.
  Task<Result<std::vector<std::string>>> Names(v1::ConfigEntityType type);

 private:
  struct Entry {
    std::optional<std::string> data;
    Properties good;
  };
  // Znodes of clients by the names of their children under /config/clients.
  Task<ZkResult<>> Read(std::vector<std::string> children);
  Task<ZkResult<std::map<std::string, std::optional<std::string>>>> Fetch(std::string folder,
                                                                          std::vector<std::string> children);
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
