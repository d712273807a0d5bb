#include "broker/server/quota_ledger.h"

#include <algorithm>

namespace tidemark {
namespace {

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// The entry of all clients for whom there is no room (and of a client that has this name).
constexpr char kShared[] = "shared";

}  // namespace

double QuotaBucket::LevelAt(MonoTime now) const {
  return std::max(0.0, level_ - std::max(Seconds(now - at_), 0.0) * limit_);
}

bool QuotaBucket::Empty(MonoTime now) const { return LevelAt(now) <= 0; }

Duration QuotaBucket::Charge(double amount, double limit, Duration free, Duration most, MonoTime now) {
  limit = std::max(limit, 1e-6);
  level_ = std::min(LevelAt(now) + amount, limit * (Seconds(free) + Seconds(most)));
  limit_ = limit;
  at_ = now;
  const double over = level_ / limit - Seconds(free);
  if (over <= 0) return Duration::zero();
  return std::min(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(over)), most);
}

Duration QuotaLedger::Charge(QuotaKind kind, const std::string& client_id, double amount, double limit,
                             MonoTime now) {
  const Duration free = std::max<Duration>((windows_.samples - 1) * windows_.length, windows_.length);
  const Duration most = kind == QuotaKind::kRequest ? windows_.length : kLongestDelay;
  return EntryOf(kind, client_id, now).Charge(amount, limit, free, most, now);
}

QuotaBucket& QuotaLedger::EntryOf(QuotaKind kind, const std::string& client_id, MonoTime now) {
  std::string key(1, static_cast<char>('0' + static_cast<int>(kind)));
  key += client_id;
  const auto known = entries_.find(key);
  if (known != entries_.end()) return known->second;
  if (now >= next_look_ || entries_.size() >= most_clients_) ForgetIdle(now);
  if (entries_.size() >= most_clients_) key = std::string(1, key[0]) + kShared;
  return entries_.try_emplace(key).first->second;
}

void QuotaLedger::ForgetIdle(MonoTime now) {
  // Not at every charge of a new client: a look goes through all.
  if (now < next_look_) return;
  next_look_ = now + windows_.length;
  std::erase_if(entries_, [now](const auto& entry) { return entry.second.Empty(now); });
}

}  // namespace tidemark
