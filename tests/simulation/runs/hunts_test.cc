// Shows that the checkers see: each planted bug is caught within 500 seeds.
#include "tests/simulation/runs/planted_bugs.h"

namespace tidemark {
namespace {

class PlantedBugHunt : public testing::TestWithParam<const char*> {};

TEST_P(PlantedBugHunt, EndsInACatchWithin500Seeds) { ExpectCaught(GetParam(), 500, true); }

INSTANTIATE_TEST_SUITE_P(Bugs, PlantedBugHunt,
                         testing::Values("ack-before-flush", "truncate-to-hw", "fetch-without-epoch"),
                         HuntName);

}  // namespace
}  // namespace tidemark
