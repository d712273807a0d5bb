#include "broker/group/group_log.h"

#include "common/record/reader.h"

namespace tidemark {
namespace {

constexpr size_t kBatchBytes = 256u << 10;

}  // namespace

Result<std::vector<FinishedBatch>> EncodeGroupBatches(std::span<const GroupRecord> records, WallMillis now) {
  std::vector<FinishedBatch> batches;
  BatchBuilder builder;
  for (const GroupRecord& record : records) {
    const std::string key = EncodeGroupKey(record);
    const std::optional<std::string> value = EncodeGroupValue(record);
    if (!builder.empty() &&
        builder.EstimatedBodyBytes() + key.size() + (value ? value->size() : 0) > kBatchBytes) {
      TM_ASSIGN_OR_RETURN(FinishedBatch full, builder.Finish(v1::COMPRESSION_NONE));
      batches.push_back(std::move(full));
    }
    if (!builder.Append(key, value, now)) {
      return Fail(v1::RECORD_LIST_TOO_LARGE, "a record of group '{}' has {} bytes", record.group,
                  value ? value->size() : 0);
    }
  }
  if (!builder.empty()) {
    TM_ASSIGN_OR_RETURN(FinishedBatch last, builder.Finish(v1::COMPRESSION_NONE));
    batches.push_back(std::move(last));
  }
  return batches;
}

Result<GroupScan> ScanGroupBatches(std::string_view bytes, Offset from, ScratchBuffer& scratch,
                                   const std::function<void(const GroupRecord&)>& apply) {
  GroupScan scan{.next = from};
  while (!bytes.empty()) {
    BatchView batch;
    std::string why;
    if (ParseBatch(bytes, &batch, nullptr, &why) != BatchParse::kOk)
      return Fail(v1::CORRUPT_MESSAGE, "not a batch: {}", why);
    bytes.remove_prefix(batch.bytes.size());
    Result<RecordReader> reader = RecordReader::Open(batch, scratch);
    if (!reader) return std::unexpected(reader.error());
    RecordView record;
    while (reader->Next(&record)) {
      if (record.offset < from) continue;
      auto decoded = DecodeGroupRecord(record.key, record.value);
      if (decoded && *decoded) apply(**decoded);
      ++scan.records;
      if (decoded) continue;
      if (++scan.bad == 1)
        scan.first_bad = fmt::format("offset {}: {}", record.offset, decoded.error().message);
    }
    if (reader->error()) return std::unexpected(*reader->error());
    scan.next = batch.base_offset + reader->info().last_offset_delta + 1;
  }
  return scan;
}

}  // namespace tidemark
