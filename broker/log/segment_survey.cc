#include "broker/log/segment_survey.h"

#include <glog/logging.h>

#include "broker/log/batch_scan.h"

namespace tidemark {

Result<SegmentSurvey> SurveySegment(FileSystem& files, const PartitionKey& key, const SegmentPlace& place,
                                    uint32_t index_interval_bytes) {
  const std::string path = place.path_prefix + ".log";
  auto file = files.Open(path, OpenMode::kRead);
  if (!file && file.error().code == v1::NOT_FOUND)
    return Fail(v1::CORRUPT_MESSAGE, "{}", file.error().message);
  if (!file && file.error().code != v1::DISK_FULL)
    return Fail(v1::KAFKA_STORAGE_ERROR, "{}", file.error().message);
  if (!file) return std::unexpected(std::move(file).error());
  SegmentSurvey out;
  TM_ASSIGN_OR_RETURN(out.size, (*file)->Size());
  const auto seal = ReadSeal(files, place.path_prefix, place.base_offset);
  if (seal && seal->end == place.next_base && seal->size == out.size) {
    out.max_timestamp = seal->max_timestamp;
    out.max_timestamp_offset = seal->max_timestamp_offset;
    return out;
  }
  LOG(WARNING) << "index of " << path << " is missing or wrong and is rebuilt";
  SegmentIndex index(place.base_offset);
  BatchScanner scanner(**file, key, 0, out.size);
  Offset end = place.base_offset;
  BatchView batch;
  BodyInfo info;
  BatchScanner::Step step;
  while ((step = scanner.Next(&batch, &info)) == BatchScanner::Step::kBatch) {
    if (batch.base_offset < end || batch.base_offset >= place.next_base) {
      return Fail(v1::CORRUPT_MESSAGE, "{}: batch {} where {} was expected", path, batch.base_offset, end);
    }
    index.OnBatch(
        batch.base_offset, scanner.position(),
        info.timestamp_type == v1::TIMESTAMP_TYPE_LOG_APPEND_TIME ? batch.append_time : info.max_timestamp,
        index_interval_bytes);
    end = batch.base_offset + info.last_offset_delta + 1;
  }
  if (step != BatchScanner::Step::kEnd) {
    return Fail(scanner.error().code, "byte {} of {}: {}", scanner.position(), path, scanner.error().message);
  }
  if (end != place.next_base) {
    return Fail(v1::CORRUPT_MESSAGE, "{} ends at {} ({} bytes), the next segment begins at {}", path, end,
                out.size, place.next_base);
  }
  out.max_timestamp = index.max_timestamp();
  out.max_timestamp_offset = index.max_timestamp_offset();
  out.rebuilt = std::move(index);
  return out;
}

}  // namespace tidemark
