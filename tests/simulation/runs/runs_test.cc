// Seeds by the dozen, each in a process of its own. TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS choose
// them.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include <glog/logging.h>

#include "tests/simulation/runs/cluster_run.h"

namespace tidemark {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

struct ChildReport {
  uint64_t violations = 0;
  RunCounts counts;
  bool ended = false;
};

// Runs a seed in a child, which prints its violations.
ChildReport RunSeed(uint64_t seed) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    close(ends[0]);
    const RunResult result = RunCluster(seed);
    for (const std::string& violation : result.violations) {
      std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
    }
    const ChildReport report{result.violations.size(), result.counts, true};
    const ssize_t written = write(ends[1], &report, sizeof report);
    _exit(written == sizeof report ? 0 : 3);
  }
  close(ends[1]);
  ChildReport report;
  if (read(ends[0], &report, sizeof report) != sizeof report) report = {};
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return report;
}

TEST(ClusterRuns, LoseNothingUnderFaults) {
  const uint64_t first = FromEnvironment("TIDEMARK_SIM_FIRST_SEED", 1);
  const uint64_t seeds = FromEnvironment("TIDEMARK_SIM_SEEDS", 30);
  RunCounts sum;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const ChildReport report = RunSeed(seed);
    EXPECT_TRUE(report.ended) << "seed " << seed << " crashed";
    EXPECT_EQ(report.violations, 0u) << "seed " << seed;
    sum.acknowledged += report.counts.acknowledged;
    sum.elections += report.counts.elections;
    sum.truncations += report.counts.truncations;
    sum.expiries += report.counts.expiries;
    sum.fenced += report.counts.fenced;
  }
  std::printf("%llu seeds from %llu: %s\n", static_cast<unsigned long long>(seeds),
              static_cast<unsigned long long>(first), ToString(sum).c_str());
  EXPECT_EQ(CheckCounts(sum), Violations{})
      << "a run in which something never happened shows nothing about it";
}

}  // namespace
}  // namespace tidemark
