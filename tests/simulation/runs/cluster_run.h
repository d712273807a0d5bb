// One run of a whole cluster from a seed: three brokers, a topic, a producer with acks=all, and a schedule of
// faults drawn from the seed; then everything is healed and what is left is checked.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/cluster/checkers.h"

namespace tidemark {

struct RunResult {
  Violations violations;
  RunCounts counts;
};

// Everything follows from the seed. Memory of killed processes is never freed: run it in a process of its
// own.
RunResult RunCluster(uint64_t seed);

}  // namespace tidemark
