// TopicSettings: what of a topic's configs its replicas obey. Value; replaced whole when /config/topics
// changes (broker/server resolves names and defaults). ReplicaOptions: the broker-wide ones.
#pragma once

#include <cstdint>

#include "broker/log/log_config.h"
#include "broker/log/retention.h"
#include "common/time.h"

namespace tidemark {

struct TopicSettings {
  // Includes ack.durability, which decides whose end counts.
  LogConfig log;
  uint32_t min_insync_replicas = 1;
  RetentionConfig retention;
  bool operator==(const TopicSettings&) const = default;
};

struct ReplicaOptions {
  Duration replica_lag_time_max = 30s;        // replica.lag.time.max.ms
  Duration fetch_wait_max = 500ms;            // replica.fetch.wait.max.ms
  uint32_t fetch_min_bytes = 1;               // replica.fetch.min.bytes
  uint32_t fetch_partition_bytes = 1u << 20;  // replica.fetch.max.bytes
  uint32_t fetch_response_bytes = 10u << 20;  // replica.fetch.response.max.bytes
  Duration fetch_backoff = 1s;                // replica.fetch.backoff.ms
  Duration request_timeout = 30s;             // replica.socket.timeout.ms
  Duration retention_check_interval = 300s;   // log.retention.check.interval.ms
  // Between tries of one ISR change; grows to the maximum.
  Duration isr_retry = 50ms;
  Duration isr_retry_max = 1s;
};

}  // namespace tidemark
