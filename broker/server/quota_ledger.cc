#include "broker/server/quota_ledger.h"

#include <algorithm>
#include <iterator>

namespace tidemark {
namespace {

// Of those not used for longest, how many are looked at for one that is empty, or has least left.
constexpr int kLooks = 8;
// As long as clients wait for an answer.
constexpr Duration kLongestForOne = 30s;

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

double QuotaBucket::LevelAt(MonoTime now) const {
  return std::max(0.0, level_ - std::max(Seconds(now - at_), 0.0) * limit_);
}

double QuotaBucket::SecondsLeft(MonoTime now) const { return LevelAt(now) / limit_; }

Duration QuotaBucket::Charge(double amount, double limit, Duration free, Duration debt, MonoTime now) {
  limit = std::max(limit, 1e-6);
  level_ = std::min(LevelAt(now) + amount, limit * (Seconds(free) + Seconds(debt)));
  limit_ = limit;
  at_ = now;
  const double over = level_ / limit - Seconds(free);
  if (over <= 0) return Duration::zero();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(over));
}

Duration QuotaLedger::Charge(QuotaKind kind, const std::string& client_id, double amount, double limit,
                             MonoTime now) {
  const Duration free = std::max<Duration>((windows_.samples - 1) * windows_.length, windows_.length);
  const bool request = kind == QuotaKind::kRequest;
  // Whoever asks for more at a time than a delay is long must wait longer, or it would not come to its rate.
  const Duration worth = std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::min(amount / std::max(limit, 1e-6), Seconds(kLongestForOne))));
  const Duration longest =
      request ? std::min(windows_.length, kLongestRequestDelay) : std::max(kLongestDelay, worth);
  const Duration debt = request ? longest : kMostDebt;
  return std::min(BucketOf(kind, client_id, now).Charge(amount, limit, free, debt, now), longest);
}

QuotaBucket& QuotaLedger::BucketOf(QuotaKind kind, const std::string& client_id, MonoTime now) {
  std::string key(1, static_cast<char>('0' + static_cast<int>(kind)));
  key += client_id;
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
