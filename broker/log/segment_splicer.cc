#include "broker/log/segment_splicer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/cleaner_batch.h"
#include "broker/log/cleaner_files.h"
#include "common/record/crc32c.h"

namespace tidemark {

SegmentSplicer::SegmentSplicer(FileSystem& files, Source source)
    : files_(files), source_(std::move(source)), next_(source_.base_offset), index_(source_.base_offset) {}

std::optional<Offset> SegmentSplicer::wanted() const {
  if (keeping_ || next_damage_ == source_.damage.size()) return std::nullopt;
  const DamagedRange& range = source_.damage[next_damage_];
  if (next_ < range.first || next_ > range.last || range.last < source_.log_start) return std::nullopt;
  return std::max(next_, source_.log_start);
}

Result<> SegmentSplicer::Open() {
  if (output_) return {};
  writing_ = true;
  TM_RETURN_IF_ERROR(RemoveCleaned(files_, source_.path_prefix));
  TM_ASSIGN_OR_RETURN(output_, files_.Open(fmt::format("{}.log{}", source_.path_prefix, kCleanedSuffix),
                                           OpenMode::kCreateNew));
  writing_ = false;
  auto input = files_.Open(source_.path_prefix + ".log", OpenMode::kRead);
  if (!input && input.error().code != v1::NOT_FOUND) return std::unexpected(std::move(input).error());
  if (input) {
    input_ = std::move(*input);
    cold_.emplace(*input_, 0);
  }
  return {};
}

// Where whole segments are missing their batches belong to the one before.
Result<> SegmentSplicer::Write(std::string_view bytes) {
  if (written_ + bytes.size() > kMaxRewrittenBytes || next_ - source_.base_offset > kMaxSegmentOffsets) {
    return Fail(v1::INVALID_RECORD, "{}.log would be too large", source_.path_prefix);
  }
  writing_ = true;
  TM_RETURN_IF_ERROR(output_->WriteAt(written_, bytes));
  writing_ = false;
  written_ += bytes.size();
  return {};
}

// A batch without records in the place of what is below the log start.
Result<> SegmentSplicer::FillHole(LeaderEpoch epoch) {
  if (!hole_) return {};
  const Offset first = *std::exchange(hole_, std::nullopt);
  const std::string body = EmptyBody(static_cast<uint32_t>(next_ - 1 - first));
  const BatchPrefix prefix =
      StampBatch(body, Crc32c(body), first, epoch, 0, source_.key.topic, source_.key.partition);
  index_.OnBatch(first, written_, kNoTimestamp, source_.index_interval);
  return Write(std::string(prefix.view()) + body);
}

Result<> SegmentSplicer::Take(const BatchView& batch, const BodyInfo& body) {
  CHECK_EQ(batch.base_offset, next_);
  TM_RETURN_IF_ERROR(FillHole(batch.leader_epoch));
  const bool by_append = body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME;
  if (!first_append_time_) first_append_time_ = batch.append_time;
  index_.OnBatch(batch.base_offset, written_, by_append ? batch.append_time : body.max_timestamp,
                 source_.index_interval);
  TM_RETURN_IF_ERROR(Write(batch.bytes));
  next_ = batch.base_offset + body.last_offset_delta + 1;
  epoch_ = batch.leader_epoch;
  return {};
}

Result<> SegmentSplicer::CopyBatches(uint64_t bytes, uint64_t until, Offset end) {
  if (!input_ && next_ < end) {
    return Fail(v1::CORRUPT_MESSAGE, "{}.log is missing", source_.path_prefix);
  }
  if (!input_) return {};
  BatchScanner scanner(*input_, source_.key, position_, until);
  BatchView batch;
  BodyInfo body;
  for (uint64_t copied = 0; copied < bytes && next_ < end;) {
    const auto step = scanner.Next(&batch, &body);
    if (step != BatchScanner::Step::kBatch) {
      return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}.log: {}", scanner.position(), source_.path_prefix,
                  step == BatchScanner::Step::kEnd ? "it ends here" : scanner.error().message);
    }
    if (batch.base_offset != next_ || batch.leader_epoch < epoch_) {
      return Fail(v1::CORRUPT_MESSAGE, "byte {} of {}.log: batch {} where {} belongs", scanner.position(),
                  source_.path_prefix, batch.base_offset, next_);
    }
    TM_RETURN_IF_ERROR(Take(batch, body));
    position_ = scanner.next_position();
    copied += batch.total_bytes();
  }
  cold_->End(*input_, position_);
  return {};
}

// What cannot be had stays as it lies there: it may read well another time, or to somebody with better tools.
Result<> SegmentSplicer::CopyKept(uint64_t bytes) {
  const DamagedRange& range = source_.damage[next_damage_];
  const uint64_t until = input_ ? std::min(range.end, source_.bytes) : 0;
  if (position_ < until) {
    std::string buffer(std::min(bytes, until - position_), '\0');
    TM_ASSIGN_OR_RETURN(const size_t read, input_->ReadAt(position_, buffer));
    TM_RETURN_IF_ERROR(Write(std::string_view(buffer).substr(0, read)));
    position_ = read < buffer.size() ? until : position_ + read;
    if (position_ < until) return {};
  }
  kept_.push_back({.first = kept_first_,
                   .last = range.last,
                   .segment = source_.base_offset,
                   .begin = kept_begin_,
                   .end = written_,
                   .reason = range.reason});
  index_.Reach(source_.max_timestamp, kept_first_);
  keeping_ = false;
  next_ = range.last + 1;
  position_ = range.end;
  ++next_damage_;
  return {};
}

