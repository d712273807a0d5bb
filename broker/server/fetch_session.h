// FetchSession: what one connection has asked to fetch, kept between its requests (incremental sessions), or
// for one request alone. Lives on the connection's shard; its slices live on the shards that own the
// partitions and are named by handles, never by pointers. Dropping the session drops its slices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <utility>
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
  // That the fetches under way may be answered with: a request of eighty bytes may ask for fetch.max.bytes,
  // and hundreds may be pipelined.
  size_t bytes = 0;
};

// What one fetch may be answered with, of what its connection has left of `limit`; the first batch it gets in
// any case. Given back with it, when the answer is made.
class FetchAllowance {
 public:
  FetchAllowance(std::shared_ptr<FetchHolding> holding, size_t wanted, size_t limit)
      : holding_(std::move(holding)),
        bytes_(wanted == 0
                   ? 0
                   : std::max<size_t>(1, std::min(wanted, limit - std::min(limit, holding_->bytes)))) {
    holding_->bytes += bytes_;
  }
  ~FetchAllowance() { holding_->bytes -= bytes_; }
  FetchAllowance(const FetchAllowance&) = delete;
  FetchAllowance& operator=(const FetchAllowance&) = delete;
  size_t bytes() const { return bytes_; }

 private:
  const std::shared_ptr<FetchHolding> holding_;
  const size_t bytes_;
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
  // Of its connection.
  const std::shared_ptr<FetchHolding>& holding() const { return holding_; }
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

  // A request was given up while shards had its slices, or refused: nothing is known of them, and nobody uses
  // the session any more.
  void MarkOver() { over_ = true; }
  bool over() const { return over_; }

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
  bool over_ = false;
  Notifier idle_;
};

}  // namespace tidemark
