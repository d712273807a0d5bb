// What compaction does next: pure decisions from what is known of a log, by Kafka's rules. Values; any
// thread.
//
// A log is clean below its first dirty offset (the end of the last pass) and dirty above it. A pass reaches
// at most up to the first uncleanable offset: it takes only sealed segments that are on disk and wholly below
// the high watermark, and none younger than min.compaction.lag.ms. A log is due when its dirty part is more
// than min.cleanable.dirty.ratio of what a pass would read, or when something dirty is older than
// max.compaction.lag.ms. The active segment is never cleaned; one that holds something older than that is
// rolled.
//
// A segment's age for min.compaction.lag.ms counts from its greatest timestamp, but never from later than the
// append of its last batch, so that one record of the year 2100 does not stop compaction for ever; where that
// append time is needed and not known, the decision asks for it. max.compaction.lag.ms counts from the append
// of its first batch.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "broker/log/log_config.h"
#include "broker/log/segment_index.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// A segment as these decisions see it.
struct CleanableSegment {
  Offset base_offset = 0;
  Offset end_offset = 0;  // of the last one: the log's end
  uint64_t bytes = 0;
  WallMillis max_timestamp = kNoTimestamp;
  // Of its first and last batch; empty when not known.
  std::optional<WallMillis> first_append_time;
  std::optional<WallMillis> last_append_time;
  // Sealed, and the seal is on disk.
  bool settled = false;
};

struct CleanableLog {
  std::vector<CleanableSegment> segments;  // by base offset, the last one active
  Offset log_start = 0;
  Offset high_watermark = 0;
  Offset flushed_end = 0;
  // Where the last pass ended, as the checkpoint says; may be anything after truncations and deletions.
  Offset cleaned_to = 0;
};

struct CleanDecision {
  Offset first_dirty = 0;
  Offset end = 0;  // first uncleanable offset, a segment's base; nothing to clean when not above first_dirty
  uint64_t clean_bytes = 0;
  uint64_t dirty_bytes = 0;
  double dirty_ratio = 0;
  // Something dirty has waited for max.compaction.lag.ms.
  bool overdue = false;
  // To be cleaned now.
  bool due = false;
  // The active segment holds up something overdue.
  bool roll_active = false;
  // Whether the segment with this base may be cleaned hangs on when its last batch was appended.
  std::optional<Offset> append_time_wanted;
};

CleanDecision DecideClean(const CleanableLog& log, const CompactionConfig& config, WallMillis now);

// Which of two due logs goes first: overdue ones, then the dirtier.
bool MoreUrgent(const CleanDecision& a, const CleanDecision& b);

// Segments to be rewritten together into one: [first, last) of `segments`, which a pass up to `end` touches.
// Each group's bytes stay at or below `most_bytes` and its offsets below what an index can address, unless it
// is a single segment.
struct CleanGroup {
  size_t first = 0;
  size_t last = 0;
};
std::vector<CleanGroup> GroupSegments(std::span<const CleanableSegment> segments, Offset end,
                                      uint64_t most_bytes);

}  // namespace tidemark
