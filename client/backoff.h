// Backoff: the growing pauses between tries, with jitter so that clients do not come back all at once. A
// value, owned by whoever retries.
#pragma once

#include <algorithm>

#include "client/options.h"
#include "common/random.h"

namespace tidemark {

class Backoff {
 public:
  explicit Backoff(const ClientOptions& options)
      : first_(std::max<Duration>(options.retry_backoff, kLeast)),
        most_(std::max<Duration>(options.retry_backoff_max, kLeast)) {}

  // The pause after one more failure: doubles up to the maximum, then varied by a fifth either way.
  Duration Next(Random& random) { return Of(failures_++, random); }
  void Reset() { failures_ = 0; }
  int failures() const { return failures_; }

  Duration Of(int failures, Random& random) const {
    const Duration base = std::min<Duration>(most_, first_ * (1LL << std::min(failures, 10)));
    const auto fifth = static_cast<uint64_t>(base.count() / 5);
    return base - Duration(fifth) + Duration(random.Below(2 * fifth + 1));
  }

 private:
  // A pause of nothing would be a busy loop.
  static constexpr Duration kLeast = std::chrono::milliseconds(1);

  Duration first_;
  Duration most_;
  int failures_ = 0;
};

}  // namespace tidemark
