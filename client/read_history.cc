#include "client/read_history.h"

#include <algorithm>

namespace tidemark::internal {

namespace {
// Leaders change seldom, and only what a truncation may reach back to matters.
constexpr size_t kMostEntries = 64;
}  // namespace

void ReadHistory::Begin(Offset offset, std::optional<LeaderEpoch> before) {
  entries_.clear();
  // Since when that epoch goes is not known: for one record at least.
  if (before && offset > 0) entries_.push_back({*before, offset - 1});
}

void ReadHistory::Add(LeaderEpoch epoch, Offset offset) {
  if (!entries_.empty() && entries_.back().epoch == epoch) return;
  // What records say counts more than what a seek or a commit said of the one before them.
  while (!entries_.empty() && (entries_.back().epoch > epoch || entries_.back().start >= offset))
    entries_.pop_back();
  if (entries_.empty() || entries_.back().epoch != epoch) entries_.push_back({epoch, offset});
  if (entries_.size() > kMostEntries) entries_.pop_front();
}

void ReadHistory::CutTo(Offset offset) {
  while (!entries_.empty() && entries_.back().start >= offset) entries_.pop_back();
}

std::optional<LeaderEpoch> ReadHistory::last_epoch() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.back().epoch;
}

std::optional<Offset> ReadHistory::FirstAfter(LeaderEpoch epoch) const {
  const auto later = std::ranges::upper_bound(entries_, epoch, {}, &Entry::epoch);
  if (later == entries_.end()) return std::nullopt;
  return later->start;
}

std::optional<Offset> PartingPoint(const ReadHistory& history, Offset position, const EpochEnd& leaders,
                                   Offset log_start) {
  const Offset own_end = history.FirstAfter(leaders.epoch).value_or(position);
  const Offset point = std::max(std::min(leaders.end_offset, own_end), log_start);
  if (point >= position) return std::nullopt;
  return point;
}

}  // namespace tidemark::internal
