// ReadHistory: the leader epochs of what a consumer has read of a partition, and where that history leaves
// the log of a leader that has other records there (KIP-320): after an election of a replica that lacked
// them, or when a disk lost them. The fetcher keeps one per partition. Value and pure function.
#pragma once

#include <deque>
#include <optional>

#include "common/types.h"

namespace tidemark::internal {

// Invariant: entries rise in epoch and offset. The oldest are forgotten, so that a history is an upper bound
// of what is common, never less.
class ReadHistory {
 public:
  // Reading begins at `offset`; the record before it is of epoch `before`, where that is known.
  void Begin(Offset offset, std::optional<LeaderEpoch> before);
  // What is read from `offset` on is of `epoch`.
  void Add(LeaderEpoch epoch, Offset offset);
  // Reading goes on at `offset`, which has been passed.
  void CutTo(Offset offset);

  // Of the record before the place where reading goes on; empty: not known.
  std::optional<LeaderEpoch> last_epoch() const;
  // The first offset known to be of a later epoch; empty: none is.
  std::optional<Offset> FirstAfter(LeaderEpoch epoch) const;

 private:
  struct Entry {
    LeaderEpoch epoch;
    Offset start;
  };
  std::deque<Entry> entries_;
};

// A leader's answer: the largest epoch that it has at or below the one it was asked about, and where that
// ends.
struct EpochEnd {
  LeaderEpoch epoch = 0;
  Offset end_offset = 0;
};

// Where a consumer that has read `history` up to `position` goes on: below `position`, and not below the log
// start. It asks again there; each round goes back by a record at least. Empty: the answer makes no sense.
std::optional<Offset> PartingPoint(const ReadHistory& history, Offset position, const EpochEnd& leaders,
                                   Offset log_start);

}  // namespace tidemark::internal
