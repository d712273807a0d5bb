// Committed offsets of a group: who may commit what, what is told, what is deleted, and when they expire.
// Decisions; pure but for the group that they change.
//
// A commit never undoes a newer one: a partition that a member holds is committed only by that member, only
// at an epoch since which it has held it, and, where its client counts what it sends, in the order of
// sending.
#pragma once

#include <optional>
#include <vector>

#include "broker/group/rebalance.h"

namespace tidemark {

// Checks and records a commit; fills an outcome per partition. An error is one of the whole, and changes
// nothing, but that its serial was seen. INVALID_REQUEST, here and below: too many partitions, or one twice
// (group_limits.h).
Result<> CommitOffsets(const v1::OffsetCommitRequest& request, const GroupScene& scene, GroupChange& change,
                       v1::OffsetCommitResponse* out);

// UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH for a member that asks; `group` null: there is none, and it has no
// offsets.
Result<> FetchOffsets(const v1::OffsetFetchRequest::Group& request, Group* group, const GroupScene& scene,
                      v1::OffsetFetchResponse::Group* out);
// The group's offsets, by topic and partition. No two topics in it have one name: of a topic that is gone
// there is nothing when another one has its name now.
void FillCommitted(Group& group, const GroupScene& scene,
                   google::protobuf::RepeatedPtrField<v1::CommittedTopic>* out);

// Deletes offsets of topics that no member reads.
Result<> DeleteOffsets(const v1::OffsetDeleteRequest& request, const GroupScene& scene, GroupChange& change,
                       v1::OffsetDeleteResponse* out);
// NON_EMPTY_GROUP; deletes the group with its offsets.
Result<> DeleteGroup(GroupChange& change);

// When offsets of a group expire as it is now. Lives for one decision.
class OffsetExpiry {
 public:
  OffsetExpiry(Group& group, const GroupScene& scene);
  // Empty: it does not expire.
  std::optional<WallMillis> Of(const PartitionKey& partition, const StoredOffset& offset) const;
  // A member reads the topic.
  bool IsRead(const TopicId& topic) const { return read_.partitions.contains(topic); }

 private:
  const Group& group_;
  const WallMillis retention_;
  const TopicsOfGroup& read_;
  const GroupTopics& topics_;
};

// Deletes the offsets of topics that were seen deleted (deleted_topics.h), at most `limit`; and with the last
// of them the group, when it has no members. The number of offsets deleted.
size_t RemoveDeletedTopics(const GroupScene& scene, size_t limit, GroupChange& change);

// Deletes what has expired, at most `limit` offsets; and the group, when it has neither members nor offsets
// any more. The number of offsets deleted.
size_t ExpireOffsets(const GroupScene& scene, size_t limit, GroupChange& change);

}  // namespace tidemark
