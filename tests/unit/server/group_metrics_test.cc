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
  one.groups.rebalances[v1::REBALANCE_CAUSE_MEMBER_JOINED] = 5;
  one.groups.rebalances[v1::REBALANCE_CAUSE_SESSION_TIMEOUT] = 1;
  AddGroups(one, &sum);
  AddGroups(one, &sum);
  Exposition out;
  AddGroupMetrics(sum, &out);
  const std::string text = out.Text();
  EXPECT_THAT(text, HasSubstr("tidemark_groups{state=\"stable\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_groups{state=\"empty\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_group_members 6\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_group_rebalances_total{cause=\"member_joined\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_group_rebalances_total{cause=\"session_timeout\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemark_group_rebalances_total{cause=\"topics_changed\"} 0\n"))
      << "told from the beginning, so that the first is seen as a rise";
}

}  // namespace
}  // namespace tidemark
