#include "broker/log/cleaner_pass.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/cleaner_files.h"
#include "common/record/crc32c.h"
#include "common/record/reader.h"

namespace tidemark {
namespace {

constexpr size_t kWriteBytes = 256 << 10;

WallMillis TimestampOf(const BatchView& batch, const BodyInfo& info, WallMillis max_timestamp) {
  return info.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? batch.append_time : max_timestamp;
}

// A file that is gone is damage; one that cannot be opened now (too many are) is not.
Result<std::unique_ptr<File>> OpenSource(FileSystem& files, const CleanSource& source) {
  auto opened = files.Open(source.path_prefix + ".log", OpenMode::kRead);
  if (opened) return opened;
  return Fail(opened.error().code == v1::NOT_FOUND ? v1::CORRUPT_MESSAGE : v1::KAFKA_STORAGE_ERROR, "{}",
              opened.error().message);
}

// A scanner's error, which names neither file nor place.
std::unexpected<Error> ScanFailed(const BatchScanner& scanner, const CleanSource& source) {
  return Fail(scanner.error().code, "byte {} of {}.log: {}", scanner.position(), source.path_prefix,
              scanner.error().message);
}

}  // namespace

KeyMapper::KeyMapper(FileSystem& files, PartitionKey key, std::vector<CleanSource> sources, Offset from,
                     OffsetMap map)
    : files_(files), key_(key), sources_(std::move(sources)), from_(from), map_(std::move(map)), end_(from) {}

Result<> KeyMapper::OpenNext() {
  const CleanSource& source = sources_[next_source_];
  TM_ASSIGN_OR_RETURN(file_, OpenSource(files_, source));
  uint64_t position = 0;
  if (source.base_offset < from_) {
    position = LookUpPosition(files_, source.path_prefix, source.base_offset, from_).value_or(0);
  }
  cold_.emplace(*file_, position);
  scanner_.emplace(*file_, key_, position, source.bytes);
  return {};
}

// False: the map is full.
Result<bool> KeyMapper::TakeBatch(const BatchView& batch, const BodyInfo& info) {
  const Offset next = batch.base_offset + info.last_offset_delta + 1;
  if (next <= from_) return true;
  if (end_ > from_ && batch.base_offset < end_) {
    return Fail(v1::CORRUPT_MESSAGE, "batch {} follows offset {}", batch.base_offset, end_);
  }
  if (info.record_count > 0 && !info.control) {
    auto reader = RecordReader::Open(batch, scratch_);
    if (!reader) return Fail(v1::INVALID_RECORD, "{}", reader.error().message);
    RecordView record;
    while (reader->Next(&record)) {
      if (record.offset < from_ || !record.key) continue;
      if (!map_.Put(*record.key, record.offset)) {
        end_ = record.offset;
        return false;
      }
    }
    if (reader->error()) return Fail(v1::INVALID_RECORD, "{}", reader->error()->message);
  }
  end_ = next;
  return true;
}

Result<bool> KeyMapper::Step(uint64_t bytes) {
  step_bytes_ = 0;
  while (step_bytes_ < bytes) {
    if (!scanner_) {
      if (next_source_ == sources_.size()) return true;
      if (sources_[next_source_].end_offset <= from_) {
        ++next_source_;
        continue;
      }
      TM_RETURN_IF_ERROR(OpenNext());
    }
    BatchView batch;
    BodyInfo info;
    switch (scanner_->Next(&batch, &info)) {
      case BatchScanner::Step::kBatch: {
        step_bytes_ += batch.total_bytes();
        cold_->Passed(*file_, scanner_->position());
        TM_ASSIGN_OR_RETURN(const bool more, TakeBatch(batch, info));
        if (!more) return true;
        break;
      }
      case BatchScanner::Step::kEnd:
        end_ = std::max(end_, sources_[next_source_].end_offset);
        cold_->End(*file_, sources_[next_source_].bytes);
        scanner_.reset();
        ++next_source_;
        break;
      case BatchScanner::Step::kBad:
      case BatchScanner::Step::kIoError:
        return ScanFailed(*scanner_, sources_[next_source_]);
    }
  }
  return false;
}

SegmentRewriter::SegmentRewriter(FileSystem& files, PartitionKey key, std::vector<CleanSource> sources,
                                 CleanTerms terms, uint32_t index_interval_bytes)
    : files_(files),
      key_(key),
      sources_(std::move(sources)),
      terms_(terms),
      index_interval_bytes_(index_interval_bytes),
      expected_(sources_.front().base_offset),
      index_(sources_.front().base_offset) {
  CHECK(!sources_.empty());
}

Result<> SegmentRewriter::Open() {
  const CleanSource& source = sources_[next_source_];
  if (!output_) {
    writing_ = true;
    TM_RETURN_IF_ERROR(RemoveCleaned(files_, path_prefix()));
    TM_ASSIGN_OR_RETURN(
        output_, files_.Open(path_prefix() + ".log" + std::string(kCleanedSuffix), OpenMode::kCreateNew));
    writing_ = false;
  }
  TM_ASSIGN_OR_RETURN(file_, OpenSource(files_, source));
  cold_.emplace(*file_, 0);
  all_cold_ = all_cold_ && cold_->cold();
  scanner_.emplace(*file_, key_, 0, source.bytes);
  return {};
}

Result<> SegmentRewriter::WriteBuffer() {
  if (buffer_.empty()) return {};
  writing_ = true;
  TM_RETURN_IF_ERROR(output_->WriteAt(position_, buffer_));
  writing_ = false;
  position_ += buffer_.size();
  stats_.bytes_written += buffer_.size();
  step_bytes_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<> SegmentRewriter::WritePending() {
  if (!pending_) return {};
  const PendingBatch pending = *std::exchange(pending_, std::nullopt);
  const uint64_t position = position_ + buffer_.size();
  if (position == 0) first_append_time_ = pending.header.append_time;
  if (!pending.original.empty()) {
    buffer_ += pending.original;
  } else {
    const std::string body = pending.last_offset_delta == pending.body_last_offset_delta
                                 ? pending.body
                                 : ExtendBody(pending.body, pending.last_offset_delta);
    buffer_ += StampBatch(body, Crc32c(body), pending.header.base_offset, pending.header.leader_epoch,
                          pending.header.append_time, key_.topic, key_.partition)
                   .view();
    buffer_ += body;
  }
  if (position_ + buffer_.size() > kMaxRewrittenBytes) {
    return Fail(v1::INVALID_RECORD, "{}.log would grow beyond {} bytes", path_prefix(), kMaxRewrittenBytes);
  }
  index_.OnBatch(pending.header.base_offset, position, pending.timestamp, index_interval_bytes_);
  if (buffer_.size() >= kWriteBytes) TM_RETURN_IF_ERROR(WriteBuffer());
  return {};
}

// The offsets of a batch without records go to the one before it, or stay its own.
Result<> SegmentRewriter::TakeHole(const BatchView& batch, const BodyInfo& info) {
  const Offset last = batch.base_offset + info.last_offset_delta;
  if (pending_ && pending_->may_extend && pending_->header.leader_epoch == batch.leader_epoch &&
      last - pending_->header.base_offset <= kMaxSegmentOffsets) {
    if (!pending_->original.empty()) pending_->original.clear();
    pending_->last_offset_delta = static_cast<uint32_t>(last - pending_->header.base_offset);
    changed_ = true;
    return {};
  }
  TM_RETURN_IF_ERROR(WritePending());
  pending_.emplace();
  pending_->header = batch;
  pending_->last_offset_delta = pending_->body_last_offset_delta = info.last_offset_delta;
  if (info.record_count == 0) {
    pending_->body = batch.body;
    pending_->original = batch.bytes;
    pending_->may_extend = MayExtend(info);
  } else {
    pending_->body = EmptyBody(info.last_offset_delta);
    pending_->may_extend = true;
    changed_ = true;
  }
  return {};
}

Result<> SegmentRewriter::TakeBatch(const BatchView& batch, const BodyInfo& info) {
  if (batch.base_offset != expected_) {
    return Fail(v1::CORRUPT_MESSAGE, "{}.log: batch {} where {} was expected",
                sources_[next_source_].path_prefix, batch.base_offset, expected_);
  }
  expected_ = batch.base_offset + info.last_offset_delta + 1;
  TM_ASSIGN_OR_RETURN(CleanedBatch cleaned, CleanBatch(batch, info, terms_, scratch_));
  stats_.records_dropped += cleaned.dropped_records;
  stats_.records_without_key += cleaned.dropped_without_key;
  stats_.dropped_tombstones_below =
      std::max(stats_.dropped_tombstones_below, cleaned.dropped_tombstones_below);
  if (cleaned.fate == CleanFate::kEmptied) return TakeHole(batch, info);
  TM_RETURN_IF_ERROR(WritePending());
  pending_.emplace();
  pending_->header = batch;
  pending_->last_offset_delta = pending_->body_last_offset_delta = info.last_offset_delta;
  pending_->timestamp = TimestampOf(batch, info, cleaned.max_timestamp);
  pending_->may_extend = MayExtend(info);
  if (cleaned.fate == CleanFate::kKept) {
    pending_->body = batch.body;
    pending_->original = batch.bytes;
  } else {
    pending_->body = std::move(cleaned.body);
    changed_ = true;
  }
  return {};
}

Result<bool> SegmentRewriter::Step(uint64_t bytes) {
  step_bytes_ = 0;
  while (step_bytes_ < bytes) {
    if (!scanner_) {
      if (next_source_ == sources_.size()) {
        TM_RETURN_IF_ERROR(WritePending());
        TM_RETURN_IF_ERROR(WriteBuffer());
        return true;
      }
      TM_RETURN_IF_ERROR(Open());
    }
    BatchView batch;
    BodyInfo info;
    switch (scanner_->Next(&batch, &info)) {
      case BatchScanner::Step::kBatch:
        stats_.bytes_read += batch.total_bytes();
        step_bytes_ += batch.total_bytes();
        cold_->Passed(*file_, scanner_->position());
        TM_RETURN_IF_ERROR(TakeBatch(batch, info));
        break;
      case BatchScanner::Step::kEnd:
        if (expected_ != sources_[next_source_].end_offset) {
          return Fail(v1::CORRUPT_MESSAGE, "{}.log ends at offset {}, expected {}",
                      sources_[next_source_].path_prefix, expected_, sources_[next_source_].end_offset);
        }
        cold_->End(*file_, sources_[next_source_].bytes);
        scanner_.reset();
        ++next_source_;
        break;
      case BatchScanner::Step::kBad:
      case BatchScanner::Step::kIoError:
        return ScanFailed(*scanner_, sources_[next_source_]);
    }
  }
  return false;
}

Result<> SegmentRewriter::Finish() {
  CHECK(output_ && !pending_ && buffer_.empty() && expected_ == end_offset());
  TM_RETURN_IF_ERROR(output_->Sync());
  // Nobody read what it takes the place of.
  if (all_cold_) output_->Advise(0, position_, File::Advice::kDontNeed);
  return WriteCleanedIndex(files_, path_prefix(),
                           index_.EncodeOffsets(0) + index_.SealOffsets(end_offset(), position_),
                           index_.EncodeTimes(0) + index_.SealTimes());
}

void SegmentRewriter::Discard() {
  output_.reset();
  // What cannot be removed now is removed when the log is opened the next time.
  if (auto removed = RemoveCleaned(files_, path_prefix()); !removed) {
    LOG(WARNING) << "left behind by compaction: " << ToString(removed.error());
  }
}

}  // namespace tidemark
