// What commands under Kafka's names print instead of Kafka's text when -o asks for it: the listings of the
// nouns and verbs, so that there is one documented JSON. Main thread.
#pragma once

#include <optional>

#include "tools/verbs.h"

namespace tidemark {

// -o/--output of such a command.
FlagSpec RowsFlag();

// How -o says to print; empty: Kafka's text. For --dry-run Kafka has no text (but of --reset-offsets): then
// it is a table, unless -o says otherwise. INVALID_REQUEST: no such format; commands find it out before they
// ask a broker.
Result<std::optional<OutputFormat>> RowFormatOf(const Arguments& arguments);

}  // namespace tidemark
