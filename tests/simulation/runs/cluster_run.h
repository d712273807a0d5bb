// One run of a whole cluster from a seed: three brokers, a topic of three partitions, two producers with
// acks=all, and faults drawn from the seed (fault_schedule.h); then everything is healed and what is left is
// checked.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/cluster/checkers.h"
#include "tests/simulation/groups/group_counts.h"
#include "tests/simulation/rot/rot_counts.h"

namespace tidemark {

struct RunResult {
  Violations violations;  // of what the checkers check
  Violations stuck;       // what did not become whole again, or did not end
  RunCounts counts;
  GroupRunCounts groups;  // of a run of a group (../groups)
  RotRunCounts rot;       // of a run with rot (../rot)
  uint64_t trace = 0;     // equal for equal runs
};

// Everything follows from the seed. Memory of killed processes is never freed: run it in a process of its
// own.
RunResult RunCluster(uint64_t seed);

}  // namespace tidemark
