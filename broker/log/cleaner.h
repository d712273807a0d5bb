// What a Log's compaction works with and tells (log_clean.cc). Values; the log's loop.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "broker/log/offset_map.h"
#include "broker/log/tombstone_drops.h"
#include "common/result.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// Bytes per second of one cleaner, changed while it works by another thread; 0: no limit.
using CleanerRate = std::atomic<double>;

// Keeps the bytes that one cleaner reads and writes below a rate.
class CleanerThrottle {
 public:
  explicit CleanerThrottle(std::optional<double> bytes_per_second)
      : rate_(std::make_shared<const CleanerRate>(bytes_per_second.value_or(0))) {}
  explicit CleanerThrottle(std::shared_ptr<const CleanerRate> rate) : rate_(std::move(rate)) {}

  // How long to wait after `bytes` at `now`.
  Duration Charge(uint64_t bytes, MonoTime now) {
    const double rate = *rate_;
    if (std::exchange(charged_at_, rate) != rate) free_at_ = {};
    if (rate <= 0) return Duration::zero();
    const double seconds = std::min(static_cast<double>(bytes) / rate, 3600.0);
    free_at_ = std::max(free_at_, now) + Duration(static_cast<int64_t>(seconds * 1e9));
    return free_at_ - now;
  }
  // The rate is another one: what was to be waited by the former is not.
  bool Changed() const { return *rate_ != charged_at_; }
  // Bytes to be done at a time, so that no pause becomes long.
  uint64_t StepBytes() const {
    constexpr double kLeast = 16 << 10;
    constexpr double kMost = 1 << 20;
    const double rate = *rate_;
    return static_cast<uint64_t>(rate > 0 ? std::clamp(rate / 10, kLeast, kMost) : kMost);
  }

 private:
  std::shared_ptr<const CleanerRate> rate_;
  MonoTime free_at_{};
  double charged_at_ = 0;
};

// What a pass may use.
struct CleanTools {
  SipKey hash_key{};
  uint64_t map_bytes = 128u << 20;
  double load_factor = 0.9;
  CleanerThrottle* throttle = nullptr;  // outlives the pass
  WallMillis now = 0;
  // Tombstones at and above stay: followers on their way have yet to fetch them.
  Offset keep_tombstones_from = ~Offset{0};
  std::stop_token stop;
};

struct CleanReport {
  Offset from = 0;  // first dirty offset
  Offset to = 0;    // clean below, from now on
  uint64_t keys = 0;
  uint64_t map_bytes = 0;
  uint64_t bytes_read = 0;
  uint64_t bytes_written = 0;
  uint64_t bytes_freed = 0;  // of the segments replaced
  uint64_t records_dropped = 0;
  uint64_t records_without_key = 0;
  size_t segments_before = 0;
  size_t segments_after = 0;
};

// What a log knows of its compaction.
struct CleanState {
  Offset cleaned_to = 0;  // as checkpointed
  TombstoneDrops drops;
  Offset checkpointed_drops = 0;  // as the checkpoint holds or is about to hold it
  bool running = false;
  bool held = false;       // the log is being moved: what a pass would change would have to be copied anew
  bool overtaken = false;  // the log was truncated or restarted since the pass began
  // New segments are in memory while their files are being renamed: appends and reads go on, nothing is
  // looked up by name.
  bool swapping = false;
  // Why this log is not compacted any more, until it is opened anew, truncated or restarted.
  std::optional<Error> uncleanable;
  bool unreadable = false;  // what the last pass read was damaged; it is tried again
};

}  // namespace tidemark
