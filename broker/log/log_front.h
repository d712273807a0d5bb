// MissingFront: whether the oldest segment files of a log are gone, from what is left to tell it. Pure; asked
// by recovery and by the offline verifier.
//
// Invariant that it rests on: segments below the log start go only after both the checkpoint of the start and
// the epoch table, which is cut at the front when the start moves, hold an offset at or above the first
// segment that stays, on disk (log_retention.cc). Other changes keep it: a truncation lowers both to no less
// than the first segment's base before it cuts; a restart of the log lowers the recovery point to 0 and
// empties the table before its files go, and a checkpoint round writes the start before the recovery point.
// So whatever crash there was, a first segment above what either of them says is one that was lost. Only on a
// disk that is too full to be told do segments go all the same: then the file that was taken away stays,
// emptied, until it is.
#pragma once

#include <optional>

#include "common/types.h"

namespace tidemark {

struct FrontWitnesses {
  Offset first_base = 0;  // of the first segment that is there
  // The checkpoint of the log start, 0 where a readable file has no line; empty: not readable.
  std::optional<Offset> checkpoint;
  // The epoch table could be read. Where it begins; empty: it has no entry, the log is new or was restarted.
  bool table_readable = false;
  std::optional<Offset> table_begin;
  // The recovery point; empty: unknown.
  std::optional<Offset> recovery_point;
  bool taken_away = false;  // files below the start have been taken away, and are there still
};

// The offset that the log began at, where what lies between it and the first segment is missing. Each witness
// is a lower bound of the start, as any of them may be older than the other; one that cannot be read leaves
// it to the other. Nothing at or above the recovery point is missed: it was not promised to be there.
std::optional<Offset> MissingFront(const FrontWitnesses& witnesses);

}  // namespace tidemark
