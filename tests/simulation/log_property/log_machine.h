// LogMachine: one host of a simulated world with a disk and at most one process on it that has the log
// directories open. Shared by the property test and the crash-state explorer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/log/log_dirs.h"
#include "broker/log/shard_logs.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

class LogMachine {
 public:
  LogMachine(uint64_t seed, std::vector<std::string> directories);
  ~LogMachine();

  SimWorld& world() { return world_; }
  SimDisk& disk() { return world_.disk(kHostName); }
  SimProcess& process() { return *process_; }
  LogDirs& dirs() { return *dirs_; }
  ShardLogs& logs() { return *logs_; }
  bool alive() const { return process_ != nullptr && process_->alive(); }

  // A new process, with nothing open.
  void Boot();
  // On its loop: opens the directories and makes the ShardLogs.
  Task<Result<>> Open();
  // Runs `body` on the loop until it has ended (true) or the process was killed on the way (false).
  bool Run(std::function<Task<void>()> body);

  void Kill(bool power_loss);
  // The orderly ends: with everything made durable (false: it could not be; empty: killed on the way), or as
  // a crash leaves it (false: killed on the way).
  std::optional<bool> CloseCleanly();
  bool Close();

 private:
  static constexpr const char* kHostName = "b1";

  SimWorld world_;
  std::vector<std::string> directories_;
  SimProcess* process_ = nullptr;
  std::shared_ptr<LogDirs> dirs_;
  std::shared_ptr<ShardLogs> logs_;
};

}  // namespace tidemark
