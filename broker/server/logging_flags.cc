#include "broker/server/logging_flags.h"

#include <algorithm>

#include <gflags/gflags.h>

#include "common/nearest_name.h"

namespace tidemark {
namespace {

// Without those of gflags itself, which read files and print pages.
std::vector<gflags::CommandLineFlagInfo> FlagsOfLibraries() {
  std::vector<gflags::CommandLineFlagInfo> flags;
  gflags::GetAllFlags(&flags);
  std::erase_if(flags, [](const auto& flag) { return flag.filename.find("gflags") != std::string::npos; });
  return flags;
}

}  // namespace

Result<bool> LoggingFlags::Take(const std::string& word, const char* next,
                                const std::vector<std::string>& others) {
  const size_t begin = word.find_first_not_of('-');
  const size_t equals = word.find('=');
  std::string name = begin == std::string::npos
                         ? ""
                         : word.substr(begin, equals == std::string::npos ? equals : equals - begin);
  const std::vector<gflags::CommandLineFlagInfo> known = FlagsOfLibraries();
  auto flag = std::ranges::find(known, name, &gflags::CommandLineFlagInfo::name);
  const bool off = flag == known.end() && name.starts_with("no");
  if (off) flag = std::ranges::find(known, name.substr(2), &gflags::CommandLineFlagInfo::name);
  if (flag == known.end() || (off && flag->type != "bool")) {
    std::vector<std::string> names = others;
    for (const auto& one : known) names.push_back(one.name);
    const std::string nearest = name.size() > 1 ? NearestName(name, names) : "";
    return Fail(v1::INVALID_REQUEST, "unknown flag {}; {}", word.substr(0, equals),
                nearest.empty() ? "see --help" : "did you mean --" + nearest + "?");
  }
  if (equals != std::string::npos) {
    given_.emplace_back(flag->name, word.substr(equals + 1));
    return false;
  }
  if (flag->type == "bool") {
    given_.emplace_back(flag->name, off ? "false" : "true");
    return false;
  }
  if (next == nullptr)
    return Fail(v1::INVALID_REQUEST, "--{} needs a value, as in --{}={}", name, name, flag->default_value);
  given_.emplace_back(flag->name, next);
  return true;
}

Result<> LoggingFlags::Apply() const {
  for (const auto& [name, value] : given_) {
    if (gflags::SetCommandLineOption(name.c_str(), value.c_str()).empty())
      return Fail(v1::INVALID_REQUEST, "--{}: '{}' is no value for it", name, value);
  }
  return {};
}

}  // namespace tidemark
