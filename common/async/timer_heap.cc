#include "common/async/timer_heap.h"

#include <utility>

namespace tidemark {

TimerId TimerHeap::Add(MonoTime when, Callback fn) {
  if (free_slots_.empty()) {
    CHECK_LT(slots_.size(), size_t{1} << kSlotBits) << "too many timers";
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_slots_.back();
  free_slots_.pop_back();
  Slot& slot = slots_[index];
  slot.fn = std::move(fn);
  slot.used = true;
  ++slot.generation;  // from 1, so that no id is 0
  heap_.push_back({when, next_order_++, index});
  slot.position = static_cast<uint32_t>(heap_.size() - 1);
  const TimerId id = (slot.generation << kSlotBits) | index;
  SiftUp(slot.position);
  return id;
}

Callback TimerHeap::Cancel(TimerId id) {
  const uint64_t index = id & ((uint64_t{1} << kSlotBits) - 1);
  if (index >= slots_.size()) return {};
  const Slot& slot = slots_[index];
  if (!slot.used || slot.generation != id >> kSlotBits) return {};
  return Remove(slot.position);
}

std::optional<Callback> TimerHeap::PopDue(MonoTime now) {
  if (heap_.empty() || heap_.front().when > now) return std::nullopt;
  return Remove(0);
}

Callback TimerHeap::Remove(uint32_t position) {
  const uint32_t index = heap_[position].slot;
  Slot& slot = slots_[index];
  Callback fn = std::exchange(slot.fn, nullptr);
  slot.used = false;
  free_slots_.push_back(index);
  const Item last = heap_.back();
  heap_.pop_back();
  if (position < heap_.size()) {
    Place(position, last);
    SiftUp(position);
    SiftDown(slots_[last.slot].position);
  }
  return fn;
}

void TimerHeap::Place(uint32_t position, Item item) {
  heap_[position] = item;
  slots_[item.slot].position = position;
}

void TimerHeap::SiftUp(uint32_t position) {
  const Item item = heap_[position];
  while (position > 0) {
    const uint32_t parent = (position - 1) / 2;
    if (!item.Before(heap_[parent])) break;
    Place(position, heap_[parent]);
    position = parent;
  }
  Place(position, item);
}

void TimerHeap::SiftDown(uint32_t position) {
  const Item item = heap_[position];
  const uint32_t size = static_cast<uint32_t>(heap_.size());
  for (;;) {
    uint32_t child = position * 2 + 1;
    if (child >= size) break;
    if (child + 1 < size && heap_[child + 1].Before(heap_[child])) ++child;
    if (!heap_[child].Before(item)) break;
    Place(position, heap_[child]);
    position = child;
  }
  Place(position, item);
}

}  // namespace tidemark
