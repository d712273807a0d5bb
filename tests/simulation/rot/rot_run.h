// One run of a whole cluster with rot, from a seed: three brokers, a topic that is deleted from and one that
// is compacted, producers of both, readers, the faults of ../runs, and strikes at segment files within the
// fault budget (rot_faults.h). When all is quiet every damage must have been repaired, besides what ../runs
// checks.
#pragma once

#include <cstdint>

#include "tests/simulation/runs/cluster_run.h"

namespace tidemark {

RunResult RunWithRot(uint64_t seed);

}  // namespace tidemark
