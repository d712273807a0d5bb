// RecordOutput: formats records for the console consumer as Kafka's default formatter does, and writes them
// to stdout in large pieces. Main thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "client/consumer.h"
#include "common/result.h"
#include "tools/field_text.h"

namespace tidemark {

class RecordOutput {
 public:
  // Kafka's --property names: print.timestamp, print.partition, print.offset, print.headers, print.key,
  // print.value, key.separator, line.separator, headers.separator, null.literal.
  static Result<RecordOutput> FromProperties(const std::map<std::string, std::string>& properties);

  // A formatter by Kafka's class name, of which only the last part counts: DefaultMessageFormatter,
  // NoOpMessageFormatter, and, for __consumer_offsets, OffsetsMessageFormatter and
  // GroupMetadataMessageFormatter.
  Result<> SetFormatter(std::string_view name);
  void SetTypes(FieldType key, FieldType value) {
    key_type_ = key;
    value_type_ = value;
  }

  // INVALID_RECORD, CORRUPT_MESSAGE: it is not what the flags say, and nothing of it was added.
  Result<> Add(const ConsumedRecord& record);
  // Writes what was added. False when nobody reads any more (a broken pipe).
  bool Flush();

 private:
  enum class Form { kDefault, kNothing, kOffsets, kGroups };

  void Separate();
  Result<> AddDefault(const ConsumedRecord& record);
  Result<> AddField(FieldType type, const std::optional<std::string_view>& bytes);
  Result<> AddGroupRecord(const RecordView& view);

  Form form_ = Form::kDefault;
  FieldType key_type_ = FieldType::kText;
  FieldType value_type_ = FieldType::kText;
  bool print_timestamp_ = false;
  bool print_partition_ = false;
  bool print_offset_ = false;
  bool print_headers_ = false;
  bool print_key_ = false;
  bool print_value_ = true;
  std::string key_separator_ = "\t";
  std::string line_separator_ = "\n";
  std::string headers_separator_ = ",";
  std::string null_literal_ = "null";
  std::string buffer_;
  bool first_field_ = true;
};

}  // namespace tidemark
