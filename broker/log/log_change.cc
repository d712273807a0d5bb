// Changes of a log other than appends: epochs, truncation, restart. One at a time; appends are refused and
// flushes wait meanwhile.
//
// Truncation, step by step, so that a crash after any of them leaves a log that recovery understands:
//   1. flushed_end and the durable recovery point are lowered to the cut: nothing above it is promised any
//   more;
//   2. the epoch table is cut and synced;
//   3. memory is cut and the generation raised: readers under way start again;
//   4. later segments are removed from the end, then the index files of the segment cut, then the file is
//   cut;
//   5. file and directory are synced, so that nothing of the old tail comes back under what is appended next.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/disk_waits.h"
#include "broker/log/drop_on_pool.h"
#include "broker/log/file_handles.h"
#include "broker/log/log_internal.h"
#include "broker/log/partition_files.h"
#include "broker/log/recovery.h"

namespace tidemark {

// Where a truncation cuts a segment, and what is known of what stays.
struct Log::Cut {
  Offset end = 0;
  uint64_t position = 0;
  SegmentIndex index{0};
  std::optional<WallMillis> first_append_time;
};

Task<Result<>> Log::LockForChange() {
  while (changing_ || flush_running_ || removing_) {
    co_await changed_.Wait("log change");
    TM_CO_RETURN_IF_ERROR(Usable());
  }
  TM_CO_RETURN_IF_ERROR(Usable());
  if (damage_) co_return std::unexpected(*damage_);
  changing_ = true;
  co_return {};
}

// A checkpoint above the log's end would be believed once the log has grown past it again, so both are
// lowered durably before anything is cut. `extra` goes along. What is not to be lowered is sent as it is: its
// last change may not be on disk yet (a full disk may have refused it), and this waits for it.
Task<Result<>> Log::LowerCheckpoints(Offset recovery_point, Offset high_watermark,
                                     std::vector<CheckpointChange> extra) {
  std::vector<CheckpointChange> changes = std::move(extra);
  high_watermark_ = std::min(high_watermark_, high_watermark);
  const Offset cut = recovery_point;
  recovery_point = std::min(recovery_point, checkpointed_recovery_point_);
  high_watermark = std::min(high_watermark, checkpointed_high_watermark_);
  changes.push_back({CheckpointKind::kRecoveryPoint, place_.key, place_.topic, recovery_point});
  changes.push_back({CheckpointKind::kHighWatermark, place_.key, place_.topic, high_watermark});
  if (cleaning_.cleaned_to > cut) {
    changes.push_back({CheckpointKind::kCleanerOffset, place_.key, place_.topic, cut});
  }
  // That of dropped tombstones stays: a crash on the way may leave the log as it was, which lacks them. Too
  // high does no harm. A pass under way has decided by what is about to go.
  cleaning_.overtaken = true;
  const Result<> written = co_await host_.WriteCheckpoints(place_.directory, std::move(changes));
  // Refused or not, the file holds these sooner or later. Not before the answer: a checkpoint collected
  // meanwhile would raise them again.
  checkpointed_recovery_point_ = std::min(checkpointed_recovery_point_, recovery_point);
  checkpointed_high_watermark_ = std::min(checkpointed_high_watermark_, high_watermark);
  if (!written) {
    NoteChange();
    co_return written;
  }
  // What could not be compacted may be gone.
  cleaning_.uncleanable.reset();
  cleaning_.cleaned_to = std::min(cleaning_.cleaned_to, cut);
  cleaning_.drops.TruncateTo(cut);
  co_return {};
}

Task<Result<>> Log::BeginEpoch(LeaderEpoch epoch) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(co_await LockForChange());
  const Change change(*this);
  if (const auto latest = epochs_.latest()) {
    if (*latest == epoch) co_return {};
    if (*latest > epoch) co_return Fail(v1::FENCED_LEADER_EPOCH, "epoch {} is older than {}", epoch, *latest);
  }
  // An epoch without a record binds nobody, and recovery forgets one that begins at the end: the table is
  // written when something is appended, before that counts as flushed. Twenty thousand partitions whose
  // leader changes cost no write.
  epochs_.Begin(epoch, end_);
  epoch_untold_ = true;
  // A leader's log lacks none of the tombstones that are appended from here on.
  cleaning_.drops.TruncateTo(end_);
  co_return {};
}

