// How what groups hold is written, as far as it needs no cluster.
#include <gtest/gtest.h>

#include "tools/consumer_groups.h"

namespace tidemark {
namespace {

TEST(GroupText, AnAssignmentIsWithoutTopicsThatAreGone) {
  v1::GroupPartitions assignment;
  const auto add = [&](const std::string& name, std::initializer_list<uint32_t> partitions) {
    v1::GroupTopicPartitions* topic = assignment.add_topics();
    topic->set_topic(name);
    for (const uint32_t partition : partitions) topic->add_partitions(partition);
  };
  EXPECT_EQ(AssignmentText(assignment), "");
  add("", {0, 1});
  EXPECT_EQ(AssignmentText(assignment), "");
  add("orders", {1, 0});
  add("", {2});
  add("logs", {3});
  EXPECT_EQ(AssignmentText(assignment), "orders(0,1),logs(3)");
}

TEST(GroupText, EveryStateOfAMemberHasAWord) {
  EXPECT_EQ(NameOfMemberState(v1::GROUP_MEMBER_STATE_STABLE), "Stable");
  EXPECT_EQ(NameOfMemberState(v1::GROUP_MEMBER_STATE_UNREVOKED), "Revoking");
  EXPECT_EQ(NameOfMemberState(v1::GROUP_MEMBER_STATE_UNRELEASED), "Waiting");
  EXPECT_EQ(NameOfMemberState(v1::GROUP_MEMBER_STATE_AWAY), "Away");
  EXPECT_EQ(NameOfMemberState(v1::GROUP_MEMBER_STATE_UNSPECIFIED), "Unknown");
}

}  // namespace
}  // namespace tidemark
