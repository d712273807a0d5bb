#include "broker/server/quota_ledger.h"

#include <algorithm>
#include <iterator>

namespace tidemark {
namespace {

// Of those not used for longest, how many are looked at for one that is empty, or has least left.
constexpr int kLooks = 8;
// A quota of nothing is none, and cannot be divided by.
constexpr double kLeastLimit = 1e-6;

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

std::string KeyOf(QuotaKind kind, const std::string& client_id) {
  return static_cast<char>('0' + static_cast<int>(kind)) + client_id;
}

}  // namespace

double QuotaBucket::LevelAt(MonoTime now) const {
  return std::max(0.0, level_ - std::max(Seconds(now - at_), 0.0) * limit_);
}

double QuotaBucket::SecondsLeft(MonoTime now) const { return LevelAt(now) / limit_; }

Duration QuotaBucket::Charge(double amount, double limit, Duration free, Duration debt, MonoTime now) {
  limit = std::max(limit, kLeastLimit);
  level_ = std::min(LevelAt(now) + amount, limit * (Seconds(free) + Seconds(debt)));
  limit_ = limit;
  at_ = now;
  return Owed(limit, free, debt, now);
}

Duration QuotaBucket::Owed(double limit, Duration free, Duration debt, MonoTime now) const {
  const double over = LevelAt(now) / std::max(limit, kLeastLimit) - Seconds(free);
  if (over <= 0) return Duration::zero();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::min(over, Seconds(debt))));
}

Duration QuotaLedger::MostDebt(QuotaKind kind) const {
  return kind == QuotaKind::kRequest ? std::min(windows_.length, kLongestRequestDelay) : kMostDebt;
}

Duration QuotaLedger::Free() const {
  return std::max<Duration>((windows_.samples - 1) * windows_.length, windows_.length);
}

Duration QuotaLedger::Charge(QuotaKind kind, const std::string& client_id, double amount, double limit,
                             MonoTime now) {
  return BucketOf(kind, client_id, now).Charge(amount, limit, Free(), MostDebt(kind), now);
}

Duration QuotaLedger::Owed(QuotaKind kind, const std::string& client_id, double limit, MonoTime now) const {
  const auto known = by_key_.find(KeyOf(kind, client_id));
  if (known == by_key_.end()) return Duration::zero();
  return known->second->bucket.Owed(limit, Free(), MostDebt(kind), now);
}

QuotaBucket& QuotaLedger::BucketOf(QuotaKind kind, const std::string& client_id, MonoTime now) {
  std::string key = KeyOf(kind, client_id);
  const auto known = by_key_.find(key);
  if (known != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, known->second);
    return known->second->bucket;
  }
  MakeRoom(now);
  entries_.push_front({.key = std::move(key), .bucket = {}});
  by_key_.emplace(entries_.front().key, entries_.begin());
  return entries_.front().bucket;
}

// More are forgotten than come, so that clients that are gone do not stay.
void QuotaLedger::MakeRoom(MonoTime now) {
  auto least = entries_.end();
  double least_left = 0;
  auto next = entries_.end();
  for (int i = 0; i < kLooks && next != entries_.begin(); ++i) {
    const auto entry = std::prev(next);
    const double left = entry->bucket.SecondsLeft(now);
    if (left <= 0) {
      Forget(entry);  // `next` is behind it
      continue;
    }
    if (least == entries_.end() || left < least_left) {
      least = entry;
      least_left = left;
    }
    next = entry;
  }
  if (entries_.size() >= most_clients_ && least != entries_.end()) Forget(least);
}

void QuotaLedger::Forget(Entries::iterator entry) {
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace tidemark
