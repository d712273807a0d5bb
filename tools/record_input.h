// RecordInput: turns lines into keys and values for the console producer. Pure; one owner.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace tidemark {

class RecordInput {
 public:
  // Kafka's --property names: parse.key, key.separator, null.marker, ignore.error. INVALID_REQUEST names an
  // unknown one and the nearest.
  static Result<RecordInput> FromProperties(const std::map<std::string, std::string>& properties);

  struct Parsed {
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
  };
  // Views into `line`. INVALID_REQUEST: parse.key is set and the line has no separator (unless ignore.error).
  Result<Parsed> Parse(std::string_view line) const;

 private:
  bool parse_key_ = false;
  bool ignore_error_ = false;
  std::string separator_ = "\t";
  std::string null_marker_;
};

// "true" or "false"; INVALID_REQUEST names the property.
Result<bool> ParseBool(std::string_view name, std::string_view text);
// A value given on a command line: the escapes \t \n \\ are understood.
std::string Unescape(std::string_view text);

}  // namespace tidemark
