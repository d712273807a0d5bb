// QuotaLedger: how much clients used of their quotas in the last windows, and how long one over its quota is
// to be delayed. Pure: time is handed in. Owned by a shard, for the client ids whose home it is.
//
// A client's use fills a bucket that drains at its quota. What `samples` - 1 windows of the quota hold
// (Kafka's quota.window.*) is free, so that nobody is judged by an instant; what is above that must drain
// before the client goes on, however long ago it came: over time nobody gets more than its quota.
//
// Invariant: no more than `most_clients` are kept, whatever clients call themselves. One whose bucket is
// empty is forgotten without loss; those that come when all are in use share one entry.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "common/config/quota_configs.h"
#include "common/time.h"

namespace tidemark {

// One client's use of one quota.
class QuotaBucket {
 public:
  // How long until no more than `free` times the quota of a second is left, with `amount` more. No longer
  // than `most`: what would take longer is forgiven.
  Duration Charge(double amount, double limit, Duration free, Duration most, MonoTime now);
  bool Empty(MonoTime now) const;

 private:
  double LevelAt(MonoTime now) const;

  double level_ = 0;
  double limit_ = 1;  // as of the last charge
  MonoTime at_{};
};

class QuotaLedger {
 public:
  static constexpr size_t kMostClients = 10'000;
  // No delay is longer: a typing error in a quota must not put a client away for days.
  static constexpr Duration kLongestDelay = std::chrono::hours(1);

  explicit QuotaLedger(const QuotaWindows& windows, size_t most_clients = kMostClients)
      : windows_(windows), most_clients_(most_clients) {}

  // Notes the use, and says how long the client is to be delayed for it. Requests are delayed for no more
  // than one window, so that a client's other work (heartbeats) comes through.
  Duration Charge(QuotaKind kind, const std::string& client_id, double amount, double limit, MonoTime now);
  size_t size() const { return entries_.size(); }

 private:
  QuotaBucket& EntryOf(QuotaKind kind, const std::string& client_id, MonoTime now);
  void ForgetIdle(MonoTime now);

  const QuotaWindows windows_;
  const size_t most_clients_;
  std::unordered_map<std::string, QuotaBucket> entries_;  // by kind and client id
  MonoTime next_look_{};
};

}  // namespace tidemark
