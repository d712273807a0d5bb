// Reading: by offset and by timestamp. What is in the page cache is read on the loop, the rest on the
// blocking pool.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/disk_waits.h"
#include "broker/log/drop_on_pool.h"
#include "broker/log/file_handles.h"
#include "broker/log/log_internal.h"
#include "common/fault.h"
#include "common/record/batch.h"
#include "common/record/reader.h"

namespace tidemark {
namespace {

constexpr WallMillis kGreatestTimestamp = -3;

// A segment as a search on the pool sees it.
struct SearchPlace {
  std::string path_prefix;
  Offset base = 0;
  Offset end = 0;  // one past its last offset
  uint64_t size = 0;
  WallMillis reached = 0;  // no record in it is later
  uint64_t skip_to = 0;    // no earlier than here, where `skip_next` begins
  Offset skip_next = 0;
  std::optional<uint64_t> position;  // where to start; looked up in the index files when empty
  // For the greatest: nothing below `rest` (the search's end, where empty) is later, as far as it is known.
  std::optional<WallMillis> peak;
  std::optional<uint64_t> rest;
  std::string missing;  // why nothing of it can be read
};

struct SearchRange {
  WallMillis timestamp = 0;
  Offset from = 0;
  Offset below = 0;
};

// The first record of a batch that is in range with at least range.timestamp.
Result<std::optional<TimestampLookup>> FindInBatch(const BatchView& batch, const SearchRange& range,
                                                   ScratchBuffer& scratch, bool greatest) {
  std::optional<TimestampLookup> best;
  auto reader = RecordReader::Open(batch, scratch);
  if (!reader) return std::unexpected(std::move(reader).error());
  RecordView record;
  while (reader->Next(&record)) {
    if (record.offset >= range.below) break;
    if (record.offset < range.from || record.timestamp < range.timestamp) continue;
    if (best && record.timestamp <= best->timestamp) continue;
    best = TimestampLookup{record.offset, record.timestamp, batch.leader_epoch};
    if (!greatest) break;
  }
  if (reader->error()) return std::unexpected(*reader->error());
  return best;
}

WallMillis BatchTimestamp(const BatchView& batch, const BodyInfo& info) {
  return info.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? batch.append_time : info.max_timestamp;
}

// Pool thread. From the batch at `position` on; with `greatest`, the greatest timestamp in range instead of
// the first that reaches it.
Result<std::optional<TimestampLookup>> ScanSegment(FileSystem& files, const PartitionKey& key,
                                                   const SearchPlace& place, const SearchRange& range,
                                                   uint64_t position, bool greatest) {
  if (!place.missing.empty()) return Fail(v1::CORRUPT_MESSAGE, "{}", place.missing);
  TM_ASSIGN_OR_RETURN(const auto file, files.Open(place.path_prefix + ".log", OpenMode::kRead));
  position = std::max(position, place.skip_to);
  // What is not there cannot be told from what is not late enough, so it is missed where it belongs.
  std::optional<Offset> expected;
  if (position == 0) expected = place.base;
  if (position > 0 && position == place.skip_to) expected = place.skip_next;
  BatchScanner scanner(*file, key, position, place.size);
  ScratchBuffer scratch;
  std::optional<TimestampLookup> best;
  BatchView batch;
  BodyInfo info;
  BatchScanner::Step step;
  while ((step = scanner.Next(&batch, &info)) == BatchScanner::Step::kBatch) {
    if (batch.base_offset != expected.value_or(batch.base_offset)) break;
    if (batch.base_offset >= range.below) return best;
    expected = batch.base_offset + info.last_offset_delta + 1;
    if (batch.base_offset + info.last_offset_delta < range.from) continue;
    const WallMillis timestamp = BatchTimestamp(batch, info);
    if (greatest ? best && timestamp <= best->timestamp : timestamp < range.timestamp) continue;
    SearchRange within = range;
    if (greatest) within.timestamp = best ? best->timestamp + 1 : kNoTimestamp;
    TM_ASSIGN_OR_RETURN(const auto found, FindInBatch(batch, within, scratch, greatest));
    if (found && !greatest) return found;
    if (found) best = found;
  }
  if (expected && (*expected >= range.below || *expected == place.end)) return best;
  if (step == BatchScanner::Step::kBad || step == BatchScanner::Step::kIoError) {
    return std::unexpected(scanner.error());
  }
  return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}.log: the batch at offset {} is missing", scanner.position(),
              place.path_prefix, expected.value_or(place.base));
}

