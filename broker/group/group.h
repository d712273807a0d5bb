// Group: one consumer group as its coordinator keeps it, and GroupChange: a step of it. The state is what the
// group's records say, applied in the order of the log, by the same code when a coordinator loads and when it
// serves; what is not in records (when members were last heard of) starts anew on a new coordinator. Pure, no
// I/O; owned by an OffsetsPartition, its shard's loop only.
//
// Invariants:
// - a partition has one owner at most: the member in whose current assignment it is, assigned or
//   revoking. A decision gives only what nobody owns;
// - epochs of the group are drawn from one counter, so a member epoch is never used twice, not by another
//   life of a member id either, while the group exists;
// - a change whose append failed is rolled back whole.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/group/group_record.h"
#include "broker/group/held_partitions.h"
#include "common/time.h"

namespace tidemark {

// Instead of a member epoch: a static member left for a restart.
inline constexpr int32_t kAwayEpoch = -2;
inline constexpr int32_t kLeaveEpoch = -1;

// The highest serials of a member's heartbeats and commits that were seen. Its client counts what it sends;
// so a request that was left behind in a broken connection, and is read after newer ones of the same epoch,
// is known by its serial. Two kinds, because a heartbeat and a commit may be under way together and overtake
// each other.
struct SerialsSeen {
  uint64_t heartbeat = 0;
  uint64_t commit = 0;
};
// Notes that a request with this serial is decided now; STALE_REQUEST where one as high was seen, and the
// request is to change nothing. 0, of a client that does not count, passes.
Result<> NoteSerial(uint64_t serial, uint64_t& seen);

struct GroupMember {
  v1::GroupMemberValue info;
  bool has_info = false;  // false only while records are read back
  PartitionKeys target;
  int32_t epoch = 0;
  int32_t previous_epoch = 0;
  HeldPartitions assigned;
  HeldPartitions revoking;

  // Not in records.
  std::optional<MonoTime> session_deadline;    // empty: it was just read back
  std::optional<MonoTime> rebalance_deadline;  // while `revoking` is not empty
  PartitionKeys due_back;                      // by then: what was asked back when the deadline was set
  MonoTime last_heartbeat{};
  bool just_joined = false;     // nothing was heard of it since it joined: its answer may have been lost
  std::vector<TopicId> topics;  // what its subscription comes to
  uint64_t topics_version = 0;  // of the resolver, for `topics`; 0: never
  SerialsSeen serials;          // rise, whatever becomes of the requests
  size_t info_bytes = 0;        // of `info`, encoded

  bool away() const { return epoch == kAwayEpoch; }
  // Epoch that gave it the partition; empty: it may not hold it.
  std::optional<uint32_t> HeldSince(const PartitionKey& partition) const;
};

// Topics that members of a group read, with their partition counts. Derived; valid as long as both versions
// stay.
struct TopicsOfGroup {
  uint64_t members_version = 0;
  uint64_t topics_version = 0;  // of the resolver; 0: nothing is derived yet
  std::map<TopicId, uint32_t> partitions;
  uint64_t hash = 0;
};

struct StoredOffset {
  Offset offset = 0;
  std::optional<LeaderEpoch> leader_epoch;
  WallMillis commit_time = 0;
  std::string metadata;
};

class Group {
 public:
  explicit Group(std::string id);

  const std::string& id() const { return id_; }
  // Empty for a simple group, which has only offsets.
  const std::optional<v1::GroupMetadataValue>& metadata() const { return metadata_; }
  const std::map<std::string, GroupMember>& members() const { return members_; }
  const std::unordered_map<PartitionKey, StoredOffset>& offsets() const { return offsets_; }
  // Memory that it takes, roughly and never much too little: what clients have stored in it, and what was
  // assigned.
  size_t bytes() const { return bytes_; }
  // True when nothing is left of it.
  bool gone() const { return !metadata_ && members_.empty() && offsets_.empty(); }

  GroupMember* Find(const std::string& member);
  const GroupMember* Find(const std::string& member) const;
  // The member with this instance id; empty: none.
  std::string HolderOf(const std::string& instance) const;
  // Who owns a partition; null: nobody.
  const std::string* OwnerOf(const PartitionKey& partition) const;
  // Name that the topic had when its offsets were committed.
  std::string CommittedTopicName(const TopicId& topic) const;

