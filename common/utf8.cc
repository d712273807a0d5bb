#include "common/utf8.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace tidemark {

size_t CodePointBytes(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  size_t size = 0;
  uint32_t least = 0;
  if ((lead & 0xe0) == 0xc0) {
    size = 2, least = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    size = 3, least = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    size = 4, least = 0x10000;
  } else {
    return 0;
  }
  if (text.size() < size) return 0;
  uint32_t code = lead & (0x7fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  // Overlong forms, surrogates and what lies beyond Unicode are no code points.
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return 0;
  return size;
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = CodePointBytes(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string_view Utf8Prefix(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

namespace {

// `size`: bytes of the code point that `text` begins with. C1 are U+0080 to U+009F.
bool IsControl(std::string_view text, size_t size) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (size == 1) return lead < 0x20 || lead == 0x7f;
  return size == 2 && lead == 0xc2 && static_cast<uint8_t>(text[1]) < 0xa0;
}

std::string Escaped(std::string_view text, bool controls) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t found = CodePointBytes(text);
    const size_t size = std::max<size_t>(found, 1);
    if (found == 0 || (controls && IsControl(text, found))) {
      for (const char c : text.substr(0, size)) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return out;
}

}  // namespace

std::string ToUtf8(std::string_view text) { return Escaped(text, false); }

std::string Printable(std::string_view text) { return Escaped(text, true); }

}  // namespace tidemark
