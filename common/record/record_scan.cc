#include "common/record/record_scan.h"

namespace tidemark::internal {

bool ScanHeader(std::string_view encoded, HeaderView* out) {
  *out = {};
  const char* at = encoded.data();
  const char* const end = at + encoded.size();
  while (at < end) {
    uint64_t tag = 0;
    at = wire::ReadVarint(at, end, &tag);
    if (at == nullptr) return false;
    if (tag == static_cast<uint64_t>(kHeaderKeyTag)) {
      at = wire::ReadBytes(at, end, &out->key);
      if (at == nullptr || !wire::IsUtf8(out->key)) return false;
    } else if (tag == static_cast<uint64_t>(kHeaderValueTag)) {
      std::string_view value;
      at = wire::ReadBytes(at, end, &value);
      if (at == nullptr) return false;
      out->value = value;
    } else {
      at = wire::SkipField(at, end, tag);
      if (at == nullptr) return false;
    }
  }
  return true;
}

bool ScanRecordFields(const char* at, const char* end, ScannedRecord* out) {
  while (at < end) {
    uint64_t tag = 0;
    at = wire::ReadVarint(at, end, &tag);
    if (at == nullptr) return false;
    switch (tag) {
      case kKeyTag:
        at = wire::ReadBytes(at, end, &out->key);
        out->has_key = true;
        break;
      case kValueTag:
        at = wire::ReadBytes(at, end, &out->value);
        out->has_value = true;
        break;
      case kTimestampDeltaTag: {
        uint64_t zigzag = 0;
        at = wire::ReadVarint(at, end, &zigzag);
        out->timestamp_delta = wire::UnZigZag(zigzag);
        break;
      }
      case kOffsetDeltaTag:
        at = wire::ReadVarint(at, end, &out->offset_delta);
        if (at != nullptr && out->offset_delta > UINT32_MAX) return false;
        break;
      case kHeaderTag: {
        std::string_view encoded;
        HeaderView header;
        at = wire::ReadBytes(at, end, &encoded);
        if (at == nullptr || !ScanHeader(encoded, &header)) return false;
        ++out->header_count;
        break;
      }
      default:
        at = wire::SkipField(at, end, tag);
    }
    if (at == nullptr) return false;
  }
  return true;
}

}  // namespace tidemark::internal
