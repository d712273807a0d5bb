// Fetcher: one shard's followers of one source broker: one fetch loop over one connection of its own, with an
// incremental fetch session on it. Owned by the ReplicaTable; shard's loop only.
//
// The session's epoch is 1 for the fetch that opens it and names every partition, then 2, 3, ...; those name
// only what changed. Any error of a whole fetch, a reconnection or another endpoint begins a new one. A
// partition in back-off, parked or gone is forgotten by the session, so it never stops the others.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "broker/replica/partition.h"

namespace tidemark {

class Fetcher {
 public:
  Fetcher(ReplicaContext& context, ReplicationChannelFactory& channels, BrokerId source);
  ~Fetcher();  // CHECKs that it is closed
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // From the next fetch on; again for a partition that is in a new epoch. Cuts a parked fetch short.
  void Add(Partition& partition);
  // The partition is not touched any more when this returns, but for an ApplyFetched that is under way (the
  // partition's own Close waits for it).
  void Remove(const PartitionKey& key);
  // Tells the leader, one way, when a fetch is parked (else the next fetch tells it).
  void FlushedEndMoved(Partition& partition);

  BrokerId source() const { return source_; }
  size_t partitions() const { return items_.size(); }
  Task<void> Close();

 private:
  struct Item {
    Partition* partition = nullptr;
    LeaderEpoch epoch = 0;
    // What the session holds for this partition, encoded; empty when it must be named.
    std::optional<std::string> in_session;
    MonoTime not_before{};  // back-off
    bool asked = false;     // an answer to asked_offset may come
    Offset asked_offset = 0;
    bool busy = false;  // an answer is being applied
  };
  using Grouped = std::map<TopicId, v1::FetchRequest::Topic>;

  Task<void> Run();
  Task<bool> EnsureChannel();
  Task<void> ResetSession();
  Task<void> FetchOnce();
  v1::FetchRequest BuildRequest(bool* anything);
  void AddWanted(const PartitionKey& key, Item& item, Grouped* wanted);
  void ApplyResponse(const v1::FetchResponse& response);
  Task<void> ApplyOne(PartitionKey key, LeaderEpoch epoch, v1::FetchResponse::Partition answer);
  void Rename(const PartitionKey& key);
  void SendProgress();
  std::optional<MonoTime> NextRetry();
  Task<void> Pause(Duration delay);

  ReplicaContext& context_;
  ReplicationChannelFactory& channels_;
  const BrokerId source_;
  Scope scope_;
  Notifier changed_;
  std::unordered_map<PartitionKey, Item> items_;
  std::set<PartitionKey> to_name_;    // new or changed since the request before
  std::set<PartitionKey> to_forget_;  // in the session, no longer wanted
  std::set<PartitionKey> flushed_;    // progress to tell
  std::multimap<MonoTime, PartitionKey> retries_;
  std::unique_ptr<ReplicationChannel> channel_;
  Endpoint endpoint_;
  BrokerEpoch session_broker_epoch_ = kNoBrokerEpoch;
  uint64_t session_epoch_ = 0;                  // of the last fetch that was answered; 0: no session
  std::optional<std::stop_source> fetch_stop_;  // while a fetch is in flight
  bool cut_ = false;
  MonoTime last_cut_{};
  bool progress_posted_ = false;
  bool unreachable_told_ = false;
  std::shared_ptr<Fetcher*> self_;  // for deferred calls
};

}  // namespace tidemark
