// Seeds of clusters whose disks rot. TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS choose them.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/simulation/from_environment.h"
#include "tests/simulation/rot/rot_run.h"
#include "tests/simulation/runs/seed_process.h"

namespace tidemark {
namespace {

TEST(RotRuns, LoseNothingAndRepairEverything) {
  const uint64_t first = FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1);
  const uint64_t seeds = FromEnvironmentOr("TIDEMARK_SIM_SEEDS", 3);
  RotRunCounts sum;
  RunSeeds(
      first, seeds, {},
      [&sum](uint64_t seed, const SeedReport& report) {
        EXPECT_TRUE(report.ended) << "seed " << seed << " crashed";
        EXPECT_EQ(report.violations, 0u) << "seed " << seed << ": " << report.first;
        EXPECT_EQ(report.stuck, 0u) << "seed " << seed << ": " << report.first;
        sum += report.rot;
        return true;
      },
      RunWithRot);
  std::printf("%s\n", ToString(sum).c_str());
  EXPECT_EQ(CheckCounts(sum), Violations{})
      << "a run in which something never happened shows nothing about it";
}

TEST(RotRuns, ReplayExactlyFromTheirSeed) {
  const uint64_t seed = FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1);
  const SeedReport once = RunSeed(seed, RunWithRot), again = RunSeed(seed, RunWithRot);
  EXPECT_NE(once.trace, 0u);
  EXPECT_EQ(once.trace, again.trace);
}

}  // namespace
}  // namespace tidemark
