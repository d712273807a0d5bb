// QuotaLedger: how much clients used of their quotas in the last windows, and how long one over its quota is
// to be delayed. Pure: time is handed in. Owned by a shard, for the client ids whose home it is.
//
// A client's use fills a bucket that drains at its quota. What `samples` - 1 windows of the quota hold
// (Kafka's quota.window.*) is free, so that nobody is judged by an instant; what is above that must drain
// before the client goes on, however long ago it came. A delay is the whole of it, that of its other
// connections too, so that they come through one after the other: however many wait out their delays, over
// time they get no more than the quota together (while what they sent in one turn is worth no more than
// kMostDebt).
//
// Invariant: no more than `most_clients` buckets are kept, whatever clients call themselves. One that is
// empty is forgotten without loss. When all are in use, one that was not used for long and has little in it
// makes room: its client is forgiven, because no client may be slowed by what others use.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/config/quota_configs.h"
#include "common/time.h"

namespace tidemark {

// One client's use of one quota.
class QuotaBucket {
 public:
  // How long until no more than `free` times the quota of a second is left, with `amount` more. What would
  // take longer than `debt` is forgiven.
  Duration Charge(double amount, double limit, Duration free, Duration debt, MonoTime now);
  // The same with nothing more, and nothing noted.
  Duration Owed(double limit, Duration free, Duration debt, MonoTime now) const;
  // How long until it is empty.
  double SecondsLeft(MonoTime now) const;

 private:
  double LevelAt(MonoTime now) const;

  double level_ = 0;
  double limit_ = 1;  // as of the last charge
  MonoTime at_{};
};

class QuotaLedger {
 public:
  static constexpr size_t kMostClients = 10'000;
  // What a client owes beyond is forgiven, and no delay is longer: a typing error in a quota must not put
  // away for days those who wait out what they were told even when it is mended.
  static constexpr Duration kMostDebt = std::chrono::hours(1);
  // For requests, however long the windows: a client's other work (heartbeats) must come through.
  static constexpr Duration kLongestRequestDelay = 1s;

  explicit QuotaLedger(const QuotaWindows& windows, size_t most_clients = kMostClients)
      : windows_(windows), most_clients_(most_clients) {}

  // Notes the use, and says how long the client is to be delayed for it. The id's length is the caller's to
  // bound.
  Duration Charge(QuotaKind kind, const std::string& client_id, double amount, double limit, MonoTime now);
  // How long it is to be delayed for what it used before.
  Duration Owed(QuotaKind kind, const std::string& client_id, double limit, MonoTime now) const;
  size_t size() const { return by_key_.size(); }

 private:
  struct Entry {
    std::string key;  // kind and client id
    QuotaBucket bucket;
  };
  using Entries = std::list<Entry>;

  Duration MostDebt(QuotaKind kind) const;
  // Free of delay.
  Duration Free() const;
  QuotaBucket& BucketOf(QuotaKind kind, const std::string& client_id, MonoTime now);
  void MakeRoom(MonoTime now);
  void Forget(Entries::iterator entry);

  const QuotaWindows windows_;
  const size_t most_clients_;
  Entries entries_;  // the one used last in front
  std::unordered_map<std::string_view, Entries::iterator> by_key_;
};

}  // namespace tidemark
