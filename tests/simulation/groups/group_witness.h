// GroupWitness: sees what the members of one group over one topic are told and do, while it happens, and
// notes what must not be. Owned by a run, shared by its members; everything is called between events of one
// world, so what it sees has one order. It knows nothing of how the run was made.
//
// What it objects to at once:
//   a record given by a member that was not assigned the partition
//   a reading that begins above what anybody has processed (records are skipped)
//   a reading in which an offset is missing or comes twice, and a record that changes
// Who held a partition while another was assigned it, or began below an acknowledged commit (it was lost, or
// is undone), is noted and judged by the log of the group: it may have been taken out without having heard of
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/error.h"
#include "common/types.h"
#include "tests/simulation/cluster/checkers.h"
#include "tests/simulation/groups/group_counts.h"

namespace tidemark {

// A member was assigned a partition that another still held by its own word. Allowed only where the other had
// been fenced, or its epoch was over, before the group's log gave the partition away.
struct Overlap {
  PartitionIndex partition = 0;
  std::string holder;
  int32_t holder_epoch = 0;  // at which it was assigned the partition
  std::string taker;
  int32_t taker_epoch = 0;
};

// A reading began below a commit that was acknowledged. Allowed only where the member had been taken out of
// the group, without having heard of it yet, before anybody committed more than where it began.
struct EarlyStart {
  PartitionIndex partition = 0;
  std::string member;
  int32_t epoch = 0;  // at which it was assigned the partition
  Offset offset = 0;
  Offset acknowledged = 0;
};

class GroupWitness {
 public:
  // A member as it is witnessed: asked what it holds by its own word at this moment.
  struct Seen {
    std::string id;
    std::function<bool(PartitionIndex)> holds;
  };
  using Partitions = std::vector<PartitionIndex>;

  void Assigned(const Seen& member, int32_t epoch, const Partitions& partitions);
  // Released for others after this, or lost.
  void Revoked(const std::string& member, const Partitions& partitions);
  void Lost(const std::string& member, const Partitions& partitions);
  // Its process was killed.
  void Gone(const std::string& member);
  void Given(const std::string& member, PartitionIndex partition, Offset offset, const std::string& value);
  // All that was given to the member so far counts as processed.
  void Processed(const std::string& member);
  // The next offset to read was committed, and its member was told so.
  void Committed(PartitionIndex partition, Offset offset);

  // By member.
  std::map<std::string, std::set<PartitionIndex>> Holdings() const;
  Offset processed_end(PartitionIndex partition) const { return Find(processed_, partition); }
  Offset acknowledged(PartitionIndex partition) const { return Find(acknowledged_, partition); }
  const std::vector<Overlap>& overlaps() const { return overlaps_; }
  const std::vector<EarlyStart>& early_starts() const { return early_starts_; }
  const Violations& violations() const { return violations_; }
  const GroupRunCounts& counts() const { return counts_; }
  // Each partition's records from the first on up to `ends` were given, and each acknowledged one at its
  // place.
  Violations CheckNothingSkipped(const std::vector<AckedRecord>& acked) const;

 private:
  struct Claim {
    int32_t epoch = 0;
    std::function<bool(PartitionIndex)> holds;
    bool begun = false;
    Offset next = 0;
  };
  static Offset Find(const std::map<PartitionIndex, Offset>& in, PartitionIndex partition) {
    const auto found = in.find(partition);
    return found == in.end() ? 0 : found->second;
  }
  void Note(std::string what);

  std::map<PartitionIndex, std::map<std::string, Claim>> claims_;
  std::map<std::string, std::map<PartitionIndex, Offset>> given_ends_;  // not yet processed
  std::map<PartitionIndex, std::map<Offset, std::string>> values_;
  std::map<PartitionIndex, Offset> processed_;
  std::map<PartitionIndex, Offset> acknowledged_;
  std::vector<Overlap> overlaps_;
  std::vector<EarlyStart> early_starts_;
  Violations violations_;
  GroupRunCounts counts_;
};

}  // namespace tidemark
