// The scan of one encoded Record, shared by validation and reading: fields in their usual order by a straight
// path, anything else by a general one. Internal to common/record. No state, no allocation; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/record/record_view.h"
#include "common/record/wire.h"

namespace tidemark::internal {

inline constexpr char kRecordTag = 0x0a;  // RecordSet.records
inline constexpr char kKeyTag = 0x0a;
inline constexpr char kValueTag = 0x12;
inline constexpr char kTimestampDeltaTag = 0x18;
inline constexpr char kOffsetDeltaTag = 0x20;
inline constexpr char kHeaderTag = 0x2a;
inline constexpr char kHeaderKeyTag = 0x0a;
inline constexpr char kHeaderValueTag = 0x12;

struct ScannedRecord {
  std::string_view key;
  std::string_view value;
  bool has_key = false;
  bool has_value = false;
  int64_t timestamp_delta = 0;
  uint64_t offset_delta = 0;  // a uint32 on the wire; a larger one is refused
  uint32_t header_count = 0;
};

// One encoded RecordHeader; false when it is malformed or its key is not UTF-8.
bool ScanHeader(std::string_view encoded, HeaderView* out);

// The fields in [at, end) in any order, added to what `out` holds. False when malformed.
bool ScanRecordFields(const char* at, const char* end, ScannedRecord* out);

// One encoded Record in [at, end); `out` is fresh. False when malformed. What the straight path finds is kept
// in registers and stored at its end; a record that it does not cover is scanned from its start by the
// general one.
inline bool ScanRecord(const char* const begin, const char* const end, ScannedRecord* out) {
  const char* at = begin;
  std::string_view key;
  std::string_view value;
  uint64_t timestamp_delta = 0;
  uint64_t offset_delta = 0;
  const bool has_key = at < end && *at == kKeyTag;
  if (has_key) {
    at = wire::ReadBytes(at + 1, end, &key);
    if (at == nullptr) [[unlikely]]
      return false;
  }
  const bool has_value = at < end && *at == kValueTag;
  if (has_value) {
    at = wire::ReadBytes(at + 1, end, &value);
    if (at == nullptr) [[unlikely]]
      return false;
  }
  if (at < end && *at == kTimestampDeltaTag) {
    at = wire::ReadVarint(at + 1, end, &timestamp_delta);
    if (at == nullptr) [[unlikely]]
      return false;
  }
  if (at < end && *at == kOffsetDeltaTag) {
    at = wire::ReadVarint(at + 1, end, &offset_delta);
    if (at == nullptr || offset_delta > UINT32_MAX) [[unlikely]]
      return false;
  }
  if (at != end) [[unlikely]]
    return ScanRecordFields(begin, end, out);
  out->key = key;
  out->value = value;
  out->has_key = has_key;
  out->has_value = has_value;
  out->timestamp_delta = wire::UnZigZag(timestamp_delta);
  out->offset_delta = offset_delta;
  return true;
}

// A varint of one or two bytes; null for longer ones and at the end.
inline const char* ReadShortVarint(const char* at, const char* end, uint32_t* value) {
  if (end - at < 2) {
    if (at == end || static_cast<uint8_t>(*at) >= 0x80) return nullptr;
    *value = static_cast<uint8_t>(*at);
    return at + 1;
  }
  const uint32_t low = static_cast<uint8_t>(at[0]);
  const uint32_t high = static_cast<uint8_t>(at[1]);
  if (low < 0x80) {
    *value = low;
    return at + 1;
  }
  *value = (low & 0x7f) | high << 7;
  return high < 0x80 ? at + 2 : nullptr;
}

// Validation's path for nearly all records: key, value and deltas in their usual order with short varints, no
// headers. False says nothing of the record: the general scan decides.
inline bool ScanDeltas(const char* at, const char* end, int64_t* timestamp_delta, uint64_t* offset_delta) {
  for (const char tag : {kKeyTag, kValueTag}) {
    if (at == end || *at != tag) continue;
    uint32_t size = 0;
    at = ReadShortVarint(at + 1, end, &size);
    if (at == nullptr || size > static_cast<size_t>(end - at)) [[unlikely]]
      return false;
    at += size;
  }
  uint32_t timestamp = 0;
  uint32_t offset = 0;
  if (at != end && *at == kTimestampDeltaTag) {
    at = ReadShortVarint(at + 1, end, &timestamp);
    if (at == nullptr) [[unlikely]]
      return false;
  }
  if (at != end && *at == kOffsetDeltaTag) {
    at = ReadShortVarint(at + 1, end, &offset);
    if (at == nullptr) [[unlikely]]
      return false;
  }
  *timestamp_delta = wire::UnZigZag(timestamp);
  *offset_delta = offset;
  return at == end;
}

}  // namespace tidemark::internal
