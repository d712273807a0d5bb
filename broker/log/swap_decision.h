// What becomes of a `.log.swap` that a crash has left (cleaner_files.h): pure, from what can be read of it
// and of the segments that it was to take the place of. Asked by recovery, which acts on it, and by the
// offline verifier, which tells what recovery will do.
//
// A swap was whole on disk when it got its name, and until it has taken its place the first old segment is
// there; of the other old ones any may have been removed. So a swap that is whole is gone through with. One
// that has rotted since is compared with the old segments: the side that has more of the offsets is the log,
// and what it lacks is a damaged range like any other. Nothing is decided by what cannot be read.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/types.h"

namespace tidemark {

// The offsets of the whole batches of a segment file.
struct SegmentCoverage {
  struct Range {
    Offset first = 0;
    Offset end = 0;
    bool operator==(const Range&) const = default;
  };
  Offset base = 0;
  std::vector<Range> readable;  // rising, apart from each other
  bool whole = false;           // nothing else is in the file, and it is not empty
  uint64_t end_position = 0;    // in the file, of the last whole batch's end
  // One past the last readable offset; the base where nothing is.
  Offset end() const { return readable.empty() ? base : readable.back().end; }
  // How many offsets below `limit` are readable.
  uint64_t CountBelow(Offset limit) const;
};

struct SwapDecision {
  bool take = false;  // it takes its name; else it is removed and the old segments are the log
  // Base offsets of the segments that go when it is taken: those that begin below its last readable offset.
  // Of what is damaged behind that, no more is lost than by rot that comes after the swap.
  std::vector<Offset> replaced;
  // Where the file is to be cut before: what is behind it belongs to an old segment that stays, and would be
  // damage of no offset.
  std::optional<uint64_t> cut;
};

// Whether the swap is as it was written, as far as the segments `bases` (rising, of the folder) tell: it is
// whole and ends where another one begins. The last segment of a log is never in a swap, so there is one.
bool IsWholeSwap(const SegmentCoverage& swap, const std::vector<Offset>& bases);
// Of `bases` those that the swap covers. Never the last one, whatever the swap says: it holds the log's end.
std::vector<Offset> ReplacedBy(const SegmentCoverage& swap, const std::vector<Offset>& bases);
// For a swap that is not whole: `old` are the coverages of the segments from its base on that begin below its
// end().
SwapDecision DecideDamagedSwap(const SegmentCoverage& swap, const std::vector<SegmentCoverage>& old,
                               const std::vector<Offset>& bases);

}  // namespace tidemark
