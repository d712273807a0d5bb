// ShardLogs: the logs of one shard. Owns their Log objects, their group commits (one per directory) and
// contributes to the directories' checkpoints. Loop-affine: one shard's loop.
//
// A Log* stays valid until Delete, SetAside or CloseCleanly is called for it; those wait for the log's own
// operations under way (reads, flushes), which the caller must not start any more.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/log/disk_waits.h"
#include "broker/log/file_handles.h"
#include "broker/log/group_commit.h"
#include "broker/log/log.h"
#include "broker/log/log_dirs.h"
#include "broker/log/recovery_queue.h"
#include "broker/log/scrubber.h"
#include "common/async/scope.h"
#include "common/env/environment.h"

namespace tidemark {

// What is known of a log that is opened, for the case that its folder is not there.
enum class LogExpected {
  kNew,      // never was: create it
  kPerhaps,  // may be in a directory that could not be opened (KAFKA_STORAGE_ERROR then), else create it
  kHeld,  // this replica is in sync. As kPerhaps, and REPLICA_NOT_AVAILABLE when it may have been lost with
          // a directory that was replaced: an empty log must not pass for it
};

struct ShardLogsOptions {
  // Between checkpoint rounds (recovery points, high watermarks, log starts of what changed).
  Duration checkpoint_interval = 5s;
  // Logs that do not flush on append (ack.durability=replicated) are flushed this often in the background.
  Duration background_flush_interval = 60s;
  // Segment files that stay open (FileHandles).
  size_t open_files = 1000;
  // Logs recovered at once.
  size_t recovery_threads = 1;
  ScrubOptions scrub;
};

class ShardLogs final : private LogHost {
 public:
  ShardLogs(LogDirs& dirs, EventLoop& loop, ShardLogsOptions options = {});
  ~ShardLogs() override;

  // Called on this shard's loop once per directory whose write or sync failed (also when another shard saw
  // it). Every log of that directory is poisoned by then.
  void SetDirectoryFailureListener(std::function<void(const LogDirectory&, const Error&)> listener);

  // Starts the checkpoint rounds.
  void Start();

  // The partition's log: the one already open; else the folder found at the start, recovered on the blocking
  // pool; else a new one in the healthy directory with most free bytes. A folder of another incarnation of
  // the topic is renamed to `-stray` and reported. Calls for different partitions run in parallel; for one,
  // one after the other. A log with damage() is returned too: the caller decides (SetAside).
  // KAFKA_STORAGE_ERROR: its directory failed.
  Task<Result<Log*>> OpenOrCreate(PartitionKey key, std::string topic, LogConfig config,
                                  LogExpected expected = LogExpected::kNew);
  // Null when not open.
  Log* Find(const PartitionKey& key);
  std::vector<Log*> All();
  // Segment files that are open.
  size_t open_files() const { return handles_.size(); }
  const ScrubCounters& scrubbed() const { return scrubber_.counters(); }
  void SetOpenFiles(size_t most) { handles_.SetCapacity(most); }

  // Takes the partition out of service and removes its data: renamed to `-delete` durably when this returns,
  // removed in the background. Also for a partition that is not open but was found. NOT_FOUND when there is
  // none.
  Task<Result<>> Delete(PartitionKey key, std::string topic);
  // Renames a damaged log's folder to `-damaged.N`, durably; OpenOrCreate then makes an empty one. Of those
  // set aside before the first is kept (set_aside.h).
  Task<Result<>> SetAside(PartitionKey key, std::string reason);
  // Folders set aside that were removed because there were too many.
  uint64_t aside_removed() const { return aside_removed_; }

  EventLoop& loop() { return loop_; }

  // --- moves between directories (log_moves.h)
  // Copies the log into another directory while it serves, and then serves it from there. Returns when the
  // move has begun. Naming the directory it is in cancels a move under way. UNKNOWN_TOPIC_OR_PARTITION: no
  // such log is open; DISK_FULL: it would not fit; KAFKA_STORAGE_ERROR: one of the two directories failed;
  // BROKER_NOT_READY: a move under way is ending.
  Result<> MoveTo(const PartitionKey& key, size_t directory);
  struct MoveProgress {
    size_t directory = 0;
    Offset end = 0;  // of what was copied
    uint64_t size_bytes = 0;
  };
  std::optional<MoveProgress> MoveOf(const PartitionKey& key) const;
  struct MoveCounters {
    uint64_t begun = 0;
    uint64_t finished = 0;
    uint64_t given_up = 0;
    uint64_t copied_bytes = 0;
    uint64_t under_way() const { return begun - finished - given_up; }
    MoveCounters& operator+=(const MoveCounters& other);
  };
  MoveCounters move_counters() const;
  // Whoever holds Log* is told before a log is switched to another directory (no call may reach the log from
  // then on) and after (call this one now; the same one, failed, when it went wrong). One observer.
  struct SwitchObserver {
    std::function<void(const PartitionKey&)> before;
    std::function<void(const PartitionKey&, Log&)> after;
  };
  void SetSwitchObserver(SwitchObserver observer) { switch_observer_ = std::move(observer); }

