// LogDirs: the broker's log directories (`log.dirs`): their locks, identities, checkpoints and what
// partitions they hold. One per broker. Opened and closed on its home loop (any one loop of the broker);
// shards reach the directories through their ShardLogs. It outlives every ShardLogs.
//
// A log directory holds
//   .lock                               held while the broker lives; its pid
//   meta.properties                     version=tidemark-1, broker.id, cluster.id, directory.id, and every
//                                       log directory of the broker; checksum
//   clean-shutdown                      there only between a clean stop and the next start
//   meta.properties.copy                the same again, for the time when that one is damaged
//   reserve                             space kept for the time when there is none (disk_space.h)
//   new-directory                       there until no log can have been lost with the directory it replaced
//   recovery-point-offset-checkpoint    per partition: everything below is on disk (may lag behind the truth)
//   replication-offset-checkpoint       per partition: high watermark
//   log-start-offset-checkpoint         per partition: log start, where above the first segment's
//   cleaner-offset-checkpoint           per partition: compacted below
//   dropped-tombstones-offset-checkpoint  per partition: every tombstone that compaction dropped was below
//   <topic>-<partition>/                a partition (log.h)
//   *-future, *-moved                   a replica on its way between directories (move_folders.h)
//   *-delete, *-stray, *-damaged.N      folders put out of service (deletes are finished at the next start)
//
// Invariants: nothing is written before the lock is held; a directory that is not ours (Kafka's, another
// broker's, another cluster's) is not changed; after a failed write or sync a directory is `failed` for the
// life of the process, and so is one that cannot be opened at the start while another one can: what that one
// holds is not known. Before a log is made in a directory, those that are well name it in their identity; it
// is named until no log can have been lost with it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/log/checkpoints.h"
#include "broker/log/copy_pace.h"
#include "broker/log/disk_space.h"
#include "broker/log/recovery_queue.h"
#include "common/async/task.h"
#include "common/env/environment.h"
#include "common/result.h"
#include "common/types.h"

namespace tidemark {

struct DirectoryIdentity;
struct FoundFolder;
struct MoveFolder;
struct OpenedDirectory;

// One log directory. Constant but for the atomics and the checkpoints (home loop).
struct LogDirectory {
  size_t index = 0;
  std::string path;
  // Random, given when the directory was first used; base64 as a topic id.
  std::string id;
  bool was_clean = false;
  // The mark of a clean stop is there, until Bind.
  bool has_clean_mark = false;
  // Failed when it was to be opened, so that nothing is known of its contents.
  bool unread = false;
  // Used for the first time by this process.
  bool fresh = false;
  bool identity_stale = false;  // OpenedDirectory
  // Set once, by whoever sees a write or sync fail; read by any shard.
  std::atomic<bool> failed = false;
  // Free space and the size of the reserve file, as the SpaceWatch last saw them.
  std::atomic<uint64_t> free_bytes = ~0ull;
  std::atomic<uint64_t> held_bytes = 0;
  // What was promised of the free space and not written yet: to replicas that are young or on their way here.
  std::atomic<int64_t> promised_bytes = 0;
  // Partitions that live here; the tie-break of placement.
  std::atomic<size_t> partitions = 0;
  // Home loop only.
  std::string why_failed;
  // Names of partitions' folders that are here or may be.
  std::unordered_set<std::string> folders;
  // The directories that its identity names, as it is on disk.
  std::map<std::string, std::string> named;
  std::unique_ptr<Checkpoints> checkpoints;
  // As read at the start; constant afterwards, read by any shard.
  CheckpointTables at_start;
};

// A partition's folder found at the start.
struct FoundPartition {
  size_t directory = 0;  // index in LogDirs::directories()
  std::string path;
  std::string topic;
  PartitionIndex partition = 0;
  // Empty when partition.metadata is missing or unreadable.
  std::optional<TopicId> topic_id;
  bool checkpointed = false;  // FoundFolder
};

// A move between directories that the process before has not ended, found at the start (move_folders.h).
struct FoundMove {
  size_t target = 0;  // index in LogDirs::directories()
  std::string path;   // of the copy
  std::string id;
};

class LogDirs {
 public:
  // Creates missing directories, locks and reads them on `loop`, the home loop. Errors: POLICY_VIOLATION (the
  // configuration is wrong: one named twice, not ours, they disagree), KAFKA_STORAGE_ERROR (another process,
  // pid N, has locked one), IO_ERROR and CORRUPT_MESSAGE name the path.
  static Task<Result<std::unique_ptr<LogDirs>>> Open(Environment& env, EventLoop& loop,
                                                     std::vector<std::string> paths);
  ~LogDirs();

