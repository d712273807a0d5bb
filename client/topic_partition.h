// TopicPartition: a partition as applications name it, by its topic's name. A value.
#pragma once

#include <compare>
#include <string>

#include <fmt/format.h>

#include "common/types.h"

namespace tidemark {

// Most partitions that a client names in one request: brokers refuse those with more than 20,000.
inline constexpr size_t kMostPartitionsAsked = 10'000;

struct TopicPartition {
  std::string topic;
  PartitionIndex partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

inline std::string ToString(const TopicPartition& at) { return fmt::format("{}-{}", at.topic, at.partition); }

}  // namespace tidemark
