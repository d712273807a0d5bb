// simulation_log_property: random operations on logs over a simulated disk against a model, from seeds.
//
//   simulation_log_property [--seed S] [--seeds N] [--operations K] [--trace]
//
// N seeds from S on (environment: TIDEMARK_SIM_FIRST_SEED, TIDEMARK_SIM_SEEDS), K operations each
// (TIDEMARK_SIM_OPERATIONS). Each seed runs in a process of its own, so that one that fails does not stop the
// others; with a single seed everything runs in this one, for the debugger. Exit status 1 when a seed failed.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include <gflags/gflags.h>
#include <glog/logging.h>

#include "tests/simulation/log_property/log_history.h"

namespace tidemark {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

}  // namespace
}  // namespace tidemark

DEFINE_uint64(seed, tidemark::FromEnvironment("TIDEMARK_SIM_FIRST_SEED", 1), "first seed");
DEFINE_uint64(seeds, tidemark::FromEnvironment("TIDEMARK_SIM_SEEDS", 100), "how many seeds");
DEFINE_uint64(operations, tidemark::FromEnvironment("TIDEMARK_SIM_OPERATIONS", 3000), "operations per seed");
DEFINE_bool(trace, false, "print every operation");

namespace tidemark {
namespace {

bool RunInChild(uint64_t seed, LogCounts* sum) {
  int ends[2];
  CHECK_EQ(pipe(ends), 0);
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    close(ends[0]);
    const LogCounts counts = LogHistory(seed).Run(FLAGS_operations);
    const ssize_t written = write(ends[1], &counts, sizeof counts);
    _exit(written == sizeof counts ? 0 : 3);
  }
  close(ends[1]);
  LogCounts counts;
  const bool ended = read(ends[0], &counts, sizeof counts) == sizeof counts;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (ended && status == 0) sum->Add(counts);
  return ended && status == 0;
}

int Main() {
  LogCounts sum;
  uint64_t failed = 0;
  for (uint64_t seed = FLAGS_seed; seed < FLAGS_seed + FLAGS_seeds; ++seed) {
    if (FLAGS_seeds == 1) {
      sum = LogHistory(seed).Run(FLAGS_operations);
      break;
    }
    if (RunInChild(seed, &sum)) continue;
    ++failed;
    std::printf(
        "FAILED: replay with simulation_log_property --seed %llu --seeds 1 --operations %llu --trace\n",
        static_cast<unsigned long long>(seed), static_cast<unsigned long long>(FLAGS_operations));
  }
  std::printf("counts log_property seeds=%llu first_seed=%llu failed=%llu %s\n",
              static_cast<unsigned long long>(FLAGS_seeds), static_cast<unsigned long long>(FLAGS_seed),
              static_cast<unsigned long long>(failed), ToString(sum).c_str());
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  FLAGS_logtostderr = true;
  // What the logs say of their faults is expected by the thousand.
  FLAGS_minloglevel = FLAGS_trace ? google::GLOG_INFO : google::GLOG_FATAL;
  if (FLAGS_trace) FLAGS_v = 1;
  google::InitGoogleLogging(argv[0]);
  return tidemark::Main();
}
