// What retention deletes of a log: a pure decision from what is known of its segments, by Kafka's rules with
// two repairs.
//
// Segments go whole and from the oldest on, while the oldest is expired by time, or the log without it still
// holds retention.bytes; never one that reaches above the high watermark. The active segment may go too: it
// is rolled then.
// - A segment's age counts from its greatest record timestamp, but at the latest from the append of its
//   last batch, which the leader stamps and every batch carries: timestamps in the future keep nothing
//   for ever.
// - A new record renews the segment it is in, so an active segment that has taken records for as long as
//   retention.ms is rolled: on a quiet topic nothing outlives its retention by more than another
//   retention.ms.
// - What is damaged may be whole on another replica, whose log start would follow. It goes by time only
//   when what was appended after it is expired by its append time, and never for being empty.
//
// What an append time tells of a segment opened from disk is read only when the decision hangs on it
// (append_time_wanted). Values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "broker/log/segment_index.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// Of one topic.
struct RetentionConfig {
  // cleanup.policy contains `delete`: without it nothing is subject to time and size, and DeleteRecords is
  // refused.
  bool deletes = true;
  std::optional<Duration> time;   // retention.ms; empty: no limit
  std::optional<uint64_t> bytes;  // retention.bytes; empty: no limit

  bool limits_anything() const { return deletes && (time || bytes); }
  bool operator==(const RetentionConfig&) const = default;
};

struct SegmentFacts {
  Offset base_offset = 0;
  Offset end_offset = 0;  // one past its last record
  uint64_t size = 0;
  WallMillis max_timestamp = kNoTimestamp;
  std::optional<WallMillis> first_append_time;  // known for active segments with records
  std::optional<WallMillis> last_append_time;   // empty: not known
  // Some of it is damaged: size and timestamps are those of what is left, and say nothing.
  bool damaged = false;
};

enum class RetentionReason { kNone, kTime, kSize, kTimeAndSize };

struct RetentionDecision {
  Offset log_start = 0;  // the new one; the present one when nothing goes
  bool roll_active = false;
  // Of the segments that go.
  size_t segments = 0;
  uint64_t bytes = 0;
  RetentionReason reason = RetentionReason::kNone;
  // Base offset of a segment whose last append time decides: learn it and ask again.
  std::optional<Offset> append_time_wanted;
  // When time makes the next difference, as far as is known now.
  std::optional<WallMillis> next;
};

// `segments` by base offset, the last one active; `log_start` and `high_watermark` as of now. Segments wholly
// below the log start count for nothing.
RetentionDecision DecideRetention(std::span<const SegmentFacts> segments, const RetentionConfig& config,
                                  WallMillis now, Offset log_start, Offset high_watermark);

}  // namespace tidemark
