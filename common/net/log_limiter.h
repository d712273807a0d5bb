// LogLimiter: lets one line per second through and counts the rest, so that bad peers cannot fill the disk
// with log lines. Owner: whoever logs; one loop's thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "common/time.h"

namespace tidemark {

class LogLimiter {
 public:
  // True when a line may be logged now; `*note` then tells how many were left out since the last one.
  bool Allow(MonoTime now, std::string* note) {
    if (now < next_) {
      ++left_out_;
      return false;
    }
    next_ = now + 1s;
    const uint64_t count = std::exchange(left_out_, 0);
    *note = count == 0 ? std::string() : fmt::format(" ({} such lines left out)", count);
    return true;
  }

 private:
  MonoTime next_ = MonoTime::min();
  uint64_t left_out_ = 0;
};

}  // namespace tidemark
