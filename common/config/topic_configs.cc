#include "common/config/topic_configs.h"

#include <algorithm>
#include <array>
#include <limits>

#include "common/config/broker_config.h"

namespace tidemark {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxLong = std::numeric_limits<int64_t>::max();
constexpr ConfigType kD = ConfigType::kDouble, kS = ConfigType::kString, kL = ConfigType::kList;
constexpr ConfigEffect kYes = ConfigEffect::kInForce, kNo = ConfigEffect::kNone;

using Defs = std::vector<ConfigDef>;

// Helpers that keep the table one entry to a line or two.
ConfigDef Integer(const char* name, const char* value, const char* unit, int64_t min, int64_t max,
                  ConfigEffect effect, const char* doc) {
  return {name, ConfigType::kInt, value, unit, doc, effect, min, max, {}};
}
ConfigDef Boolean(const char* name, const char* value, ConfigEffect effect, const char* doc) {
  return {name, ConfigType::kBool, value, "", doc, effect, 0, 0, {}};
}
ConfigDef Words(const char* name, ConfigType type, const char* value, std::vector<std::string> allowed,
                ConfigEffect effect, const char* doc) {
  return {name, type, value, "", doc, effect, 0, 0, std::move(allowed)};
}

Defs InForce() {
  return {
      Words("ack.durability", kS, "synced", {"synced", "replicated"}, kYes,
            "Whose end counts for acknowledgements: synced (what is on disk) or replicated (what is in "
            "memory)"),
      Words("cleanup.policy", kL, "delete", {"delete", "compact"}, kYes, "What happens to old data"),
      Integer("file.delete.delay.ms", "60000", "ms", 0, kMaxLong, kYes,
              "Between taking a file away and removing it"),
      Integer(
          "flush.messages", "9223372036854775807", "records", 1, kMaxLong, kYes,
          "So many records that are not on disk make a flush begin, and an append that makes them so many is "
          "acknowledged (acks=1, and by each replica for acks=all) when they are; 1: what is acknowledged is "
          "on disk"),
      Integer(
          "flush.ms", "9223372036854775807", "ms", 0, kMaxLong, kYes,
          "Time after which a flush is begun, at ack.durability=replicated too; acknowledgements do not wait "
          "for it"),
      Integer("index.interval.bytes", "4096", "bytes", 1, kMaxInt, kYes,
              "Log bytes between two index entries"),
      Integer("max.message.bytes", "1048588", "bytes", 0, 16 << 20, kYes, "Largest batch accepted"),
      Integer("min.insync.replicas", "2", "replicas", 1, kMaxInt, kYes,
              "Members the ISR needs before acks=all is accepted; counts as at most the number of replicas"),
      Integer("retention.bytes", "-1", "bytes", -1, kMaxLong, kYes,
              "Size of a partition above which old segments go; -1: none"),
      Integer("retention.ms", "604800000", "ms", -1, kMaxLong, kYes,
              "Age above which old segments go; -1: none"),
      Integer("segment.bytes", "1073741824", "bytes", 1024, kMaxInt, kYes,
              "Size at which a new segment file is begun"),
      Integer("segment.ms", "604800000", "ms", 1, kMaxLong, kYes, "Age at which a new segment file is begun"),
      Boolean("unclean.leader.election.enable", "false", kYes,
              "Let a replica outside the ISR lead when no member lives: available, but acknowledged records "
              "are lost"),
  };
}

Defs Compaction() {
  return {
      Integer("delete.retention.ms", "86400000", "ms", 0, kMaxLong, kYes,
              "How long tombstones stay after they were first compacted"),
      Integer("max.compaction.lag.ms", "9223372036854775807", "ms", 1, kMaxLong, kYes,
              "A record is compacted at the latest after this"),
      {"min.cleanable.dirty.ratio",
       kD,
       "0.5",
       "",
       "Part of the log that must be dirty before it is compacted",
       kYes,
       0,
       1,
       {}},
      Integer("min.compaction.lag.ms", "0", "ms", 0, kMaxLong, kYes, "A record is not compacted before this"),
  };
}

Defs WithoutEffectYet() {
  return {
      Words("compression.type", kS, "producer", {"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"},
            kNo, "Codec in which batches are stored"),
      Words("follower.replication.throttled.replicas", kL, "", {}, kNo,
            "Replicas whose catching up is throttled"),
      Words("leader.replication.throttled.replicas", kL, "", {}, kNo,
            "Replicas throttled on the leader's side"),
      Words("message.timestamp.type", kS, "CreateTime", {"CreateTime", "LogAppendTime"}, kNo,
            "Whose clock the timestamps are"),
      Boolean("preallocate", "false", kNo, "Preallocate segment files"),
      Integer("segment.jitter.ms", "0", "ms", 0, kMaxLong, kNo, "Spread of segment.ms"),
  };
}

bool Contains(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

ConfigTable MakeTable() {
  Defs all = InForce();
  for (ConfigDef& def : Compaction()) all.push_back(std::move(def));
  for (ConfigDef& def : WithoutEffectYet()) all.push_back(std::move(def));
  std::ranges::sort(all, {}, [](const ConfigDef& def) { return std::string_view(def.name); });
  return ConfigTable("topic", std::move(all));
}

// Where a topic config's default comes from on a broker; the first name that is set wins, `scale` turns its
// unit into the topic config's.
struct BrokerSource {
  const char* topic;
  const char* broker;
  int64_t scale;
};
constexpr std::array<BrokerSource, 27> kSources = {{
    {"ack.durability", "ack.durability", 0},
    {"cleanup.policy", "log.cleanup.policy", 0},
    {"compression.type", "compression.type", 0},
    {"delete.retention.ms", "log.cleaner.delete.retention.ms", 1},
    {"file.delete.delay.ms", "log.segment.delete.delay.ms", 1},
    {"flush.messages", "log.flush.interval.messages", 1},
    {"flush.ms", "log.flush.interval.ms", 1},
    {"index.interval.bytes", "log.index.interval.bytes", 1},
    {"max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms", 1},
    {"max.message.bytes", "message.max.bytes", 1},
    {"message.timestamp.type", "log.message.timestamp.type", 0},
    {"min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio", 0},
    {"min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms", 1},
    {"min.insync.replicas", "min.insync.replicas", 1},
    {"preallocate", "log.preallocate", 0},
    {"retention.bytes", "log.retention.bytes", 1},
    {"retention.ms", "log.retention.ms", 1},
    {"retention.ms", "log.retention.minutes", 60'000},
    {"retention.ms", "log.retention.hours", 3'600'000},
    {"segment.bytes", "log.segment.bytes", 1},
    {"segment.jitter.ms", "log.roll.jitter.ms", 1},
    {"segment.jitter.ms", "log.roll.jitter.hours", 3'600'000},
    {"segment.ms", "log.roll.ms", 1},
    {"segment.ms", "log.roll.hours", 3'600'000},
    {"unclean.leader.election.enable", "unclean.leader.election.enable", 0},
    {"leader.replication.throttled.replicas", "", 0},
    {"follower.replication.throttled.replicas", "", 0},
}};

// A broker config's value in the topic config's unit; nothing where it is not set.
std::optional<std::string> InTopicUnit(const BrokerSource& source, const Properties& broker) {
  const auto it = broker.find(std::string_view(source.broker));
  if (it == broker.end() || it->second.empty()) return std::nullopt;
  if (source.scale <= 1) return it->second;
  const int64_t value = ConfigValues(BrokerConfigTable(), broker).Int(source.broker);
  if (value < 0) return "-1";
  return std::to_string(value > kMaxLong / source.scale ? kMaxLong : value * source.scale);
}

// Where a topic config may have values, strongest first.
struct Layer {
  v1::ConfigSource source;
  const Properties* values;
};
using Layers = std::initializer_list<Layer>;

void AddFromBroker(const ConfigDef& def, const Layer& layer, std::vector<ConfigSynonym>* out) {
  for (const BrokerSource& source : kSources) {
    if (std::string_view(def.name) != source.topic) continue;
    const std::optional<std::string> value = InTopicUnit(source, *layer.values);
    // The broker's bounds may be wider than the topic's; what does not fit is not taken over.
    if (value && TopicConfigTable().Check(def.name, *value)) {
      out->push_back({layer.source, source.broker, *value});
    }
  }
}

std::vector<ConfigInForce> Describe(const Properties& overrides, Layers layers) {
  std::vector<ConfigInForce> entries;
  for (const ConfigDef& def : TopicConfigTable().defs()) {
    ConfigInForce entry{.def = &def};
    const auto it = overrides.find(std::string_view(def.name));
    if (it != overrides.end() && TopicConfigTable().Check(def.name, it->second)) {
      entry.synonyms.push_back({v1::CONFIG_SOURCE_DYNAMIC_TOPIC, def.name, it->second});
    }
    for (const Layer& layer : layers) AddFromBroker(def, layer, &entry.synonyms);
    entry.synonyms.push_back({v1::CONFIG_SOURCE_DEFAULT, def.name, def.default_value});
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

const ConfigTable& TopicConfigTable() {
  static const ConfigTable table = MakeTable();
  return table;
}

Result<> ValidateTopicOverrides(const Properties& overrides) { return TopicConfigTable().Check(overrides); }

std::vector<ConfigInForce> DescribeTopicConfigs(const BrokerLayers& broker, const Properties& overrides) {
  return Describe(overrides, {{v1::CONFIG_SOURCE_DYNAMIC_BROKER, &broker.broker},
                              {v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER, &broker.cluster},
                              {v1::CONFIG_SOURCE_STATIC_BROKER, &broker.file}});
}

namespace {

void FillCompaction(const ConfigValues& values, int64_t longest_ms, TopicConfigs* out) {
  const auto limited = [&](const char* name) -> Duration {
    return std::chrono::milliseconds(std::min(values.Int(name), longest_ms));
  };
  for (const std::string& policy : values.List("cleanup.policy")) {
    if (policy == "compact") out->cleanup_compact = true;
  }
  out->min_cleanable_dirty_ratio = values.Double("min.cleanable.dirty.ratio");
  out->min_compaction_lag = limited("min.compaction.lag.ms");
  if (values.Int("max.compaction.lag.ms") < longest_ms)
    out->max_compaction_lag = limited("max.compaction.lag.ms");
  out->delete_retention = limited("delete.retention.ms");
}

}  // namespace

TopicConfigs MakeTopicConfigs(const Properties& broker, const Properties& overrides) {
  Properties in_force;
  for (const ConfigInForce& entry : Describe(overrides, {{v1::CONFIG_SOURCE_STATIC_BROKER, &broker}}))
    in_force[entry.def->name] = entry.value();
  const ConfigValues values(TopicConfigTable(), in_force);
  // Durations are nanoseconds: a longer one is as good as for ever.
  const int64_t longest_ms = ToMillis(Duration::max()) / 4;
  TopicConfigs out;
  out.segment_bytes = static_cast<uint64_t>(values.Int("segment.bytes"));
  out.segment_time = std::chrono::milliseconds(std::min(values.Int("segment.ms"), longest_ms));
  out.cleanup_delete = Contains(values.List("cleanup.policy"), "delete");
  // -1 means for ever.
  const int64_t retention_ms = values.Int("retention.ms");
  if (retention_ms >= 0) out.retention_time = std::chrono::milliseconds(std::min(retention_ms, longest_ms));
  const int64_t retention_bytes = values.Int("retention.bytes");
  if (retention_bytes >= 0) out.retention_bytes = static_cast<uint64_t>(retention_bytes);
  out.file_delete_delay = std::chrono::milliseconds(std::min(values.Int("file.delete.delay.ms"), longest_ms));
  out.index_interval_bytes = static_cast<uint32_t>(values.Int("index.interval.bytes"));
  out.max_message_bytes = static_cast<uint32_t>(values.Int("max.message.bytes"));
  out.min_insync_replicas = static_cast<uint32_t>(values.Int("min.insync.replicas"));
  out.unclean_leader_election = values.Bool("unclean.leader.election.enable");
  out.flush_messages = static_cast<uint64_t>(values.Int("flush.messages"));
  out.flush_time = std::chrono::milliseconds(std::min(values.Int("flush.ms"), longest_ms));
  out.synced = values.Text("ack.durability") == "synced";
  FillCompaction(values, longest_ms, &out);
  return out;
}

}  // namespace tidemark
