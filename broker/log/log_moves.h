// ShardLogs::Moves: moves of one shard's logs between log directories, one at a time, while they serve. Owned
// by ShardLogs; loop-affine. How the folders are named and what a crash leaves: move_folders.h.
//
// A move opens a second log in the target directory, appends to it what the source serves (whole batches,
// checked as a follower's), and when it has caught up takes the partition's slot, keeps everybody out
// (SwitchObserver), copies the rest, makes it durable, renames, and opens the log at its new place.
//
// Invariants: until the rename of step 1 the source is untouched, so that giving up costs nothing but the
// copy; the copy is complete and durable before that rename; the source takes no append after the observer
// was told. A source that was truncated meanwhile is copied anew. A disk that fails under the renames fails
// the replica, as any failed directory does.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "broker/log/shard_logs.h"
#include "common/async/wait.h"

namespace tidemark {

class ShardLogs::Moves {
 public:
  explicit Moves(ShardLogs& logs) : logs_(logs), turn_(logs.loop_) {}
  ~Moves();  // CHECKs that none is left

  // See ShardLogs::MoveTo.
  Result<> Begin(const PartitionKey& key, size_t target);
  // Asks a move to give up; it does unless its renames have begun.
  void Cancel(const PartitionKey& key, const std::string& why);
  void CancelAll(const std::string& why);
  std::optional<MoveProgress> Progress(const PartitionKey& key) const;
  const MoveCounters& counters() const { return counters_; }
  // The directory failed: copies in it and copies of logs in it are given up.
  void Poison(size_t directory, const Error& error);

 private:
  struct Move;

  Task<void> Run(std::shared_ptr<Move> move);
  // Ends when the log is in its new place.
  Task<Result<>> Work(Move& move);
  Task<Result<>> OpenCopy(Move& move);
  Task<Result<>> CatchUp(Move& move);
  Task<Result<>> CopyOnce(Move& move);
  Task<Result<>> StartCopyAnew(Move& move, Offset start);
  Task<Result<>> FlushCopy(Move& move, bool whole);
  // False: the disk is full, go on copying when it is not.
  Task<Result<bool>> Switch(Move& move);
  Task<Result<>> Complete(Move& move, Log& source);
  Task<Result<std::unique_ptr<Log>>> Rename(Move& move, std::string source_folder, size_t source_directory);
  Task<void> Discard(Move& move);
  Task<void> RemoveFormer(PartitionKey key, std::string topic, size_t directory, std::string moved);
  // The log as it is now; an error when the move must be given up.
  Result<Log*> Source(Move& move);
  Task<void> Throttle(Move& move, size_t bytes);

  ShardLogs& logs_;
  std::map<PartitionKey, std::shared_ptr<Move>> moves_;
  bool working_ = false;
  Notifier turn_;
  MoveCounters counters_;
};

}  // namespace tidemark
