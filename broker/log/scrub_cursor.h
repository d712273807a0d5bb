// Where a scrub of one log goes on, and what a piece of it did. The cursor is owned by whoever scrubs (the
// Scrubber) and shared with the piece under way, which alone changes it.
#pragma once

#include <cstdint>
#include <memory>

#include "broker/log/segment_scrub.h"

namespace tidemark {

struct ScrubCursor {
  std::weak_ptr<const bool> log;        // another one: from the start
  uint64_t generation = 0;              // of the log
  Offset pass_end = 0;                  // its end when the pass began: what comes later waits for the next
  Offset segment = 0;                   // goes on in the first segment at or above it
  std::unique_ptr<SegmentScrub> scrub;  // of that segment, once begun
  size_t noted = 0;                     // of its findings
  uint64_t found_before = 0;            // ranges that the log had found damaged by then
};

struct ScrubProgress {
  uint64_t bytes = 0;
  uint64_t damaged = 0;  // ranges that were not known
  bool index_rebuilt = false;
  bool done = false;  // the whole log has been looked at
};

}  // namespace tidemark
