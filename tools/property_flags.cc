#include "tools/property_flags.h"

#include "common/config/properties.h"
#include "common/io/input_stream.h"

namespace tidemark {

Result<std::map<std::string, std::string>> PropertiesOfFlag(const Arguments& arguments,
                                                            std::string_view file_flag) {
  std::map<std::string, std::string> settings;
  if (const auto path = arguments.Get(file_flag)) {
    TM_ASSIGN_OR_RETURN(const std::string text, ReadToEnd(*path));
    const Result<Properties> properties = ParseProperties(text);
    if (!properties) return Fail(properties.error().code, "{}: {}", *path, properties.error().message);
    settings.insert(properties->begin(), properties->end());
  }
  return settings;
}

Result<std::map<std::string, std::string>> SettingsOfFlags(const Arguments& arguments,
                                                           std::string_view file_flag,
                                                           std::string_view pairs_flag) {
  TM_ASSIGN_OR_RETURN(auto settings, PropertiesOfFlag(arguments, file_flag));
  TM_ASSIGN_OR_RETURN(const auto pairs, arguments.GetProperties(pairs_flag));
  for (const auto& [name, value] : pairs) settings[name] = value;
  return settings;
}

}  // namespace tidemark
