// Damage: the scrub, which reads again in the background what lies on the disk; the search for how far damage
// reaches that a read has met; and what is noted of both. What is noted is in DamageList: reads of those
// offsets are answered CORRUPT_MESSAGE, everything else of the log goes on.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/log_internal.h"
#include "broker/log/scrub_cursor.h"
#include "broker/log/segment_scrub.h"

namespace tidemark {
namespace {

constexpr size_t kSearchPieceBytes = 64 << 20;
// Of what one piece has found, so much is logged range by range.
constexpr uint64_t kRangesTold = 20;

}  // namespace

SegmentScrub::Extent Log::ExtentOf(const Segment& segment) const {
  const size_t index = SegmentIndexFor(segment.base_offset);
  CHECK_EQ(segments_[index].get(), &segment);
  return {.size = segment.size,
          .end = index + 1 < segments_.size() ? segments_[index + 1]->base_offset : end_,
          .index_durable = segment.sealed && !segment.index};
}

// What a scrub that is done has found. True: something that was not known.
bool Log::TakeFindings(const std::shared_ptr<Segment>& segment, SegmentScrub* scrub,
                       ScrubProgress* progress) {
  const bool news = NoteDamage(scrub->damage(), progress);
  if (scrub->index_problem().empty() || !segment->sealed || segment->index) return news;
  // Where the segment itself is damaged the index would be without what is to be repaired.
  if (!scrub->damage().empty()) return news;
  LOG(WARNING) << "index of " << segment->log_path()
               << " is damaged; it is rebuilt: " << scrub->index_problem();
  segment->index = scrub->TakeIndex();
  segment->max_timestamp = segment->index->max_timestamp();
  segment->max_timestamp_offset = segment->index->max_timestamp_offset();
  segment->entries_written = 0;
  segment->index_files_stale = true;
  progress->index_rebuilt = true;
  RequestFlush();
  return true;
}

bool Log::NoteDamage(std::span<const DamagedRange> found, ScrubProgress* progress) {
  bool news = false;
  uint64_t told = 0;
  for (const DamagedRange& range : found) {
    if (!damaged_.Add(range)) continue;
    news = true;
    // Nobody asks for it any more; where it lies is known so that it is passed over, and compaction drops it.
    if (range.last < start_) {
      if (++told <= kRangesTold)
        LOG(WARNING) << place_.topic << "-" << place_.key.partition
                     << " is damaged below its log start, where nobody reads: " << range.reason;
      continue;
    }
    ++progress->damaged;
    ++damaged_ranges_found_;
    if (++told <= kRangesTold)
      LOG(ERROR) << place_.topic << "-" << place_.key.partition << " is damaged: " << range.reason;
  }
  LOG_IF(ERROR, told > kRangesTold) << place_.topic << "-" << place_.key.partition << ": "
                                    << told - kRangesTold << " more ranges are damaged there";
  if (news) NotifyFlush();
  return news;
}

// What was on the disk when it was found damaged must not pass for a torn tail after a crash.
Task<void> Log::PromiseFlushed() {
  if (checkpointed_recovery_point_ >= flushed_end_ || changing_ || closing_ || failure_ || damage_) co_return;
  checkpointed_recovery_point_ = flushed_end_;
  std::vector<CheckpointChange> changes;
  changes.push_back({CheckpointKind::kRecoveryPoint, place_.key, place_.topic, flushed_end_});
  // Where there is no room for it now, checkpoint rounds go on trying.
  if (!co_await host_.WriteCheckpoints(place_.directory, std::move(changes))) NoteChange();
}

Task<Result<ScrubProgress>> Log::Scrub(std::shared_ptr<ScrubCursor> cursor, size_t max_bytes) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(Usable());
  if (damage_) co_return std::unexpected(*damage_);
  if (!surveyed()) TM_CO_RETURN_IF_ERROR(co_await Survey());
  if (changing_) co_return ScrubProgress{};
  if (cursor->log.lock() != alive_) {
    *cursor = ScrubCursor{.log = alive_, .generation = generation_, .pass_end = end_};
  } else if (cursor->generation != generation_) {
    // A swap or a cut. The pass goes on where it was, or a log that is compacted often would never be
    // through.
    cursor->generation = generation_;
    cursor->scrub.reset();
  }
  // Segments below the start go; what was looked at need not be looked at again.
  const auto at = std::ranges::find_if(segments_, [&](const auto& segment) {
    return segment->base_offset >= cursor->segment && segment->size > 0;
  });
  if (at == segments_.end()) co_return ScrubProgress{.done = true};
  const std::shared_ptr<Segment> segment = *at;
  if (!cursor->scrub || cursor->segment != segment->base_offset) {
    cursor->segment = segment->base_offset;
    cursor->noted = 0;
    cursor->found_before = damaged_ranges_found_;
    cursor->scrub = std::make_unique<SegmentScrub>(SegmentScrub::Place{
        place_.key, segment->path_prefix, segment->base_offset, config_.index_interval_bytes});
  }
  // Also what is appended but not on disk yet is whole batches; a cut changes the generation.
  const SegmentScrub::Extent extent = ExtentOf(*segment);
  auto read = co_await RunBlocking(pool_, loop_, "scrub", [this, cursor, extent, max_bytes] {
    return cursor->scrub->Step(files_, extent, max_bytes);
  });
  // Cut, or removed below the start, under the look: what was found is of no use.
  const auto still = std::ranges::find(segments_, segment);
  if (still == segments_.end() || cursor->generation != generation_ || changing_) {
    cursor->scrub.reset();
    co_return ScrubProgress{.bytes = read.value_or(0)};
  }
  if (!read) co_return std::unexpected(std::move(read).error());
  ScrubProgress progress{.bytes = *read};
  if (!cursor->scrub->done()) {
    const std::span<const DamagedRange> all = cursor->scrub->damage();
    const bool news = NoteDamage(all.subspan(std::exchange(cursor->noted, all.size())), &progress);
    if (news) co_await PromiseFlushed();
    co_return progress;
  }
  const bool last = still + 1 == segments_.end() || (*(still + 1))->base_offset >= cursor->pass_end;
  // All of it reads well, though it did not once: a cable, or a disk that was reset.
  if (cursor->scrub->damage().empty() && cursor->found_before == damaged_ranges_found_)
    damaged_.DropSegment(segment->base_offset);
  TakeFindings(segment, cursor->scrub.get(), &progress);
  cursor->scrub.reset();
  cursor->segment = segment->base_offset + 1;
  progress.done = last;
  if (progress.damaged > 0) co_await PromiseFlushed();
  co_return progress;
}

