// More partitions for a topic: the plan by itself, and the request in a simulated cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/zk/zk_paths.h"
#include "controller/partition_plan.h"
#include "tests/unit/controller/cluster.h"

namespace tidemark::testing {
namespace {

using Replicas = std::vector<std::vector<BrokerId>>;
const std::vector<PlacementBroker> kBrokers = {{1, ""}, {2, ""}, {3, ""}};

v1::CreatePartitionsRequest::Topic Wish(uint32_t partitions, Replicas lists = {}, uint32_t first = 0) {
  v1::CreatePartitionsRequest::Topic wish;
  wish.set_name("orders");
  wish.set_partitions(partitions);
  for (const auto& replicas : lists) {
    auto& assignment = *wish.add_assignments();
    assignment.set_partition(first++);
    assignment.mutable_replicas()->Assign(replicas.begin(), replicas.end());
  }
  return wish;
}

ErrorCode CodeOf(const Result<Replicas>& plan) { return plan ? v1::NONE : plan.error().code; }

TEST(PartitionPlan, TheRoundRobinGoesOn) {
  const auto plan = PlanMorePartitions(Wish(5), {{2, 3}, {3, 1}}, kBrokers);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  ASSERT_EQ(plan->size(), 3u);
  EXPECT_EQ((*plan)[0][0], 1);
  EXPECT_EQ((*plan)[1][0], 2);
  EXPECT_EQ((*plan)[2][0], 3);
  for (const auto& replicas : *plan) EXPECT_EQ(replicas.size(), 2u);
}

TEST(PartitionPlan, TheNumberCanOnlyGrow) {
  EXPECT_EQ(CodeOf(PlanMorePartitions(Wish(2), {{2}, {3}}, kBrokers)), v1::INVALID_PARTITIONS);
  EXPECT_EQ(CodeOf(PlanMorePartitions(Wish(1), {{2}, {3}}, kBrokers)), v1::INVALID_PARTITIONS);
  EXPECT_EQ(CodeOf(PlanMorePartitions(Wish(4'000'000'000), {{2}}, kBrokers)), v1::INVALID_PARTITIONS);
}

TEST(PartitionPlan, AnAssignmentByHandIsChecked) {
  const Replicas present = {{1, 2}};
  EXPECT_EQ(*PlanMorePartitions(Wish(3, {{3, 1}, {2, 3}}, 1), present, kBrokers), (Replicas{{3, 1}, {2, 3}}));
  const auto code = [&](uint32_t partitions, Replicas lists, uint32_t first) {
    return CodeOf(PlanMorePartitions(Wish(partitions, std::move(lists), first), present, kBrokers));
  };
  EXPECT_EQ(code(3, {{3, 1}}, 1), v1::INVALID_REPLICA_ASSIGNMENT) << "one is missing";
  EXPECT_EQ(code(2, {{3, 1}}, 0), v1::INVALID_REPLICA_ASSIGNMENT) << "0 is there already";
  EXPECT_EQ(code(2, {{3}}, 1), v1::INVALID_REPLICA_ASSIGNMENT) << "another number of replicas";
  EXPECT_EQ(code(2, {{3, 3}}, 1), v1::INVALID_REPLICA_ASSIGNMENT) << "twice the same";
  EXPECT_EQ(code(2, {{3, 9}}, 1), v1::INVALID_REPLICA_ASSIGNMENT) << "not live";
  EXPECT_EQ(code(2, {{}}, 1), v1::INVALID_REPLICA_ASSIGNMENT) << "none";
}

class GrowthTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  GrowthTest() : cluster_(GetParam()) {
    for (const BrokerId id : {1, 2, 3}) cluster_.Start(id);
    cluster_.Controlling();
  }
  v1::CreatePartitionsResponse::Topic Grow(v1::CreatePartitionsRequest::Topic wish, bool validate = false) {
    v1::Request request;
    *request.mutable_create_partitions()->add_topics() = std::move(wish);
    request.mutable_create_partitions()->set_timeout_ms(30000);
    request.mutable_create_partitions()->set_validate_only(validate);
    return cluster_.Call(request).create_partitions().topics(0);
  }
  Cluster cluster_;
};

TEST_P(GrowthTest, NewPartitionsAreLedWhenTheCallReturns) {
  ASSERT_EQ(cluster_.Create("orders", {{2, 3}}).code, v1::NONE);
  EXPECT_EQ(Grow(Wish(3), true).added_size(), 2);
  EXPECT_FALSE(cluster_.StateOf("orders", 1).has_value()) << "only checked";
  const auto told = Grow(Wish(3));
  ASSERT_EQ(told.error().code(), v1::NONE) << told.error().message();
  ASSERT_EQ(told.added_size(), 2);
  for (const PartitionIndex partition : {1u, 2u}) {
    ASSERT_TRUE(cluster_.StateOf("orders", partition).has_value());
    const BrokerId leader = cluster_.StateOf("orders", partition)->leader();
    EXPECT_EQ(leader, told.added(static_cast<int>(partition) - 1).replicas(0));
    EXPECT_NE(cluster_.node(leader).State("orders", partition), nullptr);
  }
  EXPECT_EQ(cluster_.LeaderOf("orders"), 2) << "the old one is left as it was";
}

TEST_P(GrowthTest, WhatCannotBeIsRefused) {
  EXPECT_EQ(Grow(Wish(3)).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  ASSERT_EQ(cluster_.Create("orders", {{2, 3}}).code, v1::NONE);
  EXPECT_EQ(Grow(Wish(1)).error().code(), v1::INVALID_PARTITIONS);
  v1::Request request;
  *request.mutable_create_partitions()->add_topics() = Wish(2);
  *request.mutable_create_partitions()->add_topics() = Wish(3);
  const v1::Response response = cluster_.Call(request);
  EXPECT_EQ(response.create_partitions().topics(0).error().code(), v1::INVALID_REQUEST) << "named twice";
  EXPECT_FALSE(cluster_.StateOf("orders", 1).has_value());
}

TEST_P(GrowthTest, AWriteOfSomeoneElseIsReadFirst) {
  ASSERT_EQ(cluster_.Create("orders", {{2, 3}}).code, v1::NONE);
  // An old tool adds a partition at the same time.
  std::string data = cluster_.zk().Peek(zkpath::Topic("orders"))->data;
  const std::string zero = "\"0\":[2,3]";
  ASSERT_NE(data.find(zero), std::string::npos) << data;
  data.replace(data.find(zero), zero.size(), zero + ",\"1\":[1,2]");
  cluster_.zk().Poke(zkpath::Topic("orders"), data);
  const auto told = Grow(Wish(3));
  ASSERT_EQ(told.error().code(), v1::NONE) << told.error().message();
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.StateOf("orders", 2).has_value(); }));
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.StateOf("orders", 1).has_value(); }));
  EXPECT_EQ(cluster_.StateOf("orders", 1)->leader(), 1) << "that one is kept";
}

INSTANTIATE_TEST_SUITE_P(Seeds, GrowthTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace tidemark::testing
