// EpochTable: (leader epoch, start offset) pairs of one log, both strictly rising. Pure value; the log
// persists it in `leader-epoch-checkpoint`. Used to find where two logs part (KIP-101, KIP-279).
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "common/types.h"

namespace tidemark {

class EpochTable {
 public:
  struct Entry {
    LeaderEpoch epoch;
    Offset start;
    bool operator==(const Entry&) const = default;
  };

  // Records that `epoch` begins at `start`. No-op when epoch is the latest one; drops entries at or above
  // `start` that hold no record. CHECKs that the epoch does not fall.
  void Begin(LeaderEpoch epoch, Offset start);
  // Forgets what begins at or above `end` (the log's new end after a truncation).
  void TruncateTo(Offset end);
  // Moves the first entry's start up to the log's new start.
  void AdvanceStart(Offset start);
  // The first entry begins at `start` already.
  void ReachBackTo(Offset start);
  void Clear() { entries_.clear(); }

  // Where the first entry begins.
  std::optional<Offset> begin() const;
  std::optional<LeaderEpoch> latest() const;
  std::optional<Entry> latest_entry() const;
  // The largest epoch at or below `epoch` and where it ends (`log_end` for the latest); empty when there is
  // none.
  std::optional<std::pair<LeaderEpoch, Offset>> EndOf(LeaderEpoch epoch, Offset log_end) const;
  // Epoch of the record at `offset`.
  std::optional<LeaderEpoch> EpochAt(Offset offset) const;
  // The first offset in [from, below) whose record is of another epoch in `other`; `below` when there is
  // none.
  Offset AgreesUpTo(const EpochTable& other, Offset from, Offset below) const;
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace tidemark
