// The vocabulary of ids, offsets and epochs shared by all layers.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace tidemark {

using BrokerId = int32_t;
inline constexpr BrokerId kNoBroker = -1;

// czxid of a broker's registration znode: names one life of a broker. -1: none.
using BrokerEpoch = int64_t;
inline constexpr BrokerEpoch kNoBrokerEpoch = -1;

// Position of a record in its partition, from 0. "End" offsets are one past the last record.
using Offset = uint64_t;

using LeaderEpoch = uint32_t;
using ControllerEpoch = uint32_t;
// zkVersion of the partition's state znode.
using PartitionEpoch = uint32_t;
using PartitionIndex = uint32_t;

// 16 random bytes that name one incarnation of a topic; a re-created topic has another id.
class TopicId {
 public:
  static constexpr size_t kSize = 16;
  TopicId() = default;
  explicit TopicId(const std::array<uint8_t, kSize>& bytes) : bytes_(bytes) {}

  // From the 16 bytes of a protobuf field; INVALID_REQUEST when the size is wrong.
  static Result<TopicId> FromBytes(std::string_view bytes);
  // From 22 characters of URL-safe base64, as Kafka writes it into znodes and partition.metadata.
  static Result<TopicId> FromBase64(std::string_view text);

  std::string ToBytes() const { return {reinterpret_cast<const char*>(bytes_.data()), kSize}; }
  std::string ToBase64() const;
  bool IsZero() const { return bytes_ == std::array<uint8_t, kSize>{}; }
  const std::array<uint8_t, kSize>& bytes() const { return bytes_; }
  auto operator<=>(const TopicId&) const = default;

 private:
  std::array<uint8_t, kSize> bytes_{};
};

// One partition of one incarnation of a topic: the key of every table of partitions.
struct PartitionKey {
  TopicId topic;
  PartitionIndex partition = 0;
  auto operator<=>(const PartitionKey&) const = default;
};

// A stable hash (the same in every process and version): decides the owning shard.
uint64_t StableHash(const PartitionKey& key);

// Kafka's rules: 1 to 249 of [a-zA-Z0-9._-], not "." or "..". INVALID_TOPIC_EXCEPTION says what is wrong.
Result<> ValidateTopicName(std::string_view name);

// Holds the groups and their offsets.
inline constexpr std::string_view kOffsetsTopic = "__consumer_offsets";
// True for topics of the system itself (__consumer_offsets, __transaction_state).
bool IsInternalTopic(std::string_view name);

}  // namespace tidemark

template <>
struct std::hash<tidemark::TopicId> {
  size_t operator()(const tidemark::TopicId& id) const noexcept {
    uint64_t word;
    std::memcpy(&word, id.bytes().data(), sizeof word);  // random already
    return word;
  }
};
template <>
struct std::hash<tidemark::PartitionKey> {
  size_t operator()(const tidemark::PartitionKey& key) const noexcept {
    return std::hash<tidemark::TopicId>{}(key.topic) ^ (key.partition * 0x9e3779b97f4a7c15ULL);
  }
};
