// How much one request about groups may ask, and how much of it is answered: a few bytes of request must not
// become gigabytes of answer, memory or log. Checked before anything is made. Pure.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>
#include <unordered_set>

#include "common/result.h"
#include "common/utf8.h"
#include "tidemark/v1/group_api.pb.h"

namespace tidemark {

// Most groups of one request.
inline constexpr size_t kMaxGroupsAsked = 1000;
// Groups beyond this much of an answer are left out of it; one is always in it.
inline constexpr size_t kGroupAnswerBytes = 32u << 20;
// Groups of one answer to ListGroups, where pages are asked for: with the longest names they are 3 MB.
inline constexpr size_t kGroupsPerPage = 10'000;
// Most partitions of which offsets are committed, asked for or deleted, of one group in one request.
inline constexpr size_t kMaxPartitionsAsked = 20'000;
// Most partitions that a member says it holds.
inline constexpr size_t kMaxPartitionsOwned = 100'000;

// INVALID_REQUEST: more groups than allowed, or one of them twice. `id_of` gives the id of each.
template <typename Range, typename IdOf = std::identity>
Result<> CheckGroupsAsked(const Range& groups, IdOf id_of = {}) {
  if (static_cast<size_t>(groups.size()) > kMaxGroupsAsked) {
    return Fail(v1::INVALID_REQUEST, "{} groups in one request, {} are allowed", groups.size(),
                kMaxGroupsAsked);
  }
  std::unordered_set<std::string_view> seen;
  for (const auto& group : groups) {
    if (!seen.insert(id_of(group)).second)
      return Fail(v1::INVALID_REQUEST, "group '{}' is named twice", Utf8Prefix(id_of(group), 255));
  }
  return {};
}

// What is said of a group that was left out.
inline Error LeftOutOfAnswer(std::string_view group) {
  return {v1::COORDINATOR_LOAD_IN_PROGRESS,
          fmt::format("the answer is full without group '{}': ask again for those left out",
                      Utf8Prefix(group, 255))};
}

inline uint32_t NumberOf(uint32_t partition) { return partition; }
inline uint32_t NumberOf(const v1::OffsetCommitRequest::Partition& partition) {
  return partition.partition();
}

// INVALID_REQUEST: more partitions than `most`. A topic without partitions counts as one.
template <typename Topics>
Result<> CheckPartitionCount(const Topics& topics, size_t most) {
  size_t count = 0;
  for (const auto& topic : topics) {
    count += std::max<size_t>(1, static_cast<size_t>(topic.partitions().size()));
    if (count > most) return Fail(v1::INVALID_REQUEST, "more than {} partitions in one request", most);
  }
  return {};
}

// INVALID_REQUEST: more than kMaxPartitionsAsked, or one of them twice. For topics with numbers of partitions
// or with partitions to commit.
template <typename Topics>
Result<> CheckPartitionsAsked(const Topics& topics) {
  TM_RETURN_IF_ERROR(CheckPartitionCount(topics, kMaxPartitionsAsked));
  std::set<std::pair<std::string_view, uint32_t>> seen;
  for (const auto& topic : topics) {
    for (const auto& partition : topic.partitions()) {
      if (!seen.emplace(topic.topic_id(), NumberOf(partition)).second)
        return Fail(v1::INVALID_REQUEST, "partition {} of one topic is named twice", NumberOf(partition));
    }
  }
  return {};
}

}  // namespace tidemark