  // Since when the oldest flush round or other wait (DiskWaits) has been on its disk, and which directory's
  // it is; empty when none is. For the watchdog.
  struct DiskWait {
    MonoTime since;
    std::string directory;
  };
  std::optional<DiskWait> OldestDiskWait() const;
  // Timers of flush.ms that run: at most one of each log while its config stays as it is.
  size_t timed_flushes() const { return flushes_due_.size(); }

  // Whether more may be written to the log's directory; DISK_FULL says what there is.
  Result<> RoomFor(const Log& log, SpaceUse use) const { return dirs_.RoomFor(log.directory_index(), use); }

  // No log is opened any more, recoveries that wait or run end with KAFKA_STORAGE_ERROR, moves end. Before
  // whoever opens logs is waited for.
  void BeginClose();
  // Writes the checkpoints of everything that changed since the last round, now.
  Task<Result<>> Checkpoint();
  // Flushes all logs, writes indexes and checkpoints, and closes everything. Returns false when something
  // could not be made durable (a failed directory): no clean mark then. No other call after it.
  Task<bool> CloseCleanly();
  // Closes without flushing, as a crash would leave it; waits for what is under way.
  Task<void> Close();

 private:
  struct Slot;
  class SlotLock;
  class Moves;
  struct YoungPromise {
    size_t directory = 0;
    int64_t bytes = 0;
  };
  // LogHost.
  void EnqueueFlush(Log& log) override;
  void FlushAt(Log& log, MonoTime due) override;
  void NoteChanged(Log& log) override;
  FileHandles& handles() override { return handles_; }
  const DiskWaits& disk_waits() const override { return disk_waits_; }
  Result<> RoomToRewrite(size_t directory, uint64_t bytes) const override {
    return dirs_.RoomToRewrite(directory, bytes);
  }
  Task<Result<>> WriteCheckpoints(size_t directory, std::vector<CheckpointChange> changes) override;
  void OnDirectoryFailure(size_t directory, const Error& error) override;
  CopyPace& copy_pace() override { return dirs_.copy_pace(); }
  RepairTurn& repair_turn() override { return repair_turn_; }

  Task<Result<Log*>> OpenInTurn(Slot& slot, std::string topic, LogConfig config, LogExpected expected,
                                bool recovers);
  Task<Result<Log*>> OpenSlot(Slot& slot, std::string topic, LogConfig config, LogExpected expected);
  Result<> MayCreate(const PartitionKey& key, const std::string& topic, LogExpected expected) const;
  // Waits until nobody else opens or takes out the partition; a SlotLock ends it.
  Task<Slot*> LockSlot(PartitionKey key);
  // The directory that holds the partition's folder; folders of other incarnations are set aside on the way.
  // The directory that has the folder. Another topic's of that name, which may be open, is set aside where
  // `makes_room`: only by who opens the one that counts now.
  Task<Result<std::optional<size_t>>> FindFolder(PartitionKey key, std::string topic, bool makes_room);
  Task<Result<size_t>> CreateFolder(PartitionKey key, std::string topic);
  Task<Result<>> TakeOut(PartitionKey key, std::string topic, bool remove);
  Task<Result<size_t>> ChooseDirectory();
  Task<void> CheckpointLoop();
  Task<void> SurveyLoop();
  Task<void> TimedFlushes();
  void EndRecovery();
  // The logs that noted a change and are not settled yet.
  std::vector<Log*> Changed();
  Task<void> RemoveFolder(std::string path);
  void Promise(const PartitionKey& key, uint64_t size);
  void KeepPromises();
  void PoisonDirectory(size_t directory, const Error& error);

  LogDirs& dirs_;
  Environment& env_;
  EventLoop& loop_;
  ShardLogsOptions options_;
  std::function<void(const LogDirectory&, const Error&)> failure_listener_;
  RepairTurn repair_turn_{loop_};
  std::unordered_map<PartitionKey, std::unique_ptr<Slot>> slots_;
  // Taken out in this process: what the checkpoints said of them at the start is void.
  std::unordered_set<PartitionKey> recreated_;
  uint64_t aside_removed_ = 0;
  DiskWaits disk_waits_;
  FileHandles handles_;
  RecoveryQueue recoveries_;
  RecoveryQueue creations_;
  Scrubber scrubber_;
  std::unordered_set<std::string> unopened_;           // names of folders found at the start
  uint64_t recovered_bytes_ = 0;                       // scanned, not yet told
  std::multimap<MonoTime, PartitionKey> flushes_due_;  // by flush.ms
  Notifier due_changed_;
  bool timing_flushes_ = false;
  MonoTime next_progress_line_;
  std::deque<PartitionKey> to_survey_;
  bool surveying_ = false;
  std::vector<PartitionKey> changed_;                  // logs for the next checkpoint round
  std::vector<std::unique_ptr<GroupCommit>> commits_;  // by directory
  std::vector<bool> failure_told_;                     // by directory
  std::vector<bool> checkpoint_owed_;                  // by directory: the last round may not be on disk
  std::shared_ptr<void> failure_token_;
  // Replicas made by this process that have not grown to what they were promised.
  std::unordered_map<PartitionKey, YoungPromise> young_;
  SwitchObserver switch_observer_;
  std::unique_ptr<Moves> moves_;
  Scope scope_;
  bool closing_ = false;
  std::stop_source stop_recovery_;
};

}  // namespace tidemark
