#include "broker/replica/retention_rounds.h"

#include <algorithm>

namespace tidemark {
namespace {

// The first round after the start; as in Kafka, so that a start is not made slower.
constexpr Duration kFirstRound = 30s;
constexpr size_t kChecksPerTurn = 32;
constexpr Duration kPauseBetweenTurns = 1ms;
// Between two partitions at the beginning of a round, at most.
constexpr Duration kMostSpacing = 5ms;
// Between two looks at one partition, at least.
constexpr Duration kLeastBetweenChecks = 1s;

}  // namespace

RetentionRounds::RetentionRounds(EventLoop& loop, const Clock& clock, Duration interval, Keys keys,
                                 CheckOne check)
    : loop_(loop),
      clock_(clock),
      interval_(interval),
      keys_(std::move(keys)),
      check_(std::move(check)),
      changed_(loop) {}

void RetentionRounds::Schedule(const PartitionKey& key, MonoTime at) {
  const auto [known, added] = due_at_.try_emplace(key, at);
  if (!added) {
    if (known->second <= at) return;
    due_.erase({known->second, key});
    known->second = at;
  }
  due_.emplace(at, key);
  if (due_.begin()->second == key) changed_.NotifyAll();
}

void RetentionRounds::CheckSoon(const PartitionKey& key) {
  if (!begun_) return;
  last_soon_ = std::max(loop_.Now(), last_soon_ + kMostSpacing);
  Schedule(key, last_soon_);
}

void RetentionRounds::BeginRound() {
  const MonoTime now = loop_.Now();
  begun_ = true;
  next_round_ = now + interval_;
  const std::vector<PartitionKey> keys = keys_();
  if (keys.empty()) return;
  const Duration spacing =
      std::min<Duration>(kMostSpacing, interval_ / static_cast<int64_t>(2 * keys.size()));
  for (size_t i = 0; i < keys.size(); ++i) Schedule(keys[i], now + static_cast<int64_t>(i) * spacing);
}

std::optional<PartitionKey> RetentionRounds::TakeDue() {
  if (due_.empty() || due_.begin()->first > loop_.Now()) return std::nullopt;
  const PartitionKey key = due_.begin()->second;
  due_.erase(due_.begin());
  due_at_.erase(key);
  return key;
}

Task<void> RetentionRounds::Run(std::stop_token stop) {
  next_round_ = loop_.Now() + std::min(interval_, kFirstRound);
  while (!stop.stop_requested()) {
    if (loop_.Now() >= next_round_) BeginRound();
    for (size_t i = 0; i < kChecksPerTurn && !stop.stop_requested(); ++i) {
      const std::optional<PartitionKey> key = TakeDue();
      if (!key) break;
      const std::optional<WallMillis> next = co_await check_(*key);
      if (!next) continue;
      const Duration away =
          std::chrono::milliseconds(std::clamp<int64_t>(*next - clock_.WallNow(), 0, ToMillis(interval_)));
      const MonoTime at = loop_.Now() + std::max(away, kLeastBetweenChecks);
      if (at < next_round_) Schedule(*key, at);
    }
    const bool more = !due_.empty() && due_.begin()->first <= loop_.Now();
    const MonoTime until = due_.empty() ? next_round_ : std::min(next_round_, due_.begin()->first);
    if (more) {
      co_await Sleep(loop_, kPauseBetweenTurns, "retention pause", stop);
    } else {
      co_await changed_.Wait("next retention check", until, stop);
    }
  }
}

}  // namespace tidemark
