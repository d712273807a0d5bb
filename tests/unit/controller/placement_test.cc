// Where replicas go, and what a wish for a topic comes to.
#include "controller/placement.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/topic_request.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

std::vector<PlacementBroker> Brokers(int count) {
  std::vector<PlacementBroker> out;
  for (int id = 0; id < count; ++id) out.push_back({id, ""});
  return out;
}

TEST(Placement, IsKafkasRoundRobinWithAGrowingShift) {
  // The example in Kafka's AdminUtils: 5 brokers, 10 partitions, factor 3, from 0.
  const auto placed = PlaceReplicas(Brokers(5), {.partitions = 10, .replication_factor = 3});
  ASSERT_TRUE(placed);
  const std::vector<std::vector<BrokerId>> expected = {{0, 1, 2}, {1, 2, 3}, {2, 3, 4}, {3, 4, 0}, {4, 0, 1},
                                                       {0, 2, 3}, {1, 3, 4}, {2, 4, 0}, {3, 0, 1}, {4, 1, 2}};
  EXPECT_EQ(*placed, expected);
}

TEST(Placement, AlternatesBetweenRacks) {
  // The example in Kafka's AdminUtils.
  const std::vector<PlacementBroker> brokers = {{0, "rack1"}, {1, "rack3"}, {2, "rack3"},
                                                {3, "rack2"}, {4, "rack2"}, {5, "rack1"}};
  const auto placed = PlaceReplicas(brokers, {.partitions = 7, .replication_factor = 3});
  ASSERT_TRUE(placed);
  const std::vector<std::vector<BrokerId>> expected = {{0, 3, 1}, {3, 1, 5}, {1, 5, 4}, {5, 4, 2},
                                                       {4, 2, 0}, {2, 0, 3}, {0, 4, 2}};
  EXPECT_EQ(*placed, expected);
}

TEST(Placement, SpreadsOverRacksAndBrokersFromAnyStart) {
  for (uint64_t start = 0; start < 6; ++start) {
    for (uint64_t shift = 0; shift < 6; ++shift) {
      for (uint32_t factor = 1; factor <= 6; ++factor) {
        std::vector<PlacementBroker> brokers;
        for (int id = 0; id < 6; ++id) brokers.push_back({id, id < 2 ? "a" : id < 4 ? "b" : "c"});
        const auto placed = PlaceReplicas(
            brokers, {.partitions = 12, .replication_factor = factor, .start = start, .shift = shift});
        ASSERT_TRUE(placed);
        std::map<BrokerId, int> leaders;
        for (const auto& replicas : *placed) {
          ++leaders[replicas.front()];
          ASSERT_EQ(std::set<BrokerId>(replicas.begin(), replicas.end()).size(), factor);
          std::set<std::string> racks;
          for (const BrokerId id : replicas) racks.insert(brokers[id].rack);
          ASSERT_EQ(racks.size(), std::min<size_t>(3, factor));
        }
        for (const auto& [id, count] : leaders) ASSERT_EQ(count, 2);
      }
    }
  }
}

TEST(Placement, RefusesAMixOfBrokersWithAndWithoutRack) {
  const auto placed = PlaceReplicas({{0, "a"}, {1, ""}}, {.partitions = 1, .replication_factor = 1});
  ASSERT_FALSE(placed);
  EXPECT_EQ(placed.error().code, v1::INVALID_REPLICA_ASSIGNMENT);
}

TEST(Placement, RefusesMoreReplicasThanBrokers) {
  const auto placed = PlaceReplicas(Brokers(2), {.partitions = 1, .replication_factor = 3});
  EXPECT_EQ(placed.error().code, v1::INVALID_REPLICATION_FACTOR);
  // What is possible, for whoever reads it.
  EXPECT_NE(placed.error().message.find("use a factor up to 2, or start more brokers"), std::string::npos)
      << placed.error().message;
  EXPECT_EQ(PlaceReplicas({}, {.partitions = 1, .replication_factor = 1}).error().code,
            v1::INVALID_REPLICATION_FACTOR);
  EXPECT_TRUE(PlaceReplicas(Brokers(1), {.partitions = 3, .replication_factor = 1}));
}

class PlanTopicTest : public ::testing::Test {
 protected:
  PlanTopicTest() { wish_.set_name("orders"); }
  Result<TopicPlan> Plan(int brokers = 4) {
    return PlanTopic(wish_, Brokers(brokers), {.partitions = 2}, 0, 0);
  }
  void Assign(uint32_t partition, std::vector<BrokerId> replicas) {
    auto* assignment = wish_.add_assignments();
    assignment->set_partition(partition);
    assignment->mutable_replicas()->Assign(replicas.begin(), replicas.end());
  }
  v1::CreateTopicsRequest::Topic wish_;
};

TEST_F(PlanTopicTest, FillsDefaultsIn) {
  const auto plan = Plan();
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->replicas.size(), 2u);
  EXPECT_EQ(plan->replication_factor, 3u);
  EXPECT_EQ(Plan(2)->replication_factor, 2u);
}

TEST_F(PlanTopicTest, TakesAnAssignmentByHand) {
  Assign(1, {3, 2});
  Assign(0, {0, 1});
  const auto plan = Plan();
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->replicas, (std::vector<std::vector<BrokerId>>{{0, 1}, {3, 2}}));
}

TEST_F(PlanTopicTest, RefusesImpossibleAssignments) {
  const std::vector<std::vector<std::pair<uint32_t, std::vector<BrokerId>>>> bad = {
      {{0, {0, 0}}}, {{0, {9}}}, {{1, {0}}}, {{0, {0}}, {0, {1}}}, {{0, {0}}, {1, {1, 2}}}, {{0, {}}}};
  for (const auto& assignment : bad) {
    wish_.clear_assignments();
    for (const auto& [partition, replicas] : assignment) Assign(partition, replicas);
    const auto plan = Plan();
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, v1::INVALID_REPLICA_ASSIGNMENT);
  }
  wish_.clear_assignments();
  Assign(0, {0});
  wish_.set_partitions(1);
  EXPECT_EQ(Plan().error().code, v1::INVALID_REQUEST);
}

TEST_F(PlanTopicTest, RefusesBadNamesConfigsAndSizes) {
  wish_.set_name("no/slash");
  EXPECT_EQ(Plan().error().code, v1::INVALID_TOPIC_EXCEPTION);
  wish_.set_name("orders");
  (*wish_.mutable_configs())["retention.bytez"] = "1";
  EXPECT_EQ(Plan().error().code, v1::INVALID_CONFIG);
  wish_.clear_configs();
  wish_.set_replication_factor(9);
  EXPECT_EQ(Plan().error().code, v1::INVALID_REPLICATION_FACTOR);
  wish_.set_replication_factor(1);
  wish_.set_partitions(4000000000u);
  EXPECT_EQ(Plan().error().code, v1::INVALID_PARTITIONS);
}

TEST(NamesCollide, WhenOnlyDotAndUnderscoreDiffer) {
  EXPECT_TRUE(NamesCollide("a.b", "a_b"));
  EXPECT_FALSE(NamesCollide("a.b", "a.c"));
  EXPECT_FALSE(NamesCollide("a.b", "a.bb"));
}

}  // namespace
}  // namespace tidemark
