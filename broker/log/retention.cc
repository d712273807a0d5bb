#include "broker/log/retention.h"

#include <algorithm>
#include <limits>

#include <glog/logging.h>

namespace tidemark {
namespace {

// A retention.ms below this does not make an active segment roll more often.
constexpr int64_t kLeastRollMillis = 10'000;

// `from` plus `age` without overflow: both come from outside.
WallMillis After(WallMillis from, int64_t age) {
  return from > std::numeric_limits<WallMillis>::max() - age ? std::numeric_limits<WallMillis>::max()
                                                             : from + age;
}

// What the age of a segment counts from; empty while it hangs on an unknown append time.
std::optional<WallMillis> AgeBasis(const SegmentFacts& segment) {
  if (!segment.last_append_time) return std::nullopt;
  if (segment.max_timestamp == kNoTimestamp) return segment.last_append_time;
  return std::min(segment.max_timestamp, *segment.last_append_time);
}

uint64_t LiveBytes(std::span<const SegmentFacts> segments, Offset log_start) {
  uint64_t bytes = 0;
  for (const SegmentFacts& segment : segments) {
    if (segment.end_offset > log_start) bytes += segment.size;
  }
  return bytes;
}

enum class Expiry { kNo, kYes, kUnknown };

Expiry ExpiredByTime(const SegmentFacts& segment, int64_t age_limit, WallMillis now) {
  // The append time only ever makes a segment older.
  if (segment.max_timestamp != kNoTimestamp && After(segment.max_timestamp, age_limit) <= now) {
    return Expiry::kYes;
  }
  const auto basis = AgeBasis(segment);
  if (!basis) return Expiry::kUnknown;
  return After(*basis, age_limit) <= now ? Expiry::kYes : Expiry::kNo;
}

// Of a segment whose own times say nothing: the whole one after it is younger. `asked` is that one.
Expiry ExpiredByNext(std::span<const SegmentFacts> from, int64_t age_limit, WallMillis now, Offset* asked) {
  const auto next =
      std::ranges::find_if(from, [](const SegmentFacts& s) { return !s.damaged && s.size > 0; });
  if (next == from.end()) return Expiry::kNo;
  *asked = next->base_offset;
  if (!next->last_append_time) return Expiry::kUnknown;
  return After(*next->last_append_time, age_limit) <= now ? Expiry::kYes : Expiry::kNo;
}

void AddReason(RetentionReason reason, RetentionDecision* decision) {
  if (decision->reason == RetentionReason::kNone) decision->reason = reason;
  if (decision->reason != reason) decision->reason = RetentionReason::kTimeAndSize;
}

}  // namespace

RetentionDecision DecideRetention(std::span<const SegmentFacts> segments, const RetentionConfig& config,
                                  WallMillis now, Offset log_start, Offset high_watermark) {
  CHECK(!segments.empty());
  RetentionDecision decision{.log_start = log_start};
  if (!config.limits_anything()) return decision;
  uint64_t left = LiveBytes(segments, log_start);
  const std::optional<int64_t> age_limit = config.time ? std::optional(ToMillis(*config.time)) : std::nullopt;
  const SegmentFacts& active = segments.back();
  for (size_t i = 0; i < segments.size(); ++i) {
    const SegmentFacts& segment = segments[i];
    if (segment.end_offset <= decision.log_start) continue;
    if (segment.end_offset > high_watermark) break;
    if (segment.size == 0 && !segment.damaged) {
      if (&segment == &active) break;
      // Cleaned empty: nothing of it is left to keep.
      decision.log_start = segment.end_offset;
      ++decision.segments;
      continue;
    }
    const bool by_size = config.bytes && left >= segment.size && left - segment.size >= *config.bytes;
    if (!by_size) {
      Offset asked = segment.base_offset;
      const Expiry expiry = !age_limit ? Expiry::kNo
                            : segment.damaged
                                ? ExpiredByNext(segments.subspan(i + 1), *age_limit, now, &asked)
                                : ExpiredByTime(segment, *age_limit, now);
      if (expiry == Expiry::kUnknown) decision.append_time_wanted = asked;
      if (expiry == Expiry::kNo && age_limit && !segment.damaged)
        decision.next = After(*AgeBasis(segment), *age_limit);
      if (expiry != Expiry::kYes) break;
    }
    AddReason(by_size ? RetentionReason::kSize : RetentionReason::kTime, &decision);
    decision.log_start = segment.end_offset;
    decision.bytes += segment.size;
    ++decision.segments;
    left -= segment.size;
  }
  if (active.size == 0) return decision;
  if (decision.log_start >= active.end_offset) {
    decision.roll_active = true;
  } else if (age_limit && active.first_append_time) {
    const WallMillis roll_at =
        After(*active.first_append_time, std::max<int64_t>(*age_limit, kLeastRollMillis));
    decision.roll_active = roll_at <= now;
    if (!decision.roll_active && (!decision.next || roll_at < *decision.next)) decision.next = roll_at;
  }
  return decision;
}

}  // namespace tidemark
