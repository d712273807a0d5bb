// Consumer: reads partitions that are assigned to it by hand. Loop-affine. Fetches ahead in the background
// within a bounded buffer, follows leader changes, verifies both checksums of every batch.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/options.h"
#include "common/record/record_view.h"

namespace tidemark {

struct StartPosition {
  enum class Kind { kBeginning, kEnd, kOffset, kTimestamp } kind = Kind::kEnd;
  int64_t value = 0;  // offset, or milliseconds since 1970 (no record that young: the end)
};

struct ConsumedRecord {
  RecordView view;  // valid until the next Poll
  PartitionIndex partition = 0;
  LeaderEpoch leader_epoch = 0;
};

struct PolledBatch {
  std::string topic;
  PartitionIndex partition = 0;
  Offset high_watermark = 0;
  std::vector<ConsumedRecord> records;
};

class Consumer {
 public:
  Consumer(Cluster& cluster, ConsumerOptions options);
  ~Consumer();  // CHECKs that it is closed

  // Adds a partition; fetching begins. UNKNOWN_TOPIC_OR_PARTITION carries the broker's hint.
  Task<Result<>> Assign(std::string topic, PartitionIndex partition, StartPosition start);
  // All partitions of the topic.
  Task<Result<>> AssignAll(std::string topic, StartPosition start);

  // The next records, of one partition's batch; empty at the deadline. Errors are per partition and once:
  // CORRUPT_MESSAGE (names partition and offset), OFFSET_OUT_OF_RANGE with auto.offset.reset=none,
  // UNKNOWN_TOPIC_ID; that partition is read no further.
  Task<Result<PolledBatch>> Poll(MonoTime deadline, std::stop_token stop = {});

  // Offset of the next record Poll would give; empty when not assigned or not yet known.
  std::optional<Offset> Position(const std::string& topic, PartitionIndex partition) const;
  Task<Result<>> Seek(std::string topic, PartitionIndex partition, StartPosition start);
  uint64_t bytes_fetched() const;
  Task<void> Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
