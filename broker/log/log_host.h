// LogHost: what a log asks of the shard that owns it. Implemented by ShardLogs (and by tests). Same loop as
// the log.
#pragma once

#include <vector>

#include "broker/log/checkpoints.h"
#include "broker/log/copy_pace.h"
#include "common/async/task.h"
#include "common/async/wait.h"
#include "common/result.h"
#include "common/time.h"

namespace tidemark {

class DiskWaits;
class FileHandles;
class Log;

// One log of a shard after the other is repaired: a rotten disk that damages hundreds must not keep the pool
// from its flushes.
struct RepairTurn {
  explicit RepairTurn(EventLoop& loop) : freed(loop) {}
  bool taken = false;
  Notifier freed;
};

class LogHost {
 public:
  virtual ~LogHost() = default;
  // Puts the log into the next round of its directory's group commit.
  virtual void EnqueueFlush(Log& log) = 0;
  // Calls FlushIfDue of the log at `due` or soon after.
  virtual void FlushAt(Log& log, MonoTime due) = 0;
  // The log has something for the next checkpoint round, or is to be flushed by then.
  virtual void NoteChanged(Log& log) = 0;
  // Which files of the shard's logs are open.
  virtual FileHandles& handles() = 0;
  // What is waited for on a disk is marked there.
  virtual const DiskWaits& disk_waits() const = 0;
  // DISK_FULL: so many bytes are not to be written now beside what they are to take the place of (compaction,
  // repair).
  virtual Result<> RoomToRewrite(size_t directory, uint64_t bytes) const = 0;
  // Returns when the directory's checkpoint files hold the changes durably.
  virtual Task<Result<>> WriteCheckpoints(size_t directory, std::vector<CheckpointChange> changes) = 0;
  // A write or sync failed: poisons every log of the directory, this shard's before it returns.
  virtual void OnDirectoryFailure(size_t directory, const Error& error) = 0;
  // How fast whole segments are copied, by all shards together.
  virtual CopyPace& copy_pace() = 0;
  virtual RepairTurn& repair_turn() = 0;
};

}  // namespace tidemark
