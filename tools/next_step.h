// What to do after an error of the cluster, in a sentence: the hint where the command has none of its own.
// Pure; any thread.
#pragma once

#include <optional>
#include <string_view>

#include "common/error.h"

namespace tidemark {

// The next step after this code, for whatever command; empty where the message of such an error always says
// it, or a person can do nothing. Nothing: the code has no row, which a unit test does not let happen.
std::optional<std::string_view> NextStepAfter(ErrorCode code);

// The hint that goes with this error; empty: none. A message that asks ("did you mean ...?") is one itself.
// `only_reads`: of a command that changes nothing, which cannot have been done.
std::string_view NextStep(const Error& error, bool only_reads = false);

}  // namespace tidemark
