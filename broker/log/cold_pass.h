// ColdPass: what a pass over a whole segment file (compaction, repair) has read goes from the page cache
// again where it was not in it before, so that the cache is kept for the tail. Pool thread; a value of one
// pass.
//
// Whether the file is cold is asked once, before the first read: afterwards the kernel's own read-ahead makes
// everything look warm.
#pragma once

#include <cstdint>
#include <span>

#include "common/io/file_system.h"

namespace tidemark {

class ColdPass {
 public:
  ColdPass(File& file, uint64_t from) : from_(from) {
    char first = 0;
    (void)file.ReadAtNowait(from, std::span(&first, 1), &cold_);
  }
  bool cold() const { return cold_; }
  // What lies before `position` is done with; given back in larger pieces, the rest by End.
  void Passed(File& file, uint64_t position) {
    if (position >= from_ + kPieceBytes) End(file, position);
  }
  void End(File& file, uint64_t position) {
    if (cold_ && position > from_) file.Advise(from_, position - from_, File::Advice::kDontNeed);
    from_ = position;
  }

 private:
  static constexpr uint64_t kPieceBytes = 4u << 20;
  uint64_t from_;  // not given back yet
  bool cold_ = false;
};

}  // namespace tidemark
