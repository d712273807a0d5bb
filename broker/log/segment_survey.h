// What a start left out: after a clean stop the old segments of a log are known by name only, so that the
// start does not grow with their number. Their sizes, timestamps and whether their index files are good are
// found out afterwards, by the first read of a segment or by ShardLogs in the background. Blocking: pool
// thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/log/damage_list.h"
#include "broker/log/segment_index.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

// A sealed segment as a pool thread is told of it.
struct SegmentPlace {
  std::string path_prefix;
  Offset base_offset = 0;
  Offset next_base = 0;  // of the segment that follows
};

struct SegmentSurvey {
  uint64_t size = 0;
  WallMillis max_timestamp = kNoTimestamp;
  Offset max_timestamp_offset = 0;
  // Of the first batch; empty where there is none or it is damaged.
  std::optional<WallMillis> first_append_time;
  // Where the index files did not match the segment: made from its batches, to be written.
  std::optional<SegmentIndex> rebuilt;
  // Where the batches are not those up to next_base; a missing file is damaged whole. The greatest timestamp
  // is that of the seal then, or later than any other: what is left says nothing of what is not.
  std::vector<DamagedRange> damage;
};

// IO_ERROR: the file cannot be read. KAFKA_STORAGE_ERROR: it cannot be opened, which says nothing of what it
// holds. DISK_FULL: no descriptor for it now.
Result<SegmentSurvey> SurveySegment(FileSystem& files, const PartitionKey& key, const SegmentPlace& place,
                                    uint32_t index_interval_bytes);

}  // namespace tidemark
