// Protobuf's wire format by hand: varints, tags and little-endian words over raw buffers. Used where
// generated code would cost an object per record. Reading never goes past `end` and reports malformed input
// by a null pointer.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tidemark::wire {

static_assert(std::endian::native == std::endian::little, "the wire format is copied as it lies in memory");

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

constexpr uint8_t Tag(uint32_t field, WireType type) { return static_cast<uint8_t>(field << 3 | type); }

constexpr uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Bytes that `value` takes as a varint.
constexpr size_t VarintSize(uint64_t value) {
  return value == 0 ? 1 : (static_cast<size_t>(std::bit_width(value)) + 6) / 7;
}

inline char* WriteVarint(char* out, uint64_t value) {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}

template <typename T>
inline char* WriteFixed(char* out, T value) {
  std::memcpy(out, &value, sizeof value);
  return out + sizeof value;
}

template <typename T>
inline T ReadFixed(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The byte after the varint, or null when it is cut short or longer than 64 bits.
const char* ReadLongVarint(const char* at, const char* end, uint64_t* value);
inline const char* ReadVarint(const char* at, const char* end, uint64_t* value) {
  if (at < end && static_cast<uint8_t>(*at) < 0x80) [[likely]] {
    *value = static_cast<uint8_t>(*at);
    return at + 1;
  }
  if (end - at >= 2 && static_cast<uint8_t>(at[1]) < 0x80) [[likely]] {
    *value = (static_cast<uint8_t>(at[0]) & 0x7fu) | static_cast<uint64_t>(at[1]) << 7;
    return at + 2;
  }
  return ReadLongVarint(at, end, value);
}

// A length-delimited field's bytes; null when it goes past `end`.
inline const char* ReadBytes(const char* at, const char* end, std::string_view* bytes) {
  uint64_t size;
  at = ReadVarint(at, end, &size);
  if (at == nullptr || size > static_cast<uint64_t>(end - at)) [[unlikely]]
    return nullptr;
  *bytes = {at, static_cast<size_t>(size)};
  return at + size;
}

// Skips the value of a field with this tag; null when it is malformed (groups are).
const char* SkipField(const char* at, const char* end, uint64_t tag);

// True when every byte sequence is legal UTF-8: generated code refuses a whole message for one bad `string`.
bool IsUtf8(std::string_view text);

}  // namespace tidemark::wire