// After a read has met something that is no batch. True: look again, what is known has changed; false: the
// segment seems to be whole.
Task<bool> Log::SearchDamage(std::shared_ptr<Segment> segment, std::stop_token stop) {
  if (searched_ == segment) {
    while (searched_ == segment) co_await changed_.Wait("damage search");
    co_return true;
  }
  while (searched_ || changing_) co_await changed_.Wait("damage search");
  const uint64_t generation = generation_;
  if (std::ranges::find(segments_, segment) == segments_.end()) co_return true;
  searched_ = segment;
  const auto scrub = std::make_shared<SegmentScrub>(SegmentScrub::Place{
      place_.key, segment->path_prefix, segment->base_offset, config_.index_interval_bytes});
  const SegmentScrub::Extent extent = ExtentOf(*segment);
  auto read =
      co_await RunBlocking(pool_, loop_, "damage search", [this, scrub, extent, stop]() -> Result<uint64_t> {
        while (!scrub->done()) {
          if (stop.stop_requested()) return Fail(v1::CANCELLED, "stopped");
          TM_RETURN_IF_ERROR(scrub->Step(files_, extent, kSearchPieceBytes));
        }
        return 0;
      });
  searched_.reset();
  changed_.NotifyAll();
  const bool changed =
      generation != generation_ || changing_ || std::ranges::find(segments_, segment) == segments_.end();
  if (changed) co_return true;
  if (!read) co_return false;
  ScrubProgress ignored;
  const bool news = TakeFindings(segment, scrub.get(), &ignored);
  if (ignored.damaged > 0) co_await PromiseFlushed();
  co_return news;
}

}  // namespace tidemark
