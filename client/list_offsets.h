// AskOffsets: offsets by timestamp from the partitions' leaders, with retries. Shared by the admin client and
// the consumer. Runs on the cluster's loop.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cluster.h"

namespace tidemark {

// Timestamps of ListOffsetsRequest that mean a bound.
inline constexpr int64_t kLatestTimestamp = -1;
inline constexpr int64_t kEarliestTimestamp = -2;
// The record with the greatest timestamp.
inline constexpr int64_t kMaxTimestamp = -3;

struct OffsetOfPartition {
  PartitionIndex partition = 0;
  Result<std::optional<Offset>> offset;  // empty: no record is that young
  WallMillis timestamp = -1;
  // An offset of which is asked when it was appended, and that time; empty: nothing is committed there yet,
  // or it cannot be read.
  std::optional<Offset> append_time_of = std::nullopt;
  std::optional<WallMillis> append_time = std::nullopt;
};

// Whether the application is told when it takes long (ClientOptions::on_slow_call).
enum class Telling { kNever, kSlow };

// One answer per asked partition, in that order. Passing trouble (no leader, a new leader that does not know
// its high watermark yet) is retried until the deadline and is then the partition's error. Fails as a whole
// only when the topic cannot be found.
Task<Result<std::vector<OffsetOfPartition>>> AskOffsets(Cluster& cluster, std::string topic,
                                                        std::vector<PartitionIndex> partitions,
                                                        int64_t timestamp, MonoTime deadline,
                                                        std::stop_token stop,
                                                        Telling telling = Telling::kSlow);

// The ends of partitions, and when the record at an offset of each (empty: none) was appended; as AskOffsets.
Task<Result<std::vector<OffsetOfPartition>>> AskEnds(Cluster& cluster, std::string topic,
                                                     std::map<PartitionIndex, std::optional<Offset>> offsets,
                                                     MonoTime deadline, std::stop_token stop);

// The topic's picture, asked for where it is not known. A topic not known to the cluster is asked for again
// for a few seconds, because metadata of a new topic takes a moment to reach every broker.
Task<Result<>> EnsureTopic(Cluster& cluster, std::string topic, MonoTime deadline, std::stop_token stop);

}  // namespace tidemark
