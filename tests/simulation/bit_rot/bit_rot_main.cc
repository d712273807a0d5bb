// simulation_bit_rot: files of log directories with bits flipped, ends cut off and files gone while no broker
// runs, each directory verified, opened, read and scrubbed (rot_explorer.h).
//
//   simulation_bit_rot [--seed S] [--seeds N] [--trials K] [--trace]
//
// N directories from seed S on (environment: TIDEMARK_SIM_FIRST_SEED, TIDEMARK_SIM_SEEDS), each damaged K
// times (TIDEMARK_SIM_ROT_TRIALS). Exit status 1 when a seed failed.
#include <gflags/gflags.h>
#include <glog/logging.h>

#include "tests/simulation/bit_rot/rot_explorer.h"
#include "tests/simulation/log_property/seed_runner.h"

DEFINE_uint64(seed, tidemark::FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1), "first seed");
DEFINE_uint64(seeds, tidemark::FromEnvironmentOr("TIDEMARK_SIM_SEEDS", 10), "how many directories");
DEFINE_uint64(trials, tidemark::FromEnvironmentOr("TIDEMARK_SIM_ROT_TRIALS", 200),
              "how often each is damaged");
DEFINE_bool(trace, false, "print what is done");

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  // Warnings reach the explorer, which counts them; only a fatal one, or all of a trace, is printed.
  FLAGS_logtostderr = FLAGS_trace;
  FLAGS_minloglevel = FLAGS_trace ? google::GLOG_INFO : google::GLOG_WARNING;
  FLAGS_stderrthreshold = google::GLOG_FATAL;
  if (FLAGS_trace) FLAGS_v = 1;
  google::InitGoogleLogging(argv[0]);
  for (const auto severity :
       {google::GLOG_INFO, google::GLOG_WARNING, google::GLOG_ERROR, google::GLOG_FATAL}) {
    google::SetLogDestination(severity, "");
  }
  tidemark::RotCounts sum;
  const uint64_t failed = tidemark::RunSeeds<tidemark::RotCounts>(
      FLAGS_seed, FLAGS_seeds, "simulation_bit_rot --trace --trials " + std::to_string(FLAGS_trials),
      [](uint64_t seed) { return tidemark::RotExplorer(seed).Run(FLAGS_trials); }, &sum);
  std::printf("counts bit_rot seeds=%llu first_seed=%llu failed=%llu %s\n",
              static_cast<unsigned long long>(FLAGS_seeds), static_cast<unsigned long long>(FLAGS_seed),
              static_cast<unsigned long long>(failed), ToString(sum).c_str());
  return failed == 0 ? 0 : 1;
}