  uint32_t group_epoch() const { return metadata_ ? metadata_->group_epoch() : 0; }
  uint32_t assignment_epoch() const { return metadata_ ? metadata_->assignment_epoch() : 0; }
  // The next epoch, once.
  uint32_t TakeEpoch() { return ++last_epoch_; }

  // Rises with every record of a member: its subscription may be another one.
  uint64_t members_version() const { return members_version_; }
  // Not in records; kept by TopicsRead (rebalance.h).
  TopicsOfGroup topics_read;

  // The assignment is known to be whole. Not in records: a change of more than one batch may have been read
  // back in part.
  bool assignment_checked = false;

  // Before this the first assignment of a group that was empty is not computed. Not in records.
  std::optional<MonoTime> assign_not_before;

  // Applies a record and returns the one that undoes it.
  GroupRecord Apply(const GroupRecord& record);
  // After the last record was read back: derives what is not in records. Returns members whose records
  // contradict each other, which are to be fenced.
  std::vector<std::string> FinishLoad();

 private:
  // Of what the record may change.
  size_t BytesTouchedBy(const GroupRecord& record) const;
  GroupRecord ApplyKind(const GroupRecord& record);
  GroupRecord ApplyOffset(const GroupRecord& record);
  GroupRecord ApplyMetadata(const GroupRecord& record);
  GroupRecord ApplyMember(const GroupRecord& record);
  GroupRecord ApplyTarget(const GroupRecord& record);
  GroupRecord ApplyCurrent(const GroupRecord& record);
  void NoteEpoch(int64_t epoch);
  void Disown(const std::string& member, const HeldPartitions& held);
  void DropIfBlank(const std::string& member);

  const std::string id_;
  std::optional<v1::GroupMetadataValue> metadata_;
  std::map<std::string, GroupMember> members_;
  std::unordered_map<std::string, std::string> instances_;  // instance id -> member id
  std::unordered_map<PartitionKey, std::string> owners_;
  std::unordered_map<PartitionKey, StoredOffset> offsets_;
  // By topic: name and number of offsets.
  std::unordered_map<TopicId, std::pair<std::string, size_t>> committed_topics_;
  uint32_t last_epoch_ = 0;
  uint64_t members_version_ = 0;
  size_t bytes_;
};

// The records of one step, applied as they are put. Either Take() and append them, or Rollback().
class GroupChange {
 public:
  explicit GroupChange(Group& group) : group_(group), epoch_before_(group.group_epoch()) {}
  GroupChange(const GroupChange&) = delete;
  GroupChange& operator=(const GroupChange&) = delete;

  Group& group() { return group_; }
  const Group& group() const { return group_; }
  bool empty() const { return records_.empty(); }
  const std::vector<GroupRecord>& records() const { return records_; }
  // True when members, epochs or assignments are among the records, not just offsets.
  bool touches_membership() const;
  // A rebalance began in it. Its assignment may come in a later step, which is not another rebalance.
  bool rebalanced() const { return group_.group_epoch() > epoch_before_; }

  void Put(GroupRecord record);
  void PutMetadata(v1::GroupMetadataValue value);
  void PutMember(const std::string& member, v1::GroupMemberValue value);
  void PutTarget(const std::string& member, const PartitionKeys& partitions);
  void PutCurrent(const std::string& member, int32_t epoch, int32_t previous, const HeldPartitions& assigned,
                  const HeldPartitions& revoking);
  // Tombstones for all that there is of a member.
  void RemoveMember(const std::string& member);
  void RemoveMetadata();
  void RemoveOffset(const PartitionKey& partition);

  // As if nothing had been put; what is not in records stays, of members that were removed only the serials.
  void Rollback();

 private:
  GroupRecord Blank(GroupRecordKind kind, std::string member = {}) const;

  Group& group_;
  const uint32_t epoch_before_;
  std::vector<GroupRecord> records_;
  std::vector<GroupRecord> undo_;
  std::map<std::string, SerialsSeen> removed_;  // members
};

}  // namespace tidemark
