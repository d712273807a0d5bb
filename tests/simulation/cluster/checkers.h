// Checkers: what must hold of a run of a whole cluster, as pure functions over what was witnessed: what
// producers were told, what connections saw, and the logs as they lie on the replicas' disks at the end. Each
// returns every violation it finds, in words that name partition, offset and broker; nothing here knows how
// the run was made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "common/types.h"
#include "tests/simulation/env/sim_disk.h"

namespace tidemark {

// A record whose acks=all acknowledgement reached its producer.
struct AckedRecord {
  std::string topic;
  PartitionIndex partition = 0;
  Offset offset = 0;
  std::string value;
  MonoTime at{};  // when it was sent
};

struct LoggedRecord {
  Offset offset = 0;
  std::string value;
  std::optional<std::string> key = std::nullopt;
  bool tombstone = false;  // no value
};
struct LoggedBatch {
  Offset base_offset = 0;
  Offset last_offset = 0;
  LeaderEpoch epoch = 0;
  std::string bytes;  // the whole batch as stored
  std::vector<LoggedRecord> records;
};

// One replica of one partition at the end of a run.
struct DiskLog {
  BrokerId broker = kNoBroker;
  std::string topic;
  PartitionIndex partition = 0;
  Offset start = 0;
  Offset high_watermark = 0;
  bool in_sync = true;  // member of the final ISR: holds everything below the high watermark
  std::vector<LoggedBatch> batches;
  Offset end() const { return batches.empty() ? start : batches.back().last_offset + 1; }
};

// A high watermark as told on one connection, in order of arrival.
struct SeenHighWatermark {
  uint64_t connection = 0;
  std::string topic;
  PartitionIndex partition = 0;
  Offset high_watermark = 0;
};

// "broker led partition in epoch": from the partition's state znode or the broker's own events.
struct LeaderClaim {
  std::string topic;
  PartitionIndex partition = 0;
  LeaderEpoch epoch = 0;
  BrokerId leader = kNoBroker;
};

// What a run must have exercised.
struct RunCounts {
  uint64_t acknowledged = 0;
  uint64_t elections = 0;
  uint64_t truncations = 0;
  uint64_t expiries = 0;
  uint64_t fenced = 0;
};

using Violations = std::vector<std::string>;

// Every acknowledged record lies at its offset, with its bytes, below the high watermark of every in-sync
// replica. Records below a replica's log start count as deleted.
Violations CheckNothingLost(const std::vector<AckedRecord>& acked, const std::vector<DiskLog>& logs);
// No offset was acknowledged for two records.
Violations CheckAckedOnce(const std::vector<AckedRecord>& acked);
// Below the lesser high watermark any two replicas hold the same batches, byte by byte.
Violations CheckReplicasAgree(const std::vector<DiskLog>& logs);
// One leader per epoch: claims name one broker, and two replicas never hold different batches of one epoch at
// one offset, also above the high watermark.
Violations CheckOneLeaderPerEpoch(const std::vector<DiskLog>& logs, const std::vector<LeaderClaim>& claims);
// In each log batches are contiguous (compaction leaves no gap between them), epochs do not fall, record
// offsets rise inside of their batch, and the end is not below the high watermark.
Violations CheckContiguousBatches(const std::vector<DiskLog>& logs);
// And no offset is without a record: logs that are not compacted.
Violations CheckContiguous(const std::vector<DiskLog>& logs);
// On one connection a partition's high watermark does not fall.
Violations CheckHighWatermarks(const std::vector<SeenHighWatermark>& seen);
// A run in which something never happened has shown nothing about it.
Violations CheckCounts(const RunCounts& counts);
std::string ToString(const RunCounts& counts);

// Reads a replica's log from a disk: the segments of the partition's directory, checksums verified. What is
// wrong is added to `violations`; a torn tail at or above `high_watermark` is none (recovery cuts it).
DiskLog ReadDiskLog(const SimDisk& disk, const std::string& directory, BrokerId broker,
                    const std::string& topic, const TopicId& topic_id, PartitionIndex partition,
                    Offset high_watermark, Violations* violations);

}  // namespace tidemark
