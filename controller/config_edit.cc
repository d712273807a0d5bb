#include "controller/config_edit.h"

#include <glog/logging.h>

#include "common/config/broker_config.h"
#include "common/config/quota_configs.h"
#include "common/config/topic_configs.h"
#include "common/nearest_name.h"
#include "common/zk/quota_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr size_t kLongestName = 1024;
// ZooKeeper takes packets of 1 MB, and one of a change holds more than the configs.
constexpr size_t kLongestValue = 64u << 10;
constexpr size_t kMostBytes = 256u << 10;

Properties Stored(const v1::ConfigZnode& node) { return {node.config().begin(), node.config().end()}; }

Result<> CheckQuotaName(const char* kind, const std::string& name) {
  if (name != "." && name != ".." && name.size() <= kLongestName) return {};
  return Fail(v1::INVALID_REQUEST, "no quota can be stored for the {} '{}': {}", kind, name.substr(0, 64),
              name.size() > kLongestName ? "the name is too long" : "ZooKeeper takes no such name");
}

std::string WhoseQuota(const char* kind, const std::string& name) {
  return name.empty() ? fmt::format("all {}s", kind) : fmt::format("{} {}", kind, name);
}

// A number above what there is now.
void WarnAbove(const Properties& stored, const v1::AlterConfigsRequest::Change& change, const char* name,
               size_t able, const char* of_what, std::vector<std::string>* out) {
  const auto it = stored.find(std::string_view(name));
  if (it == stored.end() || !change.set().contains(name)) return;
  const ConfigValues values(BrokerConfigTable(), stored);
  if (values.Int(name) <= static_cast<int64_t>(able)) return;
  out->push_back(fmt::format("{}={} is above the number of {}, {}", name, it->second, of_what, able));
}

}  // namespace

ConfigTarget TopicConfigTarget(const std::string& topic) {
  return {.type = v1::CONFIG_ENTITY_TYPE_TOPIC,
          .entity_path = zkpath::TopicEntity(topic),
          .what = fmt::format("topic {}", topic),
          .table = &TopicConfigTable(),
          .check = [](std::string_view name,
                      std::string_view value) { return TopicConfigTable().Check(name, value); },
          .topic = topic};
}

Result<ConfigTarget> BrokerConfigTarget(const std::string& name) {
  const std::optional<BrokerId> id = name.empty() ? std::nullopt : zkpath::ParseBrokerId(name);
  if (!name.empty() && !id) return Fail(v1::INVALID_REQUEST, "'{}' is not a broker id", name);
  return ConfigTarget{.type = v1::CONFIG_ENTITY_TYPE_BROKER,
                      .entity_path = zkpath::BrokerEntity(id),
                      .what = id ? fmt::format("broker {}", *id) : "all brokers",
                      .table = &BrokerConfigTable(),
                      .check = [one = id.has_value()](
                                   std::string_view key,
                                   std::string_view value) { return CheckBrokerOverride(key, value, one); },
                      .topic = {}};
}

Result<ConfigTarget> QuotaConfigTarget(const v1::ConfigEntity& entity) {
  const bool client = entity.type() == v1::CONFIG_ENTITY_TYPE_CLIENT;
  TM_RETURN_IF_ERROR(CheckQuotaName(client ? "client" : "user", entity.name()));
  ConfigTarget out{
      .type = entity.type(),
      .entity_path = client ? zkpath::ClientEntity(entity.name()) : zkpath::UserEntity(entity.name()),
      .what = WhoseQuota(client ? "client" : "user", entity.name()),
      .table = &QuotaConfigTable(),
      .check = CheckQuota,
      .topic = {}};
  if (!entity.has_client_id()) return out;
  if (client) return Fail(v1::INVALID_REQUEST, "only a user stands with a client id");
  TM_RETURN_IF_ERROR(CheckQuotaName("client", entity.client_id()));
  out.parents = {out.entity_path, zkpath::UserClientsEntity(entity.name())};
  out.entity_path = zkpath::UserClientEntity(entity.name(), entity.client_id());
  out.what += fmt::format(" with {}", WhoseQuota("client", entity.client_id()));
  return out;
}

Result<> CheckFitsRequest(const Properties& overrides, const Properties& file) {
  const auto wanted = overrides.find(std::string_view("max.message.bytes"));
  if (wanted == overrides.end()) return {};
  Properties merged = file;
  merged["message.max.bytes"] = wanted->second;
  const Result<> fits = CheckTogether(merged);
  if (fits) return {};
  return Fail(v1::INVALID_CONFIG, "max.message.bytes={}: {}", wanted->second, fits.error().message);
}

