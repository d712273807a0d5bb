#include "tools/completion.h"

#include <algorithm>

#include "tools/commands.h"
#include "tools/leading_flags.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

struct Live {
  LiveNames topics;
  LiveNames groups;
};

// A shell puts what is offered into the line as it is: a group may be called $(reboot), and one whose name
// has a blank would become two words. Only what every shell takes as one plain word is offered.
bool IsPlainWord(std::string_view name) {
  constexpr std::string_view kPlain = "._:/@%+=,-";
  return !name.empty() && name.front() != '-' && std::ranges::all_of(name, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kPlain.find(c) != std::string_view::npos;
  });
}

LiveNames PlainWords(const LiveNames& names) {
  return [&names] {
    std::vector<std::string> out = names();
    std::erase_if(out, [](const std::string& name) { return !IsPlainWord(name); });
    return out;
  };
}

const Command* Find(const std::vector<Command>& commands, const std::string& name) {
  const auto it = std::ranges::find(commands, name, &Command::name);
  return it == commands.end() ? nullptr : &*it;
}

const FlagSpec* FlagOf(const Command& command, std::string_view word) {
  if (!word.starts_with('-')) return nullptr;
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  for (const FlagSpec& flag : command.flags) {
    if (flag.name == word || std::ranges::find(flag.aliases, word) != flag.aliases.end()) return &flag;
  }
  return nullptr;
}

// "table|json|csv" offers its parts; NAME of a topic or group flag the topics or groups.
std::vector<std::string> ValuesOf(const FlagSpec& flag, const Live& live) {
  if (flag.name == "topic" || flag.name == "topic-list") return live.topics();
  if (flag.name == "group" && flag.value == "NAME") return live.groups();
  std::vector<std::string> out;
  if (flag.value.find('|') == std::string::npos) return out;
  for (size_t begin = 0; begin <= flag.value.size();) {
    const size_t end = std::min(flag.value.find('|', begin), flag.value.size());
    const std::string part = flag.value.substr(begin, end - begin);
    // Words as they are typed, not the names of values.
    if (std::ranges::none_of(part, [](char c) { return (c >= 'A' && c <= 'Z') || c == '/'; }))
      out.push_back(part);
    begin = end + 1;
  }
  return out;
}

std::vector<std::string> PositionalsOf(const Command& command, size_t at, const Live& live) {
  if (command.positionals.empty()) return {};
  const size_t last = command.positionals.size() - 1;
  if (at > last && !command.positionals[last].several) return {};
  const std::string& name = command.positionals[std::min(at, last)].name;
  if (name == "TOPIC" && command.name != "topic create") return live.topics();
  if (name == "GROUP") return live.groups();
  std::vector<std::string> out;
  if (name.starts_with("topic/NAME") || (name == "OTHER" && command.name == "config diff")) {
    for (const std::string& topic : live.topics()) out.push_back("topic/" + topic);
    out.insert(out.end(), {"broker/", "brokers"});
  }
  if (name == "bash|zsh") out = {"bash", "zsh"};
  return out;
}

// In the words of one command; `from` is where they begin.
std::vector<std::string> InCommand(const Command& command, const std::vector<std::string>& words, size_t from,
                                   const Live& live) {
  const std::string& current = words.back();
  size_t positionals = 0;
  const FlagSpec* waits = nullptr;
  for (size_t i = from; i + 1 < words.size(); ++i) {
    if (waits != nullptr) {
      waits = nullptr;
      continue;
    }
    const FlagSpec* flag = FlagOf(command, words[i]);
    if (flag != nullptr && !flag->value.empty()) waits = flag;
    if (!words[i].starts_with('-')) ++positionals;
  }
  if (waits != nullptr) return ValuesOf(*waits, live);
  if (!current.starts_with('-')) return PositionalsOf(command, positionals, live);
  std::vector<std::string> out = {"--help"};
  for (const FlagSpec& flag : command.flags) out.push_back("--" + flag.name);
  return out;
}

std::vector<std::string> Candidates(const std::vector<std::string>& words, const Live& live) {
  if (words.size() == 1) {
    std::vector<std::string> out = VerbNouns();
    for (const Command& command : Commands()) out.push_back(command.name);
    std::erase_if(out, [](const std::string& name) { return name.starts_with("__"); });
    return out;
  }
  if (const Command* single = Find(VerbCommands(), words[0])) return InCommand(*single, words, 1, live);
  if (words.size() > 2) {
    if (const Command* command = Find(VerbCommands(), words[0] + " " + words[1]))
      return InCommand(*command, words, 2, live);
  } else {
    std::vector<std::string> out;
    for (const Command& command : VerbCommands()) {
      if (command.name.starts_with(words[0] + " ")) out.push_back(command.name.substr(words[0].size() + 1));
    }
    if (!out.empty()) return out;
  }
  const Command* command = Find(Commands(), words[0]);
  return command == nullptr ? std::vector<std::string>() : InCommand(*command, words, 1, live);
}

}  // namespace

std::vector<std::string> Completions(const std::vector<std::string>& words, const LiveNames& topics,
                                     const LiveNames& groups) {
  // Flags may stand before the command.
  const size_t leading = CountLeadingFlags(words);
  if (leading >= words.size()) return {};
  const std::vector<std::string> line(words.begin() + static_cast<std::ptrdiff_t>(leading), words.end());
  std::vector<std::string> out = Candidates(line, {PlainWords(topics), PlainWords(groups)});
  std::erase_if(out, [&](const std::string& word) { return !word.starts_with(words.back()); });
  std::ranges::sort(out);
  const auto rest = std::ranges::unique(out);
  out.erase(rest.begin(), rest.end());
  return out;
}

}  // namespace tidemark