// Pool thread. The first that reaches range.timestamp.
Result<std::optional<TimestampLookup>> FindFirst(FileSystem& files, const PartitionKey& key,
                                                 const SearchPlace& place, const SearchRange& range) {
  const uint64_t position =
      place.position ? *place.position
                     : LookUpTimestamp(files, place.path_prefix, place.base, range.timestamp).value_or(0);
  return ScanSegment(files, key, place, range, position, false);
}

// Pool thread. The first of those with the greatest timestamp. Not the whole segment is read where the index
// knows who that is; what it knows is only believed where that record is found.
Result<std::optional<TimestampLookup>> FindGreatest(FileSystem& files, const PartitionKey& key,
                                                    const SearchPlace& place, SearchRange range) {
  std::optional<TimestampLookup> best;
  if (place.peak) {
    range.timestamp = *place.peak;
    TM_ASSIGN_OR_RETURN(best, FindFirst(files, key, place, range));
  }
  if (!best) return ScanSegment(files, key, place, range, 0, true);
  if (!place.rest) return best;
  TM_ASSIGN_OR_RETURN(const auto later, ScanSegment(files, key, place, range, *place.rest, true));
  return later && later->timestamp > best->timestamp ? later : best;
}

// What is known of the greatest timestamp below `below`.
void SetPeak(const Segment& segment, Offset below, SearchPlace* place) {
  if (place->end <= below) {
    place->peak = place->reached;
  } else if (segment.index) {
    const auto peak = segment.index->PeakBelow(below);
    if (!peak) return;
    place->peak = peak->timestamp;
    place->rest = peak->position;
  }
  if (segment.index && place->peak) place->position = segment.index->PositionForTimestamp(*place->peak);
}

// Pool thread: scans a whole sealed segment whose index files are damaged.
Result<SegmentIndex> RebuildIndex(File& file, const PartitionKey& key, Offset base, uint64_t size,
                                  uint32_t interval) {
  SegmentIndex index(base);
  BatchScanner scanner(file, key, 0, size);
  BatchView batch;
  BodyInfo info;
  Offset end = base;
  while (true) {
    switch (scanner.Next(&batch, &info)) {
      case BatchScanner::Step::kBatch:
        if (batch.base_offset < end) {
          return Fail(v1::CORRUPT_MESSAGE, "batch {} after offset {}", batch.base_offset, end);
        }
        end = batch.base_offset + info.last_offset_delta + 1;
        index.OnBatch(batch.base_offset, scanner.position(), BatchTimestamp(batch, info), interval);
        break;
      case BatchScanner::Step::kEnd:
        return index;
      case BatchScanner::Step::kBad:
      case BatchScanner::Step::kIoError:
        return std::unexpected(scanner.error());
    }
  }
}

}  // namespace

// Walks the batches of a buffer and keeps the run of those wanted.
struct Log::ReadWindow {
  Offset from = 0;
  Offset limit = 0;
  size_t max_bytes = 0;
  uint64_t position = 0;  // of the buffer in the file
  // Results.
  size_t at = 0;  // walked so far
  std::optional<size_t> begin;
  std::optional<Offset> expected;  // where the next batch begins; empty: at or below `from`
  size_t end = 0;
  Offset next = 0;
  size_t needed = 0;     // of the batch at `at`, when it is not whole in the buffer
  bool reached = false;  // the limit or max_bytes
};

size_t Log::SegmentIndexFor(Offset offset) const {
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), offset,
                       [](Offset wanted, const auto& segment) { return wanted < segment->base_offset; });
  return after == segments_.begin() ? 0 : static_cast<size_t>(after - segments_.begin()) - 1;
}

const Log::Cursor* Log::FindCursor(const Segment& segment, Offset next) const {
  for (const Cursor& cursor : cursors_) {
    if (cursor.next == next && cursor.segment.lock().get() == &segment) return &cursor;
  }
  return nullptr;
}

void Log::RememberCursor(const std::shared_ptr<Segment>& segment, Offset next, uint64_t position,
                         const ReadStream& stream) {
  cursors_[next_cursor_++ % kCursors] = {segment, next, position, stream};
}

