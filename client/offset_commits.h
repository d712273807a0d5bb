// Commits as they are sent: from offsets by partition to a request, and its answer back to outcomes. Shared
// by the group consumer and the group admin. Values and pure functions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/topic_partition.h"
#include "common/result.h"
#include "tidemark/v1/group_api.pb.h"

namespace tidemark {

// What is committed of a partition: the next offset to read.
struct OffsetToCommit {
  Offset offset = 0;
  std::optional<LeaderEpoch> leader_epoch;  // of the last record read
  std::string metadata;                     // free text
  bool operator==(const OffsetToCommit&) const = default;
};
using OffsetsToCommit = std::map<TopicPartition, OffsetToCommit>;

struct CommitOutcome {
  TopicPartition at;
  Result<> result;
};

namespace internal {

// By topic id, because a name may have stood for another topic when the offset was read.
struct CommitItem {
  std::string topic;
  OffsetToCommit what;
};
using CommitItems = std::map<PartitionKey, CommitItem>;

void FillCommit(const CommitItems& items, v1::OffsetCommitRequest* out);
// One outcome per item; one that the answer leaves out is UNKNOWN_SERVER_ERROR.
std::map<PartitionKey, Result<>> ReadCommit(const CommitItems& items, const v1::OffsetCommitResponse& answer);

}  // namespace internal
}  // namespace tidemark
