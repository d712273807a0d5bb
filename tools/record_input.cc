#include "tools/record_input.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "common/nearest_name.h"
#include "tools/output.h"

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

std::string AfterBadLine(std::string_view place, uint64_t number, std::optional<uint64_t> acknowledged) {
  if (!acknowledged) return fmt::format("what follows {} was not checked", place);
  if (number <= 1) return "nothing was sent, and what follows was not read";
  return fmt::format("of {} before it {} sent; {} and what follows were not", Counted(number - 1, "line"),
                     *acknowledged == 1 ? "1 was" : fmt::format("{} were", *acknowledged), place);
}

Result<RecordInput> RecordInput::FromProperties(const std::map<std::string, std::string>& properties) {
  RecordInput input;
  const std::map<std::string, bool*> switches = {{"parse.key", &input.parse_key_},
                                                 {"parse.headers", &input.parse_headers_},
                                                 {"ignore.error", &input.ignore_error_}};
  const std::map<std::string, std::string*> separators = {
      {"key.separator", &input.separator_},
      {"headers.delimiter", &input.headers_delimiter_},
      {"headers.separator", &input.headers_separator_},
      {"headers.key.separator", &input.headers_key_separator_}};
  std::vector<std::string> names = {"null.marker"};
  for (const auto& [name, _] : switches) names.push_back(name);
  for (const auto& [name, _] : separators) names.push_back(name);
  for (const auto& [name, value] : properties) {
    if (const auto flag = switches.find(name); flag != switches.end()) {
      TM_ASSIGN_OR_RETURN(*flag->second, ParseBool(name, value));
    } else if (const auto text = separators.find(name); text != separators.end()) {
      *text->second = Unescape(value);
      if (text->second->empty()) return Fail(v1::INVALID_REQUEST, "{} cannot be empty", name);
    } else if (name == "null.marker") {
      input.null_marker_ = value;
    } else {
      const std::string nearest = NearestName(name, names);
      return Fail(v1::INVALID_REQUEST, "unknown --property {}{}", name,
                  nearest.empty() ? fmt::format("; there are {}", fmt::join(names, ", "))
                                  : "; did you mean " + nearest + "?");
    }
  }
  if (input.parse_headers_ && (input.headers_delimiter_ == input.headers_separator_ ||
                               input.headers_separator_ == input.headers_key_separator_)) {
    return Fail(v1::INVALID_REQUEST,
                "headers.separator must differ from headers.delimiter and headers.key.separator");
  }
  return input;
}

Result<std::optional<std::string_view>> RecordInput::Before(const char* what, std::string_view separator,
                                                            std::string_view whole,
                                                            std::string_view* line) const {
  const size_t at = line->find(separator);
  if (at == std::string_view::npos) {
    if (ignore_error_) return std::nullopt;
    return Fail(v1::INVALID_REQUEST, "no {} '{}' in the line '{}'", what, separator, whole.substr(0, 100));
  }
  const std::string_view part = line->substr(0, at);
  line->remove_prefix(at + separator.size());
  return part;
}

Result<> RecordInput::ParseHeaders(std::string_view text, std::vector<HeaderView>* out) const {
  if (text.empty()) return {};
  const std::string_view whole = text;
  for (bool more = true; more;) {
    const size_t end = text.find(headers_separator_);
    std::string_view pair = text.substr(0, end);
    more = end != std::string_view::npos;
    if (more) text.remove_prefix(end + headers_separator_.size());
    TM_ASSIGN_OR_RETURN(const auto key, Before("header key separator", headers_key_separator_, whole, &pair));
    HeaderView header{.key = key.value_or(pair), .value = pair};
    if (!key || (!null_marker_.empty() && pair == null_marker_)) header.value.reset();
    if (!null_marker_.empty() && header.key == null_marker_) {
      return Fail(v1::INVALID_REQUEST, "a header cannot have the null key: '{}'", whole.substr(0, 100));
    }
    out->push_back(header);
  }
  return {};
}

Result<RecordInput::Parsed> RecordInput::Parse(std::string_view line) const {
  Parsed parsed;
  const std::string_view whole = line;
  if (parse_headers_) {
    TM_ASSIGN_OR_RETURN(const auto headers, Before("headers delimiter", headers_delimiter_, whole, &line));
    const bool none = !headers || (!null_marker_.empty() && *headers == null_marker_);
    if (!none) TM_RETURN_IF_ERROR(ParseHeaders(*headers, &parsed.headers));
  }
  if (parse_key_) {
    TM_ASSIGN_OR_RETURN(parsed.key, Before("key separator", separator_, whole, &line));
  }
  parsed.value = line;
  if (!null_marker_.empty()) {
    if (parsed.key == null_marker_) parsed.key.reset();
    if (parsed.value == null_marker_) parsed.value.reset();
  }
  return parsed;
}

}  // namespace tidemark
