// FetchSession: what one connection has asked to fetch, kept between its requests (incremental sessions), or
// for one request alone. Lives on the connection's shard; its slices live on the shards that own the
// partitions and are named by handles, never by pointers. Dropping the session drops its slices.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "broker/replica/fetch_slice.h"
#include "broker/server/broker_context.h"
#include "common/async/wait.h"
#include "common/net/rpc_server.h"

namespace tidemark {

class FetchSession;

// How many partitions all fetches of one connection hold: its session, sessions before it that have not
// ended, fetches without one. On the connection's shard.
struct FetchHolding {
  size_t partitions = 0;
};

// What a connection keeps of its fetches.
struct ConnectionFetches {
  std::shared_ptr<FetchSession> session;
  std::shared_ptr<FetchHolding> holding = std::make_shared<FetchHolding>();
  // What the client id owes to its fetch quota, as this connection was last told: no fetch of it is begun
  // before, while the quotas are those of this revision.
  MonoTime held_until{};
  uint64_t quotas_revision = 0;
  // Since these quotas hold the connection's transfers are timed (client_quotas.h).
  uint64_t timed_revision = 0;
};

// Of a connection of this process's servers, made with the first use.
ConnectionFetches& FetchesOf(ConnectionInfo& connection);

class FetchSession {
 public:
  FetchSession(Shard& home, FetchReader reader, std::shared_ptr<FetchHolding> holding);
  ~FetchSession();
  FetchSession(const FetchSession&) = delete;
  FetchSession& operator=(const FetchSession&) = delete;

  const FetchReader& reader() const { return reader_; }
  // Of the last request begun; 0 before the first.
  uint64_t epoch = 0;

  // Shards that have, or with this request get, a part of the session.
  void Use(size_t shard) { used_[shard] = true; }
  std::vector<size_t> UsedShards() const;
  // Names this session's slice on every shard.
  uint64_t handle() const { return handle_; }

  // The request's partitions come to the session's. POLICY_VIOLATION: more than max.fetch.partitions, or the
  // connection has twice as many with what has not ended yet; the session is over then. Followers may have
  // any number.
  Result<> Hold(const v1::FetchRequest& request);

  // The poll under way answers what it has; none is begun again by its request. For a successor on the
  // connection.
  void Cut();
  bool cut() const { return cut_; }
  // Ends the polls of all used shards but one.
  static void CutSlices(BrokerContext& context, const std::vector<size_t>& shards, uint64_t handle,
                        size_t except);

  // One request at a time: waits until the one before has been answered. False when stopped first.
  Task<bool> Begin(std::stop_token stop);
  void End();

 private:
  Shard& home_;
  FetchReader reader_;
  std::shared_ptr<FetchHolding> holding_;
  std::unordered_set<PartitionKey> held_;  // of consumers
  uint64_t handle_;
  std::vector<bool> used_;
  bool busy_ = false;
  bool cut_ = false;
  Notifier idle_;
};

}  // namespace tidemark
