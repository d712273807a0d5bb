#include "common/record/validate.h"

#include <algorithm>

#include "common/record/crc32c.h"
#include "common/record/record_scan.h"
#include "common/record/wire.h"

namespace tidemark {

namespace {

Result<> CheckReserved(const BodyInfo& info) {
  if (info.transactional)
    return Fail(v1::INVALID_RECORD, "transactional is set; transactions are not supported");
  if (info.control) return Fail(v1::INVALID_RECORD, "control is set; only brokers write control batches");
  if (info.delete_horizon) {
    return Fail(v1::INVALID_RECORD, "delete_horizon is {}; only the log cleaner sets it",
                *info.delete_horizon);
  }
  if (info.key_id) return Fail(v1::INVALID_RECORD, "key_id is set; encryption is not supported");
  if (info.payload_encoding != v1::PAYLOAD_ENCODING_OPAQUE) {
    return Fail(v1::INVALID_RECORD, "payload_encoding is {}; only 0 is known",
                static_cast<int>(info.payload_encoding));
  }
  const int producer_fields =
      info.producer_id.has_value() + info.producer_epoch.has_value() + info.base_sequence.has_value();
  if (producer_fields != 0 && producer_fields != 3) {
    return Fail(v1::INVALID_RECORD,
                "producer_id, producer_epoch and base_sequence come together; {} of 3 are set",
                producer_fields);
  }
  return {};
}

Result<> CheckCounts(const BodyInfo& info) {
  if (info.record_count == 0)
    return Fail(v1::INVALID_RECORD, "record_count is 0; a batch has at least one record");
  if (info.last_offset_delta != info.record_count - 1) {
    return Fail(v1::INVALID_RECORD, "last_offset_delta is {} with record_count {}; it must be one less",
                info.last_offset_delta, info.record_count);
  }
  if (info.records_size > kMaxRecordsBytes) {
    return Fail(v1::MESSAGE_TOO_LARGE, "records_size is {}; at most {}", info.records_size, kMaxRecordsBytes);
  }
  if (info.compression == v1::COMPRESSION_NONE && info.records_size != info.records.size()) {
    return Fail(v1::INVALID_RECORD, "records_size is {} with {} bytes of records, not compressed",
                info.records_size, info.records.size());
  }
  return {};
}

Result<> CheckTimestamps(const BodyInfo& info) {
  if (info.timestamp_type != v1::TIMESTAMP_TYPE_CREATE_TIME) {
    return Fail(v1::INVALID_TIMESTAMP, "timestamp_type is {}; producers write CREATE_TIME (0)",
                static_cast<int>(info.timestamp_type));
  }
  if (info.base_timestamp < -1) {
    return Fail(v1::INVALID_TIMESTAMP, "base_timestamp is {}; at least -1 (none)", info.base_timestamp);
  }
  return {};
}

std::unexpected<Error> RefuseRecord(uint32_t index, std::string_view what) {
  return Fail(v1::INVALID_RECORD, "record {}: {}", index, what);
}

}  // namespace

Result<> ValidateRecordSet(std::string_view records, const BodyInfo& info, bool require_keys) {
  const char* at = records.data();
  const char* const end = at + records.size();
  uint32_t count = 0;
  int64_t max_timestamp = -1;
  while (at < end) {
    if (*at != internal::kRecordTag) [[unlikely]] {
      uint64_t tag = 0;
      at = wire::ReadVarint(at, end, &tag);
      // The tag of records in a longer form would hide a record from us that generated code sees.
      const bool hides = tag == static_cast<uint64_t>(internal::kRecordTag);
      if (at != nullptr) at = hides ? nullptr : wire::SkipField(at, end, tag);
      if (at == nullptr) return RefuseRecord(count, "the record set is malformed before it");
      continue;
    }
    std::string_view encoded;
    at = wire::ReadBytes(at + 1, end, &encoded);
    if (at == nullptr) [[unlikely]]
      return RefuseRecord(count, "its length goes past the end of records");
    int64_t timestamp_delta = 0;
    uint64_t offset_delta = 0;
    // Where the fast scan below succeeds the fields are in their usual order, the key first.
    bool has_key = !encoded.empty() && encoded.front() == internal::kKeyTag;
    if (!internal::ScanDeltas(encoded.data(), at, &timestamp_delta, &offset_delta)) [[unlikely]] {
      internal::ScannedRecord record;
      if (!internal::ScanRecordFields(encoded.data(), at, &record)) {
        return RefuseRecord(count, "a field is malformed, or a header key is not UTF-8");
      }
      timestamp_delta = record.timestamp_delta;
      offset_delta = record.offset_delta;
      has_key = record.has_key;
    }
    if (require_keys && !has_key) [[unlikely]] {
      return RefuseRecord(count, "it has no key, which a compacted topic requires");
    }
    if (offset_delta != count) [[unlikely]] {
      return Fail(v1::INVALID_RECORD, "record {}: offset_delta is {}; as produced they are 0, 1, 2, ...",
                  count, offset_delta);
    }
    int64_t timestamp = 0;
    if (__builtin_add_overflow(info.base_timestamp, timestamp_delta, &timestamp) || timestamp < -1)
        [[unlikely]] {
      return Fail(v1::INVALID_TIMESTAMP, "record {}: timestamp_delta is {} with base_timestamp {}", count,
                  timestamp_delta, info.base_timestamp);
    }
    max_timestamp = std::max(max_timestamp, timestamp);
    ++count;
  }
  if (count != info.record_count) {
    return Fail(v1::INVALID_RECORD, "record_count is {}; records holds {}", info.record_count, count);
  }
  if (max_timestamp != info.max_timestamp) {
    return Fail(v1::INVALID_TIMESTAMP, "max_timestamp is {}; the greatest of the records is {}",
                info.max_timestamp, max_timestamp);
  }
  return {};
}

Result<BodyInfo> ValidateProducerBatch(std::string_view body, uint32_t body_crc,
                                       const ValidationLimits& limits, ScratchBuffer& scratch) {
  const size_t stored = BatchPrefixBytes(body.size()) + body.size();
  if (stored > limits.max_message_bytes || body.size() > kMaxBodyBytes) {
    return Fail(v1::MESSAGE_TOO_LARGE, "the batch has {} bytes; max.message.bytes is {}", stored,
                limits.max_message_bytes);
  }
  if (const uint32_t crc = Crc32c(body); crc != body_crc) {
    return Fail(v1::CORRUPT_MESSAGE, "body_crc is {:#010x}; the body of {} bytes has {:#010x}", body_crc,
                body.size(), crc);
  }
  TM_ASSIGN_OR_RETURN(BodyInfo info, ParseBody(body));
  if (!IsKnownCompression(info.compression)) {
    return Fail(v1::UNSUPPORTED_COMPRESSION_TYPE, "compression is {}; known are 0 to {}",
                static_cast<int>(info.compression), static_cast<int>(v1::Compression_MAX));
  }
  TM_RETURN_IF_ERROR(CheckReserved(info));
  TM_RETURN_IF_ERROR(CheckCounts(info));
  TM_RETURN_IF_ERROR(CheckTimestamps(info));
  TM_ASSIGN_OR_RETURN(const std::string_view records,
                      Decompress(info.compression, info.records, info.records_size, scratch));
  TM_RETURN_IF_ERROR(ValidateRecordSet(records, info, limits.require_keys));
  return info;
}

}  // namespace tidemark