void Log::ForgetCursors() { cursors_.fill({}); }

Task<Result<std::shared_ptr<File>>> Log::OpenForRead(std::shared_ptr<Segment> segment) {
  if (segment->file) {
    FileHandles::NoteUse(*segment);
    co_return segment->file;
  }
  std::optional<DiskWaits::Mark> waiting(std::in_place, host_.disk_waits(), loop_.Now(), place_.directory);
  auto opened = co_await RunBlocking(pool_, loop_, "open segment", [this, path = segment->log_path()] {
    return files_.Open(path, OpenMode::kReadWrite);
  });
  waiting.reset();
  if (!opened) {
    // A file that is gone is damage; one that cannot be opened (too many are) is not.
    const ErrorCode code =
        opened.error().code == v1::NOT_FOUND ? v1::CORRUPT_MESSAGE : v1::KAFKA_STORAGE_ERROR;
    co_return Fail(code, "{}", opened.error().message);
  }
  std::shared_ptr<File> file = FreedOnPool(pool_, std::move(*opened));
  // Another reader may have opened it meanwhile.
  if (segment->file) co_return segment->file;
  segment->file = file;
  host_.handles().NoteOpen(segment);
  co_return file;
}

Task<Result<uint64_t>> Log::FindPosition(std::shared_ptr<Segment> segment, Offset offset) {
  if (const Cursor* cursor = FindCursor(*segment, offset)) co_return cursor->position;
  if (segment->index) co_return segment->index->PositionFor(offset);
  if (offset <= segment->base_offset) co_return 0;
  std::optional<DiskWaits::Mark> waiting(std::in_place, host_.disk_waits(), loop_.Now(), place_.directory);
  const auto position = co_await RunBlocking(pool_, loop_, "index lookup", [this, segment, offset] {
    return LookUpPosition(files_, segment->path_prefix, segment->base_offset, offset);
  });
  waiting.reset();
  if (position) co_return *position;
  LOG(WARNING) << "index of " << segment->log_path() << " is damaged; it is rebuilt";
  const uint64_t generation = generation_;
  TM_CO_ASSIGN_OR_RETURN(const auto file, co_await OpenForRead(segment));
  auto index = co_await RunBlocking(
      pool_, loop_, "index rebuild",
      [this, file, segment, size = segment->size, interval = config_.index_interval_bytes] {
        return RebuildIndex(*file, place_.key, segment->base_offset, size, interval);
      });
  if (!index && index.error().code != v1::CORRUPT_MESSAGE) {
    co_return std::unexpected(std::move(index).error());
  }
  // Found from the beginning, past what is damaged, until that is repaired.
  if (!index) {
    (void)co_await SearchDamage(segment);
    co_return 0;
  }
  const uint64_t found = index->PositionFor(offset);
  if (generation == generation_ && segment->sealed && !segment->index) {
    segment->index = std::move(*index);
    segment->entries_written = 0;
    segment->index_files_stale = true;
    RequestFlush();
  }
  co_return found;
}

Task<Result<size_t>> Log::ReadBytes(std::shared_ptr<File> file, uint64_t position, std::span<char> buffer,
                                    bool* cold) {
  bool would_block = false;
  const auto read = file->ReadAtNowait(position, buffer, &would_block);
  if (!read || !would_block) co_return read;
  *cold = true;
  const DiskWaits::Mark waiting(host_.disk_waits(), loop_.Now(), place_.directory);
  co_return co_await RunBlocking(pool_, loop_, "cold read",
                                 [file, position, buffer] { return file->ReadAt(position, buffer); });
}

Result<> Log::WalkWindow(const Segment& segment, std::string_view bytes, bool cold,
                         ReadWindow* window) const {
  while (true) {
    auto walked = WalkBatch(segment, bytes, cold, window);
    if (walked && *walked) continue;
    if (walked) return {};
    // What is whole is answered first; the next read begins with the damage.
    window->reached = window->begin.has_value();
    if (window->reached) return {};
    return std::unexpected(std::move(walked).error());
  }
}

