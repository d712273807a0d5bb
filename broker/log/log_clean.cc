// Compaction of a log: a pass over its sealed segments, on the blocking pool in small steps, and the swap of
// what it wrote for what it read.
//
// A pass reads the dirty part's keys into an OffsetMap, then rewrites the segments from the oldest on, group
// by group. In that order older values of a key are gone before the tombstone that deletes it is, at whatever
// step a pass ends. Everything is written beside the log; the log changes in SwapIn alone, under the same
// lock as a truncation, and only if the segments that were read are still its segments. So a pass that is
// overtaken by truncation, restart or deletion simply ends, and what it wrote is removed.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/cleaner_decision.h"
#include "broker/log/cleaner_files.h"
#include "broker/log/cleaner_pass.h"
#include "broker/log/drop_on_pool.h"
#include "broker/log/log_internal.h"

namespace tidemark {
namespace {

// A pause is slept in slices, so that a log that is being closed is not waited for.
constexpr Duration kLongestCleanSlice = 50ms;

std::vector<CleanSource> SourcesOf(const std::vector<std::shared_ptr<Segment>>& segments, Offset end) {
  std::vector<CleanSource> out;
  for (size_t i = 0; i < segments.size(); ++i) {
    out.push_back({segments[i]->path_prefix, segments[i]->base_offset,
                   i + 1 < segments.size() ? segments[i + 1]->base_offset : end, segments[i]->size});
  }
  return out;
}

}  // namespace

CleanableLog Log::DescribeForCleaning() const {
  CleanableLog out{.log_start = start_,
                   .high_watermark = high_watermark_,
                   .flushed_end = flushed_end_,
                   .cleaned_to = cleaning_.cleaned_to};
  out.segments.reserve(segments_.size());
  for (size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = *segments_[i];
    out.segments.push_back(
        {.base_offset = segment.base_offset,
         .end_offset = i + 1 < segments_.size() ? segments_[i + 1]->base_offset : end_,
         .bytes = segment.size,
         .max_timestamp = segment.index ? segment.index->max_timestamp() : segment.max_timestamp,
         .first_append_time = segment.first_append_time,
         .last_append_time = segment.last_append_time,
         .settled = segment.sealed && !segment.index && !segment.dirty && segment.entry_synced});
  }
  return out;
}

CleanDecision Log::DecideCleaning(WallMillis now) const {
  CleanDecision decision = DecideClean(DescribeForCleaning(), config_.compaction, now);
  // What is damaged is repaired first. Below the log start there is nothing to repair: the pass drops it from
  // the segment that holds the start, and what lies wholly below goes soon.
  const bool damage_waits = damaged_.FirstFrom(start_) != nullptr ||
                            (!damaged_.empty() && damaged_.ranges().front().segment <
                                                      segments_[SegmentIndexFor(start_)]->base_offset);
  if (cleaning_.running || cleaning_.held || cleaning_.uncleanable || failure_ || damage_ || damage_waits ||
      closing_ || !surveyed()) {
    decision.due = decision.roll_active = false;
    decision.append_time_wanted.reset();
  }
  return decision;
}

Task<Result<>> Log::AdoptDroppedTombstones(Offset below) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(Usable());
  if (below <= cleaning_.drops.below()) co_return {};
  const uint64_t generation = generation_;
  cleaning_.checkpointed_drops = std::max(cleaning_.checkpointed_drops, below);  // or about to be
  std::vector<CheckpointChange> changes;
  changes.push_back(
      {CheckpointKind::kDroppedTombstones, place_.key, place_.topic, cleaning_.checkpointed_drops});
  TM_CO_RETURN_IF_ERROR(co_await host_.WriteCheckpoints(place_.directory, std::move(changes)));
  if (generation != generation_ || changing_) co_return Fail(v1::CANCELLED, "the log was changed meanwhile");
  cleaning_.drops.Adopt(below);
  co_return {};
}

// False when the pass is to end.
Task<bool> Log::PauseCleaning(CleanTools* tools, uint64_t bytes) {
  const MonoTime until = loop_.Now() + tools->throttle->Charge(bytes, loop_.Now());
  while (!tools->stop.stop_requested() && !cleaning_.held && Usable() && !damage_) {
    if (loop_.Now() >= until || tools->throttle->Changed()) co_return true;
    co_await Sleep(loop_, std::min(until - loop_.Now(), kLongestCleanSlice), "compaction rate", tools->stop);
  }
  co_return false;
}

