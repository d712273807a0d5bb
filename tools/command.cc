#include "tools/command.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <system_error>

#include <fmt/format.h>
#include <glog/logging.h>
#include <google/protobuf/stubs/logging.h>

#include "common/nearest_name.h"
#include "tools/commands.h"
#include "tools/leading_flags.h"
#include "tools/next_step.h"
#include "tools/output.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

constexpr std::string_view kVersion = "0.1.0";

const Command* FindCommand(std::string_view name) {
  const auto& commands = Commands();
  auto it = std::ranges::find(commands, name, &Command::name);
  return it == commands.end() ? nullptr : &*it;
}

// "/usr/bin/tidemark-topics.sh" -> "topics"; "tidemark" -> "".
std::string CommandNameOf(std::string_view program) {
  program = program.substr(program.find_last_of('/') + 1);
  // Written with a capital where file systems do not care: Tidemark-configs.
  std::string name(program);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.ends_with(".sh")) name.resize(name.size() - 3);
  return name.starts_with("tidemark-") ? name.substr(9) : std::string();
}

std::string VerbLines(std::string_view noun) {
  std::string text;
  for (const Command& command : VerbCommands()) {
    if (command.name.starts_with("__")) continue;
    if (noun.empty() || command.name.substr(0, command.name.find(' ')) == noun)
      text += fmt::format("  {:<22} {}\n", command.name, command.summary);
  }
  return text;
}

std::string Overview() {
  std::string text =
      "Tidemark: a partitioned, replicated commit log.\n\nUsage: tidemark COMMAND [--flag value "
      "...]\n\nCommands:\n";
  text += VerbLines("");
  text += "\nKafka's commands (each also as a program of its own, tidemark-COMMAND):\n";
  for (const Command& command : Commands())
    text += fmt::format("  {:<22} {}\n", command.name, command.summary);
  return text + "\ntidemark COMMAND --help shows the flags of a command, with examples.\n";
}

int UnknownCommand(std::string_view name) {
  std::vector<std::string> names = VerbNouns();
  for (const Command& command : Commands()) names.push_back(command.name);
  const std::string nearest = NearestName(name, names);
  Say("error: there is no command '{}'{}", name,
      nearest.empty() ? "; tidemark --help lists them" : fmt::format("; did you mean '{}'?", nearest));
  return kExitUsage;
}

// How the command is called.
std::string ProgramOf(const Command& command) {
  return (command.verb ? "tidemark " : "tidemark-") + command.name;
}

// A descriptor that is closed would be taken by the next file or connection, and what is printed would go
// there. In its place comes one whose use fails; what is said to a closed stderr is lost.
void HoldClosedStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is this one's; it stays open as long as the program runs.
    (void)std::fopen("/dev/null", stream == STDOUT_FILENO ? "r" : "w");
  }
}

// Of the command that runs; main thread.
bool g_only_reads = false;

int RunCommand(const Command& command, int argc, char** argv) {
  if (command.raw_main != nullptr) return command.raw_main(argc, argv);
  // Errors are the command's to tell, in one line; what libraries log of them is for brokers.
  FLAGS_minloglevel = google::GLOG_FATAL;
  std::vector<std::string> words(argv + 1, argv + argc);
  std::vector<FlagSpec> flags = command.flags;
  flags.push_back({"help", "", "Shows this text.", false, {"h"}});
  flags.push_back({"version", "", "Shows the version.", false, {}});
  // Help is answered whatever else stands on the line.
  if (std::any_of(words.begin(), std::ranges::find(words, "--"),
                  [](const std::string& w) { return w == "--help" || w == "-help" || w == "-h"; })) {
    (void)Print(HelpText(command));
    return kExitDone;
  }
  Result<Arguments> arguments = Arguments::Parse(words, flags, command.positionals);
  if (!arguments) {
    Say("error: {}", arguments.error().message);
    Say("hint: {} --help", ProgramOf(command));
    return kExitUsage;
  }
  if (arguments->Has("version")) {
    fmt::print("tidemark {}\n", kVersion);
    return kExitDone;
  }
  g_only_reads = OnlyReads(command, *arguments);
  try {
    return command.run(*arguments);
  } catch (const std::system_error& error) {
    NoteOutputError(error.code().value());  // fmt says so when stdout cannot be written
    return kExitFailed;
  }
}

}  // namespace

std::string HelpText(const Command& command) {
  const std::string program = ProgramOf(command);
  std::string text = fmt::format("{}: {}\n\nUsage: {}", program, command.summary, program);
  for (const PositionalSpec& positional : command.positionals) {
    const std::string name = positional.name + (positional.several ? "..." : "");
    text += positional.required ? fmt::format(" {}", name) : fmt::format(" [{}]", name);
  }
  text += " [--flag value ...]\n\nFlags:\n";
  for (const FlagSpec& flag : command.flags) {
    std::string left = "--" + flag.name + (flag.value.empty() ? "" : " " + flag.value);
    std::string right = flag.help;
    if (flag.repeated) right += " May be given several times.";
    for (const std::string& alias : flag.aliases) {
      if (alias.size() == 1) {
        left = "-" + alias + ", " + left;
      } else {
        right += " Also --" + alias + ".";
      }
    }
    text += fmt::format("  {:<36} {}\n", left, right);
  }
  text += fmt::format("  {:<36} {}\n  {:<36} {}\n", "--help", "Shows this text.", "--version",
                      "Shows the version.");
  if (!command.examples.empty()) text += "\nExamples:\n";
  for (const std::string& example : command.examples) text += "  " + example + "\n";
  return text;
}

