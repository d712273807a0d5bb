// Repair of damaged ranges: the segment is written anew beside itself with what another replica has of them,
// and swapped in as a compacted one is, so that a crash at any step leaves the damaged segment or the whole
// one.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "broker/log/drop_on_pool.h"
#include "broker/log/log_internal.h"
#include "broker/log/segment_splicer.h"
#include "common/fault.h"

namespace tidemark {
namespace {

constexpr uint64_t kStepBytes = 16 << 20;
// Waits are sliced, so that whoever ends the repair is not waited for.
constexpr Duration kLongestRepairSlice = 50ms;

Task<Result<std::string>> Ready(std::string bytes) { co_return bytes; }

Task<Result<std::string>> Nowhere(Offset offset) {
  co_return Fail(v1::OFFSET_NOT_AVAILABLE, "nobody is asked for offset {}", offset);
}

}  // namespace

// A repair of this log, from its first question on.
class Log::Repairing {
 public:
  explicit Repairing(Log& log) : log_(log) { log_.repairing_ = true; }
  ~Repairing() {
    log_.repairing_ = false;
    log_.changed_.NotifyAll();
  }
  Repairing(const Repairing&) = delete;
  Repairing& operator=(const Repairing&) = delete;

 private:
  Log& log_;
};

// Made right after WaitForTurn succeeded.
class Log::HasTurn {
 public:
  explicit HasTurn(RepairTurn& turn) : turn_(turn) { CHECK(!std::exchange(turn_.taken, true)); }
  ~HasTurn() {
    turn_.taken = false;
    turn_.freed.NotifyAll();
  }
  HasTurn(const HasTurn&) = delete;
  HasTurn& operator=(const HasTurn&) = delete;

