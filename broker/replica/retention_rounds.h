// RetentionRounds: when a shard looks at which partition's retention: each once every
// log.retention.check.interval.ms, spread over the beginning of the round; at once after its retention config
// has changed; soon after this broker has begun to lead it, for what the leader before had in mind is not
// known here; and when its oldest segment expires, where that is before the next round. One partition at a
// time and a few to a turn of the loop, so that neither requests nor the disk feel a round of many thousands.
// Owned by the ReplicaTable; shard's loop only.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/async/wait.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

class RetentionRounds {
 public:
  // Looks at one partition; says when it is worth another look.
  using CheckOne = std::function<Task<std::optional<WallMillis>>(const PartitionKey&)>;
  using Keys = std::function<std::vector<PartitionKey>()>;

  RetentionRounds(EventLoop& loop, const Clock& clock, Duration interval, Keys keys, CheckOne check);
  RetentionRounds(const RetentionRounds&) = delete;
  RetentionRounds& operator=(const RetentionRounds&) = delete;

  // Until stopped. Once.
  Task<void> Run(std::stop_token stop);
  void CheckNow(const PartitionKey& key) { Schedule(key, loop_.Now()); }
  // Spread over some time, as a round is: one election may make many leaders. Before the first round there is
  // nothing to do: it looks at them all.
  void CheckSoon(const PartitionKey& key);
  // A shorter one counts from now on.
  void SetInterval(Duration interval) {
    interval_ = interval;
    next_round_ = std::min(next_round_, loop_.Now() + interval);
    changed_.NotifyAll();
  }

 private:
  // Keeps the earlier time of two.
  void Schedule(const PartitionKey& key, MonoTime at);
  void BeginRound();
  std::optional<PartitionKey> TakeDue();

  EventLoop& loop_;
  const Clock& clock_;
  Duration interval_;
  const Keys keys_;
  const CheckOne check_;
  MonoTime next_round_{};
  bool begun_ = false;    // the first round
  MonoTime last_soon_{};  // of what CheckSoon has scheduled
  std::set<std::pair<MonoTime, PartitionKey>> due_;
  std::unordered_map<PartitionKey, MonoTime> due_at_;  // the same, by key
  Notifier changed_;
};

}  // namespace tidemark
