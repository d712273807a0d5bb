// RecordInput: turns lines into keys and values for the console producer. Pure; one owner.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/record/record_view.h"
#include "common/result.h"

namespace tidemark {

class RecordInput {
 public:
  // Kafka's --property names: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator,
  // headers.key.separator, null.marker, ignore.error. A line is HEADERS<delimiter>KEY<separator>VALUE.
  // INVALID_REQUEST names an unknown one and the nearest.
  static Result<RecordInput> FromProperties(const std::map<std::string, std::string>& properties);

  struct Parsed {
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
    std::vector<HeaderView> headers;
  };
  // Views into `line`. INVALID_REQUEST: a part is asked for and the line has no separator (unless
  // ignore.error).
  Result<Parsed> Parse(std::string_view line) const;

 private:
  Result<> ParseHeaders(std::string_view text, std::vector<HeaderView>* out) const;
  // What stands before `separator`, which is taken off `line`; nothing when it is not there and that is fine.
  Result<std::optional<std::string_view>> Before(const char* what, std::string_view separator,
                                                 std::string_view whole, std::string_view* line) const;

  bool parse_key_ = false;
  bool parse_headers_ = false;
  bool ignore_error_ = false;
  std::string separator_ = "\t";
  std::string headers_delimiter_ = "\t";
  std::string headers_separator_ = ",";
  std::string headers_key_separator_ = ":";
  std::string null_marker_;
};

// What is said when line `number` (from 1) stops the sending: what became of those before it, and that the
// rest was not looked at. `place`: "line 3", or "orders.csv, line 3". Without `acknowledged` nothing was to
// be sent.
std::string AfterBadLine(std::string_view place, uint64_t number, std::optional<uint64_t> acknowledged);

// "true" or "false"; INVALID_REQUEST names the property.
Result<bool> ParseBool(std::string_view name, std::string_view text);
// A value given on a command line: the escapes \t \n \\ are understood.
std::string Unescape(std::string_view text);

}  // namespace tidemark
