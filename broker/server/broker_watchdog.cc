// The watchdog: does no disk I/O itself, so that it still runs when a disk hangs. A shard loop that does not
// answer, or a flush, cold read, truncation or checkpoint that does not end, for watchdog.stuck.ms makes the
// broker close its ZooKeeper session, so that others lead; when all of them answer again it begins a new one
// and registers afresh.
#include <algorithm>

#include <glog/logging.h>

#include "broker/server/broker_impl.h"
#include "broker/server/shard.h"

namespace tidemark {
namespace {

// While the broker is away it looks this often whether the disk answers.
constexpr Duration kLookWhileAway = 1s;

}  // namespace

// What a shard last said.
struct Broker::Impl::Pulse {
  MonoTime answered;
  bool asked = false;  // and has not answered yet
  std::optional<ShardLogs::DiskWait> wait;
};

Task<void> Broker::Impl::Watch() {
  const Duration limit = context_.config.watchdog_stuck;
  // Looks are rare, so that an idle broker costs nothing; at least three per limit.
  const Duration pause = std::max<Duration>(1s, limit / 4);
  auto pulses = std::make_shared<std::vector<Pulse>>(context_.shards.size(), Pulse{.answered = loop_.Now()});
  MonoTime last_look = loop_.Now();
  while (co_await Sleep(loop_, stuck_.empty() ? pause : kLookWhileAway, "watchdog", scope_.stop_token()) !=
         WaitOutcome::kStopped) {
    const MonoTime now = loop_.Now();
    // When this loop itself was held up (the process was paused), the others could not answer either.
    if (now - last_look > pause + limit / 4) {
      for (Pulse& pulse : *pulses) pulse = {.answered = now, .asked = pulse.asked, .wait = std::nullopt};
    }
    last_look = now;
    co_await Judge(*pulses, limit);
    for (size_t i = 0; i < pulses->size(); ++i) {
      if ((*pulses)[i].asked) continue;
      (*pulses)[i].asked = true;
      Shard& shard = *context_.shards[i];
      shard.loop().Post([&shard, i, home = &loop_, weak = std::weak_ptr(pulses)] {
        auto wait = shard.OldestDiskWait();
        home->Post([weak, i, wait = std::move(wait), home]() mutable {
          const auto held = weak.lock();
          if (held) (*held)[i] = {.answered = home->Now(), .asked = false, .wait = std::move(wait)};
        });
      });
    }
  }
}

std::string Broker::Impl::WhatIsStuck(const std::vector<Pulse>& pulses, Duration limit) const {
  const MonoTime now = loop_.Now();
  for (size_t i = 0; i < pulses.size(); ++i) {
    const Pulse& pulse = pulses[i];
    if (pulse.asked && now - pulse.answered > limit) {
      return fmt::format("shard {} has been stuck for {} ms", i, ToMillis(now - pulse.answered));
    }
    // As of the last answer: a wait that has ended since is seen with the next.
    if (pulse.wait && pulse.answered - pulse.wait->since > limit) {
      return fmt::format("the disk of {} has not answered for {} ms", pulse.wait->directory,
                         ToMillis(now - pulse.wait->since));
    }
  }
  return {};
}

Task<void> Broker::Impl::Judge(const std::vector<Pulse>& pulses, Duration limit) {
  std::string stuck = WhatIsStuck(pulses, limit);
  if (!stuck.empty() && !fatal_ && stuck_.empty()) {
    LOG(ERROR) << stuck << " (watchdog.stuck.ms=" << ToMillis(limit)
               << "): this broker leaves ZooKeeper, so that others lead";
    ++stuck_times_;
    stuck_ = std::move(stuck);
    co_await keeper_->Leave();
    co_return;
  }
  if (!stuck.empty()) {
    stuck_ = std::move(stuck);
    co_return;
  }
  // One that was asked and has not answered may be stuck again.
  const bool all_answered = std::ranges::none_of(pulses, [](const Pulse& pulse) { return pulse.asked; });
  if (stuck_.empty() || !all_answered) co_return;
  LOG(WARNING) << "all disks and shards answer again: this broker registers afresh";
  stuck_.clear();
  keeper_->Return();
}

}  // namespace tidemark
