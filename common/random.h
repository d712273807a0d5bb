// Randomness as a seam: ids, jitter and placement draw from here, so that a seed replays a run. Any thread.
#pragma once

#include <cstdint>

namespace tidemark {

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
};

}  // namespace tidemark
