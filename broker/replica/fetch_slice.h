// FetchSlice: one fetch's part, or one fetch session's part, on one shard; the leader's side of fetching.
// Owned by the connection's request handler through the shard (broker/server scatters a FetchRequest over
// shards and gathers); shard's loop only. One call at a time: Update, then Collect and WaitReady in turn
// until the answer is sent, then the next Update.
//
// Watches its partitions, so an idle partition costs nothing: only those marked dirty by a change are looked
// at. What a session was told (bounds, errors) counts as told when the next Update shows that the answer
// arrived. An error is told once: a reader names the partition again when it wants to try again. The slice
// must be destroyed before its ReplicaTable.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "broker/replica/partition.h"
#include "common/async/wait.h"

namespace tidemark {

class ReplicaTable;

// Who fetches. A consumer has replica kNoBroker.
struct FetchReader {
  BrokerId replica = kNoBroker;
  BrokerEpoch broker_epoch = kNoBrokerEpoch;
  bool follower() const { return replica != kNoBroker; }
};

struct FetchWanted {
  PartitionKey key;
  v1::FetchRequest::Partition request;
};

struct FetchSliceAnswer {
  struct Item {
    PartitionKey key;
    v1::FetchResponse::Partition response;  // current_leader without host and port
  };
  std::vector<Item> items;
  // Bytes of records.
  size_t bytes = 0;
  // Something that must not wait for min_bytes: an error, a divergence, a moved high watermark (followers).
  bool urgent = false;
  // More is there than was let in (by max_bytes, a partition's, or the end of a segment), so waiting adds
  // nothing.
  bool full = false;
};

class FetchSlice final : private PartitionWatcher {
 public:
  FetchSlice(ReplicaTable& table, FetchReader reader);
  ~FetchSlice() override;
  FetchSlice(const FetchSlice&) = delete;
  FetchSlice& operator=(const FetchSlice&) = delete;

  // A request arrived: adds or replaces `wanted`, drops `forgotten`. Followers' progress counts at once, from
  // here.
  void Update(std::vector<FetchWanted> wanted, const std::vector<PartitionKey>& forgotten);

  // What there is now. `only_changed` (sessions after their first answer): only partitions with records, a
  // new error or changed bounds; else every partition. At most max_bytes of records, but the first batch
  // whole (0: no records).
  Task<FetchSliceAnswer> Collect(size_t max_bytes, bool only_changed);

  // kReady when something has changed since the last Collect looked (at once, if it has already).
  Task<WaitOutcome> WaitReady(MonoTime deadline, std::stop_token stop);

  size_t partitions() const { return entries_.size(); }

 private:
  struct Told {
    Offset high_watermark = 0;
    Offset log_start = 0;
    bool log_start_wanted = false;
    ErrorCode error = v1::NONE;
    bool operator==(const Told&) const = default;
  };
  struct Entry {
    PartitionKey key;
    v1::FetchRequest::Partition request;
    Partition* partition = nullptr;  // null: not here, or gone
    std::optional<Told> told;        // known to have arrived
    std::optional<Told> telling;     // in the answer that is being made
    bool dirty = false;
  };

  // PartitionWatcher.
  void OnPartitionChange(const PartitionKey& key, PartitionChange change) override;

  void MarkDirty(Entry& entry);
  void Attach(Entry& entry);
  void Detach(Entry& entry);
  Task<Result<PartitionRead>> Read(PartitionKey key, size_t max_bytes, v1::FetchResponse::Partition* out);
  static PartitionRead Parted(const Partition& partition, const EpochBoundary& boundary,
                              v1::FetchResponse::Partition* out);
  void Fill(const Entry& entry, Result<PartitionRead> read, v1::FetchResponse::Partition* out) const;
  FollowerPosition PositionOf(const Entry& entry) const;
  Task<bool> CollectOne(PartitionKey key, size_t budget, bool only_changed, FetchSliceAnswer* answer);

  ReplicaTable& table_;
  EventLoop& loop_;
  FetchReader reader_;
  std::unordered_map<PartitionKey, Entry> entries_;
  std::vector<PartitionKey> order_;    // of entries_, as first named
  std::deque<PartitionKey> dirty_;     // each key once (Entry::dirty)
  std::vector<PartitionKey> telling_;  // entries in the answer that is being made
  Notifier changed_;
  bool fresh_ = false;  // something became dirty since the last Collect began
};

}  // namespace tidemark
