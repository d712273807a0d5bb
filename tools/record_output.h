// RecordOutput: formats records for the console consumer as Kafka's default formatter does, and writes them
// to stdout in large pieces. Main thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "client/consumer.h"
#include "common/result.h"

namespace tidemark {

class RecordOutput {
 public:
  // Kafka's --property names: print.timestamp, print.partition, print.offset, print.headers, print.key,
  // print.value, key.separator, line.separator, headers.separator, null.literal.
  static Result<RecordOutput> FromProperties(const std::map<std::string, std::string>& properties);

  void Add(const ConsumedRecord& record);
  // Writes what was added. False when nobody reads any more (a broken pipe).
  bool Flush();

 private:
  void Separate();

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
