// Seeds by the dozen, each in a process of its own, as many at a time as there are processors.
// TIDEMARK_SIM_FIRST_SEED and TIDEMARK_SIM_SEEDS choose them.
//
// Where fault switches are compiled in, bugs are planted one after another, and the checkers must see each:
// in a seed whose run is clean without the bug and shows a violation with it. A crash or a cluster that does
// not come back is no catch.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include <glog/logging.h>

#include "common/fault.h"
#include "tests/simulation/runs/cluster_run.h"

namespace tidemark {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

struct ChildReport {
  uint64_t violations = 0;
  uint64_t troubles = 0;
  RunCounts counts;
  bool ended = false;
};

struct Child {
  uint64_t seed = 0;
  int reports = -1;
};

void RunInChild(uint64_t seed, const char* bug, int reports) {
#ifdef TIDEMARK_FAULT_SWITCHES
  if (bug != nullptr) SetFaultSwitch(bug, true);
#endif
  const RunResult result = RunCluster(seed);
  size_t printed = 0;
  for (const Violations* found : {&result.violations, &result.troubles}) {
    for (const std::string& what : *found) {
      if (++printed > 5) break;
      std::fprintf(stderr, "seed %llu%s%s: %s\n", static_cast<unsigned long long>(seed), bug ? " with " : "",
                   bug ? bug : "", what.c_str());
    }
  }
  const ChildReport report{result.violations.size(), result.troubles.size(), result.counts, true};
  const ssize_t written = write(reports, &report, sizeof report);
  _exit(written == sizeof report ? 0 : 3);
}

// Runs seeds from `first` on in children; `judge` gets each seed's report, in order of their ending, and says
// whether to go on. Those begun are awaited.
void RunSeeds(uint64_t first, uint64_t count, const char* bug,
              const std::function<bool(uint64_t seed, const ChildReport&)>& judge) {
  const size_t at_once = std::max(1u, std::thread::hardware_concurrency());
  std::map<pid_t, Child> children;
  bool go_on = true;
  for (uint64_t next = first; (go_on && next < first + count) || !children.empty();) {
    if (go_on && next < first + count && children.size() < at_once) {
      int ends[2];
      CHECK_EQ(pipe(ends), 0);
      std::fflush(nullptr);
      const pid_t child = fork();
      CHECK_GE(child, 0);
      if (child == 0) {
        close(ends[0]);
        RunInChild(next, bug, ends[1]);
      }
      close(ends[1]);
      children[child] = {next++, ends[0]};
      continue;
    }
    // A report is shorter than a pipe holds, so a child never waits for its reader.
    const pid_t ended = waitpid(-1, nullptr, 0);
    const auto child = children.extract(ended);
    if (!child) continue;
    ChildReport report;
    if (read(child.mapped().reports, &report, sizeof report) != sizeof report) report = {};
    close(child.mapped().reports);
    if (!judge(child.mapped().seed, report)) go_on = false;
  }
}

TEST(ClusterRuns, LoseNothingUnderFaults) {
  const uint64_t first = FromEnvironment("TIDEMARK_SIM_FIRST_SEED", 1);
  const uint64_t seeds = FromEnvironment("TIDEMARK_SIM_SEEDS", 30);
  RunCounts sum;
  RunSeeds(first, seeds, nullptr, [&](uint64_t seed, const ChildReport& report) {
    EXPECT_TRUE(report.ended) << "seed " << seed << " crashed";
    EXPECT_EQ(report.violations, 0u) << "seed " << seed;
    EXPECT_EQ(report.troubles, 0u) << "seed " << seed;
    sum.acknowledged += report.counts.acknowledged;
    sum.elections += report.counts.elections;
    sum.truncations += report.counts.truncations;
    sum.expiries += report.counts.expiries;
    sum.fenced += report.counts.fenced;
    return true;
  });
  std::printf("%llu seeds from %llu: %s\n", static_cast<unsigned long long>(seeds),
              static_cast<unsigned long long>(first), ToString(sum).c_str());
  EXPECT_EQ(CheckCounts(sum), Violations{})
      << "a run in which something never happened shows nothing about it";
}

// The thread sanitizer has nothing to say about a world of one thread.
#if defined(TIDEMARK_FAULT_SWITCHES) && !__has_feature(thread_sanitizer)
ChildReport RunSeed(uint64_t seed) {
  ChildReport only;
  RunSeeds(seed, 1, nullptr, [&](uint64_t, const ChildReport& report) {
    only = report;
    return false;
  });
  return only;
}

class PlantedBug : public testing::TestWithParam<const char*> {};

TEST_P(PlantedBug, IsSeenByTheCheckers) {
  constexpr uint64_t kSeeds = 500;
  std::optional<uint64_t> caught;
  uint64_t tried = 0;
  RunSeeds(1, kSeeds, GetParam(), [&](uint64_t seed, const ChildReport& report) {
    ++tried;
    if (!caught && report.ended && report.violations > 0) caught = seed;
    return !caught;
  });
  ASSERT_TRUE(caught) << GetParam() << " went unseen in " << tried << " seeds";
  const ChildReport control = RunSeed(*caught);
  EXPECT_TRUE(control.ended && control.violations == 0) << "seed " << *caught << " is not clean without it";
  std::printf("%s was caught by seed %llu, after %llu runs\n", GetParam(),
              static_cast<unsigned long long>(*caught), static_cast<unsigned long long>(tried));
}

INSTANTIATE_TEST_SUITE_P(ClusterRuns, PlantedBug,
                         testing::Values("ack-before-flush", "truncate-to-hw", "fetch-without-epoch"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });
#endif

}  // namespace
}  // namespace tidemark
