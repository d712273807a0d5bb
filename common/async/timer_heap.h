// TimerHeap: the pending timers of one loop, the earliest first; equal times in the order they were started.
// Owner: a loop; its thread only. Add, Cancel and PopDue are O(log n); no allocation per timer once warm.
// Invariants: heap_[slots_[s].position].slot == s for every slot in use; an id is never given twice.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/async/event_loop.h"
#include "common/time.h"

namespace tidemark {

class TimerHeap {
 public:
  TimerId Add(MonoTime when, Callback fn);
  // Returns the callback, so that its destruction happens outside of the heap; empty when the id is not
  // pending.
  Callback Cancel(TimerId id);
  // The earliest timer's callback if it is due.
  std::optional<Callback> PopDue(MonoTime now);
  // kNoDeadline when there is none.
  MonoTime Earliest() const { return heap_.empty() ? kNoDeadline : heap_.front().when; }
  size_t size() const { return heap_.size(); }

 private:
  struct Item {
    MonoTime when;
    uint64_t order;
    uint32_t slot;
    bool Before(const Item& other) const {
      return when != other.when ? when < other.when : order < other.order;
    }
  };
  struct Slot {
    Callback fn;
    uint64_t generation = 0;
    uint32_t position = 0;
    bool used = false;
  };
  static constexpr int kSlotBits = 24;

  Callback Remove(uint32_t position);
  void SiftUp(uint32_t position);
  void SiftDown(uint32_t position);
  void Place(uint32_t position, Item item);

  std::vector<Item> heap_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  uint64_t next_order_ = 0;
};

}  // namespace tidemark
