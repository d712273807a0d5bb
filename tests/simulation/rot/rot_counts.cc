#include "tests/simulation/rot/rot_counts.h"

#include <fmt/format.h>

#include <utility>

namespace tidemark {
namespace {

using Named = std::pair<const char*, uint64_t RotRunCounts::*>;
constexpr Named kCounts[] = {{"flipped", &RotRunCounts::flipped},
                             {"overwritten", &RotRunCounts::overwritten},
                             {"cut", &RotRunCounts::cut},
                             {"removed", &RotRunCounts::removed},
                             {"while_down", &RotRunCounts::while_down},
                             {"of_leaders", &RotRunCounts::of_leaders},
                             {"of_compacted", &RotRunCounts::of_compacted},
                             {"found", &RotRunCounts::found},
                             {"repaired", &RotRunCounts::repaired},
                             {"resigned", &RotRunCounts::resigned},
                             {"set_aside", &RotRunCounts::set_aside},
                             {"acknowledged", &RotRunCounts::acknowledged},
                             {"reread", &RotRunCounts::reread},
                             {"elections", &RotRunCounts::elections},
                             {"stranded", &RotRunCounts::stranded}};

}  // namespace

RotRunCounts& RotRunCounts::operator+=(const RotRunCounts& other) {
  for (const auto& [name, member] : kCounts) this->*member += other.*member;
  return *this;
}

std::string ToString(const RotRunCounts& counts) {
  std::string out = "counts rot_runs";
  for (const auto& [name, member] : kCounts) out += fmt::format(" {}={}", name, counts.*member);
  return out;
}

std::vector<std::string> CheckCounts(const RotRunCounts& counts) {
  std::vector<std::string> out;
  for (const auto& [name, member] : kCounts) {
    if (counts.*member == 0 && member != &RotRunCounts::stranded)
      out.push_back(fmt::format("the runs saw nothing {}", name));
  }
  return out;
}

}  // namespace tidemark