bool Log::StillThere(const std::vector<std::shared_ptr<Segment>>& segments) const {
  if (cleaning_.overtaken) return false;
  const auto first = std::ranges::find(segments_, segments.front());
  if (segments_.end() - first <= static_cast<ptrdiff_t>(segments.size())) return false;
  return std::equal(segments.begin(), segments.end(), first);
}

// What a step's error means: damage is the log's, a disk that does not take writes is its directory's, what
// cannot be compacted is left alone; what follows from a change of the log means nothing.
Error Log::CleaningFailed(const std::vector<std::shared_ptr<Segment>>& sources, bool writing, Error error) {
  if (auto usable = Usable(); !usable) return std::move(usable).error();
  if (damage_) return *damage_;
  if (!StillThere(sources)) return Error{v1::CANCELLED, "the log changed under its compaction"};
  const bool of_bytes = error.code == v1::CORRUPT_MESSAGE || error.code == v1::IO_ERROR;
  if (error.code == v1::INVALID_RECORD) {
    cleaning_.uncleanable = error;
    LOG(ERROR) << place_.topic << "-" << place_.key.partition
               << " is not compacted any more: " << error.message;
    return error;
  }
  if (!of_bytes) return error;  // a full disk, too many open files: another time
  if (error.code == v1::CORRUPT_MESSAGE || !writing) return {v1::CORRUPT_MESSAGE, std::move(error.message)};
  DiskFailed(error);
  return *failure_;
}

Task<Result<CleanReport>> Log::Clean(CleanTools tools) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(Usable());
  TM_CO_RETURN_IF_ERROR(co_await Survey());
  if (cleaning_.running) co_return Fail(v1::CANCELLED, "the log is being compacted already");
  if (cleaning_.held) co_return Fail(v1::CANCELLED, "the log is being moved");
  if (repairing_) co_return Fail(v1::CANCELLED, "the log is being repaired");
  CleanDecision decision = DecideClean(DescribeForCleaning(), config_.compaction, tools.now);
  if (decision.end > decision.first_dirty && damaged_below_start(decision.end)) {
    TM_CO_RETURN_IF_ERROR(co_await DropDamageBelowStart(tools.stop));
    if (cleaning_.running || cleaning_.held || repairing_)
      co_return Fail(v1::CANCELLED, "the log changed under its compaction");
    decision = DecideClean(DescribeForCleaning(), config_.compaction, tools.now);
  }
  CleanReport report{.from = decision.first_dirty, .to = decision.first_dirty};
  if (decision.end <= decision.first_dirty) co_return report;
  cleaning_.running = true;
  cleaning_.overtaken = false;
  auto done = co_await RunPass(decision, &tools, &report);
  cleaning_.running = false;
  cleaning_.unreadable = !done && done.error().code == v1::CORRUPT_MESSAGE;
  if (cleaning_.unreadable) {
    // An index that is rebuilt is news too, but not what the pass has met.
    const size_t known = damaged_.ranges().size();
    for (const auto& segment : std::vector(segments_)) {
      if (segment->base_offset >= decision.end || damaged_.ranges().size() != known) break;
      co_await SearchDamage(segment);
    }
  }
  if (!done) co_return std::unexpected(std::move(done).error());
  co_return report;
}

// What the output of a group may take while the sources are still there.
Result<> Log::RoomToClean(std::span<const std::shared_ptr<Segment>> sources) const {
  uint64_t bytes = 0;
  for (const auto& source : sources) bytes += source->size;
  return host_.RoomToRewrite(place_.directory, bytes);
}

