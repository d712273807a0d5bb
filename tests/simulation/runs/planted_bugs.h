// What a hunt for a planted bug does: some seed must show a violation whose run without the bug shows none,
// so the checkers can see. A crash is no catch.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>

#include "tests/simulation/runs/seed_process.h"

namespace tidemark {

// `stuck_is_no_catch`: nor is a run that got stuck, whatever else it shows.
inline void ExpectCaught(const char* bug, uint64_t seeds, bool stuck_is_no_catch, SeedRun run = RunCluster) {
  uint64_t tried = 0, crashed = 0, stuck = 0;
  std::map<uint64_t, SeedReport> caught;
  const auto judge = [&](uint64_t seed, const SeedReport& report) {
    ++tried;
    crashed += report.ended ? 0 : 1;
    stuck += report.stuck > 0 ? 1 : 0;
    const bool counts = report.stuck == 0 || !stuck_is_no_catch;
    if (report.ended && counts && report.violations > 0) caught[seed] = report;
    return caught.empty();
  };
  RunSeeds(1, seeds, bug, judge, run);
  ASSERT_FALSE(caught.empty()) << bug << " was not caught in " << tried << " seeds (" << crashed
                               << " crashed, " << stuck << " stuck)";
  // Seeds go side by side: the first by number is the one to name.
  const auto& [seed, report] = *caught.begin();
  const SeedReport control = RunSeed(seed, run);
  ASSERT_TRUE(control.ended) << "seed " << seed << " crashed without the bug";
  ASSERT_EQ(control.violations + control.stuck, 0u)
      << "seed " << seed << " without the bug: " << control.first;
  std::printf("%s: caught at seed %llu, after %llu runs, by %llu violations: %s\n", bug,
              static_cast<unsigned long long>(seed), static_cast<unsigned long long>(tried),
              static_cast<unsigned long long>(report.violations), report.first.c_str());
}

// The name of a hunt: the bug's, in letters.
inline std::string HuntName(const testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::erase(name, '-');
  return name;
}

}  // namespace tidemark
