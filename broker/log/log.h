// Log: one partition's log on disk. Owned by its partition, loop-affine: every method is called on the
// partition's shard. Appends and cached reads run inline; what blocks goes to the blocking pool and is
// awaited.
//
// Invariants (CHECKed where they change):
// - start_offset <= flushed_end <= end_offset;
// - batches are contiguous in file order: each base offset is above the last offset of the batch before
//   (equal to it plus one where no cleaner was at work), leader epochs never fall;
// - a file's bytes below flushed_end never change but by truncation, which lowers and syncs the recovery
//   point first;
// - a flush completion carries the truncation generation it began with and is dropped when that has
//   changed.
// After a failed write or sync the log is poisoned: every further call returns the same KAFKA_STORAGE_ERROR.
// A full disk is no such failure: the append is refused with DISK_FULL, what was written of it is cut off,
// nothing is lost.
//
// Files: log.cc state, append, flush; log_read.cc reading; log_clean.cc compaction; log_change.cc epochs,
// truncation, restart, log_retention.cc the start, deletion below it; log_survey.cc what a clean start left
// out; log_scrub.cc, log_repair.cc damage; recovery.h how a log is opened.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/log/cleaner.h"
#include "broker/log/cleaner_decision.h"
#include "broker/log/damage_list.h"
#include "broker/log/epoch_table.h"
#include "broker/log/group_commit.h"
#include "broker/log/log_config.h"
#include "broker/log/log_host.h"
#include "broker/log/read_ahead.h"
#include "broker/log/retention.h"
#include "broker/log/segment.h"
#include "broker/log/segment_scrub.h"
#include "common/async/blocking_pool.h"
#include "common/async/task.h"
#include "common/async/wait.h"
#include "common/io/file_system.h"
#include "common/result.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// A validated batch body as a producer sent it.
struct UnstampedBatch {
  std::string_view body;
  uint32_t body_crc = 0;
  uint32_t last_offset_delta = 0;
  WallMillis max_timestamp = 0;
};

struct AppendResult {
  Offset base_offset = 0;  // of the first batch
  Offset end_offset = 0;   // one past the last record appended
  WallMillis append_time = 0;
  size_t bytes = 0;
};

struct LogRead {
  std::string bytes;       // whole batches, as in the file; empty when from == end
  Offset next_offset = 0;  // one past the last record in bytes; `from` when empty
};

struct TimestampLookup {
  Offset offset = 0;
  WallMillis timestamp = 0;
  LeaderEpoch leader_epoch = 0;
};

struct CleanTerms;
class SegmentRewriter;
class SegmentSplicer;
struct ScrubCursor;
struct ScrubProgress;

class Log {
 public:
  // Where a log lives; constant.
  struct Place {
    PartitionKey key;
    std::string topic;
    std::string path;      // of the partition's folder
    size_t directory = 0;  // LogDirectory::index
  };
  // What recovery found (recovery.h).
  struct State {
    std::vector<std::shared_ptr<Segment>> segments;  // at least one
    EpochTable epochs;
    Offset start = 0;
    Offset end = 0;
    Offset high_watermark = 0;
    // The values in the checkpoint files.
    Offset recovery_point = 0;
    Offset checkpointed_start = 0;
    Offset cleaned_to = 0;
    TombstoneDrops tombstone_drops;
    std::optional<Error> damage;
    // The epoch table on disk is older than `epochs`: there was no room for it.
    bool epochs_stale = false;
    // Files below the start that are still there: what tells of the start does not say yet that they go.
    std::vector<std::string> taken_away;
  };

