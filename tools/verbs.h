// The second face of the program: `tidemark topic create orders -p 6`. What the commands of that face share,
// and their makers, one file each; verbs.cc lists them. Main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tools/commands.h"
#include "tools/listing.h"
#include "tools/session.h"

namespace tidemark {

// All commands of this face; names are "topic create" or one word.
const std::vector<Command>& VerbCommands();
// Their first words, once each, in order.
std::vector<std::string> VerbNouns();

std::vector<Command> TopicVerbs();
std::vector<Command> TopicWriteVerbs();
std::vector<Command> ConfigVerbs();
std::vector<Command> GroupVerbs();
std::vector<Command> GroupWriteVerbs();
std::vector<Command> ProduceVerbs();
std::vector<Command> ConsumeVerbs();
std::vector<Command> ClusterVerbs();
std::vector<Command> LogAndBenchVerbs();
std::vector<Command> CompletionVerbs();

// -b/--bootstrap-server and the other ways to name brokers; without any $TIDEMARK_BROKERS counts, else
// localhost:9092.
std::vector<FlagSpec> VerbConnectionFlags();
// -o/--output.
FlagSpec OutputFlag();
// --yes.
FlagSpec YesFlag();
// --dry-run.
FlagSpec DryRunFlag();
// The flags above of a command that reads, with its own.
std::vector<FlagSpec> ReadingFlags(std::vector<FlagSpec> own);
// Likewise of one that writes: with --dry-run.
std::vector<FlagSpec> WritingFlags(std::vector<FlagSpec> own);

Result<std::unique_ptr<ToolSession>> OpenSession(const Arguments& arguments, ClientOptions options = {},
                                                 FirstContact contact = FirstContact::kNow);
// Of --output; the run functions report its error as a wrong command line.
Result<OutputFormat> FormatOf(const Arguments& arguments);

// Destruction is asked for: on a terminal by a question, elsewhere by --yes. kExitDone: go on; else the exit
// status with which to end.
int Confirm(const Arguments& arguments, const std::string& question);

// Prints the listing; the exit status of a command that did what it was told.
int Finish(const Listing& listing, OutputFormat format);

// How several items went: kExitDone, kExitPartly, or, with none done, `of_last`.
int OverallStatus(size_t failed, size_t all, int of_last);

}  // namespace tidemark
