#include "broker/log/damage_list.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

namespace tidemark {

bool DamageList::Add(DamagedRange range) {
  CHECK_LE(range.first, range.last);
  const auto begin = std::ranges::lower_bound(ranges_, range.first, {}, &DamagedRange::last);
  const auto end = std::upper_bound(begin, ranges_.end(), range.last,
                                    [](Offset last, const DamagedRange& each) { return last < each.first; });
  for (auto each = begin; each != end; ++each) {
    if (each->segment != range.segment) continue;  // of a segment that is no more
    if (each->first <= range.first && range.last <= each->last) return false;
    range.first = std::min(range.first, each->first);
    range.last = std::max(range.last, each->last);
    range.begin = std::min(range.begin, each->begin);
    range.end = std::max(range.end, each->end);
  }
  if (begin == end) {
    ranges_.insert(begin, std::move(range));
    return true;
  }
  *begin = std::move(range);
  ranges_.erase(begin + 1, end);
  return true;
}

const DamagedRange* DamageList::Find(Offset offset) const {
  const auto after = std::ranges::upper_bound(ranges_, offset, {}, &DamagedRange::first);
  if (after == ranges_.begin()) return nullptr;
  const DamagedRange& range = *(after - 1);
  return offset <= range.last ? &range : nullptr;
}

Offset DamageList::LimitFrom(Offset offset, Offset limit) const {
  const auto after = std::ranges::upper_bound(ranges_, offset, {}, &DamagedRange::first);
  return after == ranges_.end() ? limit : std::min(limit, after->first);
}

const DamagedRange* DamageList::FirstFrom(Offset start) const {
  const auto found = std::ranges::lower_bound(ranges_, start, {}, &DamagedRange::last);
  return found == ranges_.end() ? nullptr : &*found;
}

size_t DamageList::CountFrom(Offset start) const {
  return static_cast<size_t>(ranges_.end() -
                             std::ranges::lower_bound(ranges_, start, {}, &DamagedRange::last));
}

const DamagedRange* DamageList::LastBelow(Offset offset) const {
  const auto after = std::ranges::lower_bound(ranges_, offset, {}, &DamagedRange::last);
  return after == ranges_.begin() ? nullptr : &*(after - 1);
}

void DamageList::TruncateTo(Offset end) {
  std::erase_if(ranges_, [end](const DamagedRange& range) { return range.first >= end; });
  if (!ranges_.empty() && ranges_.back().last >= end) ranges_.back().last = end - 1;
}

void DamageList::DropSegment(Offset segment) {
  std::erase_if(ranges_, [segment](const DamagedRange& range) { return range.segment == segment; });
}

}  // namespace tidemark
