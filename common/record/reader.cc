#include "common/record/reader.h"

#include "common/record/record_scan.h"
#include "common/record/wire.h"

namespace tidemark {

bool HeaderCursor::Next(HeaderView* out) {
  while (at_ < end_) {
    uint64_t tag = 0;
    at_ = wire::ReadVarint(at_, end_, &tag);
    if (at_ == nullptr) break;
    if (tag == static_cast<uint64_t>(internal::kHeaderTag)) {
      std::string_view encoded;
      at_ = wire::ReadBytes(at_, end_, &encoded);
      if (at_ == nullptr) break;
      return internal::ScanHeader(encoded, out);
    }
    at_ = wire::SkipField(at_, end_, tag);
    if (at_ == nullptr) break;
  }
  at_ = end_;
  return false;
}

RecordReader::RecordReader(std::string_view record_set, const BodyInfo& info, Offset base_offset,
                           WallMillis append_time)
    : info_(info),
      base_offset_(base_offset),
      append_time_(append_time),
      begin_(record_set.data()),
      at_(record_set.data()),
      end_(record_set.data() + record_set.size()) {}

Result<RecordReader> RecordReader::Open(const BatchView& batch, ScratchBuffer& scratch) {
  TM_ASSIGN_OR_RETURN(const BodyInfo info, ParseBody(batch.body));
  if (info.records_size > kMaxRecordsBytes) {
    return Fail(v1::CORRUPT_MESSAGE, "records_size of the batch at offset {} is {}; at most {}",
                batch.base_offset, info.records_size, kMaxRecordsBytes);
  }
  auto records = Decompress(info.compression, info.records, info.records_size, scratch);
  if (!records) {
    return Fail(records.error().code, "batch at offset {}: {}", batch.base_offset, records.error().message);
  }
  return RecordReader(*records, info, batch.base_offset, batch.append_time);
}

bool RecordReader::Refuse(std::string_view what) {
  error_ =
      Error{v1::CORRUPT_MESSAGE, fmt::format("batch at offset {}, record {} of {}, byte {}: {}", base_offset_,
                                             seen_, info_.record_count, at_ - begin_, what)};
  at_ = end_;
  return false;
}

bool RecordReader::Next(RecordView* out) {
  if (error_) return false;
  while (at_ < end_) {
    const char tag_byte = *at_;
    if (tag_byte != internal::kRecordTag) {
      uint64_t tag = 0;
      const char* after = wire::ReadVarint(at_, end_, &tag);
      const bool hides = tag == static_cast<uint64_t>(internal::kRecordTag);
      if (after != nullptr) after = hides ? nullptr : wire::SkipField(after, end_, tag);
      if (after == nullptr) return Refuse("malformed field of the record set");
      at_ = after;
      continue;
    }
    std::string_view encoded;
    const char* after = wire::ReadBytes(at_ + 1, end_, &encoded);
    if (after == nullptr) return Refuse("the record is cut short");
    internal::ScannedRecord record;
    if (!internal::ScanRecord(encoded.data(), encoded.data() + encoded.size(), &record))
      return Refuse("the record is malformed");
    if (static_cast<int64_t>(record.offset_delta) <= last_delta_) return Refuse("offset_delta does not rise");
    if (record.offset_delta > info_.last_offset_delta)
      return Refuse("offset_delta is above last_offset_delta");
    int64_t timestamp = append_time_;
    if (info_.timestamp_type == v1::TIMESTAMP_TYPE_CREATE_TIME &&
        __builtin_add_overflow(info_.base_timestamp, record.timestamp_delta, &timestamp)) {
      return Refuse("timestamp_delta overflows");
    }
    out->offset = base_offset_ + record.offset_delta;
    out->timestamp = timestamp;
    out->key = record.has_key ? std::optional(record.key) : std::nullopt;
    out->value = record.has_value ? std::optional(record.value) : std::nullopt;
    out->header_count = record.header_count;
    out->encoded = encoded;
    at_ = after;
    last_delta_ = static_cast<int64_t>(record.offset_delta);
    ++seen_;
    return true;
  }
  if (seen_ != info_.record_count) return Refuse("fewer or more records than record_count");
  return false;
}

}  // namespace tidemark
