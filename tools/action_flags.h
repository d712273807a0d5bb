// ActionFlags: the actions of a command under Kafka's names (--list, --describe, ...) and the flags that go
// with some of them only, as a table. A flag that would do nothing is refused: who gives it means something
// by it, and `--delete --dry-run` must never delete because nobody looked at the second word. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"
#include "tools/arguments.h"

namespace tidemark {

struct ActionFlags {
  std::string action;              // without dashes, as its flags
  std::vector<std::string> flags;  // which of the flags in the table go with it
};

// The one action that the command line names. INVALID_REQUEST: none, several, or a flag of the table with an
// action whose row does not have it; the message names those it goes with. Flags in no row go with all.
Result<std::string> ActionOf(const Arguments& arguments, const std::vector<ActionFlags>& actions);

}  // namespace tidemark
