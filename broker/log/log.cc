#include "broker/log/log.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/cleaner_batch.h"
#include "broker/log/disk_waits.h"
#include "broker/log/drop_on_pool.h"
#include "broker/log/file_handles.h"
#include "broker/log/log_internal.h"
#include "broker/log/partition_files.h"
#include "broker/log/recovery.h"
#include "common/record/batch.h"

namespace tidemark {
namespace {

// Entries of the active segment's index are written this many at a time (with the flush that comes next):
// after an unclean stop at most so many index intervals below the recovery point are scanned again.
constexpr size_t kIndexEntriesPerWrite = 64;
// A flush.ms above this is none.
constexpr Duration kLongestFlushTime = std::chrono::hours(24 * 365);
// A change that has begun tries this often to find the room that it needs.
constexpr int kAttemptsWithoutRoom = 10;
constexpr Duration kPauseWithoutRoom = 1s;

WallMillis TimestampOf(const BatchHeader& header, const BodyInfo& info) {
  return info.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? header.append_time : info.max_timestamp;
}

}  // namespace

Log::Log(FileSystem& files, BlockingPool& pool, EventLoop& loop, LogHost& host, Place place, LogConfig config,
         State state)
    : files_(files),
      pool_(pool),
      loop_(loop),
      host_(host),
      place_(std::move(place)),
      config_(config),
      segments_(std::move(state.segments)),
      epochs_(std::move(state.epochs)),
      start_(state.start),
      end_(state.end),
      flushed_end_(state.end),
      flush_begun_(state.end),
      high_watermark_(state.high_watermark),
      checkpointed_recovery_point_(state.recovery_point),
      checkpointed_high_watermark_(state.high_watermark),
      checkpointed_start_(state.checkpointed_start),
      durable_start_(std::min(state.start, state.checkpointed_start)),
      damage_(std::move(state.damage)),
      cleaning_{.cleaned_to = state.cleaned_to,
                .drops = state.tombstone_drops,
                .checkpointed_drops = state.tombstone_drops.below(),
                .uncleanable = {}},
      changed_(loop) {
  epochs_dirty_ = state.epochs_stale;
  // One that is stale begins no later than the log, so it tells of no file that is gone.
  table_begin_ = state.epochs_stale ? Offset{0} : epochs_.begin();
  CHECK(!segments_.empty());
  CHECK_LE(start_, end_);
  // The first segment tells as well, but where others are gone that no checkpoint tells of.
  if (state.taken_away.empty()) durable_start_ = std::max(durable_start_, segments_.front()->base_offset);
  for (std::string& path : state.taken_away) deleted_files_.emplace_back(loop_.Now(), std::move(path));
  CHECK(segments_.back()->index && !segments_.back()->sealed);
  for (const auto& segment : segments_) {
    if (!segment->file) continue;
    segment->file = FreedOnPool(pool_, std::move(segment->file));
    host_.handles().NoteOpen(segment);
  }
  NoteChange();  // recovery may have moved what the checkpoints say
}

Log::~Log() {
  CHECK(operations_ == 0 && !flush_running_ && !changing_) << "log " << place_.path << " ends while in use";
  *alive_ = false;
}

uint64_t Log::size_bytes() const {
  uint64_t bytes = 0;
  for (const auto& segment : segments_) bytes += segment->size;
  return bytes;
}

Result<> Log::Usable() const {
  if (failure_) return std::unexpected(*failure_);
  if (closing_) return Fail(v1::KAFKA_STORAGE_ERROR, "the log in {} is being closed", place_.path);
  return {};
}

Result<> Log::Writable() const {
  TM_RETURN_IF_ERROR(Usable());
  if (damage_) return std::unexpected(*damage_);
  if (changing_ && !cleaning_.swapping)
    return Fail(v1::BROKER_NOT_READY, "the log in {} is being truncated", place_.path);
  return {};
}

void Log::NotifyFlush() {
  // Deferred: whoever appends must not find his own state changed under his feet.
  loop_.Defer([this, alive = alive_] {
    if (*alive && flush_listener_) flush_listener_();
  });
}

void Log::Poison(const Error& error) {
  if (failure_) return;
  failure_ = Error{v1::KAFKA_STORAGE_ERROR, error.message};
  changed_.NotifyAll();
  NotifyFlush();
}

void Log::DiskFailed(const Error& error) {
  LOG(ERROR) << "log directory of " << place_.path << " failed: " << ToString(error);
  Poison(error);
  host_.OnDirectoryFailure(place_.directory, *failure_);
}

Task<Result<>> Log::SeenThrough(const char* name, std::function<Result<>()> work) {
  for (int attempt = 1;; ++attempt) {
    std::optional<DiskWaits::Mark> waiting(std::in_place, host_.disk_waits(), loop_.Now(), place_.directory);
    const Result<> done = co_await RunBlocking(pool_, loop_, name, work);
    waiting.reset();
    if (done) co_return done;
    if (done.error().code != v1::DISK_FULL) {
      DiskFailed(done.error());
      co_return std::unexpected(*failure_);
    }
    LOG(WARNING) << place_.path << ": " << name << " (attempt " << attempt << "): " << ToString(done.error());
    if (attempt == kAttemptsWithoutRoom || failure_) {
      // As after a crash in the middle: the next start sorts this log out. The directory's others go on.
      Poison(done.error());
      co_return std::unexpected(*failure_);
    }
    co_await Sleep(loop_, kPauseWithoutRoom, "room for a change");
  }
}

void Log::SetDamage(Error error) {
  if (damage_) return;
  LOG(ERROR) << error.message;
  damage_ = std::move(error);
  NotifyFlush();
}

Result<> Log::RoomForFile() {
  if (host_.handles().HasRoom()) return {};
  return Fail(v1::BROKER_NOT_READY, "{} open files wait for their flush", host_.handles().size());
}

Result<> Log::Roll() {
  TM_RETURN_IF_ERROR(RoomForFile());
  auto created = CreateSegment(files_, place_.path, end_);
  if (!created) {
    if (created.error().code != v1::DISK_FULL) DiskFailed(created.error());
    return std::unexpected(failure_ ? *failure_ : created.error());
  }
  Segment& old = active();
  old.sealed = true;
  old.max_timestamp = old.index->max_timestamp();
  old.max_timestamp_offset = old.index->max_timestamp_offset();
  (*created)->file = FreedOnPool(pool_, std::move((*created)->file));
  segments_.push_back(std::move(*created));
  host_.handles().NoteOpen(segments_.back());
  directory_dirty_ = true;
  // The seal reaches the disk with the next round, whatever the durability asked for.
  RequestFlush();
  return {};
}

Result<> Log::RollIfNeeded(size_t bytes, Offset last_offset, WallMillis now) {
  const Segment& segment = active();
  if (segment.size == 0) return {};
  const uint64_t limit = std::min<uint64_t>(config_.segment_bytes, kMaxSegmentBytes);
  const bool full = segment.size + bytes > limit || last_offset - segment.base_offset > kMaxSegmentOffsets;
  const bool old =
      segment.first_append_time && now - *segment.first_append_time >= ToMillis(config_.segment_time);
  if (!full && !old) return {};
  return Roll();
}

// On the loop, as the append itself: the folder and the file were looked up when the log was opened, so the
// kernel finds both in its caches, and where it has dropped them under pressure the open waits for one block
// of a directory, no longer than a page-cache write may wait for its disk.
Result<> Log::OpenActive() {
  if (active().file) {
    FileHandles::NoteUse(active());
    return {};
  }
  TM_RETURN_IF_ERROR(RoomForFile());
  auto opened = files_.Open(active().log_path(), OpenMode::kReadWrite);
  if (!opened) {
    if (opened.error().code == v1::DISK_FULL) return std::unexpected(std::move(opened).error());
    if (opened.error().code == v1::NOT_FOUND) {
      // Of this log, not of its directory. What was in it is missed, and nothing may be appended behind that.
      SetDamage({v1::KAFKA_STORAGE_ERROR,
                 fmt::format("damaged log in {}: {}", place_.path, opened.error().message)});
      return std::unexpected(*damage_);
    }
    DiskFailed(opened.error());
    return std::unexpected(*failure_);
  }
  active().file = FreedOnPool(pool_, std::move(*opened));
  host_.handles().NoteOpen(segments_.back());
  return {};
}

Result<> Log::Write(std::span<const std::string_view> pieces, size_t bytes) {
  TM_RETURN_IF_ERROR(OpenActive());
  Segment& segment = active();
  auto written = segment.file->WriteAt(segment.size, pieces);
  if (written) return {};
  if (written.error().code == v1::DISK_FULL) {
    // Nothing of a refused append may stay: a later, shorter one would leave whole batches of it behind
    // itself. Nor may it come back with a loss of power, with another segment behind it: the cut is synced
    // with the next flush.
    segment.dirty = true;
    auto cut = segment.file->Truncate(segment.size);
    if (cut) return Fail(v1::DISK_FULL, "{}", written.error().message);
    DiskFailed(cut.error());
  } else {
    DiskFailed(written.error());
  }
  LOG_IF(ERROR, bytes > 0) << "append of " << bytes << " bytes at offset " << end_ << " failed";
  return std::unexpected(*failure_);
}

void Log::AfterAppend(size_t bytes, Offset end) {
  Segment& segment = active();
  segment.size += bytes;
  segment.dirty = true;
  CHECK_GT(end, end_);
  end_ = end;
  if (std::exchange(epoch_untold_, false)) epochs_dirty_ = true;
  NoteChange();
  FlushByConfig();
}

void Log::FlushByConfig() {
  const bool now = config_.durability == AckDurability::kSynced ||
                   end_ - flush_begun_ >= config_.flush_messages || config_.flush_time <= Duration::zero();
  if (now) {
    RequestFlush();
  } else if (config_.flush_time < kLongestFlushTime && !flush_due_) {
    flush_due_ = loop_.Now() + config_.flush_time;
    TimeFlush();
  }
}

// One timer at a time, however many flushes come before it: it is set anew when it has passed.
void Log::TimeFlush() {
  if (flush_timer_ && *flush_timer_ <= *flush_due_) return;
  flush_timer_ = flush_due_;
  host_.FlushAt(*this, *flush_due_);
}

void Log::FlushIfDue(MonoTime now) {
  if (flush_timer_ && *flush_timer_ <= now) flush_timer_.reset();
  if (!flush_due_) return;
  if (*flush_due_ <= now) {
    RequestFlush();
  } else {
    TimeFlush();
  }
}

Result<AppendResult> Log::AppendAsLeader(std::span<const UnstampedBatch> batches, LeaderEpoch epoch,
                                         WallMillis now) {
  TM_RETURN_IF_ERROR(Writable());
  AppendResult result{.base_offset = end_, .end_offset = end_, .append_time = now};
  if (batches.empty()) return result;
  if (const auto latest = epochs_.latest(); latest && *latest > epoch) {
    return Fail(v1::FENCED_LEADER_EPOCH, "epoch {} is older than the log's {}", epoch, *latest);
  }
  const uint64_t limit = std::min<uint64_t>(config_.segment_bytes, kMaxSegmentBytes);
  for (const UnstampedBatch& batch : batches) {
    const size_t size = BatchPrefixBytes(batch.body.size()) + batch.body.size();
    if (size > limit)
      return Fail(v1::RECORD_LIST_TOO_LARGE, "a batch of {} bytes, segments have {}", size, limit);
    result.bytes += size;
    result.end_offset += batch.last_offset_delta + 1ull;
  }
  if (result.bytes > kMaxSegmentBytes) {
    return Fail(v1::RECORD_LIST_TOO_LARGE, "{} bytes at once, at most {}", result.bytes, kMaxSegmentBytes);
  }
  TM_RETURN_IF_ERROR(RollIfNeeded(result.bytes, result.end_offset, now));

  std::vector<BatchPrefix> prefixes;
  std::vector<std::string_view> pieces;
  prefixes.reserve(batches.size());  // pieces point into it
  pieces.reserve(batches.size() * 2);
  Offset offset = end_;
  for (const UnstampedBatch& batch : batches) {
    prefixes.push_back(
        StampBatch(batch.body, batch.body_crc, offset, epoch, now, place_.key.topic, place_.key.partition));
    pieces.push_back(prefixes.back().view());
    pieces.push_back(batch.body);
    offset += batch.last_offset_delta + 1ull;
  }
  TM_RETURN_IF_ERROR(Write(pieces, result.bytes));

  if (epochs_.latest() != epoch) {
    epochs_.Begin(epoch, end_);
    epochs_dirty_ = true;
  }
  Segment& segment = active();
  if (segment.size == 0) segment.first_append_time = now;
  segment.last_append_time = now;
  uint64_t position = segment.size;
  offset = end_;
  for (size_t i = 0; i < batches.size(); ++i) {
    segment.index->OnBatch(offset, position, batches[i].max_timestamp, config_.index_interval_bytes);
    position += prefixes[i].size() + batches[i].body.size();
    offset += batches[i].last_offset_delta + 1ull;
  }
  AfterAppend(result.bytes, result.end_offset);
  return result;
}

Result<AppendResult> Log::AppendAsFollower(std::string_view bytes) {
  TM_RETURN_IF_ERROR(Writable());
  struct Fetched {
    BatchView view;
    Offset end;
    WallMillis timestamp;
  };
  std::vector<Fetched> batches;
  std::string continued;
  TM_ASSIGN_OR_RETURN(bytes, ContinueAt(bytes, end_, place_.key, &continued));
  AppendResult result{.base_offset = end_, .end_offset = end_};
  // Of the last record: an epoch that began here without one (a short leadership) binds nobody.
  LeaderEpoch latest = end_ > start_ ? epochs_.EpochAt(end_ - 1).value_or(0) : 0;
  while (!bytes.empty()) {
    BatchView batch;
    std::string why = "cut short";
    if (ParseBatch(bytes, &batch, nullptr, &why) != BatchParse::kOk) {
      return Fail(v1::CORRUPT_MESSAGE, "fetched bytes after offset {}: {}", result.end_offset, why);
    }
    bytes.remove_prefix(batch.total_bytes());
    TM_RETURN_IF_ERROR(VerifyBatch(batch, place_.key.topic, place_.key.partition));
    TM_ASSIGN_OR_RETURN(const BodyInfo info, ParseBody(batch.body));
    // Known already. One that only reaches into what is known is no continuation of this log.
    if (batch.base_offset < end_ && batch.base_offset + info.last_offset_delta < end_) continue;
    if (batch.base_offset != result.end_offset) {
      return Fail(v1::CORRUPT_MESSAGE, "fetched batch {} where {} was expected", batch.base_offset,
                  result.end_offset);
    }
    if (batch.leader_epoch < latest) {
      return Fail(v1::CORRUPT_MESSAGE, "fetched batch {} of epoch {} after epoch {}", batch.base_offset,
                  batch.leader_epoch, latest);
    }
    latest = batch.leader_epoch;
    if (batches.empty()) result.base_offset = batch.base_offset;
    result.end_offset = batch.base_offset + info.last_offset_delta + 1;
    result.append_time = batch.append_time;
    result.bytes += batch.total_bytes();
    batches.push_back({batch, result.end_offset, TimestampOf(batch, info)});
  }
  if (batches.empty()) return result;
  if (result.bytes > kMaxSegmentBytes)
    return Fail(v1::RECORD_LIST_TOO_LARGE, "{} bytes at once", result.bytes);
  TM_RETURN_IF_ERROR(RollIfNeeded(result.bytes, result.end_offset, result.append_time));
  // What is new is one run of bytes: the skipped batches come first.
  const char* begin = batches.front().view.bytes.data();
  const std::string_view run(begin, result.bytes);
  CHECK(batches.back().view.bytes.data() + batches.back().view.bytes.size() == run.data() + run.size());
  TM_RETURN_IF_ERROR(Write(std::span(&run, 1), run.size()));

  Segment& segment = active();
  if (segment.size == 0) segment.first_append_time = batches.front().view.append_time;
  segment.last_append_time = result.append_time;
  for (const Fetched& fetched : batches) {
    if (epochs_.latest() != fetched.view.leader_epoch) {
      epochs_.Begin(fetched.view.leader_epoch, fetched.view.base_offset);
      epochs_dirty_ = true;
    }
    const uint64_t position = segment.size + static_cast<uint64_t>(fetched.view.bytes.data() - begin);
    segment.index->OnBatch(fetched.view.base_offset, position, fetched.timestamp,
                           config_.index_interval_bytes);
  }
  AfterAppend(result.bytes, result.end_offset);
  return result;
}

bool Log::flush_needed() const {
  return flushed_end_ < end_ || directory_dirty_ || epochs_dirty_ ||
         std::any_of(
             segments_.begin(), segments_.end(),
             [this](const auto& segment) {
               return segment->dirty || (segment->sealed && segment->index) ||
                      (whole_index_ && segment->index && segment->entries_written < segment->index->size());
             });
}

void Log::RequestFlush() {
  if (flush_queued_ || failure_ || damage_ || closing_) return;
  if (changing_) {
    flush_wanted_ = true;
    return;
  }
  if (!flush_needed()) return;
  flush_queued_ = true;
  host_.EnqueueFlush(*this);
}

std::optional<FlushWork> Log::BeginFlush() {
  flush_queued_ = false;
  CHECK(!flush_running_);
  if (changing_) {
    flush_wanted_ = true;
    return std::nullopt;
  }
  if (failure_ || damage_ || !flush_needed()) return std::nullopt;
  FlushWork work{.end = end_, .generation = generation_};
  flush_begun_ = end_;
  flush_due_.reset();
  for (const auto& segment : segments_) {
    if (segment->dirty) {
      CHECK(segment->file) << segment->log_path() << " was closed before it was synced";
      work.files.push_back(segment->file);
      work.segments.push_back(segment);
      segment->dirty = false;
      segment->flushing = true;
    }
    if (!segment->index) continue;
    const size_t unwritten = segment->index->size() - segment->entries_written;
    if (!segment->sealed && unwritten < (whole_index_ ? 1 : kIndexEntriesPerWrite)) continue;
    IndexWrite write{.path_prefix = segment->path_prefix,
                     .truncate_first = segment->index_files_stale,
                     .first_entry = segment->entries_written,
                     .sync = segment->sealed};
    write.offsets = segment->index->EncodeOffsets(write.first_entry);
    write.times = segment->index->EncodeTimes(write.first_entry);
    if (segment->sealed) {
      const auto next = std::upper_bound(segments_.begin(), segments_.end(), segment->base_offset,
                                         [](Offset base, const auto& s) { return base < s->base_offset; });
      write.offsets += segment->index->SealOffsets((*next)->base_offset, segment->size);
      write.times += segment->index->SealTimes();
      directory_dirty_ = true;
      if (work.segments.empty() || work.segments.back() != segment) work.segments.push_back(segment);
    }
    segment->index_files_stale = false;
    segment->entries_written = segment->index->size();
    work.indexes.push_back(std::move(write));
  }
  if (epochs_dirty_) {
    work.epoch_table_path = EpochFilePath(place_.path);
    work.epoch_table = EncodeEpochTable(epochs_);
    work.table_begin = epochs_.begin();
    epochs_dirty_ = false;
  }
  if (std::exchange(directory_dirty_, false)) work.directory = place_.path;
  flush_running_ = true;
  return work;
}

void Log::EndFlush(const FlushWork& work, const Result<>& result) {
  flush_running_ = false;
  changed_.NotifyAll();
  host_.handles().NoteFlushed();
  flush_refused_ = !result && result.error().code == v1::DISK_FULL;
  if (flush_refused_) {
    // An index or epoch file could not be written; no sync has failed. All of the work is still to be done,
    // by the next append's or checkpoint round's request.
    LOG_EVERY_T(ERROR, 10) << "flush of " << place_.path << " postponed: " << ToString(result.error());
    for (const auto& segment : work.segments) {
      segment->dirty = segment->dirty || std::exchange(segment->flushing, false);
    }
    for (const auto& segment : segments_) {
      segment->index_files_stale = segment->index.has_value();
      segment->entries_written = 0;
    }
    flush_begun_ = flushed_end_;
    epochs_dirty_ = epochs_dirty_ || !work.epoch_table.empty();
    directory_dirty_ = true;
    return;
  }
  if (!result) {
    DiskFailed(result.error());
    return;
  }
  if (!work.epoch_table.empty()) table_begin_ = work.table_begin;
  // Changes wait for the flush, so the generation cannot have moved; if it had, the end would mean another
  // log.
  if (work.generation != generation_) return;
  for (const auto& segment : work.segments) {
    segment->entry_synced = true;
    segment->flushing = false;
    // The seal is durable only if it was part of this work: a segment sealed meanwhile has its turn next.
    const bool seal_written = std::any_of(
        work.indexes.begin(), work.indexes.end(),
        [&](const IndexWrite& write) { return write.sync && write.path_prefix == segment->path_prefix; });
    if (seal_written) segment->index.reset();
  }
  CHECK_LE(work.end, end_);
  if (work.end > flushed_end_) {
    flushed_end_ = work.end;
    NoteChange();
    NotifyFlush();
  }
}

void Log::CollectCheckpoint(std::vector<CheckpointChange>* changes) {
  change_noted_ = false;
  // A damaged log keeps the recovery point that tells of the damage.
  if (failure_ || damage_ || closing_) return;
  const auto add = [&](CheckpointKind kind, Offset* last, Offset now) {
    if (*last == now) return;
    *last = now;
    changes->push_back({kind, place_.key, place_.topic, now});
  };
  add(CheckpointKind::kRecoveryPoint, &checkpointed_recovery_point_, restarting_ ? 0 : flushed_end_);
  // What a change lowers it lowers itself; what it raises counts when it is done.
  if (!restarting_) add(CheckpointKind::kHighWatermark, &checkpointed_high_watermark_, high_watermark_);
  // It is checkpointed before the tombstones go, so the file may be ahead of what the log says.
  add(CheckpointKind::kDroppedTombstones, &cleaning_.checkpointed_drops,
      std::max(cleaning_.checkpointed_drops, cleaning_.drops.below()));
  if (!restarting_ && !truncating_) add(CheckpointKind::kLogStart, &checkpointed_start_, start_);
}

Task<void> Log::Settle() {
  while (operations_ > 0 || changing_ || removing_) co_await changed_.Wait("log to settle");
}

Task<void> Log::Quiesce() {
  closing_ = true;
  while (operations_ > 0 || flush_running_ || changing_ || removing_) co_await changed_.Wait("log quiesce");
}

}  // namespace tidemark
