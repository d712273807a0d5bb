#include "tools/record_input.h"

#include <vector>

#include "common/nearest_name.h"

namespace tidemark {

Result<bool> ParseBool(std::string_view name, std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return Fail(v1::INVALID_REQUEST, "{}={} is neither true nor false", name, text);
}

std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 't') {
      out += '\t';
    } else if (c == 'n') {
      out += '\n';
    } else if (c == '\\') {
      out += '\\';
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

Result<RecordInput> RecordInput::FromProperties(const std::map<std::string, std::string>& properties) {
  RecordInput input;
  for (const auto& [name, value] : properties) {
    if (name == "parse.key") {
      TM_ASSIGN_OR_RETURN(input.parse_key_, ParseBool(name, value));
    } else if (name == "ignore.error") {
      TM_ASSIGN_OR_RETURN(input.ignore_error_, ParseBool(name, value));
    } else if (name == "key.separator") {
      input.separator_ = Unescape(value);
      if (input.separator_.empty()) return Fail(v1::INVALID_REQUEST, "key.separator cannot be empty");
    } else if (name == "null.marker") {
      input.null_marker_ = value;
    } else {
      const std::string nearest =
          NearestName(name, {"parse.key", "key.separator", "null.marker", "ignore.error"});
      return Fail(v1::INVALID_REQUEST, "unknown --property {}{}", name,
                  nearest.empty() ? "; there are parse.key, key.separator, null.marker, ignore.error"
                                  : "; did you mean " + nearest + "?");
    }
  }
  return input;
}

Result<RecordInput::Parsed> RecordInput::Parse(std::string_view line) const {
  Parsed parsed;
  if (parse_key_) {
    const size_t at = line.find(separator_);
    if (at == std::string_view::npos) {
      if (!ignore_error_) {
        return Fail(v1::INVALID_REQUEST, "no key separator '{}' in the line '{}'", separator_,
                    line.substr(0, 100));
      }
    } else {
      parsed.key = line.substr(0, at);
      line.remove_prefix(at + separator_.size());
    }
  }
  parsed.value = line;
  if (!null_marker_.empty()) {
    if (parsed.key == null_marker_) parsed.key.reset();
    if (parsed.value == null_marker_) parsed.value.reset();
  }
  return parsed;
}

}  // namespace tidemark