Task<Result<>> Log::RunPass(CleanDecision decision, CleanTools* tools, CleanReport* report) {
  std::vector<std::shared_ptr<Segment>> segments;
  for (const auto& segment : segments_) {
    if (segment->base_offset < decision.end) segments.push_back(segment);
  }
  CleanableLog log = DescribeForCleaning();
  log.segments.resize(segments.size());
  const uint64_t most = std::min<uint64_t>(config_.segment_bytes, kMaxSegmentBytes);
  // Not after all keys have been read.
  const size_t first = GroupSegments(log.segments, decision.end, most).front().last;
  TM_CO_RETURN_IF_ERROR(RoomToClean(std::span(segments).first(first)));
  const auto mapper = DroppedOnPool(
      pool_,
      std::make_unique<KeyMapper>(files_, place_.key, SourcesOf(segments, decision.end), decision.first_dirty,
                                  OffsetMap(tools->hash_key, tools->map_bytes, tools->load_factor,
                                            decision.end - decision.first_dirty)));
  const uint64_t step = tools->throttle->StepBytes();
  for (bool mapped = false; !mapped;) {
    auto more = co_await RunBlocking(pool_, loop_, "compaction: map keys",
                                     [mapper, step]() -> Result<bool> { return mapper->Step(step); });
    if (!more) co_return std::unexpected(CleaningFailed(segments, false, std::move(more).error()));
    mapped = *more;
    report->bytes_read += mapper->step_bytes();
    if (!co_await PauseCleaning(tools, mapper->step_bytes()))
      co_return Fail(v1::CANCELLED, "compaction ended");
  }
  report->keys = mapper->map().size();
  report->map_bytes = mapper->map().memory_bytes();
  const CleanTerms terms{.last_offsets = &mapper->map(),
                         .end = mapper->end(),
                         .keep_tombstones_from = tools->keep_tombstones_from,
                         .now = tools->now,
                         .delete_horizon = tools->now + ToMillis(config_.compaction.delete_retention)};
  for (const CleanGroup& group : GroupSegments(log.segments, terms.end, most)) {
    std::vector<std::shared_ptr<Segment>> sources(segments.begin() + static_cast<ptrdiff_t>(group.first),
                                                  segments.begin() + static_cast<ptrdiff_t>(group.last));
    const Offset end = group.last < segments.size() ? segments[group.last]->base_offset : decision.end;
    TM_CO_RETURN_IF_ERROR(co_await CleanGroupOf(std::move(sources), end, terms, tools, report));
  }
  TM_CO_RETURN_IF_ERROR(Usable());
  if (cleaning_.overtaken) co_return Fail(v1::CANCELLED, "the log was truncated under its compaction");
  cleaning_.cleaned_to = report->to = terms.end;
  std::vector<CheckpointChange> changes;
  changes.push_back({CheckpointKind::kCleanerOffset, place_.key, place_.topic, terms.end});
  co_return co_await host_.WriteCheckpoints(place_.directory, std::move(changes));
}

Task<Result<>> Log::CleanGroupOf(std::vector<std::shared_ptr<Segment>> sources, Offset end, CleanTerms terms,
                                 CleanTools* tools, CleanReport* report) {
  if (!StillThere(sources)) co_return Fail(v1::CANCELLED, "the log changed under its compaction");
  TM_CO_RETURN_IF_ERROR(RoomToClean(sources));
  const auto rewriter =
      DroppedOnPool(pool_, std::make_unique<SegmentRewriter>(files_, place_.key, SourcesOf(sources, end),
                                                             terms, config_.index_interval_bytes));
  const uint64_t step = tools->throttle->StepBytes();
  std::optional<Error> failed;
  for (bool written = false; !written && !failed;) {
    auto more = co_await RunBlocking(pool_, loop_, "compaction: rewrite",
                                     [rewriter, step]() -> Result<bool> { return rewriter->Step(step); });
    if (!more) failed = CleaningFailed(sources, rewriter->writing(), std::move(more).error());
    if (failed) break;
    written = *more;
    if (!co_await PauseCleaning(tools, rewriter->step_bytes())) {
      failed = Error{v1::CANCELLED, "compaction ended"};
    } else if (const auto room = host_.RoomToRewrite(place_.directory, 0); !room) {
      failed = room.error();  // others have filled the disk meanwhile
    }
  }
  const bool useful = rewriter->changed() && StillThere(sources);
  if (!failed && useful) {
    auto finished =
        co_await RunBlocking(pool_, loop_, "compaction: sync", [rewriter] { return rewriter->Finish(); });
    if (finished) finished = co_await SwapIn(*rewriter, sources);
    if (!finished) failed = CleaningFailed(sources, true, std::move(finished).error());
  }
  if (failed || !useful) {
    co_await RunBlocking(pool_, loop_, "compaction: discard", [rewriter] {
      rewriter->Discard();
      return true;
    });
  }
  const RewriteStats& stats = rewriter->stats();
  report->bytes_read += stats.bytes_read;
  report->bytes_written += stats.bytes_written;
  report->records_dropped += stats.records_dropped;
  report->records_without_key += stats.records_without_key;
  report->segments_before += sources.size();
  report->segments_after += useful ? 1 : sources.size();
  if (failed) co_return std::unexpected(std::move(*failed));
  if (!useful) co_return {};
  uint64_t before = 0;
  for (const auto& source : sources) before += source->size;
  report->bytes_freed += before - std::min(before, rewriter->size());
  co_return {};
}

