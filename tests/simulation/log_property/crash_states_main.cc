// simulation_crash_states: the states that a crash may leave of recorded histories of a log, each recovered
// and compared with what was promised (crash_explorer.h).
//
//   simulation_crash_states [--seed S] [--seeds N] [--states K] [--trace]
//
// N recorded histories from seed S on (environment: TIDEMARK_SIM_FIRST_SEED, TIDEMARK_SIM_SEEDS), about K
// states of each (TIDEMARK_SIM_STATES). Exit status 1 when a seed failed.
#include <gflags/gflags.h>
#include <glog/logging.h>

#include "tests/simulation/log_property/crash_explorer.h"
#include "tests/simulation/log_property/seed_runner.h"

DEFINE_uint64(seed, tidemark::FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1), "first seed");
DEFINE_uint64(seeds, tidemark::FromEnvironmentOr("TIDEMARK_SIM_SEEDS", 10), "how many recorded histories");
DEFINE_uint64(states, tidemark::FromEnvironmentOr("TIDEMARK_SIM_STATES", 1000),
              "crash states of each, about");
DEFINE_bool(trace, false, "print what is done");

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = FLAGS_trace ? google::GLOG_INFO : google::GLOG_FATAL;
  if (FLAGS_trace) FLAGS_v = 1;
  google::InitGoogleLogging(argv[0]);
  tidemark::CrashCounts sum;
  const uint64_t failed = tidemark::RunSeeds<tidemark::CrashCounts>(
      FLAGS_seed, FLAGS_seeds, "simulation_crash_states --trace --states " + std::to_string(FLAGS_states),
      [](uint64_t seed) { return tidemark::CrashExplorer(seed).Run(FLAGS_states); }, &sum);
  std::printf("counts crash_states seeds=%llu first_seed=%llu failed=%llu %s\n",
              static_cast<unsigned long long>(FLAGS_seeds), static_cast<unsigned long long>(FLAGS_seed),
              static_cast<unsigned long long>(failed), ToString(sum).c_str());
  return failed == 0 ? 0 : 1;
}
