#include "broker/log/cleaner_decision.h"

#include <algorithm>

#include <glog/logging.h>

namespace tidemark {
namespace {

enum class Age { kOld, kYoung, kUnknown };

// By min.compaction.lag.ms.
Age AgeOf(const CleanableSegment& segment, Duration min_lag, WallMillis now) {
  const WallMillis limit = now - ToMillis(min_lag);
  if (min_lag <= Duration::zero() || segment.bytes == 0) return Age::kOld;
  if (segment.max_timestamp != kNoTimestamp && segment.max_timestamp <= limit) return Age::kOld;
  // The append time only ever makes it older.
  if (!segment.last_append_time) return Age::kUnknown;
  return *segment.last_append_time <= limit ? Age::kOld : Age::kYoung;
}

// The bases of segments up to which a pass may go.
Offset FirstUncleanable(const CleanableLog& log, const CompactionConfig& config, Offset first_dirty,
                        WallMillis now, std::optional<Offset>* append_time_wanted) {
  const Offset committed = std::min(log.high_watermark, log.flushed_end);
  Offset end = log.segments.front().base_offset;
  for (const CleanableSegment& segment : log.segments) {
    if (!segment.settled || segment.end_offset > committed) break;
    // What is clean already has waited long enough.
    const Age age = segment.end_offset > first_dirty ? AgeOf(segment, config.min_lag, now) : Age::kOld;
    if (age == Age::kUnknown) *append_time_wanted = segment.base_offset;
    if (age != Age::kOld) break;
    end = segment.end_offset;
  }
  return end;
}

bool OlderThan(WallMillis then, Duration lag, WallMillis now) {
  return then != kNoTimestamp && then < now - ToMillis(lag);
}

}  // namespace

CleanDecision DecideClean(const CleanableLog& log, const CompactionConfig& config, WallMillis now) {
  CHECK(!log.segments.empty());
  CleanDecision out;
  const Offset base = log.segments.front().base_offset;
  const Offset log_end = log.segments.back().end_offset;
  // A checkpoint beyond the log says nothing of it: all is dirty.
  out.first_dirty = log.cleaned_to > log_end ? base : std::max({log.cleaned_to, base, log.log_start});
  out.end = out.first_dirty;
  if (!config.enabled) return out;
  out.end =
      std::max(out.first_dirty, FirstUncleanable(log, config, out.first_dirty, now, &out.append_time_wanted));
  for (const CleanableSegment& segment : log.segments) {
    if (segment.base_offset >= out.end) break;
    // A segment that a pass ended in the middle of (its map was full) counts as dirty.
    const bool clean = segment.end_offset <= out.first_dirty;
    (clean ? out.clean_bytes : out.dirty_bytes) += segment.bytes;
    // What the leader stamped where it is known, else the records' own time.
    const WallMillis oldest = segment.first_append_time.value_or(segment.max_timestamp);
    if (!clean && config.max_lag && OlderThan(oldest, *config.max_lag, now)) out.overdue = true;
  }
  if (const uint64_t total = out.clean_bytes + out.dirty_bytes; total > 0) {
    out.dirty_ratio = static_cast<double>(out.dirty_bytes) / static_cast<double>(total);
  }
  const bool anything = out.end > out.first_dirty && out.dirty_bytes > 0;
  out.overdue = out.overdue && anything;
  out.due = anything && (out.overdue || out.dirty_ratio > config.min_dirty_ratio);
  const CleanableSegment& active = log.segments.back();
  out.roll_active = config.max_lag && active.bytes > 0 && active.first_append_time &&
                    OlderThan(*active.first_append_time, *config.max_lag, now);
  return out;
}

bool MoreUrgent(const CleanDecision& a, const CleanDecision& b) {
  if (a.overdue != b.overdue) return a.overdue;
  if (a.dirty_ratio != b.dirty_ratio) return a.dirty_ratio > b.dirty_ratio;
  return a.dirty_bytes > b.dirty_bytes;
}

std::vector<CleanGroup> GroupSegments(std::span<const CleanableSegment> segments, Offset end,
                                      uint64_t most_bytes) {
  std::vector<CleanGroup> groups;
  size_t first = 0;
  while (first < segments.size() && segments[first].base_offset < end) {
    uint64_t bytes = segments[first].bytes;
    size_t last = first + 1;
    while (last < segments.size() && segments[last].base_offset < end &&
           bytes + segments[last].bytes <= most_bytes &&
           segments[last].end_offset - segments[first].base_offset <= kMaxSegmentOffsets) {
      bytes += segments[last++].bytes;
    }
    groups.push_back({first, last});
    first = last;
  }
  return groups;
}

}  // namespace tidemark
