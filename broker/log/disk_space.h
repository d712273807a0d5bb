// Disk space: what may still be written when a log directory's file system gets full. Pure decisions, any
// thread.
//
// Three uses, given up one after the other, so that nothing that was acknowledged is lost and the cluster's
// own topics go on longest:
// - produce: stops below log.dir.min.free.bytes, with a retriable error;
// - follow: stops when no more than twice log.dir.reserve.bytes is left: the follower drops what it
//   fetched, falls behind and leaves the ISR;
// - internal: goes on until the file system refuses.
// The reserve itself is a file in each directory, `reserve`: when the file system has run full (by other
// programs, too), it is given back, so that epochs, checkpoints and indexes can still be written, logs be
// opened and internal topics go on; it is made again when there is room.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/time.h"

namespace tidemark {

struct SpaceLimits {
  uint64_t min_free = 0;  // log.dir.min.free.bytes
  uint64_t reserve = 0;   // log.dir.reserve.bytes; 0: no reserve is kept
};

// What a look at a directory found.
struct SpaceSeen {
  uint64_t free = 0;
  uint64_t held = 0;  // bytes in the reserve file
};

enum class SpaceUse { kProduce, kFollow, kInternal };

inline constexpr std::string_view kReserveName = "reserve";

bool HasRoom(SpaceUse use, const SpaceSeen& seen, const SpaceLimits& limits);

// Whether so many bytes may be written beside what they are to take the place of (compaction, repair). They
// leave to followers and internal topics what these need, and do not stop producers; where producers have
// stopped already they go on, for compaction wins room.
bool HasRoomToRewrite(uint64_t bytes, const SpaceSeen& seen, const SpaceLimits& limits);

enum class ReserveStep { kNone, kGiveBack, kMake };
ReserveStep DecideReserve(const SpaceSeen& seen, const SpaceLimits& limits);

// Until the next look: short while there is little.
Duration NextSpaceLook(const SpaceSeen& seen, const SpaceLimits& limits);

}  // namespace tidemark
