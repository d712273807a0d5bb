#include "tests/simulation/groups/group_counts.h"

#include <fmt/format.h>

#include <utility>

namespace tidemark {
namespace {

using Named = std::pair<const char*, uint64_t GroupRunCounts::*>;
constexpr Named kCounts[] = {{"given", &GroupRunCounts::given},
                             {"repeated", &GroupRunCounts::repeated},
                             {"acknowledged", &GroupRunCounts::acknowledged},
                             {"rebalances", &GroupRunCounts::rebalances},
                             {"fenced", &GroupRunCounts::fenced},
                             {"lost", &GroupRunCounts::lost},
                             {"joined", &GroupRunCounts::joined},
                             {"left", &GroupRunCounts::left},
                             {"killed", &GroupRunCounts::killed},
                             {"paused", &GroupRunCounts::paused},
                             {"hung", &GroupRunCounts::hung},
                             {"coordinators", &GroupRunCounts::coordinators}};

}  // namespace

GroupRunCounts& GroupRunCounts::operator+=(const GroupRunCounts& other) {
  for (const auto& [name, member] : kCounts) this->*member += other.*member;
  return *this;
}

std::string ToString(const GroupRunCounts& counts) {
  std::string out = "counts groups";
  for (const auto& [name, member] : kCounts) out += fmt::format(" {}={}", name, counts.*member);
  return out;
}

std::vector<std::string> CheckCounts(const GroupRunCounts& counts) {
  std::vector<std::string> out;
  for (const auto& [name, member] : kCounts) {
    if (counts.*member == 0) out.push_back(fmt::format("the runs saw nothing {}", name));
  }
  return out;
}

}  // namespace tidemark
