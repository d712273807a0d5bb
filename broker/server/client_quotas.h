// Quotas of clients as one shard applies them: the limits of each client id, the use of those whose home this
// shard is, and the wrapper that charges a request when it is answered. Owned by Shard, its loop.
//
// A client's use is counted in one place per broker, whatever shards its connections are on: the shard that a
// hash of its client id names. So only a client that has a quota pays for the way there. One over its quota
// is answered at once with the time in throttle_ms, and for so long, unless the quotas change,
//   - of a produce quota: its connection is not read, so that what it sends stays in its socket;
//   - of a request quota: the same, for a window at most (QuotaLedger), so that its heartbeats come through;
//   - of a fetch quota: fetches of that connection are not begun, and end empty when their own time is over.
//     All else on the connection goes on: a group's member fetches and sends its heartbeats on one. What
//     throttle_ms says may be less than that time. On a connection that was not told yet the client is
//     delayed for what it fetched on others, so that to connect anew is of no use.
// Nobody else waits and nothing is dropped. Connections of brokers among themselves (followers, controller)
// have no quotas.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "broker/server/quota_ledger.h"
#include "common/async/wait.h"
#include "common/config/quota_configs.h"
#include "common/metrics/exposition.h"
#include "common/net/rpc_server.h"

namespace tidemark {

class Shard;

// Of one shard, by QuotaKind.
struct QuotaCounters {
  std::array<uint64_t, kQuotaKinds> throttled{};  // answers that carried a delay, by the quota that caused it
  std::array<Duration, kQuotaKinds> delay{};      // sum of these
  uint64_t clients = 0;                           // entries in the ledger
  QuotaCounters& operator+=(const QuotaCounters& other);
};

void AddQuotaMetrics(const QuotaCounters& counters, Exposition* out);

class ClientQuotas {
 public:
  ClientQuotas(EventLoop& loop, const QuotaWindows& windows)
      : windows_(windows), changed_(loop), ledger_(windows) {}

  // Whoever is held is judged anew by its next request.
  void Set(std::shared_ptr<const QuotaPicture> picture);
  // Another one with each Set, which `changed` tells.
  uint64_t revision() const { return revision_; }
  Notifier& changed() { return changed_; }
  // Nothing: no quota holds for this client id.
  std::optional<QuotaLimits> For(std::string_view client_id) const;
  // What one answer to it may carry: what its quota lets through in the windows, so that no delay gets longer
  // than they are.
  size_t FetchBytes(std::string_view client_id, size_t most) const;

  QuotaLedger& ledger() { return ledger_; }
  void NoteThrottled(QuotaKind kind, Duration delay);
  QuotaCounters counters() const;

 private:
  const QuotaWindows windows_;
  std::shared_ptr<const QuotaPicture> picture_ = std::make_shared<const QuotaPicture>();
  uint64_t revision_ = 1;
  Notifier changed_;
  QuotaLedger ledger_;
  QuotaCounters counters_;
};

// How long a request kept its connection's loop, from before it was parsed to its first wait: known when it
// is answered, or, if it is answered within, at the answer. What receiving it and encoding and sending
// answers take is charged besides, the latter with the connection's next request.
struct CallTime {
  MonoTime begun;
  std::optional<Duration> to_first_wait;
};

// The call, charged when it is answered. As it is where no quota holds; else `time` is to be filled in.
std::unique_ptr<RpcCall> UnderQuotas(Shard& shard, std::unique_ptr<RpcCall> call,
                                     std::shared_ptr<CallTime>* time);

// For a consumer's fetch, before it is begun: waits while its connection is held for a fetch quota, at most
// until `most`. False: it still is, or the connection has gone.
Task<bool> WaitOutFetchQuota(Shard& shard, RpcCall& call, MonoTime most);

}  // namespace tidemark
