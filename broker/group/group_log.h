// How group records lie in the log: changes become batches, batches of a read become records. Pure.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "broker/group/group_record.h"
#include "common/record/builder.h"
#include "common/record/compression.h"
#include "common/time.h"

namespace tidemark {

// Batches of bounded size, to be appended together. Each record is whole by itself, so a reader that finds
// only the first of them still finds a sound group: no partition has two owners. Some may have none, which
// OnGroupTopics notices.
Result<std::vector<FinishedBatch>> EncodeGroupBatches(std::span<const GroupRecord> records, WallMillis now);

// Calls `apply` with each record at or above `from` in whole batches as a fetch answers them. Records that
// mean nothing are counted and skipped: they must not keep a coordinator from its groups.
struct GroupScan {
  Offset next = 0;  // first offset after the batches read
  size_t records = 0;
  size_t bad = 0;
  std::string first_bad;  // what was wrong with the first of them
};
// CORRUPT_MESSAGE: the bytes are not batches.
Result<GroupScan> ScanGroupBatches(std::string_view bytes, Offset from, ScratchBuffer& scratch,
                                   const std::function<void(const GroupRecord&)>& apply);

}  // namespace tidemark
