// Read-ahead for consumers that catch up, as a pure decision. A stream is one reader going through one
// segment. While its reads find the file cold, the next stretch is asked of the disk before it is needed, and
// what lies behind is given back, so that catching up does not push the tail out of the page cache.
//
// Bounds: at most kReadAheadBytes before a reader; what is given back was cold when the stream came, is at
// least kDropLagBytes behind (others may follow closely) and never belongs to the active segment.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tidemark {

inline constexpr uint64_t kReadAheadBytes = 4u << 20;
inline constexpr uint64_t kDropLagBytes = 2u << 20;
inline constexpr uint64_t kDropStepBytes = 2u << 20;

struct ReadStream {
  bool cold = false;         // a read of it met bytes that were not in the page cache
  uint64_t ahead_until = 0;  // asked for up to here
  uint64_t drop_from = 0;    // its own cold bytes from here on are not given back yet
};

struct ReadAdvice {
  uint64_t need_from = 0, need_until = 0;  // to be read ahead; empty when equal
  uint64_t drop_from = 0, drop_until = 0;  // to be given back
  bool any() const { return need_from < need_until || drop_from < drop_until; }
};

// After a read of [from, until) of a segment with `size` bytes. `goes_on`: the read began where one before it
// had ended, or at the segment's beginning.
inline ReadAdvice AdviseAfterRead(ReadStream* stream, uint64_t from, uint64_t until, uint64_t size, bool cold,
                                  bool goes_on, bool active) {
  ReadAdvice out;
  if (cold && !stream->cold) *stream = {.cold = true, .ahead_until = until, .drop_from = from};
  if (!stream->cold || !goes_on) return out;
  stream->ahead_until = std::max(stream->ahead_until, until);
  if (stream->ahead_until - until <= kReadAheadBytes / 2 && stream->ahead_until < size) {
    out.need_from = stream->ahead_until;
    out.need_until = stream->ahead_until = std::min(size, until + kReadAheadBytes);
  }
  if (!active && until >= stream->drop_from + kDropLagBytes + kDropStepBytes) {
    out.drop_from = stream->drop_from;
    out.drop_until = stream->drop_from = until - kDropLagBytes;
  }
  return out;
}

}  // namespace tidemark
