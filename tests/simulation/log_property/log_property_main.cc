// simulation_log_property: random operations on logs over a simulated disk against a model, from seeds.
//
//   simulation_log_property [--seed S] [--seeds N] [--operations K] [--trace]
//
// N seeds from S on (environment: TIDEMARK_SIM_FIRST_SEED, TIDEMARK_SIM_SEEDS), K operations each
// (TIDEMARK_SIM_OPERATIONS). Exit status 1 when a seed failed.
#include <gflags/gflags.h>
#include <glog/logging.h>

#include "tests/simulation/log_property/log_history.h"
#include "tests/simulation/log_property/seed_runner.h"

DEFINE_uint64(seed, tidemark::FromEnvironmentOr("TIDEMARK_SIM_FIRST_SEED", 1), "first seed");
DEFINE_uint64(seeds, tidemark::FromEnvironmentOr("TIDEMARK_SIM_SEEDS", 100), "how many seeds");
DEFINE_uint64(operations, tidemark::FromEnvironmentOr("TIDEMARK_SIM_OPERATIONS", 3000),
              "operations per seed");
DEFINE_bool(trace, false, "print every operation");

int main(int argc, char** argv) {
  gflags::ParseCommandLineFlags(&argc, &argv, true);
  FLAGS_logtostderr = true;
  // What the logs say of their faults is expected by the thousand.
  FLAGS_minloglevel = FLAGS_trace ? google::GLOG_INFO : google::GLOG_FATAL;
  if (FLAGS_trace) FLAGS_v = 1;
  google::InitGoogleLogging(argv[0]);
  tidemark::LogCounts sum;
  const uint64_t failed = tidemark::RunSeeds<tidemark::LogCounts>(
      FLAGS_seed, FLAGS_seeds,
      "simulation_log_property --trace --operations " + std::to_string(FLAGS_operations),
      [](uint64_t seed) { return tidemark::LogHistory(seed).Run(FLAGS_operations); }, &sum);
  std::printf("counts log_property seeds=%llu first_seed=%llu failed=%llu %s\n",
              static_cast<unsigned long long>(FLAGS_seeds), static_cast<unsigned long long>(FLAGS_seed),
              static_cast<unsigned long long>(failed), ToString(sum).c_str());
  return failed == 0 ? 0 : 1;
}
