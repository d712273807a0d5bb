// StickyAssignment: one run of the sticky assignor. Keeps what members have, gives what is free to the least
// loaded reader, then moves partitions from the most loaded members as long as a move evens out. A value used
// once.
//
// Why this is minimal: a move is made only from a member that has at least two more than the receiver, the
// most loaded first, so nobody is taken below what balance leaves it. It ends, because each move lowers the
// sum of squares of the loads.
//
// What it costs: members with the same subscription are one class, topics read by the same classes one kind.
// A partition given or moved is a few steps in sorted sets, times the classes of its kind; mostly there is
// one of either, however many members and topics there are.
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
  struct Kind {
    std::vector<size_t> classes;
    size_t readers = 0;
  };
  // What a member has of one kind.
  struct Held {
    std::set<PartitionKey> kept;   // it had them before
    std::set<PartitionKey> fresh;  // taking these away moves nothing
  };

  void MakeClasses();
  void MakeKinds();
  void Keep();
  void PlaceFree();
  void Balance();
  bool MoveOneFrom(Index member);
  Load LeastOf(size_t kind) const;
  void Give(Index member, const PartitionKey& partition);
  PartitionKey Take(Index member, size_t kind);
  void ChangeLoad(Index member, int by);

  const std::vector<AssignableMember>& members_;
  const std::map<TopicId, uint32_t>& partitions_;
  std::vector<size_t> loads_;
  std::vector<size_t> class_of_;         // of each member
  std::vector<std::set<Load>> classes_;  // members of each, least loaded first
  std::vector<Index> example_;           // a member of each class
  std::vector<Kind> kinds_;
  std::map<TopicId, size_t> kind_of_;
  std::vector<std::map<size_t, Held>> held_;  // by kind
  std::vector<std::set<PartitionKey>> had_;   // what each held before
  std::map<PartitionKey, Index> owner_;
};

}  // namespace tidemark
