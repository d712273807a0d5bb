// ParseBody: the wire scan of a BatchBody.
#include <limits>

#include "common/record/batch.h"
#include "common/record/wire.h"

namespace tidemark {

namespace {

constexpr const char* kFieldNames[] = {"",
                                       "compression",
                                       "timestamp_type",
                                       "last_offset_delta",
                                       "base_timestamp",
                                       "max_timestamp",
                                       "producer_id",
                                       "producer_epoch",
                                       "base_sequence",
                                       "record_count",
                                       "transactional",
                                       "control",
                                       "payload_encoding",
                                       "records_size",
                                       "delete_horizon",
                                       "records",
                                       "key_id"};
constexpr uint64_t kRecordsField = 15;
constexpr uint64_t kLastField = 16;

// Enums are open: a number not known here is kept; one beyond 31 bits becomes one that nobody knows.
template <typename E>
E ToEnum(uint64_t value) {
  return static_cast<E>(value > INT32_MAX ? INT32_MAX : static_cast<int32_t>(value));
}

// Puts a varint field in place; false when it is beyond the field's type.
bool SetVarint(uint64_t field, uint64_t value, BodyInfo* info) {
  const bool is_32_bit = value <= std::numeric_limits<uint32_t>::max();
  const auto narrow = static_cast<uint32_t>(value);
  switch (field) {
    case 1:
      info->compression = ToEnum<v1::Compression>(value);
      return true;
    case 2:
      info->timestamp_type = ToEnum<v1::TimestampType>(value);
      return true;
    case 3:
      info->last_offset_delta = narrow;
      return is_32_bit;
    case 4:
      info->base_timestamp = static_cast<int64_t>(value);
      return true;
    case 5:
      info->max_timestamp = static_cast<int64_t>(value);
      return true;
    case 6:
      info->producer_id = value;
      return true;
    case 7:
      info->producer_epoch = narrow;
      return is_32_bit;
    case 8:
      info->base_sequence = narrow;
      return is_32_bit;
    case 9:
      info->record_count = narrow;
      return is_32_bit;
    case 10:
      info->transactional = value != 0;
      return true;
    case 11:
      info->control = value != 0;
      return true;
    case 12:
      info->payload_encoding = ToEnum<v1::PayloadEncoding>(value);
      return true;
    case 13:
      info->records_size = narrow;
      return is_32_bit;
    case 14:
      info->delete_horizon = static_cast<int64_t>(value);
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<BodyInfo> ParseBody(std::string_view body) {
  BodyInfo info;
  const char* at = body.data();
  const char* const end = at + body.size();
  while (at < end) {
    const auto position = at - body.data();
    uint64_t tag = 0;
    at = wire::ReadVarint(at, end, &tag);
    if (at == nullptr) return Fail(v1::CORRUPT_MESSAGE, "the batch body is malformed at byte {}", position);
    const uint64_t field = tag >> 3;
    const uint64_t type = tag & 7;
    const bool is_known = field >= 1 && field <= kLastField;
    const bool is_bytes = field >= kRecordsField;
    if (is_known && type == (is_bytes ? wire::kLengthDelimited : wire::kVarint)) {
      uint64_t value = 0;
      std::string_view bytes;
      at = is_bytes ? wire::ReadBytes(at, end, &bytes) : wire::ReadVarint(at, end, &value);
      if (at == nullptr) {
        return Fail(v1::CORRUPT_MESSAGE, "field {} of the batch body is cut short", kFieldNames[field]);
      }
      if (field == kRecordsField) {
        info.records = bytes;
      } else if (is_bytes) {
        info.key_id = bytes;
      } else if (!SetVarint(field, value, &info)) {
        return Fail(v1::CORRUPT_MESSAGE, "field {} of the batch body is {}, beyond 32 bits",
                    kFieldNames[field], value);
      }
      continue;
    }
    if (is_known) {
      return Fail(v1::CORRUPT_MESSAGE, "field {} of the batch body has wire type {}", kFieldNames[field],
                  type);
    }
    at = wire::SkipField(at, end, tag);
    if (at == nullptr) return Fail(v1::CORRUPT_MESSAGE, "the batch body is malformed at byte {}", position);
  }
  return info;
}

}  // namespace tidemark