// Pool thread; `segment` is a copy with its file open, whose batches reach to `segment_end`. CORRUPT_MESSAGE
// where they do not follow each other up to the cut: what is missing must not be cut away as well.
Result<Log::Cut> Log::FindCut(FileSystem& files, const PartitionKey& key, const Segment& segment,
                              Offset segment_end, uint32_t interval, Offset offset) {
  Cut cut{.index = SegmentIndex(segment.base_offset)};
  if (segment.index) {
    cut.index = *segment.index;
  } else {
    const auto offsets = ReadFile(files, segment.path_prefix + ".index");
    const auto times = ReadFile(files, segment.path_prefix + ".timeindex");
    if (offsets && times) cut.index = SegmentIndex::Decode(segment.base_offset, *offsets, *times);
  }
  cut.index.TruncateTo(offset);
  while (true) {
    const bool by_index = cut.index.size() > 0;
    const uint64_t from = by_index ? cut.index.offsets().back().position : 0;
    BatchScanner scanner(*segment.file, key, from, segment.size);
    cut.position = from;
    cut.end = segment.base_offset + (by_index ? cut.index.offsets().back().relative_offset : 0);
    BatchView batch;
    BodyInfo info;
    BatchScanner::Step step;
    bool first = true;
    bool again = false;
    while ((step = scanner.Next(&batch, &info)) == BatchScanner::Step::kBatch) {
      if (batch.base_offset != cut.end) break;
      if (from == 0 && first) cut.first_append_time = batch.append_time;
      const Offset next = batch.base_offset + info.last_offset_delta + 1;
      if (next > offset) {
        // The batch goes whole. If the index points at it, start once more before it, for the timestamps.
        again = first && cut.index.size() > 0;
        if (again) cut.index.TruncateTo(batch.base_offset);
        break;
      }
      first = false;
      cut.index.OnBatch(
          batch.base_offset, scanner.position(),
          info.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? batch.append_time : info.max_timestamp,
          interval);
      cut.position = scanner.next_position();
      cut.end = next;
    }
    if (again) continue;
    const bool there = step == BatchScanner::Step::kBatch
                           ? batch.base_offset == cut.end
                           : step == BatchScanner::Step::kEnd && cut.end == segment_end;
    if (there) break;
    if (!by_index) {
      if (step == BatchScanner::Step::kBad || step == BatchScanner::Step::kIoError)
        return std::unexpected(scanner.error());
      return Fail(v1::CORRUPT_MESSAGE, "{} has no batch at offset {}", segment.log_path(), cut.end);
    }
    cut.index = SegmentIndex(segment.base_offset);  // perhaps only the index is wrong
  }
  if (!cut.first_append_time && cut.position > 0) {
    BatchScanner scanner(*segment.file, key, 0, segment.size);
    BatchView batch;
    if (scanner.Next(&batch, nullptr) == BatchScanner::Step::kBatch)
      cut.first_append_time = batch.append_time;
  }
  if (cut.position == 0) cut.first_append_time.reset();
  return cut;
}

// Step 3; returns the path prefixes of the segments that are to be removed, from the end.
std::vector<std::string> Log::CutMemory(size_t index, Cut cut) {
  ++generation_;
  ForgetCursors();
  std::vector<std::string> removed;
  while (segments_.size() > index + 1) {
    removed.push_back(segments_.back()->path_prefix);
    segments_.pop_back();
  }
  // A fresh object: readers of the old one see that it is no longer part of the log.
  auto segment = std::make_shared<Segment>(*segments_[index]);
  segment->size = cut.position;
  segment->trusted_from = std::min(segment->trusted_from, cut.position);
  segment->first_append_time = cut.first_append_time;
  segment->last_append_time.reset();
  segment->max_timestamp = cut.index.max_timestamp();
  segment->max_timestamp_offset = cut.index.max_timestamp_offset();
  segment->index = std::move(cut.index);
  segment->entries_written = 0;
  segment->index_files_stale = true;
  segment->sealed = false;
  segments_[index] = std::move(segment);
  end_ = cut.end;
  damaged_.TruncateTo(end_);
  flush_begun_ = std::min(flush_begun_, end_);
  high_watermark_ = std::min(high_watermark_, end_);
  return removed;
}