Task<Result<>> Log::SwapIn(const SegmentRewriter& rewriter, std::vector<std::shared_ptr<Segment>> sources) {
  TM_CO_RETURN_IF_ERROR(co_await LockForChange());
  const Change change(*this);
  if (!StillThere(sources)) co_return Fail(v1::CANCELLED, "the log changed under its compaction");
  co_return co_await ReplaceSegments({.base_offset = rewriter.base_offset(),
                                      .end_offset = rewriter.end_offset(),
                                      .path_prefix = rewriter.path_prefix(),
                                      .size = rewriter.size(),
                                      .first_append_time = rewriter.first_append_time(),
                                      .index = rewriter.index(),
                                      .file = rewriter.file(),
                                      .dropped_tombstones_below = rewriter.stats().dropped_tombstones_below},
                                     std::move(sources));
}

// Before anything is replaced: what the log promises of the range is on disk, and what it no longer can tell
// is.
Task<Result<>> Log::PromiseBeforeSwap(Offset end_offset, Offset dropped_tombstones_below) {
  std::vector<CheckpointChange> changes;
  // Below the recovery point damage is told from a torn tail; the new file is synced whole.
  if (checkpointed_recovery_point_ < end_offset) {
    checkpointed_recovery_point_ = flushed_end_;
    changes.push_back({CheckpointKind::kRecoveryPoint, place_.key, place_.topic, flushed_end_});
  }
  const Offset below = std::max(cleaning_.drops.below(), dropped_tombstones_below);
  if (below > cleaning_.checkpointed_drops) {
    cleaning_.checkpointed_drops = below;
    changes.push_back({CheckpointKind::kDroppedTombstones, place_.key, place_.topic, below});
  }
  if (changes.empty()) co_return {};
  co_return co_await host_.WriteCheckpoints(place_.directory, std::move(changes));
}

// Under the lock of a change; `sources` are contiguous segments of the log, the new one is durable under its
// `.cleaned` names.
Task<Result<>> Log::ReplaceSegments(NewSegment with, std::vector<std::shared_ptr<Segment>> sources) {
  cleaning_.swapping = true;  // from here on appends go on; they touch nothing of what is replaced
  auto promised = co_await PromiseBeforeSwap(with.end_offset, with.dropped_tombstones_below);
  if (promised) {
    promised = co_await RunBlocking(pool_, loop_, "segment swap: commit", [this, prefix = with.path_prefix] {
      return CommitSwap(files_, place_.path, prefix);
    });
  }
  if (!promised) {
    cleaning_.swapping = false;
    const ErrorCode code = promised.error().code;
    if (code == v1::DISK_FULL || code == v1::CANCELLED || failure_) co_return promised;
    // The swap may be on disk or not: nothing may be cut or appended that it would take away at the next
    // start.
    DiskFailed(promised.error());
    co_return std::unexpected(*failure_);
  }
  auto segment = std::make_shared<Segment>();
  segment->base_offset = with.base_offset;
  segment->path_prefix = with.path_prefix;
  segment->size = segment->trusted_from = with.size;
  segment->first_append_time = with.first_append_time;
  segment->max_timestamp = with.index.max_timestamp();
  segment->max_timestamp_offset = with.index.max_timestamp_offset();
  segment->sealed = true;
  // Until its files have their names it is read through the open file and the index in memory. Dirty, it is
  // not closed; nothing is flushed under a change.
  segment->file = FreedOnPool(pool_, with.file);
  segment->index = std::move(with.index);
  segment->dirty = true;
  std::vector<std::string> others;
  for (size_t i = 1; i < sources.size(); ++i) others.push_back(sources[i]->path_prefix);
  for (const auto& source : sources) damaged_.DropSegment(source->base_offset);
  for (DamagedRange& range : with.damage) damaged_.Add(std::move(range));
  const auto first = std::ranges::find(segments_, sources.front());
  *first = segment;
  segments_.erase(first + 1, first + static_cast<ptrdiff_t>(sources.size()));
  if (with.dropped_tombstones_below > 0) cleaning_.drops.Add(with.dropped_tombstones_below);
  // Readers of what was replaced begin again.
  ++generation_;
  ForgetCursors();
  const auto done =
      co_await SeenThrough("segment swap", [this, prefix = with.path_prefix, others = std::move(others)] {
        return CompleteSwap(files_, place_.path, prefix, others);
      });
  cleaning_.swapping = false;
  ++generation_;
  if (!done) co_return done;
  segment->dirty = false;
  segment->index.reset();
  segment->file.reset();
  co_return {};
}

}  // namespace tidemark
