#include "broker/group/assignor.h"

#include <algorithm>

#include "broker/group/sticky_assignor.h"

namespace tidemark {
namespace {

AssignmentPlan Range(const std::vector<AssignableMember>& members,
                     const std::map<TopicId, uint32_t>& partitions, AssignmentPlan plan) {
  for (const auto& [topic, count] : partitions) {
    std::vector<const AssignableMember*> readers;
    for (const AssignableMember& member : members) {
      if (std::ranges::binary_search(member.topics, topic)) readers.push_back(&member);
    }
    if (readers.empty()) continue;
    const auto share = static_cast<uint32_t>(count / readers.size());
    const auto extra = static_cast<uint32_t>(count % readers.size());
    uint32_t next = 0;
    for (uint32_t i = 0; i < readers.size(); ++i) {
      const uint32_t end = next + share + (i < extra ? 1 : 0);
      for (; next < end; ++next) plan[readers[i]->id].push_back({topic, next});
    }
  }
  return plan;
}

AssignmentPlan RoundRobin(const std::vector<AssignableMember>& members,
                          const std::map<TopicId, uint32_t>& partitions, AssignmentPlan plan) {
  size_t turn = 0;
  for (const auto& [topic, count] : partitions) {
    // Places among the members, in order.
    std::vector<size_t> readers;
    for (size_t i = 0; i < members.size(); ++i) {
      if (std::ranges::binary_search(members[i].topics, topic)) readers.push_back(i);
    }
    if (readers.empty()) continue;
    auto next = std::ranges::lower_bound(readers, turn);
    for (uint32_t partition = 0; partition < count; ++partition) {
      if (next == readers.end()) next = readers.begin();
      plan[members[*next].id].push_back({topic, partition});
      turn = (*next++ + 1) % members.size();
    }
  }
  return plan;
}

}  // namespace

std::optional<AssignorKind> AssignorFromName(std::string_view name) {
  if (const size_t dot = name.rfind('.'); dot != std::string_view::npos) name = name.substr(dot + 1);
  if (name == "range" || name == "RangeAssignor") return AssignorKind::kRange;
  if (name == "roundrobin" || name == "RoundRobinAssignor") return AssignorKind::kRoundRobin;
  if (name == "sticky" || name == "StickyAssignor" || name == "cooperative-sticky" ||
      name == "CooperativeStickyAssignor" || name == "uniform" || name == "UniformAssignor") {
    return AssignorKind::kSticky;
  }
  return std::nullopt;
}

std::string_view NameOf(AssignorKind kind) {
  switch (kind) {
    case AssignorKind::kRange:
      return "range";
    case AssignorKind::kRoundRobin:
      return "roundrobin";
    case AssignorKind::kSticky:
      return "sticky";
  }
  return "";
}

AssignmentPlan Assign(AssignorKind kind, std::vector<AssignableMember> members,
                      const std::map<TopicId, uint32_t>& partitions) {
  std::ranges::sort(members, [](const AssignableMember& a, const AssignableMember& b) {
    return std::tie(a.order, a.id) < std::tie(b.order, b.id);
  });
  AssignmentPlan plan;
  for (const AssignableMember& member : members) plan[member.id];
  if (members.empty()) return plan;
  switch (kind) {
    case AssignorKind::kRange:
      return Range(members, partitions, std::move(plan));
    case AssignorKind::kRoundRobin:
      return RoundRobin(members, partitions, std::move(plan));
    case AssignorKind::kSticky:
      return StickyAssignment(members, partitions).Make();
  }
  return plan;
}

}  // namespace tidemark
