// What tidemark-consumer-groups --reset-offsets is asked for, and the offsets that come of it. Pure, apart
// from the command so that it is tested by itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/topic_partition.h"
#include "common/result.h"
#include "common/time.h"
#include "tools/arguments.h"

namespace tidemark {

// "orders" or "orders:0,1".
struct TopicChoice {
  std::string topic;
  std::vector<PartitionIndex> partitions;  // empty: all
};
Result<TopicChoice> ParseTopicChoice(const std::string& text);

// "2026-01-02T03:04:05.678", with or without seconds and fraction, and with Z, +hh, +hhmm or +hh:mm (without:
// UTC), as milliseconds since 1970.
Result<WallMillis> ParseDateTime(std::string_view text);
// ISO 8601: "P2DT3H4M5.5S", "PT1H"; weeks, days, hours, minutes, seconds.
Result<Duration> ParseIsoDuration(std::string_view text);

enum class ResetKind { kEarliest, kLatest, kCurrent, kOffset, kTime, kShift, kFile };
struct ResetPlan {
  ResetKind kind = ResetKind::kLatest;
  int64_t value = 0;  // the offset, the time (ms since 1970), or by how much to shift
  std::string file;   // of kFile
};
// One of --to-earliest, --to-latest, ... of the flags. `now`: for --by-duration.
Result<ResetPlan> ResetPlanOf(const Arguments& arguments, WallMillis now);

// Lines of "group,topic,partition,offset"; where `only_group` is not empty, also "topic,partition,offset" of
// that group. A header is passed over; a field may stand in quotes, and then have line ends (RFC 4180).
// INVALID_REQUEST names the line, or both where a partition of a group is named twice.
using ResetFile = std::map<std::string, std::map<TopicPartition, Offset>>;  // by group
Result<ResetFile> ParseResetFile(std::string_view text, const std::string& only_group);
// A field as such a file has it: in quotes where it has a comma, a quote, a line end or blanks around it.
std::string ResetFileField(const std::string& text);

// What is known of a partition.
struct ResetBounds {
  Offset earliest = 0;
  Offset latest = 0;
  std::optional<Offset> committed;
  std::optional<Offset> at_time;  // empty: no record is that young
};
// The offset to commit, within the bounds; `*note` says where it was moved into them. A shift beyond the
// largest offset there can be ends at it.
Result<Offset> ResetOffset(const ResetPlan& plan, const TopicPartition& at, const ResetBounds& bounds,
                           std::string* note);

// How many partitions there are in all.
uint64_t CountPartitions(const std::map<std::string, std::vector<PartitionIndex>>& by_topic);

}  // namespace tidemark
