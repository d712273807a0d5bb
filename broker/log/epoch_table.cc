#include "broker/log/epoch_table.h"

#include <algorithm>

#include <glog/logging.h>

namespace tidemark {

void EpochTable::Begin(LeaderEpoch epoch, Offset start) {
  if (!entries_.empty() && entries_.back().epoch == epoch) return;
  // Epochs that began at or above `start` never got a record; a follower may go on with records of an older
  // one.
  while (!entries_.empty() && entries_.back().start >= start) entries_.pop_back();
  if (!entries_.empty() && entries_.back().epoch == epoch) return;
  if (!entries_.empty()) CHECK_GT(epoch, entries_.back().epoch) << "leader epochs never fall";
  entries_.push_back({epoch, start});
}

void EpochTable::TruncateTo(Offset end) {
  while (!entries_.empty() && entries_.back().start >= end) entries_.pop_back();
}

void EpochTable::AdvanceStart(Offset start) {
  // The entry that covers `start` is the last one at or below it; those before it are wholly gone.
  const auto after = std::upper_bound(entries_.begin(), entries_.end(), start,
                                      [](Offset offset, const Entry& entry) { return offset < entry.start; });
  if (after == entries_.begin()) return;
  entries_.erase(entries_.begin(), after - 1);
  entries_.front().start = start;
}

void EpochTable::ReachBackTo(Offset start) {
  if (!entries_.empty()) entries_.front().start = std::min(entries_.front().start, start);
}

std::optional<Offset> EpochTable::begin() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.front().start;
}

std::optional<LeaderEpoch> EpochTable::latest() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.back().epoch;
}

std::optional<EpochTable::Entry> EpochTable::latest_entry() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.back();
}

std::optional<std::pair<LeaderEpoch, Offset>> EpochTable::EndOf(LeaderEpoch epoch, Offset log_end) const {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), epoch,
                       [](LeaderEpoch wanted, const Entry& entry) { return wanted < entry.epoch; });
  if (after == entries_.begin()) return std::nullopt;
  return std::pair((after - 1)->epoch, after == entries_.end() ? log_end : after->start);
}

std::optional<LeaderEpoch> EpochTable::EpochAt(Offset offset) const {
  const auto after = std::upper_bound(entries_.begin(), entries_.end(), offset,
                                      [](Offset wanted, const Entry& entry) { return wanted < entry.start; });
  if (after == entries_.begin()) return std::nullopt;
  return (after - 1)->epoch;
}

Offset EpochTable::AgreesUpTo(const EpochTable& other, Offset from, Offset below) const {
  std::vector<Offset> changes = {from};
  for (const EpochTable* table : {this, &other}) {
    for (const Entry& entry : table->entries_) {
      if (entry.start > from) changes.push_back(entry.start);
    }
  }
  std::ranges::sort(changes);
  for (const Offset at : changes) {
    if (at >= below) break;
    if (EpochAt(at) != other.EpochAt(at)) return at;
  }
  return below;
}

}  // namespace tidemark
