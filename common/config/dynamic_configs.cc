#include "common/config/dynamic_configs.h"

#include <algorithm>
#include <array>

#include "common/config/broker_config.h"

namespace tidemark {
namespace {

constexpr ConfigScope kAll = ConfigScope::kClusterWide, kOne = ConfigScope::kPerBroker;

constexpr std::array kDynamic = {
    // Defaults of topics.
    // The controller judges by its own what a replica's unclean stop may have cost.
    DynamicConfigName{"ack.durability", ConfigScope::kSameForAll},
    DynamicConfigName{"compression.type", kAll},
    DynamicConfigName{"log.cleaner.delete.retention.ms", kAll},
    DynamicConfigName{"log.cleaner.max.compaction.lag.ms", kAll},
    DynamicConfigName{"log.cleaner.min.cleanable.ratio", kAll},
    DynamicConfigName{"log.cleaner.min.compaction.lag.ms", kAll},
    DynamicConfigName{"log.cleanup.policy", kAll},
    DynamicConfigName{"log.flush.interval.messages", kAll},
    DynamicConfigName{"log.flush.interval.ms", kAll},
    DynamicConfigName{"log.index.interval.bytes", kAll},
    DynamicConfigName{"log.message.timestamp.type", kAll},
    DynamicConfigName{"log.preallocate", kAll},
    DynamicConfigName{"log.retention.bytes", kAll},
    DynamicConfigName{"log.retention.ms", kAll},
    DynamicConfigName{"log.roll.jitter.ms", kAll},
    DynamicConfigName{"log.roll.ms", kAll},
    DynamicConfigName{"log.segment.bytes", kAll},
    DynamicConfigName{"log.segment.delete.delay.ms", kAll},
    DynamicConfigName{"message.max.bytes", kAll},
    DynamicConfigName{"min.insync.replicas", kAll},
    DynamicConfigName{"unclean.leader.election.enable", kAll},
    // What new topics get.
    DynamicConfigName{"auto.create.topics.enable", kAll},
    DynamicConfigName{"default.replication.factor", kAll},
    DynamicConfigName{"num.partitions", kAll},
    // Connections and requests.
    DynamicConfigName{"connections.max.idle.ms", kAll},
    DynamicConfigName{"fetch.max.bytes", kAll},
    DynamicConfigName{"max.connections", kAll},
    DynamicConfigName{"max.fetch.partitions", kAll},
    DynamicConfigName{"queued.max.requests", kAll},
    // Replication.
    DynamicConfigName{"log.retention.check.interval.ms", kAll},
    DynamicConfigName{"replica.fetch.backoff.ms", kAll},
    DynamicConfigName{"replica.fetch.max.bytes", kAll},
    DynamicConfigName{"replica.fetch.min.bytes", kAll},
    DynamicConfigName{"replica.fetch.response.max.bytes", kAll},
    DynamicConfigName{"replica.fetch.wait.max.ms", kAll},
    DynamicConfigName{"replica.lag.time.max.ms", kAll},
    // Log directories and the cleaner.
    DynamicConfigName{"log.cleaner.backoff.ms", kAll},
    DynamicConfigName{"log.cleaner.dedupe.buffer.size", kAll},
    DynamicConfigName{"log.cleaner.io.buffer.load.factor", kAll},
    DynamicConfigName{"log.cleaner.io.max.bytes.per.second", kAll},
    DynamicConfigName{"log.cleaner.threads", kAll},
    DynamicConfigName{"log.dir.min.free.bytes", kAll},
    DynamicConfigName{"replica.alter.log.dirs.io.max.bytes.per.second", kAll},
    // As many as that broker's process may open.
    DynamicConfigName{"log.open.files", kOne},
};

// The name to change instead of one that has the same meaning.
std::string_view DynamicNameFor(std::string_view name) {
  if (name == "log.retention.hours" || name == "log.retention.minutes") return "log.retention.ms";
  if (name == "log.roll.hours") return "log.roll.ms";
  if (name == "log.roll.jitter.hours") return "log.roll.jitter.ms";
  return {};
}

}  // namespace

std::span<const DynamicConfigName> DynamicBrokerConfigNames() { return kDynamic; }

Properties BrokerLayers::Merged() const {
  Properties out = broker;
  out.insert(cluster.begin(), cluster.end());
  out.insert(file.begin(), file.end());
  return out;
}

Result<> CheckBrokerOverride(std::string_view name, std::string_view value, bool one_broker) {
  const ConfigTable& table = BrokerConfigTable();
  TM_RETURN_IF_ERROR(table.Check(name, value));
  const ConfigScope scope = table.Find(name)->scope;
  if (value.empty()) {
    return Fail(v1::INVALID_CONFIG, "{} has no value; to take it back remove it (--delete-config {})", name,
                name);
  }
  if (scope == ConfigScope::kReadOnly) {
    if (table.Find(name)->effect == ConfigEffect::kNone) {
      return Fail(v1::INVALID_CONFIG, "{} has no effect here, neither in the properties file nor at run time",
                  name);
    }
    if (const std::string_view instead = DynamicNameFor(name); !instead.empty()) {
      return Fail(v1::INVALID_CONFIG, "{} cannot be changed at run time; set {}, which counts before it",
                  name, instead);
    }
    return Fail(v1::INVALID_CONFIG,
                "{} cannot be changed at run time: a broker reads it at its start, from its properties file",
                name);
  }
  if (scope == ConfigScope::kPerBroker && !one_broker) {
    return Fail(v1::INVALID_CONFIG, "{} has no default for all brokers: set it for one broker", name);
  }
  if (scope == ConfigScope::kSameForAll && one_broker) {
    return Fail(v1::INVALID_CONFIG, "{} must be the same on all brokers: set their default, or a topic's own",
                name);
  }
  return {};
}

Result<> CheckTogether(const Properties& broker) {
  const ConfigValues values(BrokerConfigTable(), broker);
  const int64_t message = values.Int("message.max.bytes");
  const int64_t frame = values.Int("socket.request.max.bytes");
  // A request is a little more than the batch in it.
  constexpr int64_t kAroundABatch = 4096;
  if (message > frame - kAroundABatch) {
    return Fail(v1::INVALID_CONFIG,
                "a batch of message.max.bytes={} does not fit into a request of socket.request.max.bytes={}, "
                "{} of which are for what is around it",
                message, frame, kAroundABatch);
  }
  return {};
}

Properties TakeGood(const Properties& read, const Properties& before, const CheckConfig& check,
                    std::vector<std::string>* complaints) {
  Properties out;
  for (const auto& [name, value] : read) {
    const Result<> legal = check(name, value);
    if (legal) {
      out[name] = value;
      continue;
    }
    const auto last_good = before.find(name);
    if (last_good != before.end()) out[name] = last_good->second;
    complaints->push_back(last_good == before.end() ? legal.error().message
                                                    : fmt::format("{}; {} stays in force",
                                                                  legal.error().message, last_good->second));
  }
  return out;
}

const Properties& CautiousBrokerConfigs() {
  static const Properties configs = {{"log.retention.bytes", "-1"}, {"log.retention.ms", "-1"}};
  return configs;
}

const Properties& CautiousTopicConfigs() {
  static const Properties configs = {{"ack.durability", "synced"},
                                     {"cleanup.policy", "delete"},
                                     {"retention.bytes", "-1"},
                                     {"retention.ms", "-1"},
                                     {"unclean.leader.election.enable", "false"}};
  return configs;
}

Properties WithCaution(Properties known, const Properties& cautious) {
  known.insert(cautious.begin(), cautious.end());
  return known;
}

std::vector<ConfigInForce> DescribeBrokerConfigs(const BrokerLayers& layers) {
  std::vector<ConfigInForce> out;
  for (const ConfigDef& def : BrokerConfigTable().defs()) {
    ConfigInForce entry{.def = &def};
    const auto add = [&](v1::ConfigSource source, const Properties& values) {
      const auto it = values.find(std::string_view(def.name));
      if (it != values.end()) entry.synonyms.push_back({source, def.name, it->second});
    };
    add(v1::CONFIG_SOURCE_DYNAMIC_BROKER, layers.broker);
    add(v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER, layers.cluster);
    add(v1::CONFIG_SOURCE_STATIC_BROKER, layers.file);
    entry.synonyms.push_back({v1::CONFIG_SOURCE_DEFAULT, def.name, def.default_value});
    out.push_back(std::move(entry));
  }
  std::ranges::sort(out, {}, [](const ConfigInForce& entry) { return std::string_view(entry.def->name); });
  return out;
}

}  // namespace tidemark
