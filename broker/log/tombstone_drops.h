// TombstoneDrops: up to where the compaction of a log has dropped tombstones, and which of its followers can
// have missed one. A follower that holds a key's value and never fetched the tombstone that deleted it must
// not go on: the key would come back. Value; owned by a Log, on its loop. `below` is checkpointed, before a
// tombstone goes.
//
// A follower is judged by what it had fetched when tombstones went: it has missed none of those below its
// fetch offset at that time, and none of those that went before it began, empty, to copy this log.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "common/types.h"

namespace tidemark {

class TombstoneDrops {
 public:
  // The last fetch of a follower that was served: what it had, and what had gone until then.
  struct Mark {
    uint64_t serial = 0;
    Offset offset = 0;
  };

  explicit TombstoneDrops(Offset below = 0) : below_(below) {}

  // Every tombstone that has gone was below.
  Offset below() const { return below_; }
  uint64_t serial() const { return serial_; }
  // Tombstones below `below` go now.
  void Add(Offset below) {
    below_ = std::max(below_, below);
    drops_.push_back({++serial_, below});
    if (drops_.size() > kRemembered) drops_.pop_front();
  }
  // What was copied from another log lacks what had gone there.
  void Adopt(Offset below) { below_ = std::max(below_, below); }
  void TruncateTo(Offset end) { below_ = std::min(below_, end); }

  // Whether a follower that has everything up to `fetch_offset`, and had `mark` when it was last served by
  // this leader in this epoch, has seen every tombstone that it needs.
  bool SeenBy(const std::optional<Mark>& mark, Offset fetch_offset) const {
    if (!mark) return fetch_offset >= below_;
    // It may have lost its unflushed tail since.
    const Offset had = std::min(mark->offset, fetch_offset);
    if (had >= below_ || mark->serial == serial_) return true;
    if (drops_.empty() || drops_.front().serial > mark->serial + 1) return false;
    return std::ranges::all_of(
        drops_, [&](const Drop& drop) { return drop.serial <= mark->serial || had >= drop.below; });
  }

 private:
  struct Drop {
    uint64_t serial;
    Offset below;
  };
  static constexpr size_t kRemembered = 64;
  Offset below_;
  uint64_t serial_ = 0;
  std::deque<Drop> drops_;
};

}  // namespace tidemark
