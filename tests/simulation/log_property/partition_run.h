// PartitionRun: one partition of a LogHistory: random operations on its Log, each checked against the
// LogModel. Lives on the loop of the machine's process and outlives processes.
//
// Every operation changes the model before what *may* be found after a crash and after what *must* be found:
// the process may be killed inside every call that touches the disk, and code still on its stack runs on.
//
// To add an operation: a method here and a line in kOperations (operations.cc).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/log/log.h"
#include "tests/simulation/log_property/log_machine.h"
#include "tests/simulation/log_property/log_model.h"

namespace tidemark {

// What a run has done; a run in which something never happened shows nothing about it.
struct LogCounts {
  uint64_t operations = 0;
  uint64_t appends = 0;
  uint64_t refused = 0;  // appends that were to be refused, and were
  uint64_t rolls = 0;
  uint64_t truncations = 0;
  uint64_t restarts = 0;
  uint64_t removals = 0;     // of segments below the start
  uint64_t compactions = 0;  // passes that dropped something
  uint64_t reads = 0;
  uint64_t lives = 0;
  uint64_t clean_closes = 0;
  uint64_t kills = 0;
  uint64_t power_losses = 0;
  uint64_t io_errors = 0;   // injected, that took a directory offline
  uint64_t unreadable = 0;  // logs of which a sector could not be read for a while
  uint64_t disk_full = 0;   // operations refused for want of space
  uint64_t hangs = 0;       // of the disk
  uint64_t flips = 0;       // of bits in files of any kind
  uint64_t flips_seen = 0;  // that something was said about
  void Add(const LogCounts& other);
};
std::string ToString(const LogCounts& counts);

// Where a bit was flipped before this life: nowhere, where the rest of this log's data stands, in its
// segments, in the recovery points of its directory.
enum class Rot { kNone, kElsewhere, kInLog, kInRecoveryPoint };

class PartitionRun {
 public:
  PartitionRun(LogMachine& machine, SimRandom& random, LogCounts& counts, PartitionKey key, std::string topic,
               LogConfig config);

  const PartitionKey& key() const { return key_; }
  const std::string& topic() const { return topic_; }
  LogModel& model() { return model_; }
  const Log* log() const { return log_; }
  // The log refuses everything: its directory failed in this life.
  bool failed() const { return failed_; }
  // The log directory's faults in force; what they explain is no finding.
  void set_disk_sick(bool sick) { disk_sick_ = sick; }
  // Some sectors cannot be read in this life: what is called damaged because of it is whole in the next.
  void set_reads_fail(bool fail) { reads_fail_ = fail; }

  // Opens the log and compares it with the model. After rot data above the recovery point may be cut off and
  // deleted records may come back, but nothing wrong is served, and what is lost below the recovery point is
  // told.
  Task<void> Open(Rot rot);
  void ForgetLog() { log_ = nullptr; }
  // All of it is on disk now, also what was begun and not awaited.
  void NoteCleanClose();

  // One of kOperations by weight.
  Task<void> RandomOperation();

  // The operations.
  Task<void> AppendAsLeader();
  Task<void> AppendAsFollower();
  Task<void> AppendDamagedAsFollower();
  Task<void> ReadSomewhere();
  Task<void> ReadAll();
  Task<void> FindTimestamp();
  Task<void> AwaitFlush();
  Task<void> RequestFlush();
  Task<void> BeginEpoch();
  Task<void> Truncate();
  Task<void> Restart();
  Task<void> AdvanceStart();
  Task<void> CheckpointStart();
  Task<void> Roll();
  Task<void> ApplyRetention();
  Task<void> Compact();
  Task<void> RemoveBelowStart();
  Task<void> Checkpoint();
  Task<void> ChangeConfig();
  Task<void> LetTimePass();

 private:
  struct ReadUnderWay;

  std::shared_ptr<const ModelBatch> MakeBatch(Offset base, LeaderEpoch epoch);
  // Whether the operation was let through; a refusal that no fault explains is fatal.
  bool Accept(const Result<>& result, const char* what);
  // A bit that was flipped below the log start was met by now, or a sector that cannot be read.
  bool DamageMet() const;
  // What a sector explains that could not be read when it was asked for, and perhaps can by now.
  bool IsOfUnreadable(const Error& error) const {
    return reads_fail_ && (error.code == v1::CORRUPT_MESSAGE || error.code == v1::IO_ERROR);
  }
  // A log knows of the tombstones that it lacks.
  void CheckTombstones() const;
  // Empty: none is known.
  static std::string DamageOf(const Log& log);
  // What holds after every operation.
  void CheckState();
  Task<void> ReadDuringChange(std::shared_ptr<ReadUnderWay> read);
  std::vector<std::shared_ptr<ReadUnderWay>> StartReads();
  Task<void> JoinReads(std::vector<std::shared_ptr<ReadUnderWay>> reads);
  Task<Result<std::string>> Everything();
  Task<void> SetAside(const std::string& reason);

  LogMachine& machine_;
  SimRandom& random_;
  LogCounts& counts_;
  const PartitionKey key_;
  const std::string topic_;
  LogConfig config_;
  LogModel model_;
  Log* log_ = nullptr;  // of the present process
  bool created_ = false;
  bool failed_ = false;
  bool disk_sick_ = false;
  bool reads_fail_ = false;
  // Rot that was met by nobody yet (below the log start), or that weakens what is known of this log.
  Rot hidden_rot_ = Rot::kNone;
  LeaderEpoch epoch_ = 0;
  WallMillis now_ = 1'000'000;
  // A lower bound of the recovery point in the checkpoint file.
  Offset recovery_point_ = 0;
  uint64_t words_ = 0;
};

}  // namespace tidemark
