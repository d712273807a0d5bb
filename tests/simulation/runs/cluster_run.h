// One run of a whole cluster from a seed: three brokers, a topic, producers with acks=all, a reader that
// notes high watermarks, and faults drawn from the seed that overlap as they like; then everything is healed
// and what is left is checked.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/cluster/checkers.h"

namespace tidemark {

struct RunResult {
  Violations violations;  // of what must always hold
  Violations troubles;    // what did not come to its end: a producer, a start, the cluster's healing
  RunCounts counts;
};

// Everything follows from the seed. Memory of killed processes is never freed: run it in a process of its
// own.
RunResult RunCluster(uint64_t seed);

}  // namespace tidemark
