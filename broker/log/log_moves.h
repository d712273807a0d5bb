// ShardLogs::Moves: moves of one shard's logs between log directories, one at a time, while they serve. Owned
// by ShardLogs; loop-affine. How the folders are named and what a crash leaves: move_folders.h.
//
// A move opens a second log in the target directory, appends to it what the source serves (whole batches,
// checked as a follower's), and when it has caught up takes the partition's slot, keeps everybody out
// (SwitchObserver), copies the rest, makes it durable, renames, and opens the log at its new place.
//
// Invariants: until the rename of step 1 the source is untouched, so that giving up costs nothing but the
// copy; the copy is complete and durable before that rename; the source takes no append after the observer
// was told. The source is not compacted meanwhile. A source that was truncated meanwhile is copied anew. A
// disk that fails under the renames fails the replica, as any failed directory does.
//
// After a restart a move goes on. Of the copy is kept what provably is the source's history: up to the first
// offset where the leader epochs differ or one of them ends (an epoch and an offset name one record), and
// nothing where compaction may have replaced records. Each other end of a move renames its copy first.
//
// Files: log_moves.cc what is asked for, copying; log_moves_end.cc the switch and what is left behind.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include <fmt/format.h>

#include "broker/log/log.h"
#include "broker/log/shard_logs.h"
#include "common/async/wait.h"

namespace tidemark {

class ShardLogs::Moves {
 public:
  explicit Moves(ShardLogs& logs) : logs_(logs), interrupted_(logs.dirs_.found_moves()), turn_(logs.loop_) {}
  ~Moves();  // CHECKs that none is left

  // See ShardLogs::MoveTo.
  Result<> Begin(const PartitionKey& key, size_t target);
  // The log was opened: a move of it that the process before has not ended goes on.
  void Resume(const PartitionKey& key);
  // Asks a move to give up; it does unless its renames have begun.
  void Cancel(const PartitionKey& key, const std::string& why);
  // The replica is taken out of service: as Cancel, and a move that has not gone on yet never will.
  void Forget(const PartitionKey& key);
  // The broker stops: the moves go on at its next start.
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
  void Start(std::shared_ptr<Move> move, uint64_t size);
  Task<Result<>> OpenCopy(Move& move);
  // What of the copy is the same as the source is kept.
  Task<Result<>> KeepCommonPart(Move& move);
  Task<Result<>> CatchUp(Move& move);
  Task<Result<>> CopyOnce(Move& move);
  Task<Result<>> StartCopyAnew(Move& move, Offset start);
  Task<Result<>> FlushCopy(Move& move, bool whole);
  // False: the disk is full, go on copying when it is not.
  Task<Result<bool>> Switch(Move& move);
  Task<Result<>> Complete(Move& move, Log& source);
  Task<Result<std::unique_ptr<Log>>> Rename(Move& move, std::string source_folder, size_t source_directory);
  Task<void> Discard(Move& move);
  Task<void> RemoveFormer(size_t directory, std::string moved);
  // False: the directory failed.
  Task<bool> DiscardDurably(size_t directory, std::string folder);
  // The log as it is now; an error when the move must be given up.
  Result<Log*> Source(Move& move);
  Task<void> Throttle(Move& move, size_t bytes);

  ShardLogs& logs_;
  std::map<PartitionKey, std::shared_ptr<Move>> moves_;
  std::map<PartitionKey, FoundMove> interrupted_;  // of all shards; each takes its own
  bool working_ = false;
  Notifier turn_;
  MoveCounters counters_;
};

struct ShardLogs::Moves::Move {
  Move(EventLoop& loop, PartitionKey k) : key(k), flushed(loop) {}
  const PartitionKey key;
  std::string topic;
  size_t target = 0;
  std::string id;
  std::string folder;         // of the copy
  std::unique_ptr<Log> copy;  // from OpenCopy until it is switched to, or discarded
  std::stop_source stop;
  std::string why_stopped;
  int64_t promised = 0;
  uint64_t generation = 0;  // of the source, as copied
  Offset begun_for = 0;     // log start of the source for which the copy began
  Offset cleaned_to = 0;    // of the copy, once it is complete
  uint64_t unflushed = 0;
  bool resumed = false;    // the copy was begun by the process before
  bool goes_on = false;    // ended by the broker's stop alone: the copy is kept
  bool exclusive = false;  // everybody is kept out of the source: no time to lose
  bool committed = false;  // the renames have begun: no way back
  Notifier flushed;

  std::string name() const { return fmt::format("{}-{}", topic, key.partition); }
};

}  // namespace tidemark
