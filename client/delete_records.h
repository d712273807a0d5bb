// AskDeletion: moves the log start of partitions through their leaders, with retries. Used by the admin
// client. Runs on the cluster's loop.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "client/cluster.h"

namespace tidemark {

struct RecordDeletion {
  std::string topic;
  PartitionIndex partition = 0;
  // First offset to keep; empty: the high watermark, which deletes all that is committed.
  std::optional<Offset> before;
};

struct DeletionOutcome {
  std::string topic;
  PartitionIndex partition = 0;
  // No replica in sync starts below it any more.
  Result<Offset> low_watermark;
};

// One outcome per deletion, in that order. Passing trouble (no leader, a leader that changed, an answer that
// was lost) is retried until the deadline and is then the partition's error; asking again does no harm.
Task<std::vector<DeletionOutcome>> AskDeletion(Cluster& cluster, std::vector<RecordDeletion> deletions,
                                               MonoTime deadline, std::stop_token stop);

}  // namespace tidemark
