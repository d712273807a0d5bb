// GroupRunCounts: how often what a run of a consumer group is to show has happened in it. A plain value: it
// goes through the pipe of the seed's process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tidemark {

// What a run must have exercised.
struct GroupRunCounts {
  uint64_t given = 0;         // records
  uint64_t repeated = 0;      // of them, given before
  uint64_t acknowledged = 0;  // commits of a partition
  uint64_t rebalances = 0;    // group epochs
  uint64_t fenced = 0;        // memberships that ended otherwise than by a leave, as the log has it
  uint64_t lost = 0;          // partitions that a member was told were lost
  uint64_t joined = 0;
  uint64_t left = 0;
  uint64_t killed = 0;
  uint64_t paused = 0;
  uint64_t hung = 0;          // standstills of the coordinator's broker
  uint64_t coordinators = 0;  // changes of the coordinator

  GroupRunCounts& operator+=(const GroupRunCounts& other);
};
// As `counts NAME key=value ...`, which tests/long.sh adds up.
std::string ToString(const GroupRunCounts& counts);
std::vector<std::string> CheckCounts(const GroupRunCounts& counts);

}  // namespace tidemark
