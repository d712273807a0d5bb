#include "broker/log/segment_survey.h"

#include <limits>
#include <utility>

#include <glog/logging.h>

#include "broker/log/batch_scan.h"
#include "broker/log/segment_scrub.h"

namespace tidemark {
namespace {

constexpr size_t kSurveyPieceBytes = 64 << 20;

}  // namespace

Result<SegmentSurvey> SurveySegment(FileSystem& files, const PartitionKey& key, const SegmentPlace& place,
                                    uint32_t index_interval_bytes) {
  const std::string path = place.path_prefix + ".log";
  const auto file = files.Open(path, OpenMode::kRead);
  const bool missing = !file && file.error().code == v1::NOT_FOUND;
  if (!file && !missing && file.error().code != v1::DISK_FULL)
    return Fail(v1::KAFKA_STORAGE_ERROR, "{}", file.error().message);
  if (!file && !missing) return std::unexpected(file.error());
  SegmentSurvey out;
  auto seal = ReadSeal(files, place.path_prefix, place.base_offset);
  if (seal && seal->end != place.next_base) seal.reset();
  if (!missing) {
    TM_ASSIGN_OR_RETURN(out.size, (*file)->Size());
    out.first_append_time = FirstAppendTime(**file, key, out.size);
    if (seal && seal->size == out.size) {
      out.max_timestamp = seal->max_timestamp;
      out.max_timestamp_offset = seal->max_timestamp_offset;
      return out;
    }
    LOG(WARNING) << "index of " << path << " is missing or wrong and is rebuilt";
  }
  SegmentScrub scrub({key, place.path_prefix, place.base_offset, index_interval_bytes});
  const SegmentScrub::Extent extent{.size = out.size, .end = place.next_base};
  while (!scrub.done()) {
    TM_RETURN_IF_ERROR(scrub.Step(files, extent, kSurveyPieceBytes));
  }
  out.damage = scrub.damage();
  SegmentIndex index = scrub.TakeIndex();
  out.max_timestamp = index.max_timestamp();
  out.max_timestamp_offset = index.max_timestamp_offset();
  if (out.damage.empty()) {
    out.rebuilt = std::move(index);
  } else if (seal) {
    out.max_timestamp = seal->max_timestamp;
    out.max_timestamp_offset = seal->max_timestamp_offset;
  } else {
    out.max_timestamp = std::numeric_limits<WallMillis>::max();
  }
  return out;
}

}  // namespace tidemark
