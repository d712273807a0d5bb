// What /metrics says of groups.
#pragma once

#include "broker/server/shard.h"
#include "common/metrics/exposition.h"

namespace tidemark {

// Adds one shard's groups to a sum.
void AddGroups(const ShardReport& report, ShardReport* sum);
void AddGroupMetrics(const ShardReport& sum, Exposition* out);

}  // namespace tidemark
