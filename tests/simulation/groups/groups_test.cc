// Seeds of a group's life. TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS choose them.
#include "tests/simulation/groups/group_run.h"
#include "tests/simulation/runs/seed_tests.h"

namespace tidemark {
namespace {

TEST(GroupRuns, HaveOneOwnerPerPartitionAndSkipNothing) { ExpectSeedsHold(8, &SeedReport::groups, RunGroup); }

TEST(GroupRuns, ReplayExactlyFromTheirSeed) { ExpectExactReplay(RunGroup); }

}  // namespace
}  // namespace tidemark
