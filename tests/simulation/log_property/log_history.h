// LogHistory: the life of a log directory or two, from a seed: processes that open the logs, work on them and
// end: cleanly, killed at any change of the disk, with the power, or with a disk that fails, is full or
// hangs. Between lives bits flip. What must hold is in PartitionRun and LogModel; a violation is a fatal
// CHECK.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/log_property/log_machine.h"
#include "tests/simulation/log_property/partition_run.h"

namespace tidemark {

class LogHistory {
 public:
  explicit LogHistory(uint64_t seed);
  // Lives until at least so many operations were done.
  LogCounts Run(uint64_t operations);

 private:
  // One process, from its start to its end.
  void Live();
  Task<void> OpenAndWork();
  Task<void> Work(PartitionRun* run, size_t operations, std::shared_ptr<size_t> working);
  void PlanKill();
  void PlanDiskFaults();
  void PlanHang();
  void EndLife(bool finished);
  void SetSick(bool sick);
  void FlipSomeBit();
  Rot RotFor(const PartitionRun& run) const;

  SimRandom random_;
  LogMachine machine_;
  LogCounts counts_;
  std::vector<std::unique_ptr<PartitionRun>> runs_;
  bool power_loss_ = false;  // what a kill in this life takes along
  bool sick_ = false;
  // The bit that was flipped before this life, and whether the directories were refused because of it.
  std::optional<std::pair<std::string, uint64_t>> rot_;
  bool refused_ = false;
};

}  // namespace tidemark
