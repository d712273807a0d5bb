// Seeds, each in a process of its own: what a run leaks ends with it, a crash is an outcome like others, and
// as many go at a time as there are processors.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tests/simulation/runs/cluster_run.h"

namespace tidemark {

struct SeedReport {
  bool ended = false;  // false: it crashed
  uint64_t violations = 0;
  uint64_t stuck = 0;
  RunCounts counts;
  GroupRunCounts groups;
  RotRunCounts rot;
  uint64_t trace = 0;
  std::string first;  // the first violation, or what is stuck; shortened
};

// One run from a seed.
using SeedRun = RunResult (*)(uint64_t seed);
// Says whether to go on.
using SeedJudge = std::function<bool(uint64_t seed, const SeedReport& report)>;

// Runs `count` seeds from `first` on; `judge` gets each report, in order of their ending. Those begun are
// awaited. `planted`: the switch of a deliberate bug, empty for none; such runs print nothing.
void RunSeeds(uint64_t first, uint64_t count, const std::string& planted, const SeedJudge& judge,
              SeedRun run = RunCluster);
SeedReport RunSeed(uint64_t seed, SeedRun run = RunCluster);

}  // namespace tidemark
