// How bytes are shown: what a key or a value says when it was written by one of Kafka's serializers, and
// the records of __consumer_offsets in words. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace tidemark {

enum class FieldType { kText, kShort, kInteger, kLong, kFloat, kDouble, kBoolean };

// The type that a class name like "org.apache.kafka.common.serialization.LongDeserializer" stands for; only
// its last part counts. INVALID_REQUEST names the nearest one that is known.
Result<FieldType> FieldTypeOf(std::string_view deserializer);
// Appends the text. INVALID_RECORD when the bytes are not of that type.
Result<> AppendField(FieldType type, std::string_view bytes, std::string* out);

// A record of __consumer_offsets, each side as one line of JSON; the value of a tombstone is "null".
struct GroupRecordText {
  std::string key;
  std::string value;
  bool offset = false;  // a committed offset, not something about members
};
// Nothing for a kind of record that this version does not know. CORRUPT_MESSAGE when it is none.
Result<std::optional<GroupRecordText>> DescribeGroupRecord(std::optional<std::string_view> key,
                                                           std::optional<std::string_view> value);

}  // namespace tidemark