  // All of the state is on disk: flushed_end() is its end.
  Log(FileSystem& files, BlockingPool& pool, EventLoop& loop, LogHost& host, Place place, LogConfig config,
      State state);
  // CHECKs that nothing is under way: Quiesce() first.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  const PartitionKey& key() const { return place_.key; }
  const std::string& topic() const { return place_.topic; }
  // Of the partition.
  const std::string& directory() const { return place_.path; }
  size_t directory_index() const { return place_.directory; }
  Offset start_offset() const { return start_; }
  Offset end_offset() const { return end_; }
  // First offset not known to be on disk.
  Offset flushed_end() const { return flushed_end_; }
  // High watermark as of the last checkpoint; where a replica starts from.
  Offset checkpointed_high_watermark() const { return checkpointed_high_watermark_; }
  // Without the segments that are not surveyed yet.
  uint64_t size_bytes() const;
  // Sizes and timestamps of all segments are known. What judges by them (retention, cleaning) waits for it.
  bool surveyed() const;
  // Makes them known; damage found is set.
  Task<Result<>> Survey();
  size_t segment_count() const { return segments_.size(); }
  const EpochTable& epochs() const { return epochs_; }
  const LogConfig& config() const { return config_; }
  // Raised by every truncation, restart and swap of compacted segments.
  uint64_t generation() const { return generation_; }
  // Set after a failed write or sync.
  const std::optional<Error>& failure() const { return failure_; }
  // Damage found below the recovery point while opening, or in what the log consists of: it must be set aside
  // and copied anew. Appends are refused.
  const std::optional<Error>& damage() const { return damage_; }
  // Ranges of stored batches that were found damaged: reads of them are answered CORRUPT_MESSAGE, all else
  // goes on.
  const DamageList& damaged() const { return damaged_; }
  // Since the log was opened; repaired ones count.
  uint64_t damaged_ranges_found() const { return damaged_ranges_found_; }

