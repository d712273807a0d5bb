// Producer: sends records in batches. Loop-affine. One batch in flight per partition, so that retries keep
// the order; partitions go in parallel, and those led by one broker ride in one request. After an unknown
// outcome the same batch is sent again, so a record may be in the log twice until producers are idempotent.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "client/cluster.h"
#include "client/options.h"
#include "common/record/record_view.h"

namespace tidemark {

struct RecordMetadata {
  PartitionIndex partition = 0;
  Offset offset = 0;  // 0 with acks=0
  WallMillis timestamp = -1;
};

// Views: the record is copied into its batch before Send returns (or suspends).
struct ProducerRecord {
  std::string_view topic;
  std::optional<PartitionIndex> partition;  // else by murmur2 of the key, else sticky
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  WallMillis timestamp = -1;  // -1: now
  std::span<const HeaderView> headers;
};

struct ProducerStats {
  uint64_t records = 0;  // accepted
  uint64_t acknowledged = 0;
  uint64_t failed = 0;
  uint64_t retries = 0;
  uint64_t batches = 0;
  size_t buffered_bytes = 0;
  // By which brokers delayed it because of a quota; answers that came together count each.
  Duration throttled{};
};

class Producer {
 public:
  // Called on the loop, once per accepted record, in order per partition.
  using DeliveryCallback = std::function<void(const Result<RecordMetadata>&)>;

  Producer(Cluster& cluster, ProducerOptions options);
  ~Producer();  // CHECKs that it is closed

  // Accepts a record. Completes at once while there is room; waits up to max.block.ms for metadata or memory.
  // BUFFER_EXHAUSTED, MESSAGE_TOO_LARGE, UNKNOWN_TOPIC_OR_PARTITION...: not accepted, the callback is not
  // called. The viewed bytes must stay until the task completes.
  Task<Result<>> Send(ProducerRecord record, DeliveryCallback callback);
  // The same without waiting: false when Send would have to wait (try again later, or Send). For hot loops.
  bool TrySend(const ProducerRecord& record, DeliveryCallback callback, Result<>* error);

  // Sends what is buffered without lingering and waits until every record accepted so far has been decided.
  Task<void> Flush();
  // Waits as Flush; then refuses everything.
  Task<void> Close();
  ProducerStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
