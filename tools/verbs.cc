#include "tools/verbs.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <fmt/format.h>

namespace tidemark {

const std::vector<Command>& VerbCommands() {
  static const auto* commands = [] {
    auto* all = new std::vector<Command>;
    for (auto* make : {TopicVerbs, TopicWriteVerbs, ConfigVerbs, GroupVerbs, GroupWriteVerbs, ProduceVerbs,
                       ConsumeVerbs, ClusterVerbs, LogAndBenchVerbs, CompletionVerbs}) {
      for (Command& command : make()) {
        command.verb = true;
        all->push_back(std::move(command));
      }
    }
    return all;
  }();
  return *commands;
}

std::vector<std::string> VerbNouns() {
  std::vector<std::string> out;
  for (const Command& command : VerbCommands()) {
    std::string noun = command.name.substr(0, command.name.find(' '));
    // What begins with "__" is for shells.
    if (!noun.starts_with("__") && std::ranges::find(out, noun) == out.end()) out.push_back(std::move(noun));
  }
  return out;
}

std::vector<FlagSpec> VerbConnectionFlags() {
  return {
      {.name = "bootstrap-server",
       .value = "HOST:PORT,...",
       .help = "Brokers to ask first (default: $TIDEMARK_BROKERS, else localhost:9092).",
       .aliases = {"b", "brokers"}},
      {"zookeeper", "HOST:PORT/CHROOT", "Finds the brokers through ZooKeeper instead."},
      {"command-config", "FILE", "Properties file with client settings."},
  };
}

FlagSpec OutputFlag() {
  return {.name = "output",
          .value = "table|json|csv",
          .help = "How to print (default: table).",
          .aliases = {"o"}};
}

FlagSpec YesFlag() { return {.name = "yes", .value = "", .help = "Does not ask.", .aliases = {"y"}}; }

FlagSpec DryRunFlag() { return {"dry-run", "", "Checks and shows what would be done, and does nothing."}; }

std::vector<FlagSpec> ReadingFlags(std::vector<FlagSpec> own) {
  own.push_back(OutputFlag());
  for (FlagSpec& flag : VerbConnectionFlags()) own.push_back(std::move(flag));
  return own;
}

std::vector<FlagSpec> WritingFlags(std::vector<FlagSpec> own) {
  own.push_back(DryRunFlag());
  return ReadingFlags(std::move(own));
}

Result<std::unique_ptr<ToolSession>> OpenSession(const Arguments& arguments, ClientOptions options,
                                                 FirstContact contact) {
  if (!arguments.Has("bootstrap-server") && !arguments.Has("zookeeper") && options.bootstrap.empty()) {
    const char* from_environment = std::getenv("TIDEMARK_BROKERS");
    const bool set = from_environment != nullptr && *from_environment != '\0';
    TM_ASSIGN_OR_RETURN(options.bootstrap, ParseBootstrap(set ? from_environment : "localhost:9092"));
  }
  return ToolSession::Open(arguments, std::move(options), contact);
}

Result<OutputFormat> FormatOf(const Arguments& arguments) {
  return ParseOutputFormat(arguments.GetOr("output", "table"));
}

int Confirm(const Arguments& arguments, const std::string& question) {
  if (arguments.Has("yes")) return kExitDone;
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) {
    fmt::print(stderr,
               "error: {} Nobody can be asked here.\nhint: --yes does it without asking, --dry-run shows "
               "what it does\n",
               Printable(question));
    return kExitUsage;
  }
  fmt::print(stderr, "{} [y/N] ", Printable(question));
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return kExitDone;
  fmt::print(stderr, "nothing was done\n");
  return kExitAborted;
}

int Finish(const Listing& listing, OutputFormat format) {
  (void)Print(listing.Text(format));
  return kExitDone;
}

int OverallStatus(size_t failed, size_t all, int of_last) {
  if (failed == 0) return kExitDone;
  return failed < all ? static_cast<int>(kExitPartly) : of_last;
}

}  // namespace tidemark