Task<Result<>> Log::TruncateTo(Offset offset) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(co_await LockForChange());
  const Change change(*this);
  if (offset >= end_) co_return {};
  if (offset < start_) {
    co_return Fail(v1::OFFSET_OUT_OF_RANGE, "cannot truncate to {}, the log starts at {}", offset, start_);
  }
  const size_t index = SegmentIndexFor(offset);
  const std::shared_ptr<Segment> segment = segments_[index];
  if (!segment->surveyed) TM_CO_RETURN_IF_ERROR(co_await SurveySome({segment}));
  TM_CO_ASSIGN_OR_RETURN(const auto file, co_await OpenForRead(segment));
  const Offset segment_end = index + 1 < segments_.size() ? segments_[index + 1]->base_offset : end_;
  std::optional<DiskWaits::Mark> waiting(std::in_place, host_.disk_waits(), loop_.Now(), place_.directory);
  auto cut = co_await RunBlocking(
      pool_, loop_, "find truncation point",
      [this, copy = *segment, file, offset, segment_end, interval = config_.index_interval_bytes]() mutable {
        copy.file = file;
        return FindCut(files_, place_.key, copy, segment_end, interval, offset);
      });
  waiting.reset();
  if (!cut) {
    SetDamage(
        {v1::KAFKA_STORAGE_ERROR, fmt::format("damaged log in {}: {}", place_.path, cut.error().message)});
    co_return std::unexpected(*damage_);
  }
  CHECK_LE(cut->end, offset);
  // Below the start there is nothing to keep: a batch that straddles it goes whole.
  const Offset start = std::min(start_, cut->end);
  // From here on no checkpoint round writes the old end or start again.
  truncating_ = true;
  durable_start_ = std::min(durable_start_, start);
  flushed_end_ = std::min(flushed_end_, cut->end);
  std::vector<CheckpointChange> changes;
  if (checkpointed_start_ > start) {
    // It would hide what is appended below it.
    changes.push_back({CheckpointKind::kLogStart, place_.key, place_.topic, start});
    checkpointed_start_ = start;  // or about to be, also when the disk is full at present
  }
  TM_CO_RETURN_IF_ERROR(co_await LowerCheckpoints(cut->end, cut->end, std::move(changes)));
  TM_CO_RETURN_IF_ERROR(co_await CutEpochs(cut->end));
  start_ = start;
  const Offset old_end = end_;
  TM_CO_RETURN_IF_ERROR(co_await CutFiles(index, file, std::move(*cut)));
  LOG(INFO) << place_.topic << "-" << place_.key.partition << ": truncated from " << old_end << " to "
            << end_;
  NotifyFlush();
  co_return {};
}

// Step 2.
Task<Result<>> Log::CutEpochs(Offset end) {
  EpochTable epochs = epochs_;
  epochs.TruncateTo(end);
  const bool write = epochs_dirty_ || epochs.entries() != epochs_.entries();
  if (write) {
    const DiskWaits::Mark waiting(host_.disk_waits(), loop_.Now(), place_.directory);
    const auto written =
        co_await RunBlocking(pool_, loop_, "truncate epochs", [this, bytes = EncodeEpochTable(epochs)] {
          return WriteFileDurably(files_, EpochFilePath(place_.path), bytes);
        });
    if (!written) {
      if (written.error().code == v1::DISK_FULL) co_return written;
      DiskFailed(written.error());
      co_return std::unexpected(*failure_);
    }
  }
  epochs_ = std::move(epochs);
  if (write) table_begin_ = epochs_.begin();
  epochs_dirty_ = false;
  epoch_untold_ = false;
  co_return {};
}