Result<v1::ConfigZnode> EditConfig(const ConfigTarget& target, const std::optional<std::string>& present,
                                   const v1::AlterConfigsRequest::Change& change, const Properties& file,
                                   BrokerId self) {
  // In the order of their names, so that the same one is complained of each time.
  const Properties wanted(change.set().begin(), change.set().end());
  for (const auto& [name, value] : wanted) {
    if (value.size() > kLongestValue) {
      return Fail(v1::INVALID_CONFIG, "the value of {} has {} bytes, {} are allowed", name.substr(0, 64),
                  value.size(), kLongestValue);
    }
    TM_RETURN_IF_ERROR(target.check(name, value));
  }
  v1::ConfigZnode out;
  if (present) {
    Result<v1::ConfigZnode> decoded = DecodeConfig(*present);
    if (!decoded) {
      return Fail(v1::INVALID_CONFIG,
                  "what /config/{} holds cannot be read ({}); mend or remove that znode first",
                  target.entity_path, decoded.error().message);
    }
    out = std::move(*decoded);
  }
  for (const std::string& name : change.remove()) {
    if (wanted.contains(name)) return Fail(v1::INVALID_CONFIG, "{} is both set and removed", name);
    if (out.config().contains(name) || target.table->Find(name) != nullptr) continue;
    const std::string nearest = NearestName(name, target.table->Names());
    return Fail(v1::INVALID_CONFIG, "{} has no config {}{}", target.what, name,
                nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  }
  for (const auto& [name, value] : wanted) (*out.mutable_config())[name] = value;
  for (const std::string& name : change.remove()) out.mutable_config()->erase(name);
  if (out.ByteSizeLong() > kMostBytes) {
    return Fail(v1::INVALID_CONFIG, "the configs of {} would have {} bytes, {} are allowed", target.what,
                out.ByteSizeLong(), kMostBytes);
  }
  // Of what another broker alone is to obey only that one can judge.
  const bool of_other = target.entity_path != zkpath::BrokerEntity(std::nullopt) &&
                        target.entity_path != zkpath::BrokerEntity(self);
  if (target.type == v1::CONFIG_ENTITY_TYPE_TOPIC && wanted.contains("max.message.bytes"))
    TM_RETURN_IF_ERROR(CheckFitsRequest(wanted, file));
  if (target.type == v1::CONFIG_ENTITY_TYPE_BROKER && !of_other) {
    Properties merged;
    for (const auto& [name, value] : Stored(out)) {
      if (BrokerConfigTable().Check(name, value)) merged[name] = value;
    }
    merged.insert(file.begin(), file.end());
    TM_RETURN_IF_ERROR(CheckTogether(merged));
  }
  if (IsInternalTopic(target.topic) && !MakeTopicConfigs(file, Stored(out)).cleanup_compact) {
    return Fail(v1::INVALID_CONFIG,
                "cleanup.policy of the system's own topic '{}' must contain compact: deletion by age or size "
                "alone would remove what groups still need",
                target.topic);
  }
  return out;
}

std::vector<ZkOp> ConfigWriteOps(const ZkNodeAt& self, const std::vector<ZkNodeAt>& parents,
                                 const std::optional<v1::ConfigZnode>& config) {
  std::vector<ZkOp> ops;
  if (config) {
    for (const ZkNodeAt& parent : parents) {
      if (!parent.node) ops.push_back(ZkCreate{parent.path, EncodeConfig(v1::ConfigZnode())});
    }
    if (self.node) {
      ops.push_back(ZkSet{self.path, EncodeConfig(*config), self.node->stat.version});
    } else {
      ops.push_back(ZkCreate{self.path, EncodeConfig(*config)});
    }
    return ops;
  }
  CHECK(self.node) << "what is not there cannot be taken away";
  if (self.node->stat.num_children > 0) {
    ops.push_back(ZkSet{self.path, EncodeConfig(v1::ConfigZnode()), self.node->stat.version});
    return ops;
  }
  ops.push_back(ZkDelete{.path = self.path, .version = self.node->stat.version});
  for (auto parent = parents.rbegin(); parent != parents.rend(); ++parent) {
    if (!parent->node || parent->node->stat.num_children != 1) break;
    const Result<v1::ConfigZnode> held = DecodeConfig(parent->node->data);
    if (!held || !held->config().empty()) break;
    ops.push_back(ZkDelete{.path = parent->path, .version = parent->node->stat.version});
  }
  return ops;
}

std::vector<std::string> ConfigWarnings(const ConfigTarget& target,
                                        const v1::AlterConfigsRequest::Change& change,
                                        const Properties& stored, size_t able) {
  std::vector<std::string> out;
  if (target.type == v1::CONFIG_ENTITY_TYPE_BROKER) {
    WarnAbove(stored, change, "min.insync.replicas", able, "live brokers", &out);
    WarnAbove(stored, change, "default.replication.factor", able, "live brokers", &out);
  }
  const bool one_broker =
      target.table == &BrokerConfigTable() && target.entity_path != zkpath::BrokerEntity(std::nullopt);
  for (const char* name : {"default.replication.factor", "min.insync.replicas", "num.partitions",
                           "unclean.leader.election.enable"}) {
    if (!one_broker || !change.set().contains(name)) continue;
    out.push_back(
        fmt::format("{} may differ between brokers now: which value counts depends on which of them "
                    "leads or is the controller; the default of all brokers would be one for all",
                    name));
  }
  if (target.type == v1::CONFIG_ENTITY_TYPE_USER && !change.set().empty()) {
    out.push_back("quotas of users are stored and hold for nobody: nobody authenticates yet");
  }
  for (const auto& [name, value] : Properties(change.set().begin(), change.set().end())) {
    const ConfigDef* def = target.table->Find(name);
    if (def != nullptr && def->effect == ConfigEffect::kNone && value != def->default_value) {
      out.push_back(fmt::format("{} has no effect yet", name));
    }
  }
  return out;
}

}  // namespace tidemark
