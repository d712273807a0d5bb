// What a change of one entity's configs comes to: where it is stored, whether it is legal, what it leaves
// stored and what the operator is warned of. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "common/config/dynamic_configs.h"
#include "common/result.h"
#include "common/types.h"
#include "common/zk/coordination.h"
#include "tidemark/v1/admin_api.pb.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark {

// One entity's znode and the rules for it.
struct ConfigTarget {
  v1::ConfigEntityType type = v1::CONFIG_ENTITY_TYPE_UNSPECIFIED;
  std::string entity_path;  // under /config, as notifications name it
  std::string what;         // "topic orders", for messages
  const ConfigTable* table = nullptr;
  CheckConfig check;
  std::string topic;  // set for topics
  // Entity paths that must be there for this one's znode, the uppermost first; they are there for it alone.
  std::vector<std::string> parents{};
};

ConfigTarget TopicConfigTarget(const std::string& topic);
// INVALID_REQUEST: not a broker id. An empty name is the default of all brokers.
Result<ConfigTarget> BrokerConfigTarget(const std::string& name);

// Of a client, a user or a user with a client. An empty name is the default of all. INVALID_REQUEST: a name
// that cannot be stored.
Result<ConfigTarget> QuotaConfigTarget(const v1::ConfigEntity& entity);

// A topic's largest batch must fit into a request, as a broker's must (CheckTogether): INVALID_CONFIG. `file`
// is the properties of the broker that judges.
Result<> CheckFitsRequest(const Properties& overrides, const Properties& file);

// `present` is what the znode holds, if there is one. INVALID_CONFIG names the first thing that is wrong;
// names that are stored but not known may be removed. `file` is this broker's properties, for what must fit
// together; another broker judges by its own what is for it alone. A topic of the system's own stays
// compacted.
Result<v1::ConfigZnode> EditConfig(const ConfigTarget& target, const std::optional<std::string>& present,
                                   const v1::AlterConfigsRequest::Change& change, const Properties& file,
                                   BrokerId self);

// A znode as it was read; nothing: it is not there.
struct ZkNodeAt {
  std::string path;
  std::optional<ZkNode> node;
};
// The writes that leave `config` in the entity's znode, or (nothing) none there. Parents that are missing are
// made; those that are left without purpose go with it. A znode with others below it only loses its configs.
std::vector<ZkOp> ConfigWriteOps(const ZkNodeAt& self, const std::vector<ZkNodeAt>& parents,
                                 const std::optional<v1::ConfigZnode>& config);

// Legal, but not to be met or without effect now. `able` is what there is now: the replicas of the topic, the
// live brokers.
std::vector<std::string> ConfigWarnings(const ConfigTarget& target,
                                        const v1::AlterConfigsRequest::Change& change,
                                        const Properties& stored, size_t able);

}  // namespace tidemark