 private:
  RepairTurn& turn_;
};

bool Log::spliceable() const {
  return !config_.compaction.enabled && cleaning_.cleaned_to == 0 && cleaning_.drops.below() == 0;
}

// What the range that is asked for begins with, before anything is copied: where it is to be had nowhere,
// nothing but this question is repeated.
Task<Result<std::string>> Log::FetchFirst(Offset* offset, FetchRange fetch) {
  const DamagedRange* range = damaged_.Find(*offset);
  CHECK(range != nullptr) << place_.path;
  *offset = std::max(range->first, start_);
  co_return co_await fetch(*offset);
}

Result<> Log::MayRepair(const std::stop_token& stop) const {
  TM_RETURN_IF_ERROR(Usable());
  if (damage_) return std::unexpected(*damage_);
  if (repairs_held_ || stop.stop_requested()) return Fail(v1::CANCELLED, "the repair is stopped");
  return {};
}

Task<void> Log::RepairsEnded() {
  while (repairing_) co_await changed_.Wait("end of a repair");
}

Task<Result<>> Log::WaitForTurn(std::stop_token stop) {
  RepairTurn& turn = host_.repair_turn();
  while (turn.taken) {
    co_await turn.freed.Wait("turn of a repair", loop_.Now() + kLongestRepairSlice, stop);
    TM_CO_RETURN_IF_ERROR(MayRepair(stop));
  }
  co_return {};
}

Task<Result<>> Log::PauseRepair(uint64_t bytes, std::stop_token stop) {
  const MonoTime until = host_.copy_pace().Take(bytes, loop_.Now());
  while (true) {
    TM_CO_RETURN_IF_ERROR(MayRepair(stop));
    if (loop_.Now() >= until) co_return {};
    co_await Sleep(loop_, std::min(until - loop_.Now(), kLongestRepairSlice), "rate of a repair", stop);
  }
}

Task<Result<>> Log::Repair(Offset offset, FetchRange fetch, std::stop_token stop) {
  const Operation operation(*this);
  TM_CO_RETURN_IF_ERROR(MayRepair(stop));
  if (damaged_.Find(offset) == nullptr) co_return {};
  // A pass that began before compaction was switched off: the two write files of the same names.
  if (repairing_ || cleaning_.running)
    co_return Fail(v1::CANCELLED, "the log is being repaired or compacted");
  const Repairing repairing(*this);
  Offset asked = offset;
  TM_CO_ASSIGN_OR_RETURN(std::string first, co_await FetchFirst(&asked, fetch));
  TM_CO_RETURN_IF_ERROR(MayRepair(stop));
  TM_CO_RETURN_IF_ERROR(co_await WaitForTurn(stop));
  const HasTurn has_turn(host_.repair_turn());
  const DamagedRange* range = damaged_.Find(asked);
  if (range == nullptr || range->last < start_) co_return {};
  const std::shared_ptr<Segment> segment = segments_[SegmentIndexFor(range->segment)];
  CHECK_EQ(segment->base_offset, range->segment) << place_.path;
  if (segment == segments_.back()) TM_CO_RETURN_IF_ERROR(RollActive());
  // What was asked for is asked for again where it has moved.
  FetchRange with_first = [fetch = std::move(fetch), asked,
                           first = std::make_shared<std::string>(std::move(first))](Offset from) {
    return from == asked && !first->empty() ? Ready(std::exchange(*first, {})) : fetch(from);
  };
  co_return co_await Splice(segment, std::move(with_first), std::move(stop));
}

// The segment that holds the start has damage wholly below it, where nobody reads and nobody repairs, and
// none above; `end`: of what a pass would read.
bool Log::damaged_below_start(Offset end) const {
  const Segment& segment = *segments_[SegmentIndexFor(start_)];
  return segment.base_offset < end && damaged_.FirstFrom(start_) == nullptr &&
         std::ranges::any_of(
             damaged_.ranges(),
             [&](const DamagedRange& range) { return range.segment == segment.base_offset; });
}

Task<Result<>> Log::DropDamageBelowStart(std::stop_token stop) {
  TM_CO_RETURN_IF_ERROR(MayRepair(stop));
  const Repairing repairing(*this);
  TM_CO_RETURN_IF_ERROR(co_await WaitForTurn(stop));
  const HasTurn has_turn(host_.repair_turn());
  if (!damaged_below_start(end_)) co_return {};
  const std::shared_ptr<Segment> segment = segments_[SegmentIndexFor(start_)];
  co_return co_await Splice(segment, &Nowhere, std::move(stop));
}

// Writes the segment anew without what is damaged below the log start and with what `fetch` has of the rest.
// Under a Repairing and the turn.
Task<Result<>> Log::Splice(std::shared_ptr<Segment> segment, FetchRange fetch, std::stop_token stop) {
  if (!segment->sealed || segment->index || segment->dirty || segment->flushing || !segment->entry_synced) {
    RequestFlush();
    co_return Fail(v1::BROKER_NOT_READY, "{} is not sealed yet", segment->log_path());
  }
  if (TM_BUG("forget-damage")) {
    damaged_.DropSegment(segment->base_offset);
    co_return {};
  }
  TM_CO_RETURN_IF_ERROR(host_.RoomToRewrite(place_.directory, segment->size));
  const SegmentScrub::Extent extent = ExtentOf(*segment);
  SegmentSplicer::Source source{.key = place_.key,
                                .path_prefix = segment->path_prefix,
                                .base_offset = segment->base_offset,
                                .end_offset = extent.end,
                                .bytes = segment->size,
                                .epochs = epochs_,
                                .log_start = start_,
                                .max_timestamp = segment->max_timestamp,
                                .index_interval = config_.index_interval_bytes};
  for (const DamagedRange& each : damaged_.ranges()) {
    if (each.segment == segment->base_offset) source.damage.push_back(each);
  }
  const auto splicer = DroppedOnPool(pool_, std::make_unique<SegmentSplicer>(files_, std::move(source)));
  auto done = co_await FillSplicer(splicer, segment, generation_, std::move(fetch), std::move(stop));
  if (done) done = co_await SwapInRepaired(splicer, segment);
  if (done) {
    LOG(WARNING) << place_.topic << "-" << place_.key.partition << ": " << segment->log_path()
                 << (splicer->taken() > 0 ? " is repaired from another replica"
                                          : " is written anew without what was damaged below the log start")
                 << (splicer->kept().empty() ? ""
                                             : fmt::format(", but for {} ranges", splicer->kept().size()));
    co_return {};
  }
  co_await RunBlocking(pool_, loop_, "repair: discard", [splicer] {
    splicer->Discard();
    return true;
  });
  co_return done;
}

Task<Result<>> Log::FillSplicer(std::shared_ptr<SegmentSplicer> splicer, std::shared_ptr<Segment> segment,
                                uint64_t generation, FetchRange fetch, std::stop_token stop) {
  std::string given;
  std::optional<Error> refused;
  const uint64_t step = host_.copy_pace().ChunkBytes(kStepBytes);
  while (true) {
    const uint64_t written = splicer->size();
    auto stepped = co_await RunBlocking(
        pool_, loop_, "repair",
        [splicer, step, given = std::move(given), refused = std::move(refused)]() -> Result<> {
          if (refused) splicer->Keep(*refused);
          if (!given.empty()) TM_RETURN_IF_ERROR(splicer->Give(given));
          if (!splicer->wanted() && !splicer->done()) TM_RETURN_IF_ERROR(splicer->Step(step));
          if (!splicer->done()) return {};
          // Nothing came of it.
          if (splicer->taken() == 0 && splicer->holes() == 0) return std::unexpected(*splicer->refused());
          return splicer->Finish();
        });
    given.clear();
    refused.reset();
    TM_CO_RETURN_IF_ERROR(Usable());
    if (generation != generation_ || std::ranges::find(segments_, segment) == segments_.end()) {
      co_return Fail(v1::CANCELLED, "the log changed under its repair");
    }
    if (!stepped && splicer->writing() && stepped.error().code != v1::DISK_FULL) {
      DiskFailed(stepped.error());
      co_return std::unexpected(*failure_);
    }
    if (!stepped && stepped.error().code == v1::CORRUPT_MESSAGE && !splicer->done())
      (void)co_await SearchDamage(segment, stop);
    if (!stepped) co_return stepped;
    TM_CO_RETURN_IF_ERROR(co_await PauseRepair(splicer->size() - written, stop));
    if (splicer->done()) co_return {};
    if (!splicer->wanted()) continue;
    TM_CO_RETURN_IF_ERROR(host_.RoomToRewrite(place_.directory, 0));
    auto fetched = co_await fetch(*splicer->wanted());
    TM_CO_RETURN_IF_ERROR(MayRepair(stop));
    if (fetched) {
      given = std::move(*fetched);
    } else if (fetched.error().code == v1::CORRUPT_MESSAGE ||
               fetched.error().code == v1::OFFSET_NOT_AVAILABLE) {
      // Not there either, or not yet; the other ranges need not wait for it.
      refused = std::move(fetched).error();
    } else {
      co_return std::unexpected(std::move(fetched).error());
    }
  }
}

Task<Result<>> Log::SwapInRepaired(std::shared_ptr<SegmentSplicer> splicer,
                                   std::shared_ptr<Segment> segment) {
  TM_CO_RETURN_IF_ERROR(co_await LockForChange());
  const Change change(*this);
  if (std::ranges::find(segments_, segment) == segments_.end() || cleaning_.running) {
    co_return Fail(v1::CANCELLED, "the log changed under its repair");
  }
  co_return co_await ReplaceSegments({.base_offset = splicer->base_offset(),
                                      .end_offset = splicer->end_offset(),
                                      .path_prefix = splicer->path_prefix(),
                                      .size = splicer->size(),
                                      .first_append_time = splicer->first_append_time(),
                                      .index = splicer->index(),
                                      .file = splicer->file(),
                                      .damage = splicer->kept()},
                                     {segment});
}

}  // namespace tidemark
