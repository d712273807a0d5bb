// Fetcher: reads assigned partitions ahead of the consumer's Poll. Part of the consumer, loop-affine.
// fetcher.cc fetches, fetcher_positions.cc says where.
//
// Invariants: a partition has at most one fetch in flight; an answer counts only in the generation it was
// asked in (a seek, a removal or a truncation begins a new one); what is handed on has passed both checksums,
// is whole, and continues where the last one ended, in the same history, or an error that was told between
// the two says where it goes on; bytes fetched and not yet polled, plus what answers under way may bring,
// stay within prefetch_bytes (one batch may pass it).
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/backoff.h"
#include "client/consumer.h"
#include "client/range_doubt.h"
#include "client/read_history.h"
#include "common/async/scope.h"
#include "common/record/batch.h"

namespace tidemark::internal {

// A partition assigned to the consumer.
struct Assignment {
  std::string topic;
  TopicId id;
  PartitionIndex partition = 0;

  StartPosition start;
  std::optional<Offset> fetch_offset;  // empty until the start has been resolved
  Offset next_offset = 0;              // of the next record that Poll gives; valid with fetch_offset
  uint64_t generation = 0;
  bool failed = false;     // its error is in the queue or was given: read no further
  bool in_flight = false;  // a fetch or the resolution of its start
  size_t buffered = 0;     // bytes fetched in this generation and not yet polled
  MonoTime not_before;
  int failures = 0;
  std::optional<MonoTime> unknown_since;  // brokers say that the topic is unknown
  // Nothing is fetched, and what was is not given; it is dropped when others need its memory.
  bool paused = false;
  std::optional<LeaderEpoch> last_epoch;  // of the record before next_offset, where it is known
  ReadHistory history;                    // of what was read up to fetch_offset
  // The log has lost what Poll gave from there on; until Poll has told so. What is fetched meanwhile
  // continues what is left.
  std::optional<Offset> parted_at;
  bool telling = false;                   // that is in the queue
  std::optional<MonoTime> damaged_since;  // the leader says that what is to be read next is damaged
  bool damage_told = false;               // to the application; the partition is tried again
  std::optional<Error> refused;           // the last answer, or why nobody is asked; it is tried again
  std::optional<RangeDoubt> doubt;        // the leader says that its log lacks what was read
  std::optional<PositionReset> reset;     // the start is being found because of it
};
using AssignmentPtr = std::shared_ptr<Assignment>;

// Whole, verified batches of one partition, or the error that ends it.
struct Chunk {
  AssignmentPtr of;
  uint64_t generation = 0;
  Offset begin = 0;                         // records below are not wanted
  std::optional<LeaderEpoch> epoch_before;  // of the record before `begin`, where it is known
  std::string bytes;
  size_t position = 0;  // of the batch to be polled next
  Offset high_watermark = 0;
  std::optional<Error> error;
  bool goes_back = false;  // with an error: reading goes on at `begin`
};

class Fetcher {
 public:
  Fetcher(Cluster& cluster, const ConsumerOptions& options);

  // The cluster knows the topic; the partition is not assigned.
  AssignmentPtr Add(const std::string& topic, PartitionIndex partition, StartPosition start);
  AssignmentPtr Find(const std::string& topic, PartitionIndex partition) const;
  // What was fetched of it is dropped, and what is under way will be.
  void Remove(Assignment& assignment);
  void SetPaused(Assignment& assignment, bool paused);
  // Begins anew at `start`; what was fetched is dropped.
  void Restart(Assignment& assignment, StartPosition start);
  // What is to be polled next cannot be decoded: it fails there, and what was fetched behind it is dropped.
  void Abandon(Assignment& assignment, Offset next_offset);
  // Returns when its start is known, it has failed or was removed, or at the deadline.
  Task<void> WaitForStart(AssignmentPtr assignment, MonoTime deadline);

  // Consumer::Refused.
  std::map<TopicPartition, Error> Refused() const;

  // The next chunk of a partition that is not paused, if there is one.
  std::optional<Chunk> Take();
  // Gives back a chunk that was taken last and is not polled to its end: the next to be taken.
  void PutBack(Chunk chunk);
  // The chunk has been polled to its end: its memory is free.
  void Release(const Chunk& chunk);
  Task<WaitOutcome> WaitForChunk(MonoTime deadline, std::stop_token stop);

  uint64_t bytes_fetched() const { return bytes_fetched_; }
  Task<void> Close();

 private:
  // One fetch of several partitions, with the generation each was asked in, and its leader as known then.
  struct Asked {
    AssignmentPtr assignment;
    uint64_t generation;
    PartitionLeader leader;
  };

  Task<void> Run();
  MonoTime Pump();
  PartitionLeader Destination(Assignment& assignment);
  void BeginFetch(BrokerId leader, std::vector<Asked> asked);
  bool DropPaused();
  size_t Allowance(size_t partitions) const;
  Task<void> Fetch(BrokerId leader, std::vector<Asked> asked, size_t allowance);
  v1::Request Encode(const std::vector<Asked>& asked, size_t allowance) const;
  void Accept(const Asked& asked, v1::FetchResponse::Partition* answer);
  Result<> TakeRecords(Assignment& assignment, v1::FetchResponse::Partition* answer);
  void HandleError(Assignment& assignment, Error error);
  void OutOfRange(const Asked& asked, Offset log_start, const Error& error);
  void Diverging(const Asked& asked, const v1::FetchResponse::Partition& answer);
  bool TellParted(Assignment& assignment);
  static void BackToPosition(Assignment& assignment);
  void LookAgain(const Asked& asked);
  Task<void> LookElsewhere(AssignmentPtr owned, uint64_t generation, BrokerId doubted);
  static std::string Where(const Assignment& assignment);
  static Error AtOffset(const Assignment& assignment, const Error& error);
  void FailPartition(Assignment& assignment, Error error);
  void Tell(const Assignment& assignment, Error error, bool goes_back = false);
  void Delay(Assignment& assignment, std::optional<Error> why = {});
  void TellReset(Assignment& assignment);
  void BeginGeneration(Assignment& assignment);
  void DropChunks(const Assignment& assignment);
  AssignmentPtr PointerTo(const Assignment& assignment) const;
  Task<void> Resolve(AssignmentPtr owned, uint64_t generation);
  void RequestRefresh(const std::string& topic);
  Task<void> Refresh(std::string topic);
  void Wake();

  Cluster& cluster_;
  EventLoop& loop_;
  const ConsumerOptions& options_;
  Scope scope_;
  Notifier wake_;
  Notifier arrived_;  // a chunk, or a resolved start
  bool dirty_ = false;
  Backoff backoff_;
  std::map<std::pair<std::string, PartitionIndex>, AssignmentPtr> assignments_;
  std::deque<Chunk> chunks_;
  std::map<BrokerId, int> in_flight_;
  std::map<BrokerId, MonoTime> muted_until_;  // brokers that delay this client because of a quota
  std::map<std::string, bool> refreshing_;
  size_t buffered_ = 0;
  size_t allowed_ = 0;  // bytes that answers under way may bring
  uint64_t bytes_fetched_ = 0;
};

}  // namespace tidemark::internal
