#include "tools/arguments.h"

#include <algorithm>
#include <charconv>

#include "common/config/properties.h"
#include "common/nearest_name.h"
#include "common/utf8.h"

namespace tidemark {
namespace {

const FlagSpec* FindFlag(const std::vector<FlagSpec>& flags, std::string_view name) {
  for (const FlagSpec& flag : flags) {
    if (flag.name == name || std::ranges::find(flag.aliases, name) != flag.aliases.end()) return &flag;
  }
  return nullptr;
}

std::vector<std::string> FlagNames(const std::vector<FlagSpec>& flags) {
  std::vector<std::string> names;
  for (const FlagSpec& flag : flags) {
    names.push_back(flag.name);
    names.insert(names.end(), flag.aliases.begin(), flag.aliases.end());
  }
  return names;
}

// `dashes`: as it was given.
std::unexpected<Error> UnknownFlag(const std::vector<FlagSpec>& flags, std::string_view dashes,
                                   std::string_view name) {
  const std::string nearest = NearestName(name, FlagNames(flags));
  if (nearest.empty())
    return Fail(v1::INVALID_REQUEST, "unknown flag {}{}; --help lists the flags", dashes, name);
  return Fail(v1::INVALID_REQUEST, "unknown flag {}{}; did you mean --{}?", dashes, name, nearest);
}

// A word that begins like a flag; "-1" and "-" are values.
bool LooksLikeFlag(std::string_view word) {
  return word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9');
}

bool IsNameValue(const FlagSpec& flag) { return flag.value.starts_with("NAME=VALUE"); }

std::string Joined(const std::vector<std::string>& words, size_t from, size_t to) {
  std::string out;
  for (size_t i = from; i < to; ++i) out += (i > from ? " " : "") + std::string(Trimmed(words[i]));
  return out;
}

// A word that belongs to no flag. `at` is its place; before it stands what it may have been glued to.
std::unexpected<Error> StrayWord(const std::vector<std::string>& words, size_t at,
                                 const std::vector<FlagSpec>& flags) {
  const std::string word(Trimmed(words[at]));
  if (const std::string nearest = NearestName(word, FlagNames(flags)); !nearest.empty()) {
    return Fail(v1::INVALID_REQUEST, "stray word '{}'; did you mean --{}?", word, nearest);
  }
  size_t end = at;
  while (end < words.size() && !LooksLikeFlag(Trimmed(words[end]))) ++end;
  if (at < 2) {
    return Fail(v1::INVALID_REQUEST, "stray word '{}': every value belongs to a flag; --help shows the forms",
                word);
  }
  return Fail(v1::INVALID_REQUEST,
              "stray word '{}': every value belongs to a flag, and another command goes on a line of its own "
              "or after ';': ... {}; {}",
              word, Joined(words, at - 2, at), Joined(words, at, end));
}

// Blanks that a shell separates words by are in a word because they were quoted; no other way leads there.
bool SeparatesWords(char c) { return c == ' ' || c == '\t' || c == '\n'; }

// Names travel as UTF-8 text: a request with others cannot be read.
Result<> AreText(const std::vector<std::string>& words) {
  const auto wrong = std::ranges::find_if_not(words, IsValidUtf8);
  if (wrong == words.end()) return {};
  return Fail(v1::INVALID_REQUEST, "'{}' is not UTF-8 text; is the terminal's encoding another one?",
              ToUtf8(*wrong));
}

// "--add-config name = value": the blanks tear one value apart. Nothing when that is not so.
// `at` is the place of the value, or of the flag with it.
std::optional<Error> TornApart(const std::vector<std::string>& words, size_t at, const FlagSpec& flag,
                               std::string_view value) {
  if (!IsNameValue(flag) || at + 1 >= words.size()) return std::nullopt;
  std::string next(Trimmed(words[at + 1]));
  const bool torn = next.starts_with('=') || (value.ends_with('=') && !LooksLikeFlag(next));
  if (!torn) return std::nullopt;
  if (next == "=" && at + 2 < words.size()) next += Trimmed(words[at + 2]);
  return Error{v1::INVALID_REQUEST, fmt::format("blanks around '=' tear the value apart; write --{} {}{}",
                                                flag.name, value, next)};
}

}  // namespace

Result<Arguments> Arguments::Parse(const std::vector<std::string>& words, const std::vector<FlagSpec>& flags,
                                   const std::vector<PositionalSpec>& positionals) {
  Arguments arguments;
  TM_RETURN_IF_ERROR(AreText(words));
  bool flags_ended = false;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string_view word = Trimmed(words[i]);
    if (!flags_ended && word == "--") {
      flags_ended = true;
      continue;
    }
    if (flags_ended || !LooksLikeFlag(word)) {
      const bool takes_more = !positionals.empty() && positionals.back().several;
      if (arguments.positionals_.size() >= positionals.size() && !takes_more) {
        return StrayWord(words, i, flags);
      }
      arguments.AddPositional(words[i], flags_ended, positionals);
      continue;
    }
    const std::string_view dashes = word.starts_with("--") ? "--" : "-";
    word.remove_prefix(dashes.size());
    std::optional<std::string> value;
    if (const size_t equals = word.find('='); equals != std::string_view::npos) {
      value = words[i].substr(words[i].find('=') + 1);
      word = word.substr(0, equals);
    }
    const FlagSpec* flag = FindFlag(flags, word);
    if (flag == nullptr) return UnknownFlag(flags, dashes, word);
    std::vector<std::string>& values = arguments.values_[flag->name];
    if (!values.empty() && !flag->repeated)
      return Fail(v1::INVALID_REQUEST, "--{} is given twice", flag->name);
    arguments.values_[""].push_back(flag->name);
    if (flag->value.empty()) {
      if (value) return Fail(v1::INVALID_REQUEST, "--{} takes no value", flag->name);
      values.emplace_back();
      continue;
    }
    if (!value && flag->value_optional && (i + 1 == words.size() || LooksLikeFlag(Trimmed(words[i + 1])))) {
      values.emplace_back();
      continue;
    }
    if (!value) {
      if (i + 1 == words.size())
        return Fail(v1::INVALID_REQUEST, "--{} needs a value ({})", flag->name, flag->value);
      const std::string_view next = Trimmed(words[i + 1]);
      if (next.starts_with("--") && FindFlag(flags, next.substr(2, next.find('=') - 2)) != nullptr) {
        return Fail(v1::INVALID_REQUEST, "--{} needs a value ({}) before {}", flag->name, flag->value, next);
      }
      value = words[++i];
    }
    // Pasted blanks go, but not those that are meant: key.separator=<tab>.
    const bool as_it_is = flag->keeps_blanks || IsNameValue(*flag);
    values.push_back(as_it_is         ? *value
                     : flag->group_id ? arguments.GroupIdIn(*value)
                                      : std::string(Trimmed(*value)));
    if (const auto torn = TornApart(words, i, *flag, Trimmed(*value))) return std::unexpected(*torn);
    if (flag->drops_assignment && i + 1 < words.size() && Trimmed(words[i + 1]) == "=") {
      ++i;
      if (i + 1 < words.size() && !LooksLikeFlag(Trimmed(words[i + 1]))) ++i;
    }
    if (!flag->several_words) continue;
    while (i + 1 < words.size() && !LooksLikeFlag(words[i + 1]) &&
           words[i + 1].find('=') != std::string::npos) {
      values.emplace_back(Trimmed(words[++i]));
    }
  }
  for (size_t i = arguments.positionals_.size(); i < positionals.size(); ++i) {
    if (positionals[i].required) return Fail(v1::INVALID_REQUEST, "{} is missing", positionals[i].name);
  }
  return arguments;
}

