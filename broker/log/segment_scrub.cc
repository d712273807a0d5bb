#include "broker/log/segment_scrub.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

namespace tidemark {

SegmentScrub::SegmentScrub(Place place)
    : place_(std::move(place)), next_(place_.base), stored_(place_.base), rebuilt_(place_.base) {}

void SegmentScrub::LoadIndex(FileSystem& files, const Extent& extent) {
  if (index_loaded_ || !extent.index_durable) return;
  index_loaded_ = true;
  const auto offsets = ReadFile(files, place_.path_prefix + ".index");
  const auto times = ReadFile(files, place_.path_prefix + ".timeindex");
  if (!offsets || !times) {
    index_problem_ = offsets ? times.error().message : offsets.error().message;
    return;
  }
  stored_ = SegmentIndex::Decode(place_.base, *offsets, *times);
  seal_ = ReadSeal(files, place_.path_prefix, place_.base);
  // The seal follows the entries.
  if (!seal_ || offsets->size() != (stored_.size() + 1) * SegmentIndex::kOffsetEntryBytes ||
      times->size() != (stored_.size() + 1) * SegmentIndex::kTimeEntryBytes) {
    index_problem_ = fmt::format("only {} entries are good", stored_.size());
  }
}

void SegmentScrub::NoteBatch(const BatchView& batch, const BodyInfo& body, uint64_t position) {
  const bool by_append = body.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME;
  rebuilt_.OnBatch(batch.base_offset, position, by_append ? batch.append_time : body.max_timestamp,
                   place_.index_interval);
  next_ = batch.base_offset + body.last_offset_delta + 1;
  epoch_ = batch.leader_epoch;
  // Entries for batches that are damaged now were right once.
  const auto in_damage = [this](const SegmentIndex::OffsetEntry& entry) {
    const auto after = std::ranges::upper_bound(damage_, entry.position, {}, &DamagedRange::begin);
    return after != damage_.begin() && entry.position < (after - 1)->end;
  };
  while (next_entry_ < stored_.size() && stored_.offsets()[next_entry_].position <= position) {
    const SegmentIndex::OffsetEntry& entry = stored_.offsets()[next_entry_++];
    const bool right = entry.position == position && place_.base + entry.relative_offset == batch.base_offset;
    if (right || in_damage(entry) || !index_problem_.empty()) continue;
    index_problem_ = fmt::format("entry (offset {}, byte {}) points at no batch",
                                 place_.base + entry.relative_offset, entry.position);
  }
}

void SegmentScrub::Finish(const Extent& extent) {
  done_ = true;
  if (next_ < extent.end) NoteDamage(extent.size, extent.size, extent.end, "the file ends here");
  if (!index_loaded_ || !index_problem_.empty()) return;
  const bool whole = damage_.empty();
  if (whole && next_entry_ != stored_.size()) {
    index_problem_ = fmt::format("{} entries point at no batch", stored_.size() - next_entry_);
  } else if (seal_->size != extent.size || seal_->end != extent.end) {
    index_problem_ = fmt::format("it is sealed as {} bytes up to offset {}", seal_->size, seal_->end);
  } else if (whole &&
             (seal_->max_timestamp != rebuilt_.max_timestamp() ||
              // A seal's offset is relative to the base; a segment without timestamps has none.
              seal_->max_timestamp_offset != std::max(rebuilt_.max_timestamp_offset(), place_.base))) {
    index_problem_ = fmt::format("its greatest timestamp is {}", seal_->max_timestamp);
  }
}

std::optional<std::string> SegmentScrub::OutOfPlace(const BatchView& batch, const BodyInfo& body,
                                                    Offset end) const {
  const Offset next = batch.base_offset + body.last_offset_delta + 1;
  if (batch.base_offset == next_ && next > batch.base_offset && next <= end && batch.leader_epoch >= epoch_) {
    return std::nullopt;
  }
  return fmt::format("batch [{}, {}) of epoch {} where [{}, {}) from epoch {} on belongs", batch.base_offset,
                     next, batch.leader_epoch, next_, end, epoch_);
}

void SegmentScrub::NoteDamage(uint64_t begin, uint64_t end, Offset next, const std::string& why) {
  CHECK_LT(next_, next);
  damage_.push_back({.first = next_,
                     .last = next - 1,
                     .segment = place_.base,
                     .begin = begin,
                     .end = end,
                     .reason = fmt::format("bytes [{}, {}) of {}.log, offsets {} to {}: {}", begin, end,
                                           place_.path_prefix, next_, next - 1, why)});
  next_ = next;
}

// Where the next batch is looked for. Not inside of one that is in its place: its records may hold what looks
// like batches.
uint64_t SegmentScrub::BytesToSkip(const BatchScanner& scanner, const Extent& extent) const {
  const auto header = scanner.header();
  const bool in_place = header && header->base_offset >= next_ && header->base_offset < extent.end &&
                        header->leader_epoch >= epoch_;
  return in_place ? header->total_bytes() : 1;
}

// The damage begins where position_ stands and ends at the next batch that is whole, or with the segment.
void SegmentScrub::SkipDamage(BatchScanner& scanner, const Extent& extent, const std::string& why,
                              bool readable) {
  const uint64_t begin = position_;
  BatchView batch;
  BodyInfo body;
  while (readable && scanner.Resync(BytesToSkip(scanner, extent))) {
    const auto step = scanner.Next(&batch, &body);
    if (step == BatchScanner::Step::kBad) continue;
    if (step != BatchScanner::Step::kBatch) break;
    const Offset next = batch.base_offset + body.last_offset_delta + 1;
    if (batch.base_offset <= next_ || next > extent.end || batch.leader_epoch < epoch_) continue;
    NoteDamage(begin, scanner.position(), batch.base_offset, why);
    NoteBatch(batch, body, scanner.position());
    position_ = scanner.next_position();
    return;
  }
  // Nothing after it, whatever it held.
  if (next_ < extent.end) NoteDamage(begin, extent.size, extent.end, why);
  position_ = extent.size;
}

Result<uint64_t> SegmentScrub::Step(FileSystem& files, const Extent& extent, size_t max_bytes) {
  LoadIndex(files, extent);
  auto file = files.Open(place_.path_prefix + ".log", OpenMode::kRead);
  if (!file && file.error().code != v1::NOT_FOUND) return std::unexpected(std::move(file).error());
  if (!file) {
    if (next_ < extent.end) NoteDamage(0, 0, extent.end, "the file is missing");
    position_ = extent.size;
    done_ = true;
    return 0;
  }
  const uint64_t begin = position_;
  char first = 0;
  bool cold = false;
  (void)(*file)->ReadAtNowait(begin, std::span(&first, 1), &cold);
  BatchScanner scanner(**file, place_.key, begin, extent.size);
  BatchView batch;
  BodyInfo body;
  while (position_ < extent.size && position_ - begin < max_bytes) {
    const auto step = scanner.Next(&batch, &body);
    if (step == BatchScanner::Step::kEnd) {
      position_ = extent.size;
    } else if (step != BatchScanner::Step::kBatch) {
      SkipDamage(scanner, extent, scanner.error().message, step == BatchScanner::Step::kBad);
    } else if (const auto why = OutOfPlace(batch, body, extent.end)) {
      SkipDamage(scanner, extent, *why, true);
    } else {
      NoteBatch(batch, body, scanner.position());
      position_ = scanner.next_position();
    }
  }
  if (cold) (*file)->Advise(begin, position_ - begin, File::Advice::kDontNeed);
  if (position_ >= extent.size) Finish(extent);
  return position_ - begin;
}

}  // namespace tidemark
