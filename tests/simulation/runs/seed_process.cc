#include "tests/simulation/runs/seed_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <thread>

#include <glog/logging.h>

#include "common/fault.h"

namespace tidemark {
namespace {

// What goes through the pipe.
struct Wire {
  uint64_t violations = 0;
  uint64_t stuck = 0;
  RunCounts counts;
  GroupRunCounts groups;
  RotRunCounts rot;
  uint64_t trace = 0;
  char first[400] = {};
};

void PlantBug(const std::string& name) {
#ifdef TIDEMARK_FAULT_SWITCHES
  SetFaultSwitch(name, true);
#else
  LOG(FATAL) << "compiled without switches: cannot plant " << name;
#endif
}

Wire RunHere(uint64_t seed, const std::string& planted, SeedRun run) {
  if (!planted.empty()) {
    PlantBug(planted);
    // What a bug makes the brokers say is of no interest; that of a clean run is.
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(4);
  }
  const RunResult result = run(seed);
  Wire wire{result.violations.size(),
            result.stuck.size(),
            result.counts,
            result.groups,
            result.rot,
            result.trace,
            {}};
  size_t printed = 0;
  for (const Violations* found : {&result.violations, &result.stuck}) {
    for (const std::string& what : *found) {
      if (wire.first[0] == 0) what.copy(wire.first, sizeof wire.first - 1);
      if (++printed > 10) break;
      std::fprintf(stderr, "seed %llu: %s\n", static_cast<unsigned long long>(seed), what.c_str());
    }
  }
  return wire;
}

struct Child {
  uint64_t seed = 0;
  int reports = -1;
};

Child Begin(uint64_t seed, const std::string& planted, SeedRun run, pid_t* child) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  std::fflush(nullptr);
  *child = fork();
  CHECK_GE(*child, 0);
  if (*child == 0) {
    close(ends[0]);
    const Wire wire = RunHere(seed, planted, run);
    _exit(write(ends[1], &wire, sizeof wire) == sizeof wire ? 0 : 3);
  }
  close(ends[1]);
  return {seed, ends[0]};
}

SeedReport Collect(const Child& child) {
  Wire wire;
  SeedReport report;
  report.ended = read(child.reports, &wire, sizeof wire) == sizeof wire;
  close(child.reports);
  if (!report.ended) return report;
  report.violations = wire.violations;
  report.stuck = wire.stuck;
  report.counts = wire.counts;
  report.groups = wire.groups;
  report.rot = wire.rot;
  report.trace = wire.trace;
  report.first = wire.first;
  return report;
}

}  // namespace

void RunSeeds(uint64_t first, uint64_t count, const std::string& planted, const SeedJudge& judge,
              SeedRun run) {
  const size_t at_once = std::max(1u, std::thread::hardware_concurrency());
  std::map<pid_t, Child> children;
  bool go_on = true;
  for (uint64_t next = first; (go_on && next < first + count) || !children.empty();) {
    if (go_on && next < first + count && children.size() < at_once) {
      pid_t pid = 0;
      const Child child = Begin(next++, planted, run, &pid);
      children[pid] = child;
      continue;
    }
    // A report is shorter than a pipe holds, so a child never waits for its reader.
    const auto ended = children.extract(waitpid(-1, nullptr, 0));
    if (!ended) continue;
    if (!judge(ended.mapped().seed, Collect(ended.mapped()))) go_on = false;
  }
}

SeedReport RunSeed(uint64_t seed, SeedRun run) {
  SeedReport only;
  RunSeeds(
      seed, 1, {},
      [&only](uint64_t, const SeedReport& report) {
        only = report;
        return false;
      },
      run);
  return only;
}

}  // namespace tidemark
