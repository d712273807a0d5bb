// What /metrics says of groups.
#include "broker/server/group_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::HasSubstr;

TEST(GroupMetrics, AreAllInTheTableAndSumTheShards) {
  ShardReport one, sum;
  one.group_gauges.groups[v1::GROUP_STATE_STABLE] = 2;
  one.group_gauges.members = 3;
  one.groups.rebalances = 5;
  AddGroups(one, &sum);
  AddGroups(one, &sum);
  Exposition out;
  AddGroupMetrics(sum, &out);
  const std::string text = out.Text();
  EXPECT_THAT(text, HasSubstr("tidemark_groups{state=\"stable\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_groups{state=\"empty\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_group_members 6\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_group_rebalances_total 10\n"));
}

}  // namespace
}  // namespace tidemark
