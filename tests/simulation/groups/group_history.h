// GroupHistory: what the records of __consumer_offsets say of one group, in the order of the log: the truth
// against which is judged what its members saw. Pure; filled by a run after the log was read whole (nothing
// of it compacted).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/group/group_record.h"
#include "tests/simulation/groups/group_witness.h"

namespace tidemark {

class GroupHistory {
 public:
  explicit GroupHistory(TopicId topic) : topic_(topic) {}

  void Add(const GroupRecord& record);

  // At every point of the log each partition has one owner at most, and no commit is below the one before.
  const Violations& violations() const { return violations_; }
  // Each holder that was overlapped had been taken out, or had let go, before the log gave the partition
  // away.
  Violations Judge(const std::vector<Overlap>& overlaps) const;
  // Whoever began below an acknowledged commit had been taken out before that was made.
  Violations Judge(const std::vector<EarlyStart>& starts) const;
  Offset committed(PartitionIndex partition) const;
  size_t records() const { return records_; }
  uint32_t group_epoch() const { return group_epoch_; }
  // How many memberships ended by something else than a leave.
  uint64_t fenced() const { return fenced_; }

 private:
  // A record of a member's current assignment; no epoch: it was taken out.
  struct Step {
    size_t at = 0;
    std::optional<int32_t> epoch;
    std::set<PartitionIndex> held;
  };
  struct Commit {
    size_t at = 0;
    Offset offset = 0;
  };
  // Whether the member that was in the group at `epoch` was taken out at or before a record.
  bool TakenOut(const std::string& member, int32_t epoch, size_t by) const;
  void AddCurrent(const GroupRecord& record);
  void AddOffset(const GroupRecord& record);

  const TopicId topic_;
  size_t records_ = 0;
  std::map<std::string, std::vector<Step>> members_;
  std::map<PartitionIndex, std::vector<Commit>> commits_;
  uint32_t group_epoch_ = 0;
  uint64_t fenced_ = 0;
  Violations violations_;
};

}  // namespace tidemark
