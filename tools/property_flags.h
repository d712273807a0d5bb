// Client settings of a command line: a properties file, and what overrides it. Blocking read; main thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/result.h"
#include "tools/arguments.h"

namespace tidemark {

// The properties in the file that `file_flag` names; none: empty. As below.
Result<std::map<std::string, std::string>> PropertiesOfFlag(const Arguments& arguments,
                                                            std::string_view file_flag);

// The settings in the file that `file_flag` names (none: empty), overridden by the name=value pairs of
// `pairs_flag`. INVALID_REQUEST or INVALID_CONFIG name what is wrong; NOT_FOUND and the like the file.
Result<std::map<std::string, std::string>> SettingsOfFlags(const Arguments& arguments,
                                                           std::string_view file_flag,
                                                           std::string_view pairs_flag);

}  // namespace tidemark
