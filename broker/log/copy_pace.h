// CopyPace: how fast logs are copied between log directories, over all shards of a broker. Any thread; one
// atomic, because shards copy side by side and share one rate.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/time.h"

namespace tidemark {

class CopyPace {
 public:
  // 0: as fast as the disks are.
  explicit CopyPace(uint64_t bytes_per_second = 0) : rate_(bytes_per_second) {}
  // Before the first copy begins.
  void SetRate(uint64_t bytes_per_second) { rate_ = bytes_per_second; }

  // Takes the time that `bytes` are worth; whoever copied them waits until then before it copies on.
  MonoTime Take(size_t bytes, MonoTime now) {
    if (rate_ == 0) return now;
    const auto worth = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate_)));
    MonoTime taken_to = taken_to_;
    MonoTime until;
    do {
      until = std::max(taken_to, now) + worth;
    } while (!taken_to_.compare_exchange_weak(taken_to, until));
    return until;
  }

  // How much is copied at once: at a gentle rate not a second's worth.
  size_t ChunkBytes(size_t most) const {
    return rate_ == 0 ? most : static_cast<size_t>(std::clamp<uint64_t>(rate_ / 10, 1, most));
  }

 private:
  uint64_t rate_;
  std::atomic<MonoTime> taken_to_{MonoTime{}};
};

}  // namespace tidemark
