// Shows that the checkers of runs with rot see: each planted bug is caught within 60 seeds.
#include "tests/simulation/rot/rot_run.h"
#include "tests/simulation/runs/planted_bugs.h"

namespace tidemark {
namespace {

class RotBugHunt : public testing::TestWithParam<const char*> {};

// What is never repaired keeps the run from its end, so it may be stuck as well.
TEST_P(RotBugHunt, EndsInACatchWithin60Seeds) { ExpectCaught(GetParam(), 60, false, RunWithRot); }

// A recovery that takes the first segment that is there for the log's first; a read that passes over what is
// damaged; and a repair that forgets it.
INSTANTIATE_TEST_SUITE_P(Bugs, RotBugHunt,
                         testing::Values("front-unmissed", "pass-over-rot", "forget-damage"), HuntName);

}  // namespace
}  // namespace tidemark
