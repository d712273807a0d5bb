// Assignors: which member of a group reads which partition. Pure functions from members, what they read and
// what they have now to the next target assignment; the same input gives the same output on every broker.
//
// Invariants of every assignor: each partition that somebody reads goes to exactly one member, which reads
// its topic; a partition that nobody reads goes to nobody. Differing subscriptions are fine everywhere.
// - range: per topic, members in order get neighbouring ranges, the first ones one more. Partitions of
//   equal number of co-partitioned topics meet at one member;
// - roundrobin: all partitions in order, dealt to the members in turn;
// - sticky: loads of members that read the same topics differ by one at most, and nothing moves that need
//   not for that.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/types.h"

namespace tidemark {

enum class AssignorKind { kRange, kRoundRobin, kSticky };

// "range", "roundrobin", "sticky"; Kafka's class names and "cooperative-sticky" and "uniform" are understood.
std::optional<AssignorKind> AssignorFromName(std::string_view name);
std::string_view NameOf(AssignorKind kind);

struct AssignableMember {
  // Orders the members: a static member's instance id, so that it keeps its place over restarts, else the
  // member id.
  std::string order;
  std::string id;
  // Topics that it reads, sorted, each existing in `partitions` of the call.
  std::vector<TopicId> topics;
  // Its target assignment until now. May name what is gone.
  std::vector<PartitionKey> current;
};

// By member id, every member named; partitions sorted.
using AssignmentPlan = std::map<std::string, std::vector<PartitionKey>>;

// `partitions`: number of partitions of each topic that a member reads.
AssignmentPlan Assign(AssignorKind kind, std::vector<AssignableMember> members,
                      const std::map<TopicId, uint32_t>& partitions);

}  // namespace tidemark
