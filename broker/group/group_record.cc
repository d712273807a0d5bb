#include "broker/group/group_record.h"

namespace tidemark {
namespace {

constexpr size_t kMaxRecordIdBytes = 255;

void PutBigEndian(uint64_t value, int bytes, std::string* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

void PutText(std::string_view text, std::string* out) {
  PutBigEndian(text.size(), 2, out);
  out->append(text);
}

bool TakeBigEndian(std::string_view* bytes, size_t count, uint32_t* out) {
  if (bytes->size() < count) return false;
  *out = 0;
  for (size_t i = 0; i < count; ++i) *out = *out << 8 | static_cast<uint8_t>((*bytes)[i]);
  bytes->remove_prefix(count);
  return true;
}

bool TakeText(std::string_view* bytes, std::string* out) {
  uint32_t size = 0;
  if (!TakeBigEndian(bytes, 2, &size) || bytes->size() < size) return false;
  out->assign(bytes->substr(0, size));
  bytes->remove_prefix(size);
  return true;
}

bool IsKnown(uint32_t kind) { return kind == 1 || kind == 3 || kind == 5 || kind == 7 || kind == 8; }

// What follows the kind.
bool TakeFields(std::string_view* bytes, GroupRecord* out) {
  if (!TakeText(bytes, &out->group)) return false;
  if (out->kind == GroupRecordKind::kOffset) {
    if (bytes->size() < TopicId::kSize) return false;
    out->partition.topic = *TopicId::FromBytes(bytes->substr(0, TopicId::kSize));
    bytes->remove_prefix(TopicId::kSize);
    if (!TakeBigEndian(bytes, 4, &out->partition.partition)) return false;
  } else if (out->kind != GroupRecordKind::kGroup) {
    if (!TakeText(bytes, &out->member)) return false;
  }
  return bytes->empty();
}

template <typename T>
bool ParseValue(std::string_view bytes, GroupRecord* out) {
  return out->value.emplace<T>().ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

bool ParseValueOfKind(std::string_view bytes, GroupRecord* out) {
  switch (out->kind) {
    case GroupRecordKind::kOffset:
      return ParseValue<v1::OffsetCommitValue>(bytes, out);
    case GroupRecordKind::kGroup:
      return ParseValue<v1::GroupMetadataValue>(bytes, out);
    case GroupRecordKind::kMember:
      return ParseValue<v1::GroupMemberValue>(bytes, out);
    case GroupRecordKind::kTarget:
      return ParseValue<v1::TargetAssignmentValue>(bytes, out);
    case GroupRecordKind::kCurrent:
      return ParseValue<v1::CurrentAssignmentValue>(bytes, out);
  }
  return false;
}

// Calls `unit` with each UTF-16 code unit. protobuf strings are valid UTF-8; other bytes count as they are.
template <typename F>
void ForEachUtf16(std::string_view text, F unit) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length == 1 || i + length > text.size()) {
      unit(lead);
      ++i;
      continue;
    }
    uint32_t point = lead & (0xFFu >> (length + 1));
    for (size_t k = 1; k < length; ++k) point = point << 6 | (static_cast<uint8_t>(text[i + k]) & 0x3Fu);
    i += length;
    if (point < 0x10000) {
      unit(point);
    } else {
      unit(0xD800 + ((point - 0x10000) >> 10));
      unit(0xDC00 + ((point - 0x10000) & 0x3FF));
    }
  }
}

}  // namespace

std::string EncodeGroupKey(const GroupRecord& record) {
  std::string key;
  PutBigEndian(static_cast<uint16_t>(record.kind), 2, &key);
  PutText(record.group, &key);
  if (record.kind == GroupRecordKind::kOffset) {
    key.append(record.partition.topic.ToBytes());
    PutBigEndian(record.partition.partition, 4, &key);
  } else if (record.kind != GroupRecordKind::kGroup) {
    PutText(record.member, &key);
  }
  return key;
}

std::optional<std::string> EncodeGroupValue(const GroupRecord& record) {
  return std::visit(
      []<typename T>(const T& value) -> std::optional<std::string> {
        if constexpr (std::is_same_v<T, std::monostate>) {
          return std::nullopt;
        } else {
          return value.SerializeAsString();
        }
      },
      record.value);
}

Result<std::optional<GroupRecord>> DecodeGroupRecord(std::optional<std::string_view> key,
                                                     std::optional<std::string_view> value) {
  if (!key) return Fail(v1::CORRUPT_MESSAGE, "a record without key");
  std::string_view rest = *key;
  uint32_t kind = 0;
  if (!TakeBigEndian(&rest, 2, &kind)) return Fail(v1::CORRUPT_MESSAGE, "a key of {} bytes", key->size());
  if (!IsKnown(kind)) return std::optional<GroupRecord>();
  GroupRecord record;
  record.kind = static_cast<GroupRecordKind>(kind);
  if (!TakeFields(&rest, &record)) return Fail(v1::CORRUPT_MESSAGE, "a key of kind {} is malformed", kind);
  if (value && !ParseValueOfKind(*value, &record)) {
    return Fail(v1::CORRUPT_MESSAGE, "a value of kind {} of group '{}' does not parse", kind, record.group);
  }
  return std::optional(std::move(record));
}

PartitionIndex PartitionOfGroup(std::string_view group, uint32_t partitions) {
  uint32_t hash = 0;
  ForEachUtf16(group, [&hash](uint32_t unit) { hash = 31 * hash + unit; });
  const auto wrapped = static_cast<int32_t>(hash);
  const uint32_t positive =
      wrapped == INT32_MIN ? 0
                           : static_cast<uint32_t>(wrapped < 0 ? -static_cast<int64_t>(wrapped) : wrapped);
  return partitions == 0 ? 0 : positive % partitions;
}

Result<> ValidateGroupId(std::string_view group) {
  if (group.empty()) return Fail(v1::INVALID_GROUP_ID, "the group id is empty");
  if (group.size() > kMaxRecordIdBytes) {
    return Fail(v1::INVALID_GROUP_ID, "the group id has {} bytes, {} are allowed", group.size(),
                kMaxRecordIdBytes);
  }
  return {};
}

}  // namespace tidemark
