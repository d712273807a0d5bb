// LogConfig: what of a topic's configs the log obeys. Value; replaced whole when /config/topics changes.
#pragma once

#include <cstdint>
#include <optional>

#include "common/time.h"

namespace tidemark {

// ack.durability: whose end counts for acknowledgements.
enum class AckDurability { kSynced, kReplicated };

// What of a topic's configs its compaction obeys.
struct CompactionConfig {
  bool enabled = false;                                // cleanup.policy contains `compact`
  double min_dirty_ratio = 0.5;                        // min.cleanable.dirty.ratio
  Duration min_lag{};                                  // min.compaction.lag.ms
  std::optional<Duration> max_lag;                     // max.compaction.lag.ms; empty: none
  Duration delete_retention = std::chrono::hours(24);  // delete.retention.ms
  bool operator==(const CompactionConfig&) const = default;
};

struct LogConfig {
  uint64_t segment_bytes = 1u << 30;
  Duration segment_time = std::chrono::hours(168);
  uint32_t index_interval_bytes = 4096;
  uint32_t max_message_bytes = 1048588;
  // Between taking a segment's file away and removing it (file.delete.delay.ms).
  Duration file_delete_delay = 60s;
  AckDurability durability = AckDurability::kSynced;
  // flush.messages, flush.ms: a flush is begun after so many records or so much time, also where no
  // acknowledgement waits for it (`replicated`).
  uint64_t flush_messages = INT64_MAX;
  Duration flush_time = Duration::max();
  CompactionConfig compaction;
  bool operator==(const LogConfig&) const = default;
};

}  // namespace tidemark