  // What the directories say of themselves; empty when all are new.
  const std::optional<BrokerId>& stored_broker_id() const { return stored_broker_id_; }
  const std::optional<std::string>& stored_cluster_id() const { return stored_cluster_id_; }

  // Fixes the directories' broker and cluster: writes meta.properties where missing; POLICY_VIOLATION (broker
  // id) or INCONSISTENT_CLUSTER_ID when they belong to another. Before the first ShardLogs is used.
  Task<Result<>> Bind(BrokerId broker, std::string cluster_id);

  // True when every directory with partitions in it was closed cleanly by the process before.
  bool last_stop_was_clean() const { return last_stop_was_clean_; }
  // Id of the first directory that could be opened; names this broker's disk in its registration.
  const std::string& directory_id() const;
  // A directory that could not be opened may hold any log.
  bool any_unread() const;
  // A log that is missing may have been lost with a directory that was replaced or is not in log.dirs any
  // more. Any thread.
  bool may_have_lost_logs() const { return may_have_lost_logs_; }
  // Every replica that this broker is to have is there or begins anew: nothing counts as lost any more. Home
  // loop.
  Task<Result<>> SettleLostLogs();

  const std::vector<std::unique_ptr<LogDirectory>>& directories() const { return directories_; }
  // Constant after Open.
  const std::vector<FoundPartition>& found() const { return found_; }
  const std::map<PartitionKey, FoundMove>& found_moves() const { return found_moves_; }

  // The topic id of a folder found at the start is missing or unreadable. Nobody may ever ask for it, so no
  // stop waits for its recovery, and its log never counts as one that was closed cleanly. Any thread.
  bool WithoutTopicId(const std::string& path) const { return nameless_.contains(path); }

  // The folder found at the start is a log that was recovered, or is no log any more. Any thread. Until every
  // one of an unclean directory is, its next start must not pass for one after a clean stop.
  void SettleFound(const std::string& path);

  // A folder of that name is about to be made in the directory, or is gone from it durably. Any loop.
  void NoteFolder(size_t directory, std::string name);
  void ForgetFolder(size_t directory, std::string name);
  // KAFKA_STORAGE_ERROR: a directory that has failed holds a folder of that name, or may. A second one made
  // elsewhere would keep the next start from telling which is the log. Any loop.
  Task<Result<>> RefuseOffline(EventLoop& caller, std::string name);

  // Of all shards.
  RecoveryProgress& recovery_progress() { return recovery_progress_; }

  // Small text files of the server's own (ZooKeeper session; a final newline is added) in the first
  // directory that is well: written durably, mode 0600, with a checksum. Reading a missing one is NOT_FOUND,
  // a damaged one CORRUPT_MESSAGE. Home loop.
  Task<Result<std::string>> ReadSmall(std::string name);
  Task<Result<>> WriteSmall(std::string name, std::string content);
  Task<Result<>> RemoveSmall(std::string name);

  // Changes the directory's checkpoint files; returns when they are durable. Any loop; changes that arrive
  // while a write is under way share the next one.
  Task<Result<>> UpdateCheckpoints(EventLoop& caller, LogDirectory& directory,
                                   std::vector<CheckpointChange> changes);

