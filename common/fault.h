// Switches for fail points and deliberate bugs, for tests only: compiled to nothing unless
// TIDEMARK_FAULT_SWITCHES. A planted bug reads `if (TM_BUG("ack-before-flush")) ...` and proves that the
// checkers can see it.
#pragma once

#include <string>
#include <string_view>

namespace tidemark {

#ifdef TIDEMARK_FAULT_SWITCHES
// The switches of this process. Set before threads start; read from any.
bool FaultSwitchOn(std::string_view name);
void SetFaultSwitch(std::string name, bool on);
#define TM_BUG(name) (::tidemark::FaultSwitchOn(name))
#else
#define TM_BUG(name) (false)
#endif

}  // namespace tidemark
