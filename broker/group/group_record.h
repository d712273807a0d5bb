// GroupRecord: one record of __consumer_offsets, typed. The frozen byte format of the keys is described in
// proto/tidemark/v1/group_records.proto. Values; pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/group_records.pb.h"

namespace tidemark {

enum class GroupRecordKind : uint16_t { kOffset = 1, kGroup = 3, kMember = 5, kTarget = 7, kCurrent = 8 };

struct GroupRecord {
  GroupRecordKind kind = GroupRecordKind::kGroup;
  std::string group;
  std::string member;      // kMember, kTarget, kCurrent
  PartitionKey partition;  // kOffset
  // std::monostate: a tombstone. Else the message of the kind.
  std::variant<std::monostate, v1::OffsetCommitValue, v1::GroupMetadataValue, v1::GroupMemberValue,
               v1::TargetAssignmentValue, v1::CurrentAssignmentValue>
      value;

  bool tombstone() const { return std::holds_alternative<std::monostate>(value); }
  // Null when it is a tombstone.
  template <typename T>
  const T* As() const {
    return std::get_if<T>(&value);
  }
};

std::string EncodeGroupKey(const GroupRecord& record);
std::optional<std::string> EncodeGroupValue(const GroupRecord& record);

// Nothing for a kind that this version does not know; CORRUPT_MESSAGE names what is wrong.
Result<std::optional<GroupRecord>> DecodeGroupRecord(std::optional<std::string_view> key,
                                                     std::optional<std::string_view> value);

// The partition of __consumer_offsets that holds a group: Java's String.hashCode of its UTF-16 form, as
// Kafka.
PartitionIndex PartitionOfGroup(std::string_view group, uint32_t partitions);

// INVALID_GROUP_ID: empty, or over 255 bytes.
Result<> ValidateGroupId(std::string_view group);

}  // namespace tidemark
