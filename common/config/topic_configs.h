// TopicConfigs: the settings of one topic: its overrides from /config/topics over the broker's defaults. A
// value, replaced whole when an override changes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/config/config_table.h"
#include "common/config/dynamic_configs.h"
#include "common/config/properties.h"
#include "common/result.h"
#include "common/time.h"

namespace tidemark {

struct TopicConfigs {
  uint64_t segment_bytes = 1u << 30;
  Duration segment_time = std::chrono::hours(168);
  uint32_t index_interval_bytes = 4096;
  uint32_t max_message_bytes = 1048588;
  uint32_t min_insync_replicas = 2;
  bool unclean_leader_election = false;
  // cleanup.policy contains `delete`.
  bool cleanup_delete = true;
  std::optional<Duration> retention_time;
  std::optional<uint64_t> retention_bytes;
  Duration file_delete_delay = std::chrono::minutes(1);
  // cleanup.policy contains `compact`.
  bool cleanup_compact = false;
  double min_cleanable_dirty_ratio = 0.5;
  Duration min_compaction_lag{};
  std::optional<Duration> max_compaction_lag;
  Duration delete_retention = std::chrono::hours(24);
  // ack.durability=synced: whose end counts is the flushed one.
  bool synced = true;
  uint64_t flush_messages = INT64_MAX;
  Duration flush_time = Duration::max();
};

// The table of topic configs (with Kafka's names; `ack.durability` is our own).
const ConfigTable& TopicConfigTable();

// Overrides as an operator gives them: INVALID_CONFIG names the first that is unknown or ill-typed.
Result<> ValidateTopicOverrides(const Properties& overrides);

// `broker` is the properties in force on the broker (checked). Overrides that this version does not know or
// cannot parse are skipped: they come from ZooKeeper, perhaps from a newer broker, and must not take a topic
// down.
TopicConfigs MakeTopicConfigs(const Properties& broker, const Properties& overrides);
// Every config of a topic and where it has values, for describe-configs.
std::vector<ConfigInForce> DescribeTopicConfigs(const BrokerLayers& broker, const Properties& overrides);

// min.insync.replicas as it counts for a partition with that many replicas: never above it.
inline uint32_t EffectiveMinIsr(uint32_t configured, size_t replicas) {
  return static_cast<uint32_t>(std::min<size_t>(configured, replicas));
}

}  // namespace tidemark
