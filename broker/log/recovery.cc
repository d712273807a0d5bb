#include "broker/log/recovery.h"

#include <algorithm>

#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/cleaner_files.h"
#include "broker/log/log_front.h"
#include "broker/log/partition_files.h"
#include "common/fault.h"

namespace tidemark {
namespace {

constexpr uint64_t kRewriteBytes = 1 << 20;  // at a time

class Recovery {
 public:
  Recovery(FileSystem& files, const RecoveryInput& input)
      : files_(files),
        input_(input),
        known_(input.recovery_point.has_value()),
        floor_(input.recovery_point.value_or(0)) {}

  Result<Recovered> Run();

 private:
  using SegmentPtr = std::shared_ptr<Segment>;

  Result<std::vector<Offset>> ListSegments();
  void LeaveUnread();
  Result<> TakeSegments();
  Result<> TakeMissingFront();
  Result<> LoadEpochs(bool has_segments);
  // Takes segment `i` over; false when the log ends in it (cut or damaged).
  Result<bool> TakeSegment(size_t i);
  Result<bool> TakeSealed(Segment& segment, Offset next_base);
  bool LeaveToSurvey(Segment& segment, Offset next_base);
  Result<bool> ScanSegment(Segment& segment, std::optional<Offset> next_base);
  SegmentIndex LoadIndex(Segment& segment);
  void MendIndex(const Segment& segment, const SegmentIndex& good);
  // The scan of `segment` met something bad after `segment.size` good bytes.
  Result<bool> EndAt(Segment& segment, BatchScanner* scanner, const std::string& why);
  // What a cut takes away though it is whole.
  struct Cut {
    size_t batches = 0;
    uint64_t bytes = 0;
  };
  Cut GoodAfter(BatchScanner& scanner);
  Result<> RemoveSegmentsAfter(Offset base);
  Result<> FinishSegment(Segment& segment, bool is_last);
  Result<> RewriteAboveFloor(Segment& segment);
  Result<> MakeDurable();
  Result<> GoOn() const;
  void SetDamage(const std::string& what);

