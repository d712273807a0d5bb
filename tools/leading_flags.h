// Flags before the noun: `tidemark -b HOST:PORT cluster health` is `tidemark cluster health -b HOST:PORT`.
// Pure; main thread.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "tools/arguments.h"

namespace tidemark {

// The flags that may stand there: those that commands share.
std::vector<FlagSpec> GlobalFlags();

// How many words at the beginning are such flags and their values.
size_t CountLeadingFlags(const std::vector<std::string>& words);

// The words behind `tidemark` with those flags put behind the command, under their long names. Words that do
// not begin with a flag come back as they are. INVALID_REQUEST: another flag, or one without its value or
// without a command behind it.
Result<std::vector<std::string>> WithFlagsBehindCommand(const std::vector<std::string>& words);

}  // namespace tidemark
