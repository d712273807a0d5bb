// GroupCommit: makes the logs of one (directory, shard) durable, one round at a time: every log that asked
// since the last round began is in the next. While a round is on the blocking pool new requests gather, so
// the busier the disk, the larger the groups. Loop-affine.
//
// A failed round is never retried: after a failed sync the kernel may have dropped the dirty pages and marked
// them clean, so a second sync would lie. The failure goes to every log of the directory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/log/segment.h"
#include "common/async/blocking_pool.h"
#include "common/async/scope.h"
#include "common/async/wait.h"
#include "common/io/file_system.h"

namespace tidemark {

class Log;

// From this many syncs on a round is one syncfs (or two) instead of a sync each: measured 0.14 ms per
// fdatasync and 12 ms per syncfs with 1,000 dirty files, so they cost the same near 85; below that syncfs
// would also write out the pages of files nobody waits for.
inline constexpr size_t kSyncFileSystemThreshold = 64;

// What one log needs for its flush; complete in itself, so that the pool thread touches nothing of the log.
struct FlushWork {
  std::vector<std::shared_ptr<File>> files;  // log files with bytes that are not known to be on disk
  std::vector<IndexWrite> indexes;           // index entries not yet in their files
  std::string epoch_table_path;
  std::string epoch_table;  // written before the files count as flushed; empty when unchanged
  std::string directory;    // synced when not empty: a file in it is new
  // What the log's state becomes when the work has succeeded. Touched on the loop only.
  std::vector<std::shared_ptr<Segment>> segments;
  Offset end = 0;
  uint64_t generation = 0;
  std::optional<Offset> table_begin;  // of epoch_table
};

// Does the work of one round (pool thread).
Result<> RunFlushRound(FileSystem& files, const std::string& log_directory, std::vector<FlushWork>& round);

class GroupCommit {
 public:
  // `scope` runs the rounds and is closed before the logs end.
  GroupCommit(FileSystem& files, BlockingPool& pool, Scope& scope, std::string log_directory);

  // Idempotent until the log's round begins.
  void Enqueue(Log& log);
  // The log is about to end; it has no round under way.
  void Forget(Log& log);

  // Returns when no round is under way or asked for.
  Task<void> Idle();

  // Since when the round under way has been on the disk; empty while none is. For the watchdog.
  std::optional<MonoTime> round_since() const { return round_since_; }
  // Rounds done.
  uint64_t rounds() const { return rounds_; }

 private:
  Task<void> Run();

  FileSystem& files_;
  BlockingPool& pool_;
  Scope& scope_;
  std::string log_directory_;
  std::vector<Log*> waiting_;
  bool running_ = false;
  std::optional<MonoTime> round_since_;
  uint64_t rounds_ = 0;
  Notifier idle_;
};

}  // namespace tidemark
