// BrokerConfig: what a broker is told by its properties file and --override, checked and typed. A value, made
// once before the broker starts; copied to whoever needs it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/config/config_table.h"
#include "common/config/listeners.h"
#include "common/config/properties.h"
#include "common/config/quota_configs.h"
#include "common/config/topic_configs.h"
#include "common/result.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// The table of broker configs: Kafka's names, and our own (ack.durability, num.shards, admin.listener,
// watchdog.stuck.ms, log.dir.min.free.bytes, log.dir.reserve.bytes, max.fetch.partitions).
const ConfigTable& BrokerConfigTable();

// log.cleaner.*, but for what topics may override.
struct CleanerConfig {
  bool enabled = true;
  uint32_t threads = 1;
  uint64_t dedupe_buffer_bytes = 128u << 20;  // of all threads
  double load_factor = 0.9;
  std::optional<double> bytes_per_second;  // of all threads; empty: no limit
  Duration backoff = 15s;
};

struct BrokerConfig {
  // As given, checked. Names not given are not in it.
  Properties properties;

  // kNoBroker: generated (or read from the log directory).
  BrokerId broker_id = kNoBroker;
  int32_t reserved_broker_max_id = 1000;
  std::string rack;

  std::string zookeeper_connect;
  Duration zookeeper_session_timeout = 18s;
  // Set: the start fails when ZooKeeper was not reached for so long. Empty: it keeps trying.
  std::optional<Duration> zookeeper_connection_timeout;

  std::vector<ListenerConfig> listeners;
  std::string admin_host = "127.0.0.1";
  uint16_t admin_port = 0;

  std::vector<std::string> log_dirs;
  uint64_t log_dir_min_free = 512u << 20;
  uint64_t log_dir_reserve = 32u << 20;
  // How fast replicas are copied between log directories, of the whole broker; 0: as fast as the disks are.
  uint64_t move_bytes_per_second = 0;
  uint32_t num_shards = 0;  // 0: one per core

  size_t max_request_bytes = 16u << 20;
  size_t queued_max_requests = 500;
  Duration connections_max_idle = 600s;
  size_t max_connections = 20000;
  size_t fetch_max_bytes = 55u << 20;
  size_t max_fetch_partitions = 20000;
  uint32_t recovery_threads = 1;  // per log directory
  // Segment files that stay open, of the whole broker; 0: from the limit of the process (server_main).
  size_t log_open_files = 0;
  // What the process's limit of open files leaves for either, settled at the start (server_main).
  size_t most_connections = SIZE_MAX;
  size_t most_log_open_files = SIZE_MAX;

  bool auto_create_topics = false;
  bool delete_topics = true;
  uint32_t num_partitions = 1;
  // 0: min(3, live brokers).
  uint32_t default_replication_factor = 0;

  Duration replica_lag_time_max = 30s;
  uint32_t replica_fetch_max_bytes = 1u << 20;
  uint32_t replica_fetch_response_max_bytes = 10u << 20;
  uint32_t replica_fetch_min_bytes = 1;
  Duration replica_fetch_wait_max = 500ms;
  Duration replica_fetch_backoff = 1s;
  Duration high_watermark_checkpoint_interval = 5s;

  bool controlled_shutdown = true;
  int controlled_shutdown_max_retries = 3;
  Duration controlled_shutdown_retry_backoff = 5s;

  Duration retention_check_interval = 300s;

  // __consumer_offsets and the groups in it.
  struct Groups {
    uint32_t topic_partitions = 50;
    uint32_t topic_replication_factor = 3;
    uint64_t topic_segment_bytes = 100u << 20;
    Duration commit_timeout = 5s;
    Duration retention = 10080min;
    Duration retention_check_interval = 600s;
    uint32_t max_metadata_bytes = 4096;
    Duration min_session_timeout = 6s;
    Duration max_session_timeout = 1800s;
    Duration session_timeout = 45s;
    Duration heartbeat_interval = 3s;
    Duration initial_rebalance_delay{};
    uint32_t max_size = 2147483647;
    uint64_t max_memory_bytes = 512u << 20;
    Duration lag_interval = 15s;  // zero: lag is not followed
  };
  Groups groups;
  CleanerConfig cleaner;
  uint64_t scrub_bytes_per_second = 4 << 20;
  Duration scrub_interval = std::chrono::hours(168);
  QuotaWindows quota_windows;

  // A shard or flush that has not moved for so long makes the broker leave ZooKeeper, so that others lead.
  Duration watchdog_stuck = 30s;

  // Defaults of topics: broker properties under the topic names.
  TopicConfigs topic_defaults;

  // Configs that were set and have no effect yet; the start logs each once.
  std::vector<std::string> without_effect;

  // INVALID_CONFIG names the config: unknown (with the nearest name), ill-typed, out of bounds,
  // contradictory, or missing (zookeeper.connect, log.dirs).
  static Result<BrokerConfig> FromProperties(const Properties& properties);

  // This config with what of `merged` may change at run time (BrokerLayers::Merged). INVALID_CONFIG when the
  // values do not fit together.
  Result<BrokerConfig> WithDynamic(const Properties& merged) const;

  TopicConfigs ForTopic(const Properties& overrides) const { return MakeTopicConfigs(properties, overrides); }
};

}  // namespace tidemark
