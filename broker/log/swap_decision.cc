#include "broker/log/swap_decision.h"

#include <algorithm>

namespace tidemark {

uint64_t SegmentCoverage::CountBelow(Offset limit) const {
  uint64_t count = 0;
  for (const Range& range : readable) {
    const Offset end = std::min(range.end, limit);
    if (range.first < end) count += end - range.first;
  }
  return count;
}

bool IsWholeSwap(const SegmentCoverage& swap, const std::vector<Offset>& bases) {
  return swap.whole && std::ranges::binary_search(bases, swap.end()) && swap.end() > swap.base;
}

std::vector<Offset> ReplacedBy(const SegmentCoverage& swap, const std::vector<Offset>& bases) {
  std::vector<Offset> replaced;
  for (const Offset base : bases) {
    if (base > swap.base && base < swap.end() && base != bases.back()) replaced.push_back(base);
  }
  return replaced;
}

SwapDecision DecideDamagedSwap(const SegmentCoverage& swap, const std::vector<SegmentCoverage>& old,
                               const std::vector<Offset>& bases) {
  // Without the first old one the bytes are all there is from its offset on.
  if (std::ranges::binary_search(bases, swap.base)) {
    uint64_t old_count = 0;
    for (size_t i = 0; i < old.size(); ++i) {
      const Offset next = i + 1 < old.size() ? old[i + 1].base : swap.end();
      old_count += old[i].CountBelow(next);
    }
    // Where both have as much, the ones of which nothing need be removed.
    if (old_count >= swap.CountBelow(swap.end())) return {};
  }
  SwapDecision taken{.take = true, .replaced = ReplacedBy(swap, bases), .cut = {}};
  const bool joins = swap.end() > swap.base && std::ranges::binary_search(bases, swap.end());
  if (joins) taken.cut = swap.end_position;
  return taken;
}

}  // namespace tidemark
