// Survey: what recovery left out of old segments (segment_survey.h) is found out here, when it is needed or
// in the background.
#include <algorithm>
#include <utility>

#include "broker/log/log_internal.h"
#include "broker/log/scrub_cursor.h"
#include "broker/log/segment_survey.h"

namespace tidemark {
namespace {

constexpr size_t kSegmentsAtOnce = 64;  // of one job on the pool

}  // namespace

bool Log::surveyed() const {
  return std::all_of(segments_.begin(), segments_.end(), [](const auto& each) { return each->surveyed; });
}

Task<Result<>> Log::Survey() {
  const Operation operation(*this);
  while (!surveyed()) {
    TM_CO_RETURN_IF_ERROR(Usable());
    if (damage_) co_return std::unexpected(*damage_);
    std::vector<std::shared_ptr<Segment>> some;
    for (const auto& segment : segments_) {
      if (!segment->surveyed && some.size() < kSegmentsAtOnce) some.push_back(segment);
    }
    TM_CO_RETURN_IF_ERROR(co_await SurveySome(std::move(some)));
  }
  co_return {};
}

Task<Result<>> Log::SurveySome(std::vector<std::shared_ptr<Segment>> some) {
  std::vector<SegmentPlace> places;
  for (const auto& segment : some) {
    const auto next = std::upper_bound(segments_.begin(), segments_.end(), segment->base_offset,
                                       [](Offset base, const auto& s) { return base < s->base_offset; });
    CHECK(next != segments_.end()) << "the active segment is known";
    places.push_back({segment->path_prefix, segment->base_offset, (*next)->base_offset});
  }
  auto found =
      co_await RunBlocking(pool_, loop_, "survey segments",
                           [this, places = std::move(places), interval = config_.index_interval_bytes] {
                             std::vector<Result<SegmentSurvey>> out;
                             for (const SegmentPlace& place : places) {
                               out.push_back(SurveySegment(files_, place_.key, place, interval));
                               if (!out.back()) break;
                             }
                             return out;
                           });
  bool news = false;
  for (size_t i = 0; i < found.size(); ++i) {
    Segment& segment = *some[i];
    // Looked at by somebody else meanwhile, or removed or cut under the look: what was found is of no use.
    if (segment.surveyed || std::find(segments_.begin(), segments_.end(), some[i]) == segments_.end())
      continue;
    if (!found[i]) {
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}", found[i].error().message);
    }
    segment.surveyed = true;
    segment.size = found[i]->size;
    segment.trusted_from = found[i]->size;
    segment.first_append_time = found[i]->first_append_time;
    segment.max_timestamp = found[i]->max_timestamp;
    segment.max_timestamp_offset = found[i]->max_timestamp_offset;
    ScrubProgress ignored;
    if (!found[i]->damage.empty()) NoteDamage(found[i]->damage, &ignored);
    news = news || ignored.damaged > 0;
    if (!found[i]->rebuilt) continue;
    segment.index = std::move(found[i]->rebuilt);
    segment.entries_written = 0;
    segment.index_files_stale = true;
    RequestFlush();
  }
  if (news) co_await PromiseFlushed();
  co_return {};
}

}  // namespace tidemark
