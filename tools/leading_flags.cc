#include "tools/leading_flags.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tools/verbs.h"

namespace tidemark {
namespace {

// "-b", "--brokers", "--brokers=x": the flag, or null.
const FlagSpec* FlagOf(const std::vector<FlagSpec>& flags, std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return nullptr;
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  word = word.substr(0, word.find('='));
  const auto found = std::ranges::find_if(flags, [&](const FlagSpec& flag) {
    return flag.name == word || std::ranges::find(flag.aliases, word) != flag.aliases.end();
  });
  return found == flags.end() ? nullptr : &*found;
}

// A noun has its verb as the next word, whether there is such a verb or not.
bool IsNoun(const std::string& word) {
  const std::vector<std::string> nouns = VerbNouns();
  return std::ranges::find(nouns, word) != nouns.end() &&
         std::ranges::find(VerbCommands(), word, &Command::name) == VerbCommands().end();
}

}  // namespace

std::vector<FlagSpec> GlobalFlags() {
  std::vector<FlagSpec> flags = VerbConnectionFlags();
  for (FlagSpec flag : {OutputFlag(), DryRunFlag(), YesFlag()}) flags.push_back(std::move(flag));
  return flags;
}

size_t CountLeadingFlags(const std::vector<std::string>& words) {
  const std::vector<FlagSpec> flags = GlobalFlags();
  size_t at = 0;
  while (at < words.size()) {
    const FlagSpec* flag = FlagOf(flags, words[at]);
    if (flag == nullptr) break;
    const bool value_follows = !flag->value.empty() && words[at].find('=') == std::string::npos;
    at += value_follows ? 2 : 1;
  }
  return std::min(at, words.size());
}

Result<std::vector<std::string>> WithFlagsBehindCommand(const std::vector<std::string>& words) {
  const size_t count = CountLeadingFlags(words);
  const auto begin = words.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<std::string> rest(begin, words.end());
  const std::vector<FlagSpec> flags = GlobalFlags();
  if (!rest.empty() && rest[0].starts_with('-') && rest[0] != "--help" && rest[0] != "-h" &&
      rest[0] != "--version") {
    std::vector<std::string> names;
    for (const FlagSpec& flag : flags) names.push_back("--" + flag.name);
    return Fail(v1::INVALID_REQUEST,
                "'{}' stands before the command, where only {} may; the flags of a command stand behind it",
                rest[0], fmt::join(names, ", "));
  }
  if (count == 0 || (!rest.empty() && rest[0].starts_with('-'))) return rest;  // --help is of the whole
  if (rest.empty()) {
    return Fail(v1::INVALID_REQUEST, "'{}' is followed by no command; tidemark --help lists them",
                fmt::join(words, " "));
  }
  std::vector<std::string> moved;
  for (size_t i = 0; i < count; ++i) {
    const FlagSpec* flag = FlagOf(flags, words[i]);
    const size_t equals = words[i].find('=');
    moved.push_back("--" + flag->name + (equals == std::string::npos ? "" : words[i].substr(equals)));
    if (!flag->value.empty() && equals == std::string::npos) moved.push_back(words[++i]);
  }
  // A noun without a verb is answered by its usage.
  const size_t words_of_command = IsNoun(rest[0]) ? 2 : 1;
  if (words_of_command == 2 && (rest.size() == 1 || rest[1].starts_with('-'))) return rest;
  rest.insert(rest.begin() + static_cast<std::ptrdiff_t>(words_of_command), moved.begin(), moved.end());
  return rest;
}

}  // namespace tidemark
