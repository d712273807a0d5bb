// PositionReset: that auto.offset.reset has taken a consumer elsewhere, because what it was to read next is
// not in the log: retention, compaction or a deletion was faster than it, or the log has lost its end. A
// value.
#pragma once

#include <cstdint>
#include <string>

#include "common/types.h"

namespace tidemark {

enum class OffsetReset { kEarliest, kLatest, kNone };

struct PositionReset {
  std::string topic;
  PartitionIndex partition = 0;
  Offset asked = 0;      // of the record that was to be read next, as it was committed or sought
  Offset log_start = 0;  // as the leader told it when it refused that
  Offset now = 0;        // where reading goes on
  OffsetReset policy = OffsetReset::kLatest;

  // Offsets below the log start that were not read. With compaction fewer records had them.
  uint64_t gone() const { return log_start > asked ? log_start - asked : 0; }
  // Offsets that are there and are passed over.
  uint64_t passed_over() const {
    const Offset from = log_start > asked ? log_start : asked;
    return now > from ? now - from : 0;
  }
};

// A sentence or two for a person, without a full stop.
std::string ToString(const PositionReset& reset);

}  // namespace tidemark
