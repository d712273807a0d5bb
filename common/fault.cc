#include "common/fault.h"

#ifdef TIDEMARK_FAULT_SWITCHES
#include <functional>
#include <set>

namespace tidemark {
namespace {
std::set<std::string, std::less<>>& Switches() {
  static auto* switches = new std::set<std::string, std::less<>>;
  return *switches;
}
}  // namespace

bool FaultSwitchOn(std::string_view name) { return Switches().contains(name); }

void SetFaultSwitch(std::string name, bool on) {
  if (on) {
    Switches().insert(std::move(name));
  } else {
    Switches().erase(name);
  }
}

}  // namespace tidemark
#endif
