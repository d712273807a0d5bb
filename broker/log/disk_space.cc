#include "broker/log/disk_space.h"

#include <algorithm>

namespace tidemark {
namespace {

constexpr Duration kShortLook = 1s;
constexpr Duration kLongLook = 5s;
// With so much free a disk does not fill between two long looks; should it, the file system refuses the rest.
constexpr uint64_t kAmple = 8ull << 30;

}  // namespace

bool HasRoom(SpaceUse use, const SpaceSeen& seen, const SpaceLimits& limits) {
  switch (use) {
    case SpaceUse::kProduce:
      return seen.free >= limits.min_free;
    case SpaceUse::kFollow:
      // With the reserve in its file as much again must be free; given back, it must not be written over.
      return seen.free + std::min(seen.held, limits.reserve) >= 2 * limits.reserve;
    case SpaceUse::kInternal:
      return true;
  }
  return true;
}

bool HasRoomToRewrite(uint64_t bytes, const SpaceSeen& seen, const SpaceLimits& limits) {
  if (bytes > seen.free) return false;
  const SpaceSeen after{.free = seen.free - bytes, .held = seen.held};
  const bool stops_producers =
      HasRoom(SpaceUse::kProduce, seen, limits) && !HasRoom(SpaceUse::kProduce, after, limits);
  return !stops_producers && HasRoom(SpaceUse::kFollow, after, limits);
}

ReserveStep DecideReserve(const SpaceSeen& seen, const SpaceLimits& limits) {
  if (seen.held > 0 && (limits.reserve == 0 || seen.free < seen.held / 4)) return ReserveStep::kGiveBack;
  // Made only where it does not at once call for being given back, nor stops anything.
  const uint64_t more = limits.reserve - std::min(seen.held, limits.reserve);
  if (more > 0 && seen.free >= more + std::max(limits.reserve, limits.min_free)) return ReserveStep::kMake;
  return ReserveStep::kNone;
}

Duration NextSpaceLook(const SpaceSeen& seen, const SpaceLimits& limits) {
  return seen.free < std::max(4 * limits.min_free, kAmple) ? kShortLook : kLongLook;
}

}  // namespace tidemark
