#include "controller/config_edit.h"

#include "common/config/broker_config.h"
#include "common/config/quota_configs.h"
#include "common/config/topic_configs.h"
#include "common/nearest_name.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr size_t kLongestName = 1024;
// ZooKeeper takes packets of 1 MB, and one of a change holds more than the configs.
constexpr size_t kLongestValue = 64u << 10;
constexpr size_t kMostBytes = 256u << 10;

Properties Stored(const v1::ConfigZnode& node) { return {node.config().begin(), node.config().end()}; }

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

Result<ConfigTarget> QuotaConfigTarget(v1::ConfigEntityType type, const std::string& name) {
  const bool client = type == v1::CONFIG_ENTITY_TYPE_CLIENT;
  const char* kind = client ? "client" : "user";
  if (name == "." || name == ".." || name.size() > kLongestName) {
    return Fail(v1::INVALID_REQUEST, "no quota can be stored for the {} '{}': {}", kind, name.substr(0, 64),
                name.size() > kLongestName ? "the name is too long" : "ZooKeeper takes no such name");
  }
  return ConfigTarget{.type = type,
                      .entity_path = client ? zkpath::ClientEntity(name) : zkpath::UserEntity(name),
                      .what = name.empty() ? fmt::format("all {}s", kind) : fmt::format("{} {}", kind, name),
                      .table = &QuotaConfigTable(),
                      .check = CheckQuota,
                      .topic = {}};
}

Result<v1::ConfigZnode> EditConfig(const ConfigTarget& target, const std::optional<std::string>& present,
                                   const v1::AlterConfigsRequest::Change& change, const Properties& file) {
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
  if (target.type == v1::CONFIG_ENTITY_TYPE_BROKER) {
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
