#include "common/record/wire.h"

namespace tidemark::wire {

const char* ReadLongVarint(const char* at, const char* end, uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (at == end) return nullptr;
    const uint8_t byte = static_cast<uint8_t>(*at++);
    if (shift == 63 && byte > 1) return nullptr;
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      *value = result;
      return at;
    }
  }
  return nullptr;
}

const char* SkipField(const char* at, const char* end, uint64_t tag) {
  if (tag >> 3 == 0 || tag > UINT32_MAX) return nullptr;
  uint64_t ignored;
  std::string_view bytes;
  switch (tag & 7) {
    case kVarint:
      return ReadVarint(at, end, &ignored);
    case kFixed64:
      return end - at >= 8 ? at + 8 : nullptr;
    case kLengthDelimited:
      return ReadBytes(at, end, &bytes);
    case kFixed32:
      return end - at >= 4 ? at + 4 : nullptr;
    default:
      return nullptr;
  }
}

bool IsUtf8(std::string_view text) {
  auto at = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* const end = at + text.size();
  while (at < end) {
    const uint8_t lead = *at++;
    if (lead < 0x80) continue;
    int more = 0;
    uint32_t code = 0;
    uint32_t least = 0;
    if ((lead & 0xe0) == 0xc0) {
      more = 1, code = lead & 0x1f, least = 0x80;
    } else if ((lead & 0xf0) == 0xe0) {
      more = 2, code = lead & 0x0f, least = 0x800;
    } else if ((lead & 0xf8) == 0xf0) {
      more = 3, code = lead & 0x07, least = 0x10000;
    } else {
      return false;
    }
    if (end - at < more) return false;
    for (int i = 0; i < more; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
      code = code << 6 | (at[i] & 0x3f);
    }
    at += more;
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
  }
  return true;
}

}  // namespace tidemark::wire