bool OnlyReads(const Command& command, const Arguments& arguments) {
  if (std::ranges::find(command.flags, "dry-run", &FlagSpec::name) == command.flags.end()) return true;
  return arguments.Has("dry-run") || arguments.Has("describe") || arguments.Has("list");
}

int ReportError(const Error& error, std::string_view hint) {
  Say("error: {}", ToString(error));
  if (hint.empty()) hint = NextStep(error, g_only_reads);
  if (!hint.empty()) Say("hint: {}", hint);
  return StatusAfter(error.code);
}

int StatusAfter(ErrorCode code) {
  switch (code) {
    case v1::UNKNOWN_TOPIC_OR_PARTITION:
    case v1::UNKNOWN_TOPIC_ID:
    case v1::NOT_FOUND:
    case v1::GROUP_ID_NOT_FOUND:
      return kExitNotFound;
    case v1::NETWORK_EXCEPTION:
    case v1::REQUEST_TIMED_OUT:
    case v1::BROKER_NOT_AVAILABLE:
    case v1::COORDINATOR_NOT_AVAILABLE:
    case v1::BROKER_NOT_READY:
    case v1::LEADER_NOT_AVAILABLE:
      return kExitUnreachable;
    default:
      return kExitFailed;
  }
}

namespace {

const Command* FindVerb(const std::string& name) {
  const auto& commands = VerbCommands();
  const auto it = std::ranges::find(commands, name, &Command::name);
  return it == commands.end() ? nullptr : &*it;
}

int UnknownVerb(const std::string& noun, const std::string& word) {
  std::vector<std::string> verbs;
  for (const Command& command : VerbCommands()) {
    if (command.name.starts_with(noun + " ")) verbs.push_back(command.name.substr(noun.size() + 1));
  }
  const std::string nearest = NearestName(word, verbs);
  Say("error: there is no 'tidemark {} {}'; {}", noun, word,
      nearest.empty() ? fmt::format("tidemark {} --help lists what there is", noun)
                      : fmt::format("did you mean 'tidemark {} {}'?", noun, nearest));
  return kExitUsage;
}

// The noun-and-verb face; nothing when argv[1] is no word of it.
std::optional<int> VerbMain(int argc, char** argv) {
  const std::string noun = argv[1];
  if (const Command* single = FindVerb(noun)) return RunCommand(*single, argc - 1, argv + 1);
  const std::vector<std::string> nouns = VerbNouns();
  if (std::ranges::find(nouns, noun) == nouns.end()) return std::nullopt;
  const std::string word = argc > 2 ? argv[2] : "";
  if (const Command* command = FindVerb(noun + " " + word)) return RunCommand(*command, argc - 2, argv + 2);
  const bool help = word == "--help" || word == "-h" || word == "-help";
  if (help || word.empty()) {
    fmt::print(help ? stdout : stderr, "Usage: tidemark {} VERB [--flag value ...]\n\n{}", noun,
               VerbLines(noun));
    return help ? kExitDone : kExitUsage;
  }
  // Kafka has a program of that name.
  if (FindCommand(noun) != nullptr) return std::nullopt;
  return UnknownVerb(noun, word);
}

}  // namespace

int ReportUsage(const Error& error) {
  Say("error: {}", error.message);
  return kExitUsage;
}

namespace {

int RunWords(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "{}", Overview());
    return kExitUsage;
  }
  const std::string name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    (void)Print(Overview());
    return kExitDone;
  }
  if (name == "--version") {
    fmt::print("tidemark {}\n", kVersion);
    return kExitDone;
  }
  if (const std::optional<int> status = VerbMain(argc, argv)) return *status;
  const Command* command = FindCommand(name);
  return command == nullptr ? UnknownCommand(name) : RunCommand(*command, argc - 1, argv + 1);
}

int RunNamed(int argc, char** argv) {
  const std::string name = argc > 0 ? CommandNameOf(argv[0]) : std::string();
  if (!name.empty()) {
    const Command* command = FindCommand(name);
    return command == nullptr ? UnknownCommand(name) : RunCommand(*command, argc, argv);
  }
  if (argc < 2 || argv[1][0] != '-') return RunWords(argc, argv);
  auto words = WithFlagsBehindCommand(std::vector<std::string>(argv + 1, argv + argc));
  if (!words) return ReportUsage(words.error());
  std::vector<char*> moved = {argv[0]};
  for (std::string& word : *words) moved.push_back(word.data());
  moved.push_back(nullptr);
  return RunWords(static_cast<int>(moved.size()) - 1, moved.data());
}

}  // namespace

int ToolMain(int argc, char** argv) {
  // A reader that went away (| head) is noticed at the write, not by a signal that kills without a word.
  std::signal(SIGPIPE, SIG_IGN);
  HoldClosedStreams();
  // It would write a line to stderr for every request that does not parse, whoever sends it.
  google::protobuf::SetLogHandler(nullptr);
  const int status = RunNamed(argc, argv);
  if (std::fflush(stdout) != 0) NoteOutputError(errno);
  if (OutputError() == 0) return status;
  if (OutputError() == EPIPE) return kExitDone;
  Say("error: the output could not be written: {}", std::strerror(OutputError()));
  return kExitFailed;
}

}  // namespace tidemark
