#include "tools/arguments.h"

#include <algorithm>
#include <charconv>

#include "common/nearest_name.h"

namespace tidemark {
namespace {

// UTF-8 of the blanks that documents and chat programs put around pasted words.
constexpr std::string_view kUnicodeBlanks[] = {"\xc2\xa0",     "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
                                               "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
                                               "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a",
                                               "\xe2\x80\x8b", "\xe2\x80\xaf", "\xe3\x80\x80", "\xef\xbb\xbf"};

bool IsAsciiBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

const FlagSpec* FindFlag(const std::vector<FlagSpec>& flags, std::string_view name) {
  for (const FlagSpec& flag : flags) {
    if (flag.name == name || std::ranges::find(flag.aliases, name) != flag.aliases.end()) return &flag;
  }
  return nullptr;
}

std::unexpected<Error> UnknownFlag(const std::vector<FlagSpec>& flags, std::string_view name) {
  std::vector<std::string> names;
  for (const FlagSpec& flag : flags) {
    names.push_back(flag.name);
    names.insert(names.end(), flag.aliases.begin(), flag.aliases.end());
  }
  const std::string nearest = NearestName(name, names);
  if (nearest.empty()) return Fail(v1::INVALID_REQUEST, "unknown flag --{}; --help lists the flags", name);
  return Fail(v1::INVALID_REQUEST, "unknown flag --{}; did you mean --{}?", name, nearest);
}

// A word that begins like a flag; "-1" and "-" are values.
bool LooksLikeFlag(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9');
}

}  // namespace

std::string_view TrimBlanks(std::string_view text) {
  for (bool again = true; again;) {
    again = false;
    if (!text.empty() && IsAsciiBlank(text.front())) text.remove_prefix(1), again = true;
    if (!text.empty() && IsAsciiBlank(text.back())) text.remove_suffix(1), again = true;
    for (std::string_view blank : kUnicodeBlanks) {
      if (text.starts_with(blank)) text.remove_prefix(blank.size()), again = true;
      if (text.ends_with(blank)) text.remove_suffix(blank.size()), again = true;
    }
  }
  return text;
}

std::vector<std::string> SplitList(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    const std::string_view part = TrimBlanks(text.substr(0, end));
    if (!part.empty()) parts.emplace_back(part);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

Result<Arguments> Arguments::Parse(const std::vector<std::string>& words, const std::vector<FlagSpec>& flags,
                                   const std::vector<PositionalSpec>& positionals) {
  Arguments arguments;
  for (size_t i = 0; i < words.size(); ++i) {
    // Separators are values too ("--key.separator ' '"), so blanks go only from a word that is more than blanks.
    std::string_view word = TrimBlanks(words[i]);
    if (!LooksLikeFlag(word)) {
      if (arguments.positionals_.size() == positionals.size()) {
        return Fail(v1::INVALID_REQUEST, "stray word '{}': every value belongs to a flag; --help shows the forms", word);
      }
      arguments.positionals_.emplace_back(word);
      continue;
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    std::optional<std::string> value;
    if (const size_t equals = word.find('='); equals != std::string_view::npos) {
      value = std::string(word.substr(equals + 1));
      word = word.substr(0, equals);
    }
    const FlagSpec* flag = FindFlag(flags, word);
    if (flag == nullptr) return UnknownFlag(flags, word);
    std::vector<std::string>& values = arguments.values_[flag->name];
    if (!values.empty() && !flag->repeated) return Fail(v1::INVALID_REQUEST, "--{} is given twice", flag->name);
    if (flag->value.empty()) {
      if (value) return Fail(v1::INVALID_REQUEST, "--{} takes no value", flag->name);
      values.emplace_back();
      continue;
    }
    if (!value) {
      if (i + 1 == words.size()) return Fail(v1::INVALID_REQUEST, "--{} needs a value ({})", flag->name, flag->value);
      const std::string_view next = TrimBlanks(words[i + 1]);
      if (next.starts_with("--") && FindFlag(flags, next.substr(2, next.find('=') - 2)) != nullptr) {
        return Fail(v1::INVALID_REQUEST, "--{} needs a value ({}) before {}", flag->name, flag->value, next);
      }
      value = words[++i];
    }
    const std::string_view trimmed = TrimBlanks(*value);
    values.emplace_back(trimmed.empty() ? std::string_view(*value) : trimmed);
  }
  for (size_t i = arguments.positionals_.size(); i < positionals.size(); ++i) {
    if (positionals[i].required) return Fail(v1::INVALID_REQUEST, "{} is missing", positionals[i].name);
  }
  return arguments;
}

bool Arguments::Has(std::string_view flag) const { return values_.find(flag) != values_.end(); }

std::optional<std::string> Arguments::Get(std::string_view flag) const {
  auto it = values_.find(flag);
  if (it == values_.end()) return std::nullopt;
  return it->second.back();
}

std::string Arguments::GetOr(std::string_view flag, std::string fallback) const {
  return Get(flag).value_or(std::move(fallback));
}

std::vector<std::string> Arguments::All(std::string_view flag) const {
  auto it = values_.find(flag);
  return it == values_.end() ? std::vector<std::string>{} : it->second;
}

Result<std::string> Arguments::Require(std::string_view flag) const {
  std::optional<std::string> value = Get(flag);
  if (!value || value->empty()) return Fail(v1::INVALID_REQUEST, "--{} is required", flag);
  return *std::move(value);
}

Result<std::optional<int64_t>> Arguments::GetInteger(std::string_view flag, int64_t min, int64_t max) const {
  const std::optional<std::string> text = Get(flag);
  if (!text) return std::nullopt;
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc() || end != text->data() + text->size() || value < min || value > max) {
    return Fail(v1::INVALID_REQUEST, "--{} '{}' is not a whole number from {} to {}", flag, *text, min, max);
  }
  return value;
}

Result<std::map<std::string, std::string>> Arguments::GetProperties(std::string_view flag) const {
  std::map<std::string, std::string> properties;
  for (const std::string& text : All(flag)) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Fail(v1::INVALID_REQUEST, "--{} '{}' is not of the form name=value (no blanks around '=')", flag, text);
    }
    properties[std::string(TrimBlanks(std::string_view(text).substr(0, equals)))] = text.substr(equals + 1);
  }
  return properties;
}

}  // namespace tidemark
