// One run of a consumer group from a seed: three brokers, a topic of 48 partitions, two producers, ten
// members that join, leave, are killed and stand still at random, and faults of brokers drawn from the seed
// (../runs/fault_schedule.h), above all of the one that coordinates the group; then all is healed and what
// was witnessed is checked, as it happened (group_witness.h) and against the group's log (group_history.h).
#pragma once

#include <cstdint>

#include "tests/simulation/runs/cluster_run.h"

namespace tidemark {

// Everything follows from the seed. Run it in a process of its own, as RunCluster.
RunResult RunGroup(uint64_t seed);

}  // namespace tidemark
