// Time as values. Nobody reads a clock directly: monotonic time comes from EventLoop::Now(), wall time from
// Clock, so that a simulation owns both.
#pragma once

#include <chrono>
#include <cstdint>

namespace tidemark {

using namespace std::chrono_literals;

using Duration = std::chrono::nanoseconds;

// A monotonic clock without now(): only loops hand out its time points.
struct MonoClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonoClock>;
  static constexpr bool is_steady = true;
};
using MonoTime = MonoClock::time_point;
inline constexpr MonoTime kNoDeadline = MonoTime::max();

// Milliseconds since 1970 by the wall clock: record timestamps, append times, log lines. Never used for
// waiting.
using WallMillis = int64_t;

// Wall time; any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallMillis WallNow() const = 0;
};

inline int64_t ToMillis(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

}  // namespace tidemark
