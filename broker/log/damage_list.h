// DamageList: the ranges of a log that cannot be read, as far as anybody has looked. Owned by its Log,
// loop-affine; persisted nowhere, because a range that is met again is found again.
//
// Invariants: ranges are sorted, do not overlap and each lies within one segment.
#pragma once

#include <string>
#include <vector>

#include "common/types.h"

namespace tidemark {

struct DamagedRange {
  Offset first = 0;
  Offset last = 0;
  Offset segment = 0;  // base offset
  // Of the segment's file. [0, 0): the file is missing.
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string reason;  // a sentence for people, names file, bytes and offsets
};

class DamageList {
 public:
  // False when all of it is known already. What overlaps becomes one range.
  bool Add(DamagedRange range);
  // The range that holds `offset`; null when there is none.
  const DamagedRange* Find(Offset offset) const;
  // Where a read from `offset`, which no range holds, has to end: the first offset of the next range, or
  // `limit`.
  Offset LimitFrom(Offset offset, Offset limit) const;
  // The first range that holds an offset at or above `start`; null when there is none.
  const DamagedRange* FirstFrom(Offset start) const;
  size_t CountFrom(Offset start) const;
  // The last range that ends below `offset`; null when there is none.
  const DamagedRange* LastBelow(Offset offset) const;

  void TruncateTo(Offset end);
  // What was repaired, deleted or compacted away: the ranges of one segment.
  void DropSegment(Offset segment);
  void Clear() { ranges_.clear(); }

  bool empty() const { return ranges_.empty(); }
  const std::vector<DamagedRange>& ranges() const { return ranges_; }

 private:
  std::vector<DamagedRange> ranges_;
};

}  // namespace tidemark
