// StickyAssignment: one run of the sticky assignor. Keeps what members have, gives what is free to the least
// loaded reader, then moves partitions from the most loaded members as long as a move evens out. A value used
// once.
//
// Why this is minimal: a move is made only from a member that has at least two more than the receiver, the
// most loaded first, so nobody is taken below what balance leaves it. It ends, because each move lowers the
// sum of squares of the loads.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "broker/group/assignor.h"

namespace tidemark {

class StickyAssignment {
 public:
  // `members` in their order; both outlive this.
  StickyAssignment(const std::vector<AssignableMember>& members,
                   const std::map<TopicId, uint32_t>& partitions);
  AssignmentPlan Make();

 private:
  using Index = size_t;  // in members_
  struct Load {
    size_t count = 0;
    Index member = 0;
    auto operator<=>(const Load&) const = default;
  };

  void Keep();
  void PlaceFree();
  void Balance();
  bool MoveOneFrom(Index member);
  void Give(Index member, const PartitionKey& partition);
  PartitionKey Take(Index member, const TopicId& topic);
  void ChangeLoad(Index member, int by);

  const std::vector<AssignableMember>& members_;
  const std::map<TopicId, uint32_t>& partitions_;
  std::vector<size_t> loads_;
  std::vector<std::map<TopicId, std::set<PartitionIndex>>> held_;
  std::vector<std::set<PartitionKey>> had_;    // what each held before
  std::map<TopicId, std::set<Load>> readers_;  // of each topic, least loaded first
  std::map<PartitionKey, Index> owner_;
};

}  // namespace tidemark
