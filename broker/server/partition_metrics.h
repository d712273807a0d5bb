// What /metrics says of a broker's partitions and logs: counted by each shard over its own, summed on the
// control loop, printed. Free functions over the values of a ShardReport.
#pragma once

#include "broker/server/shard.h"
#include "common/metrics/exposition.h"

namespace tidemark {

class LogDirs;

// On the shard's loop.
void CountPartition(const Partition& partition, ShardReport* report);
void CountLogs(ShardLogs& logs, ShardReport* report);

// Adds one shard's partitions and logs to a sum.
void AddPartitions(const ShardReport& report, ShardReport* sum);
// Bytes are told for this many of the largest topics; those of all others together under an empty name, so
// that what Prometheus keeps is bounded.
inline constexpr size_t kMostTopicsTold = 100;
void AddPartitionMetrics(const ShardReport& sum, const LogDirs* dirs, Exposition* out);

}  // namespace tidemark
