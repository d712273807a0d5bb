// RotRunCounts: how often what a run with rot is to show has happened in it. A plain value: it goes through
// the pipe of the seed's process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tidemark {

struct RotRunCounts {
  // What was done to segment files.
  uint64_t flipped = 0;
  uint64_t overwritten = 0;
  uint64_t cut = 0;
  uint64_t removed = 0;
  // Of them:
  uint64_t while_down = 0;    // of the broker
  uint64_t of_leaders = 0;    // when it was done
  uint64_t of_compacted = 0;  // on the topic that is compacted
  // What the brokers made of it.
  uint64_t found = 0;      // damaged ranges
  uint64_t repaired = 0;   // segments
  uint64_t resigned = 0;   // requests for relief
  uint64_t set_aside = 0;  // logs copied anew
  uint64_t acknowledged = 0;
  uint64_t reread = 0;  // records, while rot was about
  uint64_t elections = 0;
  uint64_t stranded = 0;  // partitions whose only member in sync is damaged as a whole; need not happen

  RotRunCounts& operator+=(const RotRunCounts& other);
};
// As `counts NAME key=value ...`, which tests/long.sh adds up.
std::string ToString(const RotRunCounts& counts);
std::vector<std::string> CheckCounts(const RotRunCounts& counts);

}  // namespace tidemark