Result<> SegmentSplicer::Step(uint64_t bytes) {
  TM_RETURN_IF_ERROR(Open());
  CHECK(!wanted()) << source_.path_prefix;
  if (keeping_) return CopyKept(bytes);
  const bool damage_ahead = next_damage_ < source_.damage.size();
  const uint64_t until = damage_ahead ? source_.damage[next_damage_].begin : source_.bytes;
  const Offset end = damage_ahead ? source_.damage[next_damage_].first : source_.end_offset;
  TM_RETURN_IF_ERROR(CopyBatches(bytes, until, end));
  if (next_ < end) return {};
  if (next_ != end) {
    return Fail(v1::CORRUPT_MESSAGE, "a batch before byte {} of {}.log reaches to offset {}", until,
                source_.path_prefix, next_);
  }
  if (damage_ahead && source_.damage[next_damage_].last < source_.log_start) {
    const DamagedRange& range = source_.damage[next_damage_++];
    if (!hole_) hole_ = next_;
    ++holes_;
    next_ = range.last + 1;
    position_ = range.end;
  }
  return {};
}

Result<> SegmentSplicer::CheckGiven(const BatchView& batch, const BodyInfo& body, Offset last) const {
  const Offset next = batch.base_offset + body.last_offset_delta + 1;
  const auto refuse = [&](std::string_view why) {
    return Fail(v1::INVALID_RECORD, "the other replica's batch [{}, {}) of epoch {} {}", batch.base_offset,
                next, batch.leader_epoch, why);
  };
  // Asked for from within, the batch that holds the offset comes whole.
  if (batch.base_offset < next_ || batch.base_offset > std::max(next_, source_.log_start))
    return refuse(fmt::format("stands where {} was asked for", std::max(next_, source_.log_start)));
  if (next <= batch.base_offset || next > last + 1) return refuse("reaches past the damage");
  if (body.record_count != body.last_offset_delta + 1) return refuse("was compacted");
  if (batch.leader_epoch < epoch_) return refuse(fmt::format("follows epoch {}", epoch_));
  // Below the start the table says nothing.
  if (batch.base_offset < source_.log_start) return {};
  if (source_.epochs.EpochAt(batch.base_offset) != batch.leader_epoch) {
    return refuse("is not of the epoch that this log's table names");
  }
  return {};
}

Result<> SegmentSplicer::Give(std::string_view batches) {
  CHECK(wanted()) << source_.path_prefix;
  TM_RETURN_IF_ERROR(Open());
  const DamagedRange& range = source_.damage[next_damage_];
  std::string_view rest = batches;
  size_t taken = 0;
  while (!rest.empty() && next_ <= range.last) {
    BatchView batch;
    if (ParseBatch(rest, &batch, nullptr, nullptr) != BatchParse::kOk) break;  // the answer's end may cut one
    const Result<> verified = VerifyBatch(batch, source_.key.topic, source_.key.partition);
    const Result<BodyInfo> body = verified ? ParseBody(batch.body) : std::unexpected(verified.error());
    if (!body) {
      Keep(body.error());
      return {};
    }
    rest.remove_prefix(batch.total_bytes());
    TM_RETURN_IF_ERROR(CheckGiven(batch, *body, range.last));
    if (batch.base_offset > next_) {
      if (!hole_) hole_ = next_;
      next_ = batch.base_offset;
    }
    TM_RETURN_IF_ERROR(Take(batch, *body));
    ++taken;
  }
  taken_ += taken;
  if (taken == 0) Keep({v1::CORRUPT_MESSAGE, fmt::format("no whole batch from offset {} on came", next_)});
  if (next_ <= range.last) return {};
  position_ = range.end;
  ++next_damage_;
  return {};
}

void SegmentSplicer::Keep(Error why) {
  CHECK(wanted()) << source_.path_prefix;
  refused_ = std::move(why);
  keeping_ = true;
  kept_first_ = hole_.value_or(next_);
  hole_.reset();
  kept_begin_ = written_;
  position_ = source_.damage[next_damage_].begin;
}

Result<> SegmentSplicer::Finish() {
  CHECK(done() && next_damage_ == source_.damage.size() && !hole_) << source_.path_prefix;
  writing_ = true;
  TM_RETURN_IF_ERROR(output_->Sync());
  if (cold_ && cold_->cold()) output_->Advise(0, written_, File::Advice::kDontNeed);
  return WriteCleanedIndex(files_, source_.path_prefix,
                           index_.EncodeOffsets(0) + index_.SealOffsets(source_.end_offset, written_),
                           index_.EncodeTimes(0) + index_.SealTimes());
}

void SegmentSplicer::Discard() {
  output_.reset();
  if (auto removed = RemoveCleaned(files_, source_.path_prefix); !removed) {
    LOG(WARNING) << "what was left of a repair stays until the next start: " << removed.error().message;
  }
}

}  // namespace tidemark