  // How a failure in one shard reaches the others. `told` runs on `loop` (of a ShardLogs) until the returned
  // token dies, which it does on that loop. Any loop.
  std::shared_ptr<void> ListenForFailures(EventLoop& loop,
                                          std::function<void(size_t directory, const Error&)> told);
  // Marks the directory failed and tells all listeners. Any loop.
  void ReportFailure(size_t directory, const Error& error);

  // After every ShardLogs was closed cleanly: leaves the clean-shutdown mark in each directory that has not
  // failed and has no log that is still to be recovered, and gives up the locks. BROKER_NOT_READY: there are
  // such. Home loop. Without it the next start is an unclean one.
  Task<Result<>> CloseCleanly();
  // Ends the writers without the mark (the locks go with the object). Home loop; implied by CloseCleanly.
  Task<void> Close();

  // First before the SpaceWatch begins and the first ShardLogs is used. Any thread reads.
  void SetSpaceLimits(const SpaceLimits& limits) {
    min_free_ = limits.min_free;
    reserve_ = limits.reserve;
  }
  SpaceLimits space_limits() const { return {.min_free = min_free_, .reserve = reserve_}; }
  // DISK_FULL says how much is free and how much there should be. Any thread.
  Result<> RoomFor(size_t directory, SpaceUse use) const;
  Result<> RoomToRewrite(size_t directory, uint64_t bytes) const;

  CopyPace& copy_pace() { return copy_pace_; }

  Environment& env() { return env_; }
  EventLoop& loop() { return loop_; }

 private:
  struct Listener {
    EventLoop& loop;
    std::function<void(size_t, const Error&)> told;
  };

  LogDirs(Environment& env, EventLoop& loop);
  Result<> Take(LogDirectory& directory, OpenedDirectory opened);
  static void KeepUnknown(LogDirectory& directory, const OpenedDirectory& opened);
  Result<> TakeFound(LogDirectory& directory, FoundFolder folder);
  Task<Result<>> TakeMoves();
  void MissDirectories();
  DirectoryIdentity IdentityOf(const LogDirectory& directory) const;
  Result<> BindOne(const LogDirectory& directory, const DirectoryIdentity& identity);
  Result<LogDirectory*> FirstHealthy();
  Task<Result<>> RefuseOfflineHere(std::string name);
  size_t Unsettled(const LogDirectory& directory) const;

  Environment& env_;
  EventLoop& loop_;
  std::vector<std::unique_ptr<FileLock>> locks_;
  std::vector<std::unique_ptr<LogDirectory>> directories_;
  std::vector<FoundPartition> found_;
  std::map<PartitionKey, FoundMove> found_moves_;
  std::unordered_set<std::string> nameless_;  // paths; constant after Open
  // By path, of unclean directories; made by Open, the values are set by any thread.
  std::unordered_map<std::string, std::atomic<bool>> settled_;
  std::optional<BrokerId> stored_broker_id_;
  std::optional<std::string> stored_cluster_id_;
  // Directories that are not there and must not be forgotten yet; id to path.
  std::map<std::string, std::string> missed_;
  bool last_stop_was_clean_ = true;
  RecoveryProgress recovery_progress_;
  std::atomic<uint64_t> min_free_ = 0;
  std::atomic<uint64_t> reserve_ = 0;
  CopyPace copy_pace_;
  std::atomic<bool> may_have_lost_logs_ = false;
  std::vector<std::pair<size_t, std::vector<MoveFolder>>> moves_;       // by directory, while opening
  std::map<std::pair<std::string, PartitionIndex>, std::string> seen_;  // folders by partition, while opening
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);          // home loop: for posts to come
  std::vector<std::weak_ptr<Listener>> listeners_;                      // home loop
  std::unique_ptr<Scope> scope_;
};

}  // namespace tidemark
