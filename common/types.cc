#include "common/types.h"

#include <algorithm>

#include "common/utf8.h"

namespace tidemark {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kBase64Size = 22;  // 128 bits in 6-bit digits, the last one with 4 bits of padding
constexpr size_t kMaxTopicName = 249;

bool IsTopicCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

}  // namespace

Result<TopicId> TopicId::FromBytes(std::string_view bytes) {
  if (bytes.size() != kSize)
    return Fail(v1::INVALID_REQUEST, "a topic id has 16 bytes, this one {}", bytes.size());
  TopicId id;
  std::memcpy(id.bytes_.data(), bytes.data(), kSize);
  return id;
}

Result<TopicId> TopicId::FromBase64(std::string_view text) {
  if (text.size() != kBase64Size)
    return Fail(v1::INVALID_REQUEST, "topic id '{}' does not have 22 characters", text);
  TopicId id;
  uint32_t buffer = 0;
  int bits = 0;
  size_t out = 0;
  for (char c : text) {
    const size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos)
      return Fail(v1::INVALID_REQUEST, "topic id '{}' is not URL-safe base64", text);
    buffer = (buffer << 6) | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits >= 8 && out < kSize) {
      bits -= 8;
      id.bytes_[out++] = static_cast<uint8_t>(buffer >> bits);
      buffer &= (1u << bits) - 1;
    }
  }
  if (buffer != 0) return Fail(v1::INVALID_REQUEST, "topic id '{}' has stray bits at its end", text);
  return id;
}

std::string TopicId::ToBase64() const {
  std::string text;
  text.reserve(kBase64Size);
  uint32_t buffer = 0;
  int bits = 0;
  for (uint8_t byte : bytes_) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      text += kBase64[(buffer >> bits) & 63];
    }
    buffer &= (1u << bits) - 1;
  }
  text += kBase64[(buffer << (6 - bits)) & 63];
  return text;
}

uint64_t StableHash(const PartitionKey& key) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a, then a finaliser so that few shards are even
  for (uint8_t byte : key.topic.bytes()) hash = (hash ^ byte) * 0x100000001b3ULL;
  hash += key.partition;
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  return hash;
}

Result<> ValidateTopicName(std::string_view name) {
  if (name.empty()) return Fail(v1::INVALID_TOPIC_EXCEPTION, "a topic name cannot be empty");
  if (name == "." || name == "..")
    return Fail(v1::INVALID_TOPIC_EXCEPTION, "a topic cannot be named '{}'", name);
  if (name.size() > kMaxTopicName) {
    return Fail(v1::INVALID_TOPIC_EXCEPTION, "a topic name has at most {} characters, this one {}",
                kMaxTopicName, name.size());
  }
  if (auto bad = std::find_if_not(name.begin(), name.end(), IsTopicCharacter); bad != name.end()) {
    // All of a character's bytes: a part of them is not text.
    const std::string_view rest(bad, name.end());
    const std::string character = ToUtf8(rest.substr(0, std::max<size_t>(1, CodePointBytes(rest))));
    return Fail(v1::INVALID_TOPIC_EXCEPTION,
                "topic name '{}' has the character '{}'; legal are a-z A-Z 0-9 . _ -", ToUtf8(name),
                character);
  }
  return {};
}

bool IsInternalTopic(std::string_view name) { return name == kOffsetsTopic || name == "__transaction_state"; }

}  // namespace tidemark
