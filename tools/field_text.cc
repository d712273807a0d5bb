#include "tools/field_text.h"

#include <bit>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <nlohmann/json.hpp>

#include "broker/group/group_record.h"
#include "common/nearest_name.h"

namespace tidemark {
namespace {

using Json = nlohmann::ordered_json;

const std::map<std::string, FieldType>& Deserializers() {
  static const std::map<std::string, FieldType> names = {
      {"StringDeserializer", FieldType::kText},     {"ByteArrayDeserializer", FieldType::kText},
      {"BytesDeserializer", FieldType::kText},      {"ByteBufferDeserializer", FieldType::kText},
      {"UUIDDeserializer", FieldType::kText},       {"ShortDeserializer", FieldType::kShort},
      {"IntegerDeserializer", FieldType::kInteger}, {"LongDeserializer", FieldType::kLong},
      {"FloatDeserializer", FieldType::kFloat},     {"DoubleDeserializer", FieldType::kDouble},
      {"BooleanDeserializer", FieldType::kBoolean}};
  return names;
}

template <typename T>
Result<T> BigEndian(std::string_view bytes) {
  if (bytes.size() != sizeof(T))
    return Fail(v1::INVALID_RECORD, "{} bytes where {} were expected", bytes.size(), sizeof(T));
  T value = 0;
  for (const char byte : bytes) value = static_cast<T>(value << 8 | static_cast<uint8_t>(byte));
  return value;
}

template <typename Bits, typename Shown>
Result<> AppendAs(std::string_view bytes, std::string* out) {
  TM_ASSIGN_OR_RETURN(const Bits bits, BigEndian<Bits>(bytes));
  fmt::format_to(std::back_inserter(*out), "{}", std::bit_cast<Shown>(bits));
  return {};
}

std::string DumpedField(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  // What its own parser took can be printed, but for strings that are no UTF-8.
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) return "{}";
  return text;
}

std::string_view KindName(GroupRecordKind kind) {
  switch (kind) {
    case GroupRecordKind::kOffset:
      return "offset";
    case GroupRecordKind::kGroup:
      return "group";
    case GroupRecordKind::kMember:
      return "member";
    case GroupRecordKind::kTarget:
      return "target assignment";
    case GroupRecordKind::kCurrent:
      return "current assignment";
  }
  return "unknown";
}

}  // namespace

Result<FieldType> FieldTypeOf(std::string_view deserializer) {
  const std::string name(deserializer.substr(deserializer.rfind('.') + 1));
  if (const auto found = Deserializers().find(name); found != Deserializers().end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [each, type] : Deserializers()) known.push_back(each);
  const std::string nearest = NearestName(name, known);
  return Fail(v1::INVALID_REQUEST, "unknown deserializer {}; {}", name,
              nearest.empty() ? fmt::format("known are {}", fmt::join(known, ", "))
                              : "did you mean " + nearest + "?");
}

Result<> AppendField(FieldType type, std::string_view bytes, std::string* out) {
  switch (type) {
    case FieldType::kText:
      out->append(bytes);
      return {};
    case FieldType::kShort:
      return AppendAs<uint16_t, int16_t>(bytes, out);
    case FieldType::kInteger:
      return AppendAs<uint32_t, int32_t>(bytes, out);
    case FieldType::kLong:
      return AppendAs<uint64_t, int64_t>(bytes, out);
    case FieldType::kFloat:
      return AppendAs<uint32_t, float>(bytes, out);
    case FieldType::kDouble:
      return AppendAs<uint64_t, double>(bytes, out);
    case FieldType::kBoolean: {
      TM_ASSIGN_OR_RETURN(const uint8_t byte, BigEndian<uint8_t>(bytes));
      if (byte > 1) return Fail(v1::INVALID_RECORD, "{} is neither true nor false", byte);
      out->append(byte == 1 ? "true" : "false");
      return {};
    }
  }
  return {};
}

Result<std::optional<GroupRecordText>> DescribeGroupRecord(std::optional<std::string_view> key,
                                                           std::optional<std::string_view> value) {
  TM_ASSIGN_OR_RETURN(const std::optional<GroupRecord> record, DecodeGroupRecord(key, value));
  if (!record) return std::optional<GroupRecordText>();
  Json shown = {{"type", KindName(record->kind)}, {"group", record->group}};
  if (record->kind == GroupRecordKind::kOffset) {
    if (const auto* offset = record->As<v1::OffsetCommitValue>()) shown["topic"] = offset->topic();
    shown["topic_id"] = record->partition.topic.ToBase64();
    shown["partition"] = record->partition.partition;
  } else if (record->kind != GroupRecordKind::kGroup) {
    shown["member"] = record->member;
  }
  GroupRecordText text{
      .key = DumpedField(shown), .value = "null", .offset = record->kind == GroupRecordKind::kOffset};
  if (const auto* offset = record->As<v1::OffsetCommitValue>()) text.value = ToJson(*offset);
  if (const auto* group = record->As<v1::GroupMetadataValue>()) text.value = ToJson(*group);
  if (const auto* member = record->As<v1::GroupMemberValue>()) text.value = ToJson(*member);
  if (const auto* target = record->As<v1::TargetAssignmentValue>()) text.value = ToJson(*target);
  if (const auto* current = record->As<v1::CurrentAssignmentValue>()) text.value = ToJson(*current);
  return std::optional<GroupRecordText>(std::move(text));
}

}  // namespace tidemark