// False: there is no further batch to be had from the buffer.
Result<bool> Log::WalkBatch(const Segment& segment, std::string_view bytes, bool cold,
                            ReadWindow* window) const {
  while (true) {
    BatchView batch;
    std::string why;
    window->needed = 0;
    switch (ParseBatch(bytes.substr(window->at), &batch, &window->needed, &why)) {
      case BatchParse::kOk:
        break;
      case BatchParse::kNeedMore:
      case BatchParse::kEnd:
        return false;
      case BatchParse::kPadding:
        window->at += std::min(window->needed, bytes.size() - window->at);
        continue;
      case BatchParse::kZeros:
        why = "zero bytes";
        [[fallthrough]];
      case BatchParse::kCorrupt:
        return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}: {}", window->position + window->at,
                    segment.log_path(), why);
    }
    // What this process appended was checked on its way in and comes from its own page-cache pages, as long
    // as the segment is new.
    const bool check_body = cold || segment.sealed || window->position + window->at < segment.trusted_from;
    if (!VerifyHeaderCrc(batch, place_.key.topic, place_.key.partition) ||
        (check_body && !VerifyBodyCrc(batch))) {
      if (TM_BUG("pass-over-rot")) {
        window->reached = window->begin.has_value();
        if (window->reached) return false;
        window->expected.reset();
        window->from = std::max(window->from, batch.base_offset + 1);
        window->at += batch.total_bytes();
        return true;
      }
      return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}: batch {} has a wrong checksum",
                  window->position + window->at, segment.log_path(), batch.base_offset);
    }
    TM_ASSIGN_OR_RETURN(const BodyInfo info, ParseBody(batch.body));
    const Offset next = batch.base_offset + info.last_offset_delta + 1;
    const bool follows =
        window->expected ? batch.base_offset == *window->expected : batch.base_offset <= window->from;
    if (!follows || next <= batch.base_offset) {
      return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}: batch [{}, {}) where offset {} belongs",
                  window->position + window->at, segment.log_path(), batch.base_offset, next,
                  window->expected.value_or(window->from));
    }
    window->expected = next;
    const size_t end = window->at + batch.total_bytes();
    if (next > window->limit || (window->begin && end - *window->begin > window->max_bytes)) {
      window->reached = true;
      return false;
    }
    if (next > window->from) {
      if (!window->begin) window->begin = window->at;
      window->end = end;
      window->next = next;
    }
    window->at = end;
    return true;
  }
}

// Not in the middle of a batch where the index knows better: what was read of a cut batch is read again by
// the next one.
uint64_t Log::ReadEnd(const Segment& segment, uint64_t size, uint64_t position, size_t want) {
  const uint64_t end = position + std::max(want, kMaxBatchPrefixBytes);
  if (end >= size) return size;
  const uint64_t start = segment.index ? segment.index->LastStartUpTo(end) : 0;
  return start > position ? start : end;
}

// On the pool: the hint may wait for the disk's queue. Nobody waits for the hint.
void Log::Advise(std::shared_ptr<File> file, const ReadAdvice& advice) {
  if (!advice.any()) return;
  pool_.Submit([file = std::move(file), advice] {
    if (advice.need_from < advice.need_until) {
      file->Advise(advice.need_from, advice.need_until - advice.need_from, File::Advice::kWillNeed);
    }
    if (advice.drop_from < advice.drop_until) {
      file->Advise(advice.drop_from, advice.drop_until - advice.drop_from, File::Advice::kDontNeed);
    }
  });
}

// Between an index entry and what is wanted there may be damage: one past what is known of it below `from`.
std::pair<uint64_t, Offset> Log::SkipDamage(const Segment& segment, Offset from) const {
  const DamagedRange* const range = damaged_.LastBelow(from);
  if (range == nullptr || range->segment != segment.base_offset) return {0, segment.base_offset};
  return {range->end, range->last + 1};
}