  // Stamps and appends batches that were validated. One write; all or (poisoned) nothing. `epoch` is not
  // below the latest of epochs().
  Result<AppendResult> AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                      WallMillis now);
  // Appends whole batches as fetched: verifies both checksums, place and epochs; CORRUPT_MESSAGE appends
  // nothing. Batches that end below end_offset are skipped. Followers roll by the batches' own append times.
  Result<AppendResult> AppendAsFollower(std::string_view batches);

  // Whole batches from the one that contains `from` up to those that end at or below `below`, at most
  // max_bytes but at least one batch. OFFSET_OUT_OF_RANGE outside [start_offset, end_offset], CORRUPT_MESSAGE
  // in a damaged range. Verifies headers always, bodies of what is sealed, of what comes from the disk and of
  // what was there before this process. Completes without suspending when the bytes are in the page cache.
  Task<Result<LogRead>> Read(Offset from, Offset below, size_t max_bytes);

  // The first record with timestamp >= `timestamp` below `below`; -3 asks for the greatest timestamp's.
  Task<Result<std::optional<TimestampLookup>>> FindTimestamp(WallMillis timestamp, Offset below);

  // Notes the epoch's start at end_offset in the table, which is on disk before the first append of the epoch
  // counts as flushed; without an append nothing is written. FENCED_LEADER_EPOCH when the table has a later
  // one.
  Task<Result<>> BeginEpoch(LeaderEpoch epoch);
  // Cuts everything at and above `offset` (no-op when offset >= end_offset); durable when it returns. A batch
  // that contains `offset` goes whole. Below start_offset: OFFSET_OUT_OF_RANGE (RestartAt is meant). While
  // it, RestartAt or BeginEpoch is under way appends are refused with BROKER_NOT_READY.
  Task<Result<>> TruncateTo(Offset offset);
  // Drops everything; the log is then empty at `offset`; durable when it returns.
  Task<Result<>> RestartAt(Offset offset);

  // --- The log start (log_retention.cc)

  // Moves the log start; segments wholly below it are deleted later. No-op when not above start_offset; at
  // most flushed_end, because what a checkpoint says of the start must be on disk.
  void AdvanceStartTo(Offset offset);
  // The log start that the checkpoint file is known to hold: after any crash the log starts there or above.
  Offset durable_start() const { return durable_start_; }
  // Returns when durable_start() has reached what start_offset() is now.
  Task<Result<>> CheckpointStart();
  // What retention decides on; CHECKs surveyed().
  std::vector<SegmentFacts> DescribeSegments() const;
  // Reads when the last batch of a surveyed segment was appended, which DescribeSegments tells from then on.
  Task<Result<>> LearnAppendTime(Offset base_offset);
  // Seals the active segment and begins a new one; no-op when it is empty.
  Result<> RollActive();

  // Reads about max_bytes again from the cursor on and checks them (log_scrub.cc); damaged() tells what is
  // damaged. Index files that do not match their segment are rebuilt.
  Task<Result<ScrubProgress>> Scrub(std::shared_ptr<ScrubCursor> cursor, size_t max_bytes);

  // --- Repair (log_repair.cc)

  // Whole batches of another replica from the one that holds `from` on.
  using FetchRange = std::function<Task<Result<std::string>>(Offset from)>;
  // Damaged ranges may be filled with what another replica has: no compaction has been at work, so replicas
  // agree batch by batch.
  bool spliceable() const;
  // Repairs the segment of the damaged range that holds `offset`, whose other ranges are filled as well as
  // far as `fetch` gives them: CORRUPT_MESSAGE and OFFSET_NOT_AVAILABLE of it mean that one only.
  // INVALID_RECORD: that is not what this log held. BROKER_NOT_READY, CANCELLED, DISK_FULL, CORRUPT_MESSAGE
  // (more damage was met and noted) and the errors of `fetch`: nothing has changed, try again.
  // What is written goes by the host's copy pace; no compaction runs beside it.
  Task<Result<>> Repair(Offset offset, FetchRange fetch, std::stop_token stop = {});
  // While held no repair begins, and one under way ends with CANCELLED when it has its next answer.
  void HoldRepairs(bool held) { repairs_held_ = held; }
  // Returns when none is under way.
  Task<void> RepairsEnded();

  // Asks the directory's group commit to make everything appended so far durable; the flush listener is told.
  // Called by every append itself when the config says so (ack.durability=synced); idempotent while one is
  // asked for.
  void RequestFlush();
  // Called on the loop whenever flushed_end has moved, or the log has failed, or damage was found (damage()
  // or damaged()). One listener.
  void SetFlushListener(std::function<void()> listener) { flush_listener_ = std::move(listener); }
  // What the next checkpoint round writes.
  void SetHighWatermark(Offset offset) {
    if (high_watermark_ == offset) return;
    high_watermark_ = offset;
    NoteChange();
  }
  void SetConfig(const LogConfig& config) {
    config_ = config;
    if (flush_begun_ < end_) FlushByConfig();
  }

  // --- Compaction (log_clean.cc)

  // What the next pass would do; not due where it must not be compacted.
  CleanDecision DecideCleaning(WallMillis now) const;
  // One pass. CANCELLED: it was stopped, or the log changed under it; nothing is lost. DISK_FULL: there is no
  // room to write beside what is there (RoomToRewrite); another time. INVALID_RECORD: the
  // log is left alone from now on (uncleanable()). Damage and failures of the disk are the log's as
  // everywhere else.
  Task<Result<CleanReport>> Clean(CleanTools tools);
  const std::optional<Error>& uncleanable() const { return cleaning_.uncleanable; }
  // The log is not being compacted, whatever is due: it is uncleanable, or what is damaged waits for repair.
  bool compaction_blocked() const {
    return cleaning_.uncleanable || cleaning_.unreadable || damaged_.FirstFrom(start_) != nullptr;
  }
  const TombstoneDrops& tombstone_drops() const { return cleaning_.drops; }
  // What is copied from a leader lacks the tombstones that it has dropped: durable when it returns, to be
  // waited for before the copy is appended.
  Task<Result<>> AdoptDroppedTombstones(Offset below);
  // While held no pass begins, and one under way ends with CANCELLED.
  void HoldCleaning(bool held) { cleaning_.held = held; }
  Offset cleaned_to() const { return cleaning_.cleaned_to; }
  // Compaction may have replaced records.
  bool may_be_compacted() const {
    return config_.compaction.enabled || cleaning_.cleaned_to > 0 || cleaning_.drops.below() > 0;
  }

  // --- For ShardLogs and GroupCommit ---

  // What is to be made durable now; empty when there is nothing or when the log is being changed (it will ask
  // again).
  std::optional<FlushWork> BeginFlush();
  void EndFlush(const FlushWork& work, const Result<>& result);
  bool flush_needed() const;
  // Asks for a flush when flush.ms has passed since the first append after the last one.
  void FlushIfDue(MonoTime now);
  // From now on flushes write every index entry, so that the next start scans nothing.
  void PrepareToClose() { whole_index_ = true; }
  // Adds what changed since the last call. What changes from now on is noted anew.
  void CollectCheckpoint(std::vector<CheckpointChange>* changes);
  // Segments wholly below the start, or files taken away whose delay is over.
  bool has_garbage() const;
  // Nothing for checkpoint rounds to do before the next change.
  bool settled() const {
    return !change_noted_ && !flush_needed() && !has_garbage() && deleted_files_.empty();
  }
  // Takes segments wholly below the start away, the active one as well: their files are renamed and removed
  // after file.delete.delay.ms.
  Task<Result<>> RemoveBelowStart();
  // Refuses everything from now on and tells the listener; the first error stays.
  void Poison(const Error& error);
  // Returns when no operation is under way; the caller sees to it that none begins.
  Task<void> Settle();
  // No new operation is accepted; returns when none is under way.
  Task<void> Quiesce();

 private:
  // A place where a reader is likely to go on: batch `next` starts at `position`.
  struct Cursor {
    std::weak_ptr<Segment> segment;
    Offset next = 0;
    uint64_t position = 0;
    ReadStream stream;
  };
  // What takes the place of segments; under its `.cleaned` names.
  struct NewSegment {
    Offset base_offset = 0;
    Offset end_offset = 0;
    std::string path_prefix;
    uint64_t size = 0;
    std::optional<WallMillis> first_append_time;
    SegmentIndex index;
    std::shared_ptr<File> file;
    Offset dropped_tombstones_below = 0;
    std::vector<DamagedRange> damage;  // that it has
  };
  class Operation;    // counts an operation under way
  class Change;       // ends what LockForChange began
  struct ReadWindow;  // the batches of a buffer that a read answers with
  struct Cut;         // where a truncation cuts

  Result<> Usable() const;
  Result<> Writable() const;
  Segment& active() { return *segments_.back(); }
  Result<> RollIfNeeded(size_t bytes, Offset last_offset, WallMillis now);
  Result<> Roll();
  Result<> Write(std::span<const std::string_view> pieces, size_t bytes);
  void DiskFailed(const Error& error);
  // Work of the pool that finishes a change which can no longer be taken back; it can be repeated. A lack
  // that passes (room, descriptors) is waited out for a while, then the log fails alone; any other error is
  // the directory's.
  Task<Result<>> SeenThrough(const char* name, std::function<Result<>()> work);
  void SetDamage(Error error);
  void NotifyFlush();
  // The next checkpoint round looks at the logs that called this, at no other.
  void NoteChange() {
    if (!std::exchange(change_noted_, true)) host_.NoteChanged(*this);
  }
  // Refuses what would open a file that cannot be closed soon, where there are too many of them.
  Result<> RoomForFile();
  // The active segment's file, opened where it is not.
  Result<> OpenActive();

  void AfterAppend(size_t bytes, Offset end);
  // Asks for a flush now or later, as the config says, of what no flush has been begun for.
  void FlushByConfig();
  void TimeFlush();

  // The leading segments wholly below an offset that RemoveBelowStart may take away now.
  size_t CountRemovable(Offset below) const;
  std::vector<std::string> TakeDueFiles();
  Task<void> FlushEpochTable();
  Task<Result<Offset>> TellStart();

  size_t SegmentIndexFor(Offset offset) const;
  Task<Result<std::shared_ptr<File>>> OpenForRead(std::shared_ptr<Segment> segment);
  Task<Result<uint64_t>> FindPosition(std::shared_ptr<Segment> segment, Offset offset);
  Task<Result<LogRead>> ReadOnce(Offset from, Offset below, size_t max_bytes, bool* changed);
  Task<Result<LogRead>> ReadSegment(std::shared_ptr<Segment> segment, Offset from, Offset limit,
                                    size_t max_bytes, bool* changed);
  Task<Result<size_t>> ReadBytes(std::shared_ptr<File> file, uint64_t position, std::span<char> buffer,
                                 bool* cold);
  Result<> WalkWindow(const Segment& segment, std::string_view bytes, bool cold, ReadWindow* window) const;
  Result<bool> WalkBatch(const Segment& segment, std::string_view bytes, bool cold, ReadWindow* window) const;
  const Cursor* FindCursor(const Segment& segment, Offset next) const;
  void RememberCursor(const std::shared_ptr<Segment>& segment, Offset next, uint64_t position,
                      const ReadStream& stream);
  // Where a read from `position` of about `want` bytes ends.
  static uint64_t ReadEnd(const Segment& segment, uint64_t size, uint64_t position, size_t want);
  void Advise(std::shared_ptr<File> file, const ReadAdvice& advice);

  // Where the batches of a segment begin that follow the last damage below `from`, and at which offset.
  std::pair<uint64_t, Offset> SkipDamage(const Segment& segment, Offset from) const;
  Task<Result<std::optional<TimestampLookup>>> FindTimestampOnce(
      WallMillis timestamp, Offset below, std::vector<std::shared_ptr<Segment>>* searched);

  // log_scrub.cc
  SegmentScrub::Extent ExtentOf(const Segment& segment) const;
  bool TakeFindings(const std::shared_ptr<Segment>& segment, SegmentScrub* scrub, ScrubProgress* progress);
  bool NoteDamage(std::span<const DamagedRange> found, ScrubProgress* progress);
  Task<bool> SearchDamage(std::shared_ptr<Segment> segment, std::stop_token stop = {});
  Task<void> PromiseFlushed();

  // log_repair.cc
  class Repairing;  // marks a repair under way
  class HasTurn;    // of the shard's repairs
  Result<> MayRepair(const std::stop_token& stop) const;
  Task<Result<>> WaitForTurn(std::stop_token stop);
  Task<Result<>> PauseRepair(uint64_t bytes, std::stop_token stop);
  Task<Result<std::string>> FetchFirst(Offset* offset, FetchRange fetch);
  Task<Result<>> FillSplicer(std::shared_ptr<SegmentSplicer> splicer, std::shared_ptr<Segment> segment,
                             uint64_t generation, FetchRange fetch, std::stop_token stop);
  Task<Result<>> Splice(std::shared_ptr<Segment> segment, FetchRange fetch, std::stop_token stop);
  bool damaged_below_start(Offset end) const;
  Task<Result<>> DropDamageBelowStart(std::stop_token stop);
  Task<Result<>> SwapInRepaired(std::shared_ptr<SegmentSplicer> splicer, std::shared_ptr<Segment> segment);

  Task<Result<>> SurveySome(std::vector<std::shared_ptr<Segment>> some);

  CleanableLog DescribeForCleaning() const;
  Task<bool> PauseCleaning(CleanTools* tools, uint64_t bytes);
  bool StillThere(const std::vector<std::shared_ptr<Segment>>& segments) const;
  Error CleaningFailed(const std::vector<std::shared_ptr<Segment>>& sources, bool writing, Error error);
  Task<Result<>> RunPass(CleanDecision decision, CleanTools* tools, CleanReport* report);
  Result<> RoomToClean(std::span<const std::shared_ptr<Segment>> sources) const;
  Task<Result<>> CleanGroupOf(std::vector<std::shared_ptr<Segment>> sources, Offset end, CleanTerms terms,
                              CleanTools* tools, CleanReport* report);
  Task<Result<>> PromiseBeforeSwap(Offset end_offset, Offset dropped_tombstones_below);
  Task<Result<>> ReplaceSegments(NewSegment with, std::vector<std::shared_ptr<Segment>> sources);
  Task<Result<>> SwapIn(const SegmentRewriter& rewriter, std::vector<std::shared_ptr<Segment>> sources);

  // Waits for flushes and other changes to end, then keeps them and appends out until the Change ends.
  Task<Result<>> LockForChange();
  Task<Result<>> LowerCheckpoints(Offset recovery_point, Offset high_watermark,
                                  std::vector<CheckpointChange> extra);
  Task<Result<>> CutEpochs(Offset end);
  Task<Result<>> CutFiles(size_t index, std::shared_ptr<File> file, Cut cut);
  static Result<Cut> FindCut(FileSystem& files, const PartitionKey& key, const Segment& segment,
                             Offset segment_end, uint32_t interval, Offset offset);
  std::vector<std::string> CutMemory(size_t index, Cut cut);
  void ForgetCursors();

  static constexpr size_t kCursors = 16;

  FileSystem& files_;
  BlockingPool& pool_;
  EventLoop& loop_;
  LogHost& host_;
  const Place place_;
  LogConfig config_;
  std::vector<std::shared_ptr<Segment>> segments_;  // by base offset; the last one is active
  EpochTable epochs_;
  bool epochs_dirty_ = false;
  bool epoch_untold_ = false;          // the last epoch has no record, and is not in the file
  std::optional<Offset> table_begin_;  // of the table on disk; empty: it has no entry
  bool flush_refused_ = false;         // the last one found no room
  Offset start_;
  Offset end_;
  Offset flushed_end_;
  Offset flush_begun_;                   // end of what the flushes begun so far cover
  std::optional<MonoTime> flush_due_;    // by flush.ms
  std::optional<MonoTime> flush_timer_;  // when the host calls FlushIfDue next
  Offset high_watermark_;
  uint64_t generation_ = 0;
  // What the checkpoint files hold or are about to hold.
  Offset checkpointed_recovery_point_;
  Offset checkpointed_high_watermark_;
  Offset checkpointed_start_;
  Offset durable_start_;
  // Files taken away, by when they are to be removed.
  std::deque<std::pair<MonoTime, std::string>> deleted_files_;
  std::optional<Error> failure_;
  std::optional<Error> damage_;
  DamageList damaged_;
  uint64_t damaged_ranges_found_ = 0;
  std::shared_ptr<Segment> searched_;  // by a SearchDamage under way
  bool directory_dirty_ = false;       // a file in it is new
  bool flush_queued_ = false;
  bool flush_running_ = false;
  bool flush_wanted_ = false;  // asked for while a change was under way
  bool changing_ = false;
  bool removing_ = false;  // files below the start are being taken away
  CleanState cleaning_;
  bool repairing_ = false;
  bool repairs_held_ = false;
  bool restarting_ = false;  // until done, nothing below any offset is promised
  bool truncating_ = false;  // until done, the start may be about to fall
  bool closing_ = false;
  bool whole_index_ = false;
  bool change_noted_ = false;
  size_t operations_ = 0;
  Notifier changed_;  // operations_, flush_running_ or changing_ fell
  std::function<void()> flush_listener_;
  std::array<Cursor, kCursors> cursors_;
  size_t next_cursor_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for deferred calls
};

}  // namespace tidemark
