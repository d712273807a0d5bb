// The log start: how it moves, and how the segments below it go.
//
// Segments go from the oldest on, each in this order, so that a crash after any step leaves a suffix of the
// log:
//   1. the checkpoint of the start and the epoch table say, on disk, that the log begins behind it: a start
//      that finds no such file and reads only one of them would take it for lost (log_front.h);
//   2. the segment after it is in the directory, durably (the active one is rolled first where all of it is
//      below the start);
//   3. it leaves the list: readers under way keep their open file, those who come find the offset below the
//      start;
//   4. its file is renamed, its index files are removed, and the directory is synced;
//   5. the renamed file is removed after file.delete.delay.ms, or at the next start.
// Only 1 needs space. A disk that has none for it is to be emptied all the same: the renamed file tells then,
// emptied, until 1 is done. (Where there is no room for its new name either, nothing does.) Appends and reads
// go on meanwhile; truncation and restart wait, because they may create files of those names.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/log_internal.h"

namespace tidemark {
namespace {

constexpr Duration kLongestSlice = 50ms;  // of a wait whose end may pass unnoticed

// Pool thread. When the last batch of a segment was appended; `position` is where a batch at or before it
// begins.
Result<WallMillis> ReadLastAppendTime(File& file, const PartitionKey& key, uint64_t position, uint64_t size) {
  BatchScanner scanner(file, key, position, size);
  BatchView batch;
  std::optional<WallMillis> last;
  BatchScanner::Step step;
  while ((step = scanner.Next(&batch, nullptr)) == BatchScanner::Step::kBatch) last = batch.append_time;
  if (step == BatchScanner::Step::kEnd && last) return *last;
  if (step == BatchScanner::Step::kEnd) return Fail(v1::CORRUPT_MESSAGE, "{} holds no batch", file.path());
  return std::unexpected(scanner.error());
}

Result<> RemoveFiles(FileSystem& files, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto removed = files.Remove(path);
    if (!removed && removed.error().code != v1::NOT_FOUND) return removed;
  }
  return {};
}

Result<> EmptyFiles(FileSystem& files, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const auto file = files.Open(path, OpenMode::kReadWrite);
    if (!file && file.error().code == v1::NOT_FOUND) continue;
    if (!file) return std::unexpected(file.error());
    TM_RETURN_IF_ERROR((*file)->Truncate(0));
  }
  return {};
}

// The log file first: an index without its log is dropped by recovery, a log without an index is scanned.
Result<> TakeSegmentAway(FileSystem& files, const std::string& path_prefix) {
  const std::string path = path_prefix + ".log";
  const auto renamed = files.Rename(path, fmt::format("{}{}", path, kDeletedSuffix));
  // Done by an attempt before. On a full disk the longer name may find no room in its directory: the room is
  // what this is to win.
  if (!renamed && renamed.error().code != v1::NOT_FOUND) {
    if (renamed.error().code != v1::DISK_FULL) return renamed;
    return RemoveSegmentFiles(files, path_prefix);
  }
  return RemoveIndexFiles(files, path_prefix);
}

}  // namespace

void Log::AdvanceStartTo(Offset offset) {
  offset = std::min(offset, flushed_end_);
  // Under a change the end may be about to fall; whoever raises the start does so again.
  if (offset <= start_ || changing_ || failure_) return;
  start_ = offset;
  NoteChange();
  EpochTable epochs = epochs_;
  epochs_.AdvanceStart(offset);
  if (epochs.entries() != epochs_.entries()) epochs_dirty_ = true;
}

Task<Result<>> Log::CheckpointStart() {
  const Operation operation(*this);
  const Offset target = start_;
  const uint64_t generation = generation_;
  if (durable_start_ >= target) co_return {};
  TM_CO_RETURN_IF_ERROR(Usable());
  // What a truncation or restart is about to lower is not to be raised again.
  if (changing_) co_return Fail(v1::BROKER_NOT_READY, "the log in {} is being changed", place_.path);
  checkpointed_start_ = target;
  std::vector<CheckpointChange> changes;
  changes.push_back({CheckpointKind::kLogStart, place_.key, place_.topic, target});
  TM_CO_RETURN_IF_ERROR(co_await host_.WriteCheckpoints(place_.directory, std::move(changes)));
  // A change meanwhile said or will say itself what is durable.
  if (generation == generation_ && !changing_) durable_start_ = std::max(durable_start_, target);
  co_return {};
}

std::vector<SegmentFacts> Log::DescribeSegments() const {
  CHECK(surveyed()) << place_.path;
  std::vector<SegmentFacts> facts;
  facts.reserve(segments_.size());
  for (size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = *segments_[i];
    facts.push_back({.base_offset = segment.base_offset,
                     .end_offset = i + 1 < segments_.size() ? segments_[i + 1]->base_offset : end_,
                     .size = segment.size,
                     .max_timestamp = segment.index ? segment.index->max_timestamp() : segment.max_timestamp,
                     .first_append_time = segment.sealed ? std::nullopt : segment.first_append_time,
                     .last_append_time = segment.last_append_time});
  }
  for (const DamagedRange& range : damaged_.ranges()) {
    const auto of = std::ranges::find(facts, range.segment, &SegmentFacts::base_offset);
    if (of != facts.end() && range.last >= start_) of->damaged = true;
  }
  return facts;
}

