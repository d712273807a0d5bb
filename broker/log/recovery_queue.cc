#include "broker/log/recovery_queue.h"

#include <fmt/format.h>

namespace tidemark {

void RecoveryProgress::Ask(MonoTime now) {
  const uint64_t done = done_.load();
  if (asked_.fetch_add(1) == done) {
    done_before_ = done;
    since_ = now.time_since_epoch().count();
  }
}

void RecoveryProgress::Finish(uint64_t scanned_bytes) {
  scanned_ += scanned_bytes;
  ++done_;
}

RecoveryProgress::Figures RecoveryProgress::At(MonoTime now) const {
  Figures out;
  out.done = done_.load();
  out.asked = std::max(asked_.load(), out.done);
  out.scanned_bytes = scanned_.load();
  const uint64_t lately = out.done - std::min(out.done, done_before_.load());
  if (lately > 0) {
    const Duration passed = now.time_since_epoch() - MonoTime::duration(since_.load());
    out.left = passed / static_cast<int64_t>(lately) * static_cast<int64_t>(out.asked - out.done);
  }
  return out;
}

std::string ToString(const RecoveryProgress::Figures& figures) {
  std::string out = fmt::format("{} of {} logs recovered, {} MB scanned", figures.done, figures.asked,
                                figures.scanned_bytes / 1'000'000);
  if (figures.left && figures.under_way()) {
    out += fmt::format(", about {} s left", (ToMillis(*figures.left) + 999) / 1000);
  }
  return out;
}

Task<std::optional<RecoveryQueue::Turn>> RecoveryQueue::Acquire(bool urgent) {
  if (closed_) co_return std::nullopt;
  if (free_ > 0) {
    --free_;
    co_return Turn(this);
  }
  Place place(loop_);
  (urgent ? urgent_ : others_).push_back(&place);
  co_await place.waiter;
  if (!place.granted) co_return std::nullopt;
  co_return Turn(this);
}

void RecoveryQueue::Close() {
  closed_ = true;
  for (std::list<Place*>* places : {&urgent_, &others_}) {
    for (Place* place : std::exchange(*places, {})) place->waiter.Wake();
  }
}

void RecoveryQueue::Release() {
  std::list<Place*>& next = urgent_.empty() ? others_ : urgent_;
  if (next.empty()) {
    ++free_;
    return;
  }
  // The turn is handed over.
  Place* place = next.front();
  next.pop_front();
  place->granted = true;
  place->waiter.Wake();
}

}  // namespace tidemark
