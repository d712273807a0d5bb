// What a fetch brought, checked before it is handed on. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/result.h"
#include "common/types.h"

namespace tidemark::internal {

// The good part of some records.
struct GoodRecords {
  size_t bytes = 0;
  Offset next = 0;                                      // after its last record, or where was asked for
  std::vector<std::pair<LeaderEpoch, Offset>> changes;  // of epoch, and where: of the first batch, too
};

// Checks both checksums of every batch, and that one follows the other. `*good` becomes what comes before the
// first bad one (the end of `records` may cut one); `good->next` is where was asked for. CORRUPT_MESSAGE
// names `partition` and the offset.
Result<> VerifyFetched(std::string_view records, const TopicId& topic, PartitionIndex index,
                       std::string_view partition, GoodRecords* good);

}  // namespace tidemark::internal
