#include "broker/log/set_aside.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "broker/log/partition_files.h"

namespace tidemark {
namespace {

// The name that the folder begins with there. One that is too long for the suffix is cut, and told from
// others by a hash.
std::string Stem(std::string_view folder) {
  constexpr size_t kRoom = 9 + 20;  // "-damaged." and the greatest number
  if (folder.size() + kRoom <= kMaxFileName) return std::string(folder);
  const std::string hash = fmt::format(".{:016x}", std::hash<std::string_view>{}(folder));
  return std::string(folder.substr(0, kMaxFileName - kRoom - hash.size())) + hash;
}

}  // namespace

AsidePlan PlanSetAside(std::span<const std::string> names, std::string_view folder) {
  const std::string prefix = fmt::format("{}-damaged.", Stem(folder));
  std::map<uint64_t, std::string> aside;
  for (const std::string& name : names) {
    if (!name.starts_with(prefix)) continue;
    uint64_t number = 0;
    const char* const end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data() + prefix.size(), end, number);
    // What somebody has named himself is left alone.
    if (error == std::errc() && at == end && number > 0 && AsideName(folder, number) == name)
      aside.emplace(number, name);
  }
  AsidePlan plan;
  if (aside.empty()) return plan;
  plan.number = aside.rbegin()->first + 1;
  for (auto each = std::next(aside.begin()); each != aside.end(); ++each)
    plan.to_remove.push_back(each->second);
  return plan;
}

std::string AsideName(std::string_view folder, uint64_t number) {
  return fmt::format("{}-damaged.{}", Stem(folder), number);
}

}  // namespace tidemark