// Steps 3 to 5.
Task<Result<>> Log::CutFiles(size_t index, std::shared_ptr<File> file, Cut cut) {
  const uint64_t size = cut.position;
  const std::string path_prefix = segments_[index]->path_prefix;
  std::vector<std::string> removed = CutMemory(index, std::move(cut));
  const auto done = co_await SeenThrough(
      "truncate", [this, removed = std::move(removed), file, size, prefix = path_prefix]() -> Result<> {
        for (const std::string& later : removed) TM_RETURN_IF_ERROR(RemoveSegmentFiles(files_, later));
        TM_RETURN_IF_ERROR(RemoveIndexFiles(files_, prefix));
        TM_RETURN_IF_ERROR(file->Truncate(size));
        TM_RETURN_IF_ERROR(file->Sync());
        return files_.SyncDirectory(place_.path);
      });
  if (!done) co_return done;
  segments_[index]->file = file;
  host_.handles().NoteOpen(segments_[index]);
  segments_[index]->dirty = false;
  segments_[index]->entry_synced = true;
  directory_dirty_ = false;
  const bool all_on_disk = std::none_of(segments_.begin(), segments_.end(), [](const auto& each) {
    return each->dirty || (each->sealed && each->index);
  });
  if (all_on_disk) flushed_end_ = end_;
  flush_wanted_ = !all_on_disk;
  co_return {};
}

Task<Result<>> Log::RestartAt(Offset offset) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(co_await LockForChange());
  const Change change(*this);
  // Until all is done nothing is promised: a crash on the way leaves a prefix of the old log or an empty one.
  restarting_ = true;
  std::vector<CheckpointChange> changes;
  // A durable start above the new log's would hide what is appended to it. It falls before the data goes: a
  // crash on the way may bring deleted records back, which the next exchange with the leader removes again.
  if (checkpointed_start_ > offset) {
    changes.push_back({CheckpointKind::kLogStart, place_.key, place_.topic, offset});
    checkpointed_start_ = offset;  // or about to be, also when the disk is full at present
  }
  const auto lowered = co_await LowerCheckpoints(0, offset, std::move(changes));
  if (!lowered) {
    restarting_ = false;
    co_return lowered;
  }
  const Offset old_end = end_;
  ++generation_;
  ForgetCursors();
  std::vector<std::string> removed;
  for (const auto& segment : segments_) removed.push_back(segment->path_prefix);
  std::reverse(removed.begin(), removed.end());
  auto placeholder = std::make_shared<Segment>();
  placeholder->base_offset = offset;
  segments_ = {placeholder};
  damaged_.Clear();
  start_ = end_ = flushed_end_ = flush_begun_ = high_watermark_ = offset;
  durable_start_ = std::min(durable_start_, offset);
  epochs_.Clear();
  table_begin_.reset();
  epochs_dirty_ = false;
  epoch_untold_ = false;
  std::shared_ptr<Segment> created;
  const auto done = co_await SeenThrough(
      "restart log", [this, removed = std::move(removed), offset, &created]() -> Result<> {
        TM_RETURN_IF_ERROR(
            WriteFileDurably(files_, EpochFilePath(place_.path), EncodeEpochTable(EpochTable())));
        for (const std::string& prefix : removed) TM_RETURN_IF_ERROR(RemoveSegmentFiles(files_, prefix));
        // What an attempt before has made.
        created.reset();
        TM_RETURN_IF_ERROR(RemoveSegmentFiles(files_, SegmentPathPrefix(place_.path, offset)));
        TM_ASSIGN_OR_RETURN(created, CreateSegment(files_, place_.path, offset));
        TM_RETURN_IF_ERROR(created->file->Sync());
        return files_.SyncDirectory(place_.path);
      });
  if (!done) co_return done;
  created->dirty = false;
  created->entry_synced = true;
  created->file = FreedOnPool(pool_, std::move(created->file));
  segments_ = {std::move(created)};
  host_.handles().NoteOpen(segments_.back());
  directory_dirty_ = false;
  restarting_ = false;
  durable_start_ = offset;  // by the name of its first segment
  LOG(INFO) << place_.topic << "-" << place_.key.partition << ": restarted empty at " << offset << ", was at "
            << old_end;
  NotifyFlush();
  co_return {};
}

}  // namespace tidemark