Task<Result<LogRead>> Log::ReadSegment(std::shared_ptr<Segment> segment, Offset from, Offset limit,
                                       size_t max_bytes, bool* changed) {
  const uint64_t generation = generation_;
  if (!segment->surveyed) {
    TM_CO_RETURN_IF_ERROR(co_await SurveySome({segment}));
    *changed = generation != generation_ || !segment->surveyed;
    if (*changed) co_return LogRead{};
  }
  // Taken before the next suspension: what is appended meanwhile belongs to a later read.
  const uint64_t size = segment->size;
  const Cursor* const cursor = FindCursor(*segment, from);
  ReadStream stream = cursor != nullptr ? cursor->stream : ReadStream{};
  const bool goes_on = cursor != nullptr || from <= segment->base_offset;
  TM_CO_ASSIGN_OR_RETURN(const auto file, co_await OpenForRead(segment));
  TM_CO_ASSIGN_OR_RETURN(uint64_t position, co_await FindPosition(segment, from));
  position = std::max(position, SkipDamage(*segment, from).first);
  LogRead out{.next_offset = from};
  size_t want = max_bytes;
  while (position < size) {
    out.bytes.clear();
    out.bytes.resize_and_overwrite(ReadEnd(*segment, size, position, want) - position,
                                   [](char*, size_t n) { return n; });
    // Bytes that a stream had read ahead came from the disk as well.
    bool cold = stream.cold;
    const auto read = co_await ReadBytes(file, position, out.bytes, &cold);
    *changed = generation != generation_;
    if (*changed) co_return LogRead{};
    if (!read) co_return std::unexpected(read.error());
    ReadWindow window{.from = from, .limit = limit, .max_bytes = max_bytes, .position = position};
    TM_CO_RETURN_IF_ERROR(WalkWindow(*segment, std::string_view(out.bytes).substr(0, *read), cold, &window));
    if (window.begin) {
      out.next_offset = window.next;
      Advise(file, AdviseAfterRead(&stream, position, position + window.end, size, cold, goes_on,
                                   !segment->sealed));
      RememberCursor(segment, window.next, position + window.end, stream);
      const size_t length = window.end - *window.begin;
      // A large buffer is not held for a small answer.
      if (length < out.bytes.size() / 2) {
        out.bytes = out.bytes.substr(*window.begin, length);
      } else {
        out.bytes.resize(window.end);
        out.bytes.erase(0, *window.begin);
      }
      co_return out;
    }
    if (window.reached) break;
    position += window.at;
    want = std::max(max_bytes, window.needed);
    if (*read < out.bytes.size() || (window.needed > 0 && position + window.needed > size)) {
      co_return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}: a batch is cut short", position,
                     segment->log_path());
    }
  }
  out.bytes.clear();
  co_return out;
}

Task<Result<LogRead>> Log::ReadOnce(Offset from, Offset below, size_t max_bytes, bool* changed) {
  TM_CO_RETURN_IF_ERROR(Usable());
  if (from < start_ || from > end_) {
    co_return Fail(v1::OFFSET_OUT_OF_RANGE, "offset {} of {}-{}, whose log has [{}, {})", from, place_.topic,
                   place_.key.partition, start_, end_);
  }
  if (from >= std::min(below, end_)) co_return LogRead{.next_offset = from};
  if (const DamagedRange* damaged = damaged_.Find(from)) {
    co_return Fail(v1::CORRUPT_MESSAGE, "{}-{} is damaged: {}", place_.topic, place_.key.partition,
                   damaged->reason);
  }
  const Offset limit = damaged_.LimitFrom(from, std::min(below, end_));
  const uint64_t generation = generation_;
  for (size_t i = SegmentIndexFor(from); i < segments_.size(); ++i) {
    const std::shared_ptr<Segment> segment = segments_[i];
    if (segment->base_offset >= limit) break;
    auto read = co_await ReadSegment(segment, from, limit, max_bytes, changed);
    *changed = *changed || generation != generation_ || from < start_;
    if (*changed) co_return LogRead{};
    if (!read && (damage_ || read.error().code == v1::KAFKA_STORAGE_ERROR)) co_return read;
    if (read && !read->bytes.empty()) co_return read;
    // Segments below the start may have been deleted meanwhile: positions in the list shift, identities do
    // not.
    i = SegmentIndexFor(segment->base_offset);
    const bool cut_short = read && i + 1 < segments_.size() && from < segments_[i + 1]->base_offset &&
                           limit >= segments_[i + 1]->base_offset;
    if (read && !cut_short) continue;
    *changed = co_await SearchDamage(segment);
    if (*changed) co_return LogRead{};
    co_return Fail(
        v1::CORRUPT_MESSAGE, "{}",
        read ? fmt::format("{} ends before its segment does", segment->log_path()) : read.error().message);
  }
  co_return LogRead{.next_offset = from};
}

Task<Result<LogRead>> Log::Read(Offset from, Offset below, size_t max_bytes) {
  const Operation operation(*this);
  while (true) {
    bool changed = false;
    auto read = co_await ReadOnce(from, below, max_bytes, &changed);
    if (!changed) co_return read;
  }
}

