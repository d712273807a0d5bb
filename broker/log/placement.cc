#include "broker/log/placement.h"

#include <algorithm>
#include <cstdlib>

#include <glog/logging.h>

namespace tidemark {
namespace {

constexpr int64_t kFreeSpaceTie = 64;
constexpr uint64_t kMostFree = 1ull << 60;

int64_t RoomOf(const DirectoryRoom& directory) {
  return static_cast<int64_t>(std::min(directory.free_bytes, kMostFree)) - directory.promised_bytes;
}

}  // namespace

size_t ChooseByRoom(std::span<const DirectoryRoom> directories) {
  CHECK(!directories.empty());
  const int64_t most = RoomOf(*std::ranges::max_element(directories, {}, RoomOf));
  const DirectoryRoom* best = nullptr;
  for (const DirectoryRoom& each : directories) {
    if (RoomOf(each) < most - std::abs(most) / kFreeSpaceTie) continue;
    if (best == nullptr || each.partitions < best->partitions) best = &each;
  }
  return best->index;
}

}  // namespace tidemark
