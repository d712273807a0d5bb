// Properties: the syntax of Kafka's configuration files (Java's .properties) as an ordered map. Pure
// functions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace tidemark {

// Name to value; a name given twice keeps its last value, as in Java.
using Properties = std::map<std::string, std::string, std::less<>>;

// Comments (# and !), `name=value`, `name: value`, `name value`, continuation by a trailing backslash,
// the escapes \t \n \r \f \uXXXX and \<char>. Blanks around names and values are removed, no-break
// spaces and their kin included. INVALID_CONFIG names the line (a malformed \u escape, a NUL byte, an
// empty name).
Result<Properties> ParseProperties(std::string_view text);

// Parses "name=value", as --override and --config take it.
Result<std::pair<std::string, std::string>> ParseAssignment(std::string_view text);

// Without ASCII and Unicode blanks at both ends.
std::string_view Trimmed(std::string_view text);

// The parts between commas, each trimmed, empty ones dropped.
std::vector<std::string> CommaList(std::string_view text);

}  // namespace tidemark
