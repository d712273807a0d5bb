// Seeds of clusters whose disks rot. TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS choose them.
#include "tests/simulation/rot/rot_run.h"
#include "tests/simulation/runs/seed_tests.h"

namespace tidemark {
namespace {

TEST(RotRuns, LoseNothingAndRepairEverything) { ExpectSeedsHold(3, &SeedReport::rot, RunWithRot); }

TEST(RotRuns, ReplayExactlyFromTheirSeed) { ExpectExactReplay(RunWithRot); }

}  // namespace
}  // namespace tidemark
