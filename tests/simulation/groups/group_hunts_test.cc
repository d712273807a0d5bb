// Shows that the checkers of a group's life see: each planted bug is caught within 20 seeds.
#include "tests/simulation/groups/group_run.h"
#include "tests/simulation/runs/planted_bugs.h"

namespace tidemark {
namespace {

class GroupBugHunt : public testing::TestWithParam<const char*> {};

TEST_P(GroupBugHunt, EndsInACatchWithin20Seeds) { ExpectCaught(GetParam(), 20, true, RunGroup); }

// A coordinator that obeys what was left behind in a broken connection after newer requests of the member.
INSTANTIATE_TEST_SUITE_P(Bugs, GroupBugHunt, testing::Values("obey-late-requests"), HuntName);

}  // namespace
}  // namespace tidemark
