// Accumulator: records of a producer that have not been decided, in batches per partition. Pure state of the
// producer, loop-affine: no I/O, no clock of its own.
//
// Invariants: a queue's batches are decided in order; only its first batch is ever in flight; a batch that
// was sent takes no more records and keeps its bytes, so that a retry repeats exactly the same batch.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "client/producer.h"
#include "common/record/builder.h"

namespace tidemark::internal {

struct PendingRecord {
  Producer::DeliveryCallback callback;
  WallMillis timestamp;
};

struct PendingBatch {
  uint64_t id = 0;  // rising
  BatchBuilder builder;
  std::optional<FinishedBatch> finished;  // closed: takes no more records
  std::vector<PendingRecord> records;
  size_t reserved_bytes = 0;
  MonoTime created;
  MonoTime not_before;             // of the next try
  uint32_t tries = 0;              // requests it was in
  uint32_t waits = 0;              // times it had nowhere to go
  std::optional<TopicId> sent_to;  // the topic's incarnation that it was sent to
  Error last_error{v1::REQUEST_TIMED_OUT, "never sent"};

  size_t BodyBytes() const { return finished ? finished->body.size() : builder.EstimatedBodyBytes(); }
};

struct PartitionQueue {
  std::string topic;
  PartitionIndex partition = 0;
  std::deque<std::unique_ptr<PendingBatch>> batches;
  bool in_flight = false;
};

class Accumulator {
 public:
  explicit Accumulator(const ProducerOptions& options) : options_(options) {}

  // Bytes that a record takes of buffer.memory.
  static size_t Cost(const ProducerRecord& record);
  bool HasRoom(size_t cost) const { return reserved_bytes_ + cost <= options_.buffer_memory; }

  PartitionQueue& Queue(std::string_view topic, PartitionIndex partition);
  // True when the record would join an open batch of the queue.
  bool FitsOpenBatch(const PartitionQueue& queue, const ProducerRecord& record) const;
  // Adds the record; true when the sender should look (a new batch began, or one became full).
  bool Append(PartitionQueue& queue, const ProducerRecord& record, WallMillis timestamp,
              Producer::DeliveryCallback callback, MonoTime now);

  // When the queue's first batch may be sent; kNoDeadline when there is none or it is in flight.
  MonoTime ReadyAt(const PartitionQueue& queue, bool pressure) const;
  // Encodes the first batch, if that has not been done.
  Result<> CloseFirst(PartitionQueue& queue);
  // Takes the first batch out; its memory is free. Its records are undecided until Decided(id).
  std::unique_ptr<PendingBatch> TakeFirst(PartitionQueue& queue);
  // Replaces the first batch, which has several records, by two with half of them each.
  Result<> SplitFirst(PartitionQueue& queue);
  void Decided(uint64_t batch_id) { undecided_.erase(undecided_.find(batch_id)); }

  // Everything accepted so far is sent without lingering; returns what to give to FlushedUpTo.
  uint64_t StartFlush() { return flush_before_ = next_id_; }
  bool FlushedUpTo(uint64_t mark) const { return undecided_.empty() || *undecided_.begin() >= mark; }

  // Queues that hold batches.
  std::vector<PartitionQueue*> Active() const { return {active_.begin(), active_.end()}; }
  size_t reserved_bytes() const { return reserved_bytes_; }

 private:
  std::unique_ptr<PendingBatch> NewBatch(uint64_t id, MonoTime now);
  bool IsFull(const PendingBatch& batch) const {
    return batch.builder.EstimatedBodyBytes() >= options_.batch_size;
  }

  const ProducerOptions& options_;
  std::map<std::string, std::map<PartitionIndex, std::unique_ptr<PartitionQueue>>, std::less<>> queues_;
  // In an order that does not depend on where the queues lie in memory: runs of one seed are alike.
  struct ByPlace {
    bool operator()(const PartitionQueue* a, const PartitionQueue* b) const {
      return std::tie(a->partition, a->topic) < std::tie(b->partition, b->topic);
    }
  };
  std::set<PartitionQueue*, ByPlace> active_;
  std::multiset<uint64_t> undecided_;  // the halves of a batch share its id
  size_t reserved_bytes_ = 0;
  uint64_t next_id_ = 1;
  uint64_t flush_before_ = 0;
};

}  // namespace tidemark::internal
