// CrashExplorer: the states that a crash may leave, tried one by one. A history is recorded with a copy of
// the disk before every change of it; from each copy states are made (as a killed process leaves it; every
// choice of what survives a loss of power where those are few, random ones where they are many), and each is
// opened, compared with what was promised at that moment, opened again, crashed while it is opened, and
// worked on. The offline verification looks at a part of them before they are opened and after.
//
// What must hold is what broker/log/recovery.h says: everything flushed is there byte for byte, nothing torn
// is served, a mere crash is never called damage (neither by the recovery nor offline), recovery twice is the
// same as once. A violation is a fatal CHECK.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "tests/simulation/env/sim_disk_tree.h"
#include "tests/simulation/log_property/offline_verdict.h"
#include "tests/simulation/log_property/partition_run.h"

namespace tidemark {

struct CrashCounts {
  uint64_t states = 0;      // tried, all different
  uint64_t boundaries = 0;  // changes of the disk before which the crash came
  uint64_t exhausted = 0;   // boundaries of which every state was tried
  uint64_t recovery_crashes = 0;
  uint64_t verified = 0;  // states that `dump-log --verify` was run on
  void Add(const CrashCounts& other);
};
std::string ToString(const CrashCounts& counts);

class CrashExplorer {
 public:
  explicit CrashExplorer(uint64_t seed);
  // Tries about so many states.
  CrashCounts Run(uint64_t states);

 private:
  struct Moment {
    std::string what;  // the change that did not happen any more
    std::shared_ptr<SimTree> tree;
    std::vector<LogModel> models;  // by partition
  };

  void Record();
  Task<void> RecordedWork();
  void Explore(const Moment& moment, uint64_t states);
  // Opens a copy of the state; compares; again; and goes on from there.
  void Try(const Moment& moment, const std::shared_ptr<SimTree>& state, AfterCrash crash);
  // `dump-log --verify` finds nothing that the crash does not explain. While nothing is open.
  void VerifyOffline(LogMachine& machine, const Moment& moment, AfterCrash crash);
  // Opens every log once; false when killed on the way.
  bool OpenAndCompare(LogMachine& machine, std::vector<std::unique_ptr<PartitionRun>>& runs);
  std::vector<std::unique_ptr<PartitionRun>> MakeRuns(LogMachine& machine);

  const uint64_t seed_;
  SimRandom random_;
  LogConfig config_;
  size_t partitions_;
  LogCounts log_counts_;
  CrashCounts counts_;
  std::vector<Moment> moments_;
  std::unordered_set<uint64_t> seen_;
  // Of the recording.
  LogMachine* machine_ = nullptr;
  std::vector<std::unique_ptr<PartitionRun>> runs_;
};

}  // namespace tidemark
