// Command: one entry of the table of commands. The table feeds dispatch (by Kafka's program name or as a word
// after `tidemark`), parsing, help and documentation, so that they cannot drift apart.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/arguments.h"

namespace tidemark {

// Exit statuses of all tools.
enum ExitCode : int {
  kExitDone = 0,
  kExitFailed = 1,       // refused or failed by the cluster
  kExitUsage = 2,        // the command line is wrong
  kExitUnreachable = 3,  // cannot reach the cluster, or timed out: trying again is sensible
  kExitNotFound = 4,
  kExitPartly = 6,      // some items failed
  kExitAborted = 7,     // the user said no
  kExitUnhealthy = 10,  // cluster health: something is wrong
};

struct Command {
  std::string name;     // "topics": `tidemark topics` and `tidemark-topics`, with and without .sh
  std::string summary;  // one line
  std::vector<std::string> examples;
  std::vector<FlagSpec> flags;  // --help and --version are added to all
  std::vector<PositionalSpec> positionals;
  int (*run)(const Arguments& arguments);
  // Set for programs that parse their own command line (the broker process).
  int (*raw_main)(int argc, char** argv) = nullptr;
  // Of the noun-and-verb face: called as `tidemark NAME`, where NAME may be two words.
  bool verb = false;
};

// All commands, by name.
const std::vector<Command>& Commands();

// The text of --help.
std::string HelpText(const Command& command);

// Whether a run of the command with these flags changes nothing in the cluster. Whatever can has --dry-run.
bool OnlyReads(const Command& command, const Arguments& arguments);

// The exit status that fits an error of the cluster.
int StatusAfter(ErrorCode code);

// Prints "error: ..." and, where there is one, "hint: ..." to stderr (`hint`, or the next step after such an
// error); returns the exit status that fits the code.
int ReportError(const Error& error, std::string_view hint = {});

// Runs the command that argv names. The whole of main().
int ToolMain(int argc, char** argv);

}  // namespace tidemark