  template <typename... Args>
  void Note(fmt::format_string<Args...> format, Args&&... args) {
    notes_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  FileSystem& files_;
  const RecoveryInput& input_;
  const bool known_;
  const Offset floor_;  // the recovery point; 0 when unknown
  std::vector<Offset> bases_;
  std::vector<SegmentPtr> segments_;
  std::vector<SegmentPtr> scanned_above_floor_;
  uint64_t above_floor_ = 0;  // in the segment scanned last: position of the first batch above the floor
  EpochTable epochs_;
  std::string epochs_on_disk_;
  std::optional<Offset> epochs_begin_;  // where the table on disk begins
  bool rebuild_epochs_ = false;
  bool epochs_stale_ = false;  // on disk
  bool epochs_readable_ = false;
  std::vector<std::pair<Offset, std::string>> orphans_;  // index files without their log, by base
  std::vector<std::string> taken_away_;                  // files below the start that are there still
  std::optional<Offset> missing_from_;                   // the log began there, and its oldest files are gone
  bool changed_directory_ = false;
  uint64_t scanned_bytes_ = 0;
  Offset end_ = 0;
  std::optional<Error> damage_;
  std::vector<std::string> notes_;
};

Result<std::vector<Offset>> Recovery::ListSegments() {
  const auto swapped = FinishSwaps(files_, input_.folder, input_.key, &notes_);
  if (!swapped && swapped.error().code != v1::CORRUPT_MESSAGE) return std::unexpected(swapped.error());
  TM_ASSIGN_OR_RETURN(const auto entries, files_.List(input_.folder));
  std::vector<Offset> bases;
  for (const auto& entry : entries) {
    if (const auto base = ParseSegmentName(entry.name, ".log"); base && !entry.is_directory)
      bases.push_back(*base);
  }
  if (!swapped) {
    SetDamage(swapped.error().message);
    return bases;
  }
  for (const auto& entry : entries) {
    std::optional<Offset> base = ParseSegmentName(entry.name, ".index");
    if (!base) base = ParseSegmentName(entry.name, ".timeindex");
    if (entry.name.ends_with(kDeletedSuffix)) taken_away_.push_back(input_.folder + "/" + entry.name);
    const bool orphan = base && std::find(bases.begin(), bases.end(), *base) == bases.end();
    if (orphan) orphans_.emplace_back(*base, input_.folder + "/" + entry.name);
    if (entry.name.ends_with(".tmp")) TM_RETURN_IF_ERROR(files_.Remove(input_.folder + "/" + entry.name));
  }
  return bases;  // sorted, as the names are of one length
}

Result<> Recovery::LoadEpochs(bool has_segments) {
  auto table = ReadEpochTable(files_, input_.folder);
  if (table) {
    epochs_readable_ = true;
    epochs_on_disk_ = EncodeEpochTable(*table);
    epochs_ = std::move(*table);
    if (!epochs_.entries().empty()) epochs_begin_ = epochs_.entries().front().start;
    // Emptied by a restart or a truncation that did not come to the data.
    rebuild_epochs_ = has_segments && !epochs_begin_ && std::max(bases_.front(), input_.log_start) < floor_;
    // What began at or above the recovery point is told by the batches themselves, as far as they are there.
    epochs_.TruncateTo(known_ || bases_.empty() ? floor_ : bases_.front());
    return {};
  }
  const bool missing = table.error().code == v1::NOT_FOUND;
  // A sector that cannot be read is damage of this file.
  if (!missing && table.error().code != v1::CORRUPT_MESSAGE && table.error().code != v1::IO_ERROR) {
    return std::unexpected(std::move(table).error());
  }
  rebuild_epochs_ = has_segments;
  if (!missing || (has_segments && floor_ > 0)) {
    Note("epoch table rebuilt from the batches: {}", table.error().message);
  }
  return {};
}

void Recovery::SetDamage(const std::string& what) {
  damage_ = Error{v1::KAFKA_STORAGE_ERROR, fmt::format("damaged log in {}: {}", input_.folder, what)};
  Note("{}", damage_->message);
}

Result<bool> Recovery::TakeSealed(Segment& segment, Offset next_base) {
  const auto seal = ReadSeal(files_, segment.path_prefix, segment.base_offset);
  if (!seal || seal->end != next_base || seal->size != segment.size) return false;
  segment.sealed = true;
  segment.first_append_time = FirstAppendTime(*segment.file, input_.key, segment.size);
  segment.max_timestamp = seal->max_timestamp;
  segment.max_timestamp_offset = seal->max_timestamp_offset;
  segment.trusted_from = segment.size;
  segment.file.reset();
  end_ = next_base;
  return true;
}

// Of the active segment's index files what is good is left. What cannot be written now is when there are more
// entries.
void Recovery::MendIndex(const Segment& segment, const SegmentIndex& good) {
  // Else a loss of power explains it.
  if (input_.clean) Note("index {}.index was damaged and is rebuilt", segment.path_prefix);
  const auto written = WriteIndex(files_, {.path_prefix = segment.path_prefix,
                                           .truncate_first = true,
                                           .offsets = good.EncodeOffsets(0),
                                           .times = good.EncodeTimes(0)});
  if (!written) Note("{}", written.error().message);
}

SegmentIndex Recovery::LoadIndex(Segment& segment) {
  SegmentIndex index(segment.base_offset);
  segment.index_files_stale = true;
  if (rebuild_epochs_ || !known_) return index;  // every batch is to be seen
  const auto offsets = ReadFile(files_, segment.path_prefix + ".index");
  const auto times = ReadFile(files_, segment.path_prefix + ".timeindex");
  if (!offsets || !times) return index;
  SegmentIndex loaded = SegmentIndex::Decode(segment.base_offset, *offsets, *times);
  const bool whole = offsets->size() == loaded.size() * SegmentIndex::kOffsetEntryBytes &&
                     times->size() == loaded.size() * SegmentIndex::kTimeEntryBytes;
  if (!whole) MendIndex(segment, loaded);
  const size_t before = loaded.size();
  loaded.TruncateTo(floor_);
  if (loaded.size() == 0) return index;
  // The last entry must point at its batch; if it does not, none is believed.
  const auto& last = loaded.offsets().back();
  BatchScanner scanner(*segment.file, input_.key, last.position, segment.size);
  BatchView batch;
  if (last.position >= segment.size || scanner.Next(&batch, nullptr) != BatchScanner::Step::kBatch ||
      batch.base_offset != segment.base_offset + last.relative_offset) {
    Note("index {}.index does not match its segment and is rebuilt", segment.path_prefix);
    MendIndex(segment, index);
    return index;
  }
  segment.index_files_stale = loaded.size() != before;
  // What is stale is written whole.
  segment.entries_written = segment.index_files_stale ? 0 : loaded.size();
  return loaded;
}

Result<bool> Recovery::ScanSegment(Segment& segment, std::optional<Offset> next_base) {
  SegmentIndex index = LoadIndex(segment);
  const uint64_t from = index.size() == 0 ? 0 : index.offsets().back().position;
  Offset expected =
      index.size() == 0 ? segment.base_offset : index.base() + index.offsets().back().relative_offset;
  // The index starts with the batch it points at once more: it adds nothing for it.
  BatchScanner scanner(*segment.file, input_.key, from, segment.size);
  const uint64_t file_size = segment.size;
  segment.size = from;
  above_floor_ = from;
  BatchView batch;
  BodyInfo info;
  std::string why;
  BatchScanner::Step step;
  while ((step = scanner.Next(&batch, &info)) == BatchScanner::Step::kBatch) {
    TM_RETURN_IF_ERROR(GoOn());
    const auto latest = epochs_.latest();
    const Offset next = batch.base_offset + info.last_offset_delta + 1;
    // Also a batch that the recovery point lies in, or the table would lack an epoch for what follows.
    const bool decides_epochs = rebuild_epochs_ || next > floor_;
    if (batch.base_offset != expected || (next_base && batch.base_offset >= *next_base)) {
      why = fmt::format("batch {} where {} was expected", batch.base_offset, expected);
    } else if (next_base && *next_base <= floor_ && next > *next_base) {
      // It was on disk with what follows it, so it is this batch that is wrong, not the next segment.
      why = fmt::format("batch {} to {} where the next segment begins at {}", batch.base_offset, next - 1,
                        *next_base);
    } else if (decides_epochs && latest && batch.leader_epoch < *latest) {
      why =
          fmt::format("batch {} of epoch {} after epoch {}", batch.base_offset, batch.leader_epoch, *latest);
    }
    if (!why.empty()) break;
    if (decides_epochs) epochs_.Begin(batch.leader_epoch, batch.base_offset);
    const WallMillis timestamp =
        info.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? batch.append_time : info.max_timestamp;
    index.OnBatch(batch.base_offset, scanner.position(), timestamp, input_.index_interval_bytes);
    expected = next;
    if (expected <= floor_) above_floor_ = scanner.next_position();
    segment.size = scanner.next_position();
    end_ = expected;
  }
  if (step == BatchScanner::Step::kIoError) why = "unreadable: " + scanner.error().message;
  if (step == BatchScanner::Step::kBad) why = scanner.error().message;
  end_ = expected;
  scanned_bytes_ += segment.size - from;
  segment.max_timestamp = index.max_timestamp();
  segment.max_timestamp_offset = index.max_timestamp_offset();
  segment.index = std::move(index);
  segment.trusted_from = segment.size;
  if (end_ > floor_) segment.dirty = true;
  if (!why.empty()) {
    // An unreadable sector is damage of this log wherever it is: a cut would be a guess, and the directory's
    // others have nothing to do with it.
    if (step == BatchScanner::Step::kIoError) {
      SetDamage(
          fmt::format("after offset {}: {} at byte {} of {}", end_, why, segment.size, segment.log_path()));
      return false;
    }
    return EndAt(segment, &scanner,
                 fmt::format("{} at byte {} of {}", why, segment.size, segment.log_path()));
  }
  if (next_base && end_ != *next_base) {
    return EndAt(segment, nullptr,
                 fmt::format("{} ends at {} ({} bytes), the next segment begins at {}", segment.log_path(),
                             end_, file_size, *next_base));
  }
  return true;
}

// Whole batches after the bad place, up to the end of the file, whose offsets go on rising.
Recovery::Cut Recovery::GoodAfter(BatchScanner& scanner) {
  Cut good;
  Offset next = end_;
  BatchView batch;
  BodyInfo info;
  while (scanner.Resync(scanner.BytesToSkip(next))) {
    BatchScanner::Step step;
    while ((step = scanner.Next(&batch, &info)) == BatchScanner::Step::kBatch) {
      if (batch.base_offset < next) continue;
      next = batch.base_offset + info.last_offset_delta + 1;
      ++good.batches;
      good.bytes += batch.total_bytes();
    }
    if (step == BatchScanner::Step::kIoError) ++good.batches;  // it may be
    if (step != BatchScanner::Step::kBad) break;
  }
  return good;
}

Result<> Recovery::RemoveSegmentsAfter(Offset base) {
  // From the end, so that after a crash on the way what is left is a prefix still.
  while (bases_.back() > base) {
    TM_RETURN_IF_ERROR(RemoveSegmentFiles(files_, SegmentPathPrefix(input_.folder, bases_.back())));
    bases_.pop_back();
    changed_directory_ = true;
  }
  return {};
}

// Above the recovery point the log is cut at the first bad batch, and good ones behind it go with it, even
// where their offsets and epochs would follow. A loss of power leaves just that: of what was never synced a
// later page may be on disk and an earlier one not, and nothing in the bytes tells such a hole from rot. Kept
// and noted as damage, the hole would be offsets that were acknowledged to nobody and that no replica may
// have: nobody could fill it, the high watermark would pass over it, and whoever leads would refuse it to
// consumers for ever. Cut, nothing acknowledged is lost: what was synced lies before the hole, and what
// another replica has of the rest comes back from the leader. Rot between the recovery point (checkpointed
// every few seconds, and at once when damage is found) and what was synced behind it is cut too; each other
// replica in sync has these records, and only one that lost them in the same way, or is elected alone after a
// stop of all of them, would drop them. How much goes is told.
Result<bool> Recovery::EndAt(Segment& segment, BatchScanner* scanner, const std::string& why) {
  if (end_ < floor_) {
    SetDamage(fmt::format("below the recovery point {}, after offset {}: {}", floor_, end_, why));
    return false;
  }
  TM_ASSIGN_OR_RETURN(const uint64_t file_size, segment.file->Size());
  const Cut good = scanner != nullptr ? GoodAfter(*scanner) : Cut();
  uint64_t later_bytes = 0;
  size_t later = 0;
  for (const Offset base : bases_) {
    if (base <= segment.base_offset) continue;
    ++later;
    const auto file = files_.Open(SegmentPathPrefix(input_.folder, base) + ".log", OpenMode::kRead);
    if (file) later_bytes += (*file)->Size().value_or(0);
  }
  if (!known_ && (good.batches > 0 || later > 0)) {
    SetDamage(
        fmt::format("{} good batches and {} segments follow (recovery point unknown) after offset {}: {}",
                    good.batches, later, end_, why));
    return false;
  }
  Note(
      "cut at offset {}: {}; dropped {} bytes, of them {} in {} good batches after it, and {} later "
      "segments of {} bytes",
      end_, why, file_size - segment.size, good.bytes, good.batches, later, later_bytes);
  TM_RETURN_IF_ERROR(RemoveSegmentsAfter(segment.base_offset));
  TM_RETURN_IF_ERROR(segment.file->Truncate(segment.size));
  segment.dirty = true;
  segment.index_files_stale = true;
  return false;
}

Result<> Recovery::GoOn() const {
  if (input_.stop.stop_requested())
    return Fail(v1::CANCELLED, "the recovery of {} is stopped", input_.folder);
  return {};
}

// Where it ends and what follows it is known, so what is damaged is noted range by range, as after a clean
// stop.
bool Recovery::LeaveToSurvey(Segment& segment, Offset next_base) {
  segment = Segment{.base_offset = segment.base_offset,
                    .path_prefix = segment.path_prefix,
                    .surveyed = false,
                    .sealed = true};
  end_ = next_base;
  damage_.reset();
  return true;
}

Result<bool> Recovery::TakeSegment(size_t i) {
  TM_RETURN_IF_ERROR(GoOn());
  auto segment = std::make_shared<Segment>();
  segment->base_offset = bases_[i];
  segment->path_prefix = SegmentPathPrefix(input_.folder, bases_[i]);
  std::optional<Offset> next_base;
  if (i + 1 < bases_.size()) next_base = bases_[i + 1];
  const bool on_disk = next_base && known_ && *next_base <= floor_ && !rebuild_epochs_;
  segments_.push_back(segment);
  if (on_disk && input_.clean) {
    segment->sealed = true;
    segment->surveyed = false;
    end_ = *next_base;
    return true;
  }
  TM_ASSIGN_OR_RETURN(segment->file, files_.Open(segment->log_path(), OpenMode::kReadWrite));
  TM_ASSIGN_OR_RETURN(segment->size, segment->file->Size());
  if (on_disk) {
    TM_ASSIGN_OR_RETURN(const bool taken, TakeSealed(*segment, *next_base));
    if (taken) return true;
    Note("index of {} is missing or wrong and is rebuilt", segment->log_path());
  }
  TM_ASSIGN_OR_RETURN(const bool whole, ScanSegment(*segment, next_base));
  if (damage_ && on_disk) return LeaveToSurvey(*segment, *next_base);
  if (!damage_) TM_RETURN_IF_ERROR(FinishSegment(*segment, !next_base || !whole));
  return whole && !damage_;
}

// The oldest segments' files are gone: they are one segment whose bytes are missing, which is found damaged
// when it is looked at. Their batches were on disk, for those after them were. What has been taken away goes
// when all that tells of the start says so: until then it explains why no such segment is there.
Result<> Recovery::TakeMissingFront() {
  FrontWitnesses witnesses{.first_base = bases_.empty() ? 0 : bases_.front(),
                           .checkpoint = {},
                           .table_readable = epochs_readable_,
                           .table_begin = epochs_begin_,
                           .recovery_point = input_.recovery_point};
  if (input_.log_start_known) witnesses.checkpoint = input_.log_start;
  std::optional<Offset> begin = MissingFront(witnesses);
  if (TM_BUG("front-unmissed")) begin.reset();
  if (begin && !taken_away_.empty()) {
    begin.reset();
  } else {
    for (const std::string& path : std::exchange(taken_away_, {})) TM_RETURN_IF_ERROR(files_.Remove(path));
  }
  // The log may begin within a batch, and the batch is to come back whole: an index file that is left says
  // where its segment began.
  Offset base = begin.value_or(0);
  if (begin) {
    for (const auto& [orphan, path] : orphans_) {
      if (orphan <= *begin) base = orphan;
    }
  }
  for (const auto& [orphan, path] : orphans_) {
    if (!begin || orphan != base) TM_RETURN_IF_ERROR(files_.Remove(path));
  }
  if (!begin) return {};
  Note("offsets {} to {} are missing: no segment before {} is there", *begin, bases_.front() - 1,
       SegmentPathPrefix(input_.folder, bases_.front()));
  missing_from_ = begin;
  auto segment = std::make_shared<Segment>();
  segment->base_offset = base;
  segment->path_prefix = SegmentPathPrefix(input_.folder, base);
  segment->sealed = true;
  segment->surveyed = false;
  segments_.push_back(std::move(segment));
  return {};
}

// A sync that failed has left pages in the cache that the kernel takes for clean: another sync alone would
// say yes without writing them. So they are made dirty first.
Result<> Recovery::RewriteAboveFloor(Segment& segment) {
  std::string buffer;
  for (uint64_t at = above_floor_; at < segment.size; at += buffer.size()) {
    TM_RETURN_IF_ERROR(GoOn());
    buffer.resize(std::min(kRewriteBytes, segment.size - at));
    const auto read = segment.file->ReadAt(at, buffer);
    if (!read) {  // of the scan it could be read: as there
      SetDamage(fmt::format("{} at byte {} of {}", read.error().message, at, segment.log_path()));
      return {};
    }
    if (*read < buffer.size()) return Fail(v1::IO_ERROR, "{} became shorter", segment.log_path());
    TM_RETURN_IF_ERROR(segment.file->WriteAt(at, buffer));
  }
  return {};
}

// A scanned segment: sealed with new index files when others follow, else the active one.
Result<> Recovery::FinishSegment(Segment& segment, bool is_last) {
  if (segment.dirty) {
    TM_RETURN_IF_ERROR(RewriteAboveFloor(segment));
    if (damage_) return {};
    TM_RETURN_IF_ERROR(segment.file->Sync());
  }
  segment.dirty = false;
  segment.first_append_time = FirstAppendTime(*segment.file, input_.key, segment.size);
  if (is_last) return {};
  IndexWrite write{.path_prefix = segment.path_prefix, .truncate_first = true, .sync = true};
  write.offsets = segment.index->EncodeOffsets(0) + segment.index->SealOffsets(end_, segment.size);
  write.times = segment.index->EncodeTimes(0) + segment.index->SealTimes();
  const auto written = WriteIndex(files_, write);
  // Without room the index stays in memory until a flush can write it.
  if (!written && written.error().code != v1::DISK_FULL) return written;
  changed_directory_ = true;
  segment.sealed = true;
  if (written) segment.index.reset();
  segment.entries_written = 0;
  segment.index_files_stale = !written;
  segment.file.reset();
  return {};
}

Result<> Recovery::MakeDurable() {
  if (changed_directory_ || end_ > floor_ || !known_) TM_RETURN_IF_ERROR(files_.SyncDirectory(input_.folder));
  if (const std::string bytes = EncodeEpochTable(epochs_); bytes != epochs_on_disk_) {
    const auto written = WriteFileDurably(files_, EpochFilePath(input_.folder), bytes);
    if (!written && written.error().code != v1::DISK_FULL) return written;
    epochs_stale_ = !written;
  }
  return {};
}

// Nothing of the log is known, and nothing of it may be touched.
void Recovery::LeaveUnread() {
  end_ = bases_.empty() ? 0 : bases_.front();
  auto segment = std::make_shared<Segment>();
  segment->base_offset = end_;
  segment->path_prefix = SegmentPathPrefix(input_.folder, end_);
  segment->index.emplace(end_);
  segments_.push_back(std::move(segment));
}

Result<> Recovery::TakeSegments() {
  TM_RETURN_IF_ERROR(LoadEpochs(!bases_.empty()));
  if (bases_.empty()) {
    TM_ASSIGN_OR_RETURN(auto segment, CreateSegment(files_, input_.folder, 0));
    // Its folder is synced below: a log that was only created has nothing to flush and keeps no file open.
    TM_RETURN_IF_ERROR(segment->file->Sync());
    segment->dirty = false;
    segments_.push_back(std::move(segment));
    changed_directory_ = true;
  }
  end_ = bases_.empty() ? 0 : bases_.front();
  TM_RETURN_IF_ERROR(TakeMissingFront());
  for (size_t i = 0; i < bases_.size(); ++i) {
    TM_ASSIGN_OR_RETURN(const bool more, TakeSegment(i));
    if (!more) break;
  }
  if (!damage_ && end_ < floor_) {
    SetDamage(fmt::format("it ends at offset {}, but was on disk up to {}", end_, floor_));
  }
  return {};
}

Result<Recovered> Recovery::Run() {
  TM_ASSIGN_OR_RETURN(bases_, ListSegments());
  if (damage_) {
    LeaveUnread();
  } else {
    TM_RETURN_IF_ERROR(TakeSegments());
  }
  Offset start = std::max(segments_.front()->base_offset, std::min(input_.log_start, end_));
  // The table is cut at the front when the start moves, and may be on disk before the start's checkpoint is.
  if (epochs_begin_) start = std::max(start, std::min(*epochs_begin_, end_));
  epochs_.TruncateTo(end_);
  epochs_.AdvanceStart(start);
  // Made anew it lacks the epochs of what is missing. That they were those of what follows is a guess; where
  // it is wrong the repair finds that the leader's batches do not fit, and the log is copied anew.
  if (missing_from_) epochs_.ReachBackTo(start);
  if (!damage_) TM_RETURN_IF_ERROR(MakeDurable());
  for (const SegmentPtr& segment : segments_) {
    segment->entry_synced = true;
    if (!segment->dirty) segment->file.reset();
  }
  Recovered out;
  out.state.start = start;
  out.state.end = std::max(end_, out.state.start);
  out.state.high_watermark = std::clamp(input_.high_watermark, out.state.start, out.state.end);
  out.state.recovery_point = floor_;
  out.state.checkpointed_start = input_.log_start;
  out.state.segments = std::move(segments_);
  out.state.epochs = std::move(epochs_);
  out.state.epochs_stale = epochs_stale_;
  out.state.taken_away = std::move(taken_away_);
  out.state.damage = std::move(damage_);
  out.notes = std::move(notes_);
  out.scanned_bytes = scanned_bytes_;
  return out;
}

}  // namespace

Result<Recovered> RecoverLog(FileSystem& files, const RecoveryInput& input) {
  return Recovery(files, input).Run();
}

Result<std::shared_ptr<Segment>> CreateSegment(FileSystem& files, const std::string& folder,
                                               Offset base_offset) {
  auto segment = std::make_shared<Segment>();
  segment->base_offset = base_offset;
  segment->path_prefix = SegmentPathPrefix(folder, base_offset);
  TM_ASSIGN_OR_RETURN(segment->file, files.Open(segment->log_path(), OpenMode::kCreateNew));
  segment->index.emplace(base_offset);
  segment->index_files_stale = true;
  segment->entry_synced = false;
  segment->dirty = true;
  return segment;
}

}  // namespace tidemark