void Arguments::AddPositional(const std::string& word, bool as_it_is,
                              const std::vector<PositionalSpec>& specs) {
  // The last one may take several words.
  const bool group_id = specs[std::min(positionals_.size(), specs.size() - 1)].group_id;
  if (as_it_is) {
    positionals_.push_back(word);
  } else {
    positionals_.push_back(group_id ? GroupIdIn(word) : std::string(Trimmed(word)));
  }
}

std::string Arguments::GroupIdIn(const std::string& text) {
  const std::string_view all = text;
  const std::string_view inner = Trimmed(all);
  auto begin = static_cast<size_t>(inner.data() - all.data());
  size_t end = begin + inner.size();
  while (begin > 0 && SeparatesWords(all[begin - 1])) --begin;
  while (end < all.size() && SeparatesWords(all[end])) ++end;
  if (end - begin != all.size() && !cut_group_id_) cut_group_id_ = text;
  return text.substr(begin, end - begin);
}

Result<> Arguments::GroupIdsAreAsGiven() const {
  if (!cut_group_id_) return {};
  return Fail(v1::INVALID_REQUEST,
              "the group id '{}' has blanks around it as text from documents has them, and could be another "
              "group without them: write '{}' for that one; behind -- ('tidemark "
              "group describe -- GROUP', and so for seek and delete) an id is taken as it is",
              *cut_group_id_, Trimmed(*cut_group_id_));
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
      return Fail(v1::INVALID_REQUEST, "--{} '{}' is not of the form name=value (no blanks around '=')", flag,
                  text);
    }
    properties[std::string(Trimmed(std::string_view(text).substr(0, equals)))] = text.substr(equals + 1);
  }
  return properties;
}

}  // namespace tidemark
