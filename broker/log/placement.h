// In which log directory a new replica is made: a pure decision over what each has free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tidemark {

// A directory that is in service.
struct DirectoryRoom {
  size_t index = 0;
  uint64_t free_bytes = 0;
  // What of that young replicas and those on their way here are expected to take.
  int64_t promised_bytes = 0;
  size_t partitions = 0;
};

// Index of the one with most room. Room that differs by less than a 64th counts as the same (directories may
// share a file system): there it is the one with fewest partitions, and the first of those. Not for an empty
// list.
size_t ChooseByRoom(std::span<const DirectoryRoom> directories);

}  // namespace tidemark