Task<Result<>> Log::LearnAppendTime(Offset base_offset) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(Usable());
  if (!segments_[SegmentIndexFor(base_offset)]->surveyed) TM_CO_RETURN_IF_ERROR(co_await Survey());
  const size_t index = SegmentIndexFor(base_offset);
  const std::shared_ptr<Segment> segment = segments_[index];
  if (segment->base_offset != base_offset || segment->last_append_time || segment->size == 0) co_return {};
  const Offset last = (index + 1 < segments_.size() ? segments_[index + 1]->base_offset : end_) - 1;
  const uint64_t size = segment->size;
  std::optional<uint64_t> position;
  if (segment->index) position = segment->index->PositionFor(last);
  auto time = co_await RunBlocking(
      pool_, loop_, "last append time", [this, segment, position, size, last]() -> Result<WallMillis> {
        TM_ASSIGN_OR_RETURN(const auto file, files_.Open(segment->log_path(), OpenMode::kRead));
        const uint64_t from =
            position ? *position
                     : LookUpPosition(files_, segment->path_prefix, segment->base_offset, last).value_or(0);
        return ReadLastAppendTime(*file, place_.key, from, size);
      });
  if (!time) co_return std::unexpected(std::move(time).error());
  // What was appended meanwhile has said itself when; what was cut is another object.
  if (!segment->last_append_time) segment->last_append_time = *time;
  co_return {};
}

Result<> Log::RollActive() {
  TM_RETURN_IF_ERROR(Writable());
  if (active().size == 0) return {};
  return Roll();
}

bool Log::has_garbage() const {
  if (!deleted_files_.empty() && deleted_files_.front().first <= loop_.Now()) return true;
  if (segments_.size() > 1) return segments_[1]->base_offset <= start_;
  return segments_.front()->size > 0 && end_ <= start_;
}

size_t Log::CountRemovable(Offset below) const {
  size_t count = 0;
  while (count + 1 < segments_.size() && segments_[count + 1]->base_offset <= below &&
         segments_[count + 1]->entry_synced && !segments_[count]->index) {
    ++count;
  }
  return count;
}

std::vector<std::string> Log::TakeDueFiles() {
  std::vector<std::string> due;
  while (!deleted_files_.empty() && deleted_files_.front().first <= loop_.Now()) {
    due.push_back(std::move(deleted_files_.front().second));
    deleted_files_.pop_front();
  }
  return due;
}

// Until the table on disk begins at the start, or a flush has found no room for it.
Task<void> Log::FlushEpochTable() {
  const Offset start = start_;
  const auto told = [&] { return !table_begin_ || *table_begin_ >= start; };
  RequestFlush();
  while (!told() && (flush_queued_ || flush_running_) && !changing_ && Usable()) {
    co_await changed_.Wait("flush of the epoch table", loop_.Now() + kLongestSlice);
    if (!flush_refused_) RequestFlush();
  }
}

// Step 1. Below the offset that it answers with files may go.
Task<Result<Offset>> Log::TellStart() {
  if (durable_start_ < start_) {
    const auto told = co_await CheckpointStart();
    if (!told && told.error().code == v1::DISK_FULL) co_return start_;
    if (!told) co_return std::unexpected(told.error());
  }
  if (table_begin_ && *table_begin_ < start_) co_await FlushEpochTable();
  const Offset below = std::min(start_, durable_start_);
  if (!table_begin_ || flush_refused_) co_return below;
  co_return std::min(below, *table_begin_);
}

Task<Result<>> Log::RemoveBelowStart() {
  if (removing_ || changing_ || !Usable() || damage_) co_return {};
  const Operation operation(*this);
  TM_CO_ASSIGN_OR_RETURN(const Offset below, co_await TellStart());
  if (removing_ || changing_ || !Usable() || damage_) co_return {};
  // The new segment's entry becomes durable with the next flush; the old one goes after it. Where the disk is
  // too full for another file the others go.
  if (end_ <= start_ && active().size > 0) {
    const auto rolled = RollActive();
    if (!rolled && rolled.error().code != v1::DISK_FULL) co_return rolled;
  }
  const size_t count = CountRemovable(below);
  const bool told = durable_start_ >= below && (!table_begin_ || *table_begin_ >= below);
  std::vector<std::string> due = TakeDueFiles();
  if (count == 0 && due.empty()) co_return {};
  std::vector<std::string> removed;
  for (size_t i = 0; i < count; ++i) {
    removed.push_back(segments_[i]->path_prefix);
    damaged_.DropSegment(segments_[i]->base_offset);
  }
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(count));
  const MonoTime remove_at = loop_.Now() + config_.file_delete_delay;
  for (const std::string& prefix : removed) {
    std::string path = fmt::format("{}.log{}", prefix, kDeletedSuffix);
    if (config_.file_delete_delay > Duration::zero()) {
      deleted_files_.emplace_back(remove_at, std::move(path));
    } else {
      due.push_back(std::move(path));
    }
  }
  removing_ = true;
  const auto done =
      co_await SeenThrough("remove segments", [this, removed = std::move(removed), due, told]() -> Result<> {
        for (const std::string& prefix : removed) {
          TM_RETURN_IF_ERROR(TakeSegmentAway(files_, prefix));
          TM_RETURN_IF_ERROR(files_.SyncDirectory(place_.path));
        }
        return told ? RemoveFiles(files_, due) : EmptyFiles(files_, due);
      });
  removing_ = false;
  if (!told) {
    for (std::string& path : due) deleted_files_.emplace_front(loop_.Now(), std::move(path));
  }
  changed_.NotifyAll();
  co_return done;
}

}  // namespace tidemark
