// Settings of clients as command lines give them.
#include <gtest/gtest.h>

#include "client/options.h"

namespace tidemark {
namespace {

TEST(ClientSettings, AnAssignorMayHaveItsNameOfKip848) {
  const auto options = ConsumerOptions::FromProperties({{"group.remote.assignor", "uniform"}});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->assignor, "uniform");
}

TEST(ClientSettings, ARefusalListsTheWordsThatThereAre) {
  EXPECT_EQ(ConsumerOptions::FromProperties({{"group.remote.assignor", "bogus"}}).error().message,
            "group.remote.assignor=bogus: must be one of range, roundrobin, sticky, uniform");
}

}  // namespace
}  // namespace tidemark
