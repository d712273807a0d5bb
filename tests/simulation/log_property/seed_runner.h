// RunSeeds: the frame of the programs that run by seed. Each seed runs in a process of its own, so that one
// that fails does not stop the others and what killed processes leave behind is given back; a single seed
// runs in this one, for the debugger.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <glog/logging.h>

#include "tests/simulation/from_environment.h"

namespace tidemark {

// Counts is a plain struct of counters with Add(). Returns how many seeds failed; `replay` is how to run one
// again but for its seed.
template <typename Counts>
uint64_t RunSeeds(uint64_t first, uint64_t seeds, const std::string& replay,
                  const std::function<Counts(uint64_t seed)>& run, Counts* sum) {
  if (seeds == 1) {
    *sum = run(first);
    return 0;
  }
  uint64_t failed = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    const pid_t child = fork();
    CHECK_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      const Counts counts = run(seed);
      const ssize_t written = write(ends[1], &counts, sizeof counts);
      _exit(written == sizeof counts ? 0 : 3);
    }
    close(ends[1]);
    Counts counts;
    const bool ended = read(ends[0], &counts, sizeof counts) == sizeof counts;
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (ended && status == 0) {
      sum->Add(counts);
      continue;
    }
    ++failed;
    std::printf("FAILED: replay with %s --seeds 1 --seed %llu\n", replay.c_str(),
                static_cast<unsigned long long>(seed));
    std::fflush(stdout);
  }
  return failed;
}

}  // namespace tidemark
