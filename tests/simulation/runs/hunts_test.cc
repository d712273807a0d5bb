// Shows that the checkers see: with a bug planted, some seed must end in a violation within 500, whose
// control run without the bug ends in none. A crash or a run that got stuck is no catch.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>

#include "tests/simulation/runs/seed_process.h"

namespace tidemark {
namespace {

constexpr uint64_t kSeeds = 500;

class PlantedBugHunt : public testing::TestWithParam<const char*> {};

TEST_P(PlantedBugHunt, EndsInACatchWithin500Seeds) {
  uint64_t tried = 0, crashed = 0, stuck = 0;
  std::map<uint64_t, SeedReport> caught;
  RunSeeds(1, kSeeds, GetParam(), [&](uint64_t seed, const SeedReport& report) {
    ++tried;
    crashed += report.ended ? 0 : 1;
    stuck += report.stuck > 0 ? 1 : 0;
    if (report.ended && report.stuck == 0 && report.violations > 0) caught[seed] = report;
    return caught.empty();
  });
  ASSERT_FALSE(caught.empty()) << GetParam() << " was not caught in " << tried << " seeds (" << crashed
                               << " crashed, " << stuck << " stuck)";
  // Seeds go side by side: the first by number is the one to name.
  const auto& [seed, report] = *caught.begin();
  const SeedReport control = RunSeed(seed);
  ASSERT_TRUE(control.ended) << "seed " << seed << " crashed without the bug";
  ASSERT_EQ(control.violations + control.stuck, 0u)
      << "seed " << seed << " without the bug: " << control.first;
  std::printf("%s: caught at seed %llu, after %llu runs, by %llu violations: %s\n", GetParam(),
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(tried),
              static_cast<unsigned long long>(report.violations), report.first.c_str());
}

INSTANTIATE_TEST_SUITE_P(Bugs, PlantedBugHunt,
                         testing::Values("ack-before-flush", "truncate-to-hw", "fetch-without-epoch"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace tidemark
