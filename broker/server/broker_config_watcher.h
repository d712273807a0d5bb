// BrokerConfigWatcher: the broker's config in force: its own (properties file and --override) under what
// /config/brokers/<default> and /config/brokers/<id> hold. Owned by Broker; control loop only.
//
// What cannot be read, is illegal, or does not fit together is logged, and the last good value stays; at a
// start with such a znode the properties file counts, but nothing is deleted by age or size
// (CautiousBrokerConfigs). A config in force is always one that BrokerConfig accepted.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/server/broker_context.h"
#include "broker/server/config_changes.h"
#include "common/config/dynamic_configs.h"
#include "common/config/passed_over.h"

namespace tidemark {

class BrokerConfigWatcher final : public ConfigListener {
 public:
  using Apply = std::function<void(BrokerConfigPtr)>;
  // `apply` is called with each new config in force.
  BrokerConfigWatcher(EventLoop& loop, ZkKeeper& keeper, BrokerConfigPtr started, Apply apply);

  // Reads both znodes until ZooKeeper has answered or `stop` says that nobody wants it any more. From then on
  // the changes are those of OnConfigChanges.
  Task<void> Start(BrokerId self, std::stop_token stop);

  Task<ZkResult<>> OnConfigChanges(const ConfigChangeSet& changes) override;

  // Reads and applies what there is now, so that a caller sees what was written before. Without ZooKeeper
  // nothing changes.
  Task<void> CatchUp() { (void)co_await Read(); }
  // The values that are in force, by where they come from.
  const BrokerLayers& layers() const { return layers_; }
  // What the znodes hold beside them, as of the last read.
  std::vector<PassedOverConfig> PassedOver() const;
  struct StoredLayers {
    BrokerLayers layers;  // without what is passed over
    std::vector<PassedOverConfig> passed_over;
  };
  // What /config/brokers holds now of another broker: the default of all, and its own (a layer `file` is not
  // known here). INVALID_CONFIG: it cannot be read.
  Task<Result<StoredLayers>> ReadOther(BrokerId broker);
  // Of the default of all brokers alone.
  Task<Result<StoredLayers>> ReadDefault();
  // The brokers (nothing: the default of all) for which ZooKeeper holds configs.
  Task<Result<std::vector<std::optional<BrokerId>>>> ReadWhoHasConfigs();

 private:
  Task<ZkResult<std::optional<std::string>>> ReadNode(std::string path);
  Task<Result<Properties>> ReadStored(std::optional<BrokerId> broker);
  Task<ZkResult<>> Read();
  // One znode: what it held last, and what of that and of what it held before is good.
  struct Stored {
    bool known = false;  // it was readable once, or not there
    std::optional<std::string> data;
    Properties good;
  };
  // What of `stored` is not in `in_force`. `unfit`: why good values may not be.
  static void AddPassedOver(const Stored& stored, bool one_broker, const Properties& in_force,
                            const std::string& unfit, std::vector<PassedOverConfig>* out);
  // Whether it is new.
  static bool TakeOver(ZkResult<std::optional<std::string>> data, bool one_broker, Stored* stored);
  static bool BeCautious(Stored* stored);
  void PutInForce(BrokerLayers wanted);

  EventLoop& loop_;
  ZkKeeper& keeper_;
  const BrokerConfigPtr started_;
  const Apply apply_;
  BrokerId self_ = kNoBroker;
  // Of several reads at a time the last to begin is the one that counts.
  uint64_t reads_begun_ = 0;
  uint64_t read_in_force_ = 0;
  Stored cluster_;
  Stored own_;
  BrokerLayers layers_;
};

}  // namespace tidemark
