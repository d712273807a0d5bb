// A replica as it lies on a disk: its batches from the first on, as far as they are whole and contiguous.
// Read past all processes, while the broker runs or is down.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/log/checkpoints.h"
#include "common/types.h"
#include "tests/simulation/env/sim_disk.h"

namespace tidemark {

struct StoredBatchAt {
  std::string path;  // of its segment
  uint64_t position = 0;
  std::string bytes;
  Offset first = 0;
  Offset last = 0;
};

struct StoredReplica {
  Offset start = 0;  // as its first segment is named
  std::vector<StoredBatchAt> batches;
  Offset end() const { return batches.empty() ? start : batches.back().last + 1; }
  // Null where it holds no such offset.
  const StoredBatchAt* At(Offset offset) const;
};

// Empty without a folder. `durable`: what would be left without anything unsynced.
std::optional<StoredReplica> ReadStoredReplica(const SimDisk& disk, const std::string& topic,
                                               const PartitionKey& key, bool durable);
// What a checkpoint file says of a partition; 0 where it says nothing.
Offset StoredCheckpoint(const SimDisk& disk, CheckpointKind kind, const PartitionKey& key);

}  // namespace tidemark
