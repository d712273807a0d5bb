// The watchdog: does no disk I/O itself, so that it still runs when a disk hangs. A shard loop that does not
// answer, or a flush that does not end, for watchdog.stuck.ms makes the broker leave ZooKeeper, so that
// others lead.
#include <algorithm>

#include <glog/logging.h>

#include "broker/server/broker_impl.h"
#include "broker/server/shard.h"

namespace tidemark {

Task<void> Broker::Impl::Watch() {
  const Duration limit = context_.config.watchdog_stuck;
  // Looks are rare, so that an idle broker costs nothing; at least three per limit.
  const Duration pause = std::max<Duration>(1s, limit / 4);
  struct Pulse {
    MonoTime answered;
    bool asked = false;
    std::optional<MonoTime> oldest_flush;
  };
  auto pulses = std::make_shared<std::vector<Pulse>>(context_.shards.size(), Pulse{loop_.Now()});
  MonoTime last_look = loop_.Now();
  while (co_await Sleep(loop_, pause, "watchdog", scope_.stop_token()) != WaitOutcome::kStopped) {
    const MonoTime now = loop_.Now();
    // When this loop itself was held up (the process was paused), the others could not answer either.
    const bool held_up = now - last_look > pause + limit / 4;
    last_look = now;
    for (size_t i = 0; i < context_.shards.size(); ++i) {
      Pulse& pulse = (*pulses)[i];
      const bool flush_stuck = pulse.oldest_flush && now - *pulse.oldest_flush > limit + pause;
      if (held_up) {
        pulse.answered = now;
        pulse.oldest_flush.reset();
      } else if ((pulse.asked && now - pulse.answered > limit) || flush_stuck) {
        Fatal({v1::KAFKA_STORAGE_ERROR,
               fmt::format("shard {} has been stuck for over {} ms{}", i, ToMillis(limit),
                           flush_stuck ? " with a flush that does not end" : "")});
        co_return;
      }
      if (pulse.asked) continue;
      pulse.asked = true;
      Shard& shard = *context_.shards[i];
      shard.loop().Post([&shard, i, home = &loop_, weak = std::weak_ptr(pulses)] {
        const std::optional<MonoTime> flush = shard.OldestFlush();
        home->Post([weak, i, flush, home] {
          const auto held = weak.lock();
          if (held) (*held)[i] = {.answered = home->Now(), .asked = false, .oldest_flush = flush};
        });
      });
    }
  }
}

}  // namespace tidemark
