#include "tools/action_flags.h"

#include <algorithm>

#include <fmt/format.h>

namespace tidemark {
namespace {

// "--a", "--a and --b", "--a, --b and --c".
std::string Listed(const std::vector<std::string>& names, std::string_view last_word) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? fmt::format(" {} ", last_word) : ", ";
    out += "--" + names[i];
  }
  return out;
}

bool Takes(const ActionFlags& row, const std::string& flag) {
  return std::ranges::find(row.flags, flag) != row.flags.end();
}

}  // namespace

Result<std::string> ActionOf(const Arguments& arguments, const std::vector<ActionFlags>& actions) {
  const ActionFlags* given = nullptr;
  std::vector<std::string> names;
  size_t count = 0;
  for (const ActionFlags& row : actions) {
    names.push_back(row.action);
    if (!arguments.Has(row.action)) continue;
    given = &row;
    ++count;
  }
  if (count != 1) return Fail(v1::INVALID_REQUEST, "exactly one of {} is required", Listed(names, "and"));
  for (const ActionFlags& row : actions) {
    for (const std::string& flag : row.flags) {
      if (!arguments.Has(flag) || Takes(*given, flag)) continue;
      std::vector<std::string> of;
      for (const ActionFlags& other : actions) {
        if (Takes(other, flag)) of.push_back(other.action);
      }
      return Fail(v1::INVALID_REQUEST, "--{} goes with {}, not with --{}", flag, Listed(of, "and"),
                  given->action);
    }
  }
  return given->action;
}

}  // namespace tidemark