Task<Result<std::optional<TimestampLookup>>> Log::FindTimestamp(WallMillis timestamp, Offset below) {
  const Operation operation(*this);
  while (true) {
    std::vector<std::shared_ptr<Segment>> searched;
    auto found = co_await FindTimestampOnce(timestamp, below, &searched);
    if (found || found.error().code != v1::CORRUPT_MESSAGE) co_return found;
    // Which segment it was is found out by looking at those that were searched. Damage below the log start is
    // passed over once it is known.
    bool news = false;
    for (const std::shared_ptr<Segment>& segment : searched) {
      news = co_await SearchDamage(segment);
      if (news) break;
    }
    if (!news) co_return found;
    TM_CO_RETURN_IF_ERROR(Usable());
  }
}

Task<Result<std::optional<TimestampLookup>>> Log::FindTimestampOnce(
    WallMillis timestamp, Offset below, std::vector<std::shared_ptr<Segment>>* searched) {
  TM_CO_RETURN_IF_ERROR(Usable());
  if (!surveyed()) TM_CO_RETURN_IF_ERROR(co_await Survey());
  const bool greatest = timestamp == kGreatestTimestamp;
  const SearchRange range{timestamp, start_, std::min(below, end_)};
  std::vector<SearchPlace> places;
  for (size_t i = 0; i < segments_.size(); ++i) {
    const std::shared_ptr<Segment>& segment = segments_[i];
    if (segment->base_offset >= range.below || (segment == segments_.back() && segment->size == 0)) break;
    const Offset end = i + 1 < segments_.size() ? segments_[i + 1]->base_offset : end_;
    if (end <= start_) continue;
    const WallMillis reached = segment->index ? segment->index->max_timestamp() : segment->max_timestamp;
    if (!greatest && reached < timestamp) continue;
    const auto [skip_to, skip_next] = SkipDamage(*segment, start_);
    SearchPlace place{.path_prefix = segment->path_prefix,
                      .base = segment->base_offset,
                      .end = end,
                      .size = segment->size,
                      .reached = reached,
                      .skip_to = skip_to,
                      .skip_next = skip_next};
    const DamagedRange* const damaged = damaged_.Find(std::max(start_, segment->base_offset));
    if (segment->size == 0 && damaged != nullptr) place.missing = damaged->reason;
    if (greatest) SetPeak(*segment, range.below, &place);
    if (segment->index && !greatest) place.position = segment->index->PositionForTimestamp(timestamp);
    places.push_back(std::move(place));
    searched->push_back(segment);
  }
  // The greatest is looked for where it can be, which is rarely more than one segment.
  if (greatest) std::ranges::sort(places, std::greater{}, &SearchPlace::reached);
  const uint64_t generation = generation_;
  auto found = co_await RunBlocking(
      pool_, loop_, "timestamp search",
      [this, places = std::move(places), range, greatest]() -> Result<std::optional<TimestampLookup>> {
        std::optional<TimestampLookup> best;
        for (const SearchPlace& place : places) {
          if (best && place.reached < best->timestamp) break;
          auto hit = greatest ? FindGreatest(files_, place_.key, place, range)
                              : FindFirst(files_, place_.key, place, range);
          if (!hit) return hit;
          if (!*hit) continue;
          if (!greatest) return hit;
          const bool earlier = best && (*hit)->timestamp == best->timestamp && (*hit)->offset < best->offset;
          if (!best || (*hit)->timestamp > best->timestamp || earlier) best = *hit;
        }
        return best;
      });
  // A truncation or deletion under the search explains any answer; the caller asks again.
  const bool gone = !found && found.error().code == v1::NOT_FOUND;
  const bool removed = std::ranges::any_of(*searched, [this](const auto& segment) {
    return std::ranges::find(segments_, segment) == segments_.end();
  });
  if (gone && !removed && generation == generation_ && !cleaning_.swapping)
    co_return Fail(v1::CORRUPT_MESSAGE, "{}", found.error().message);
  if (generation != generation_ || cleaning_.swapping || gone) {
    co_return Fail(v1::OFFSET_NOT_AVAILABLE, "the log of {}-{} changed during the search", place_.topic,
                   place_.key.partition);
  }
  co_return found;
}

}  // namespace tidemark
