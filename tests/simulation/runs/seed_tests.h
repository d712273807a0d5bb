// What every test of a kind of run does with its seeds: none crashes, is stuck or shows a violation, and
// things have happened in them. TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS choose the seeds.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>

#include "tests/simulation/from_environment.h"
#include "tests/simulation/runs/seed_process.h"

namespace tidemark {

// `counts`: the run's own, of which ToString and CheckCounts know. `run`: as RunSeed takes it.
template <typename Counts, typename Run>
void ExpectSeedsHold(uint64_t default_seeds, Counts SeedReport::* counts, Run run) {
  Counts sum;
  RunSeeds(
      FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1), FromEnvironmentOr("TIDEMARK_SIM_SEEDS", default_seeds),
      {},
      [&sum, counts](uint64_t seed, const SeedReport& report) {
        EXPECT_TRUE(report.ended) << "seed " << seed << " crashed";
        EXPECT_EQ(report.violations, 0u) << "seed " << seed << ": " << report.first;
        EXPECT_EQ(report.stuck, 0u) << "seed " << seed << ": " << report.first;
        sum += report.*counts;
        return true;
      },
      run);
  std::printf("%s\n", ToString(sum).c_str());
  EXPECT_EQ(CheckCounts(sum), Violations{})
      << "a run in which something never happened shows nothing about it";
}

template <typename Run>
void ExpectExactReplay(Run run) {
  const uint64_t seed = FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1);
  const SeedReport once = RunSeed(seed, run), again = RunSeed(seed, run);
  EXPECT_NE(once.trace, 0u);
  EXPECT_EQ(once.trace, again.trace);
}

}  // namespace tidemark
