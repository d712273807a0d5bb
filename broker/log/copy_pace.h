// CopyPace: how fast logs are copied between log directories and repaired, over all shards of a broker. Any
// thread; one atomic, because shards copy side by side and share one rate.
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
  // Copies under way go on at the new rate.
  void SetRate(uint64_t bytes_per_second) { rate_ = bytes_per_second; }

  // Takes the time that `bytes` are worth; whoever copied them waits until then before it copies on.
  MonoTime Take(size_t bytes, MonoTime now) {
    const uint64_t rate = rate_;
    if (rate == 0) return now;
    const auto worth = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate)));
    MonoTime taken_to = taken_to_;
    MonoTime until;
    do {
      until = std::max(taken_to, now) + worth;
    } while (!taken_to_.compare_exchange_weak(taken_to, until));
    return until;
  }

  // How much is copied at once: at a gentle rate not a second's worth.
  size_t ChunkBytes(size_t most) const {
    const uint64_t rate = rate_;
    return rate == 0 ? most : static_cast<size_t>(std::clamp<uint64_t>(rate / 10, 1, most));
  }

 private:
  std::atomic<uint64_t> rate_;
  std::atomic<MonoTime> taken_to_{MonoTime{}};
};

}  // namespace tidemark
