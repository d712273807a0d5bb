// What brokers are told of partitions.
#include "controller/command_maker.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr BrokerEpoch kFirstLife = 100;
constexpr BrokerEpoch kSecondLife = 200;

class CommandMakerTest : public ::testing::Test {
 protected:
  // "orders" with one partition on 1 and 2; both in sync in their first life; 1 leads in epoch 5.
  CommandMakerTest() {
    for (const BrokerId id : {1, 2}) {
      LiveBrokerContext broker;
      broker.id = id;
      broker.epoch = kFirstLife;
      cluster_.brokers[id] = broker;
    }
    std::array<uint8_t, TopicId::kSize> bytes{};
    bytes[0] = 7;
    TopicContext topic;
    topic.name = "orders";
    topic.id = TopicId(bytes);
    PartitionContext& partition = topic.partitions[0];
    partition.replicas = {1, 2};
    partition.version = 3;
    partition.state.emplace();
    partition.state->leader = 1;
    partition.state->leader_epoch = 5;
    partition.state->isr = {{1, kFirstLife}, {2, kFirstLife}};
    cluster_.topic_names[topic.id] = "orders";
    cluster_.topics["orders"] = topic;
  }
  BrokerId LeaderToldTo(BrokerId broker) {
    return MakeLeaderAndIsr(cluster_, broker, nullptr).topics(0).partitions(0).leader();
  }
  Leadership& state() { return *cluster_.topics["orders"].partitions[0].state; }

  ClusterContext cluster_;
};

TEST_F(CommandMakerTest, ALeaderIsToldThatItLeads) {
  EXPECT_EQ(LeaderToldTo(1), 1);
  EXPECT_EQ(LeaderToldTo(2), 1);
}

TEST_F(CommandMakerTest, ALeaderThatBouncedIsNotToldThatItLeadsBeforeItIsElectedAnew) {
  cluster_.brokers[1].epoch = kSecondLife;
  EXPECT_EQ(LeaderToldTo(1), kNoBroker) << "what it acknowledged in this epoch may be lost";
  EXPECT_EQ(LeaderToldTo(2), 1) << "others fetch nothing from a broker that does not lead";
  state().leader_epoch = 6;
  state().isr[0].epoch = kSecondLife;
  EXPECT_EQ(LeaderToldTo(1), 1);
}

TEST_F(CommandMakerTest, ALeaderOfUnknownLifeIsBelievedOnlyWhenItsRegistrationIsOlderThanTheState) {
  state().isr[0].epoch = kNoBrokerEpoch;
  cluster_.topics["orders"].partitions[0].mzxid = 150;
  EXPECT_EQ(LeaderToldTo(1), 1);
  cluster_.brokers[1].epoch = kSecondLife;
  EXPECT_EQ(LeaderToldTo(1), kNoBroker);
}

// Else an emptied disk would pass for the log of a partition of which nothing was decided since it was made.
TEST_F(CommandMakerTest, APartitionIsNewOnlyToABrokerInTheLifeThatItWasMadeIn) {
  const auto is_new_to = [this](BrokerId broker) {
    return MakeLeaderAndIsr(cluster_, broker, nullptr).topics(0).partitions(0).is_new();
  };
  PartitionContext& partition = cluster_.topics["orders"].partitions[0];
  EXPECT_FALSE(is_new_to(1)) << "it has been led in other epochs";
  state().leader_epoch = 0;
  partition.version = 0;
  EXPECT_TRUE(is_new_to(1));
  cluster_.brokers[1].epoch = kSecondLife;
  EXPECT_FALSE(is_new_to(1));
  EXPECT_TRUE(is_new_to(2));
  partition.version = 1;
  EXPECT_FALSE(is_new_to(2));
}

TEST_F(CommandMakerTest, AFullCommandSaysWhenTopicsCouldNotBeRead) {
  EXPECT_FALSE(MakeLeaderAndIsr(cluster_, 1, nullptr).incomplete());
  cluster_.unreadable_topics["broken"] = "no JSON";
  EXPECT_TRUE(MakeLeaderAndIsr(cluster_, 1, nullptr).incomplete());
  cluster_.unreadable_topics.clear();
  cluster_.topics["orders"].quarantine = "a state cannot be read";
  EXPECT_FALSE(MakeLeaderAndIsr(cluster_, 1, nullptr).incomplete()) << "all its states are known";
  cluster_.topics["orders"].partitions[1] = {.replicas = {1, 2}};
  EXPECT_TRUE(MakeLeaderAndIsr(cluster_, 1, nullptr).incomplete());
}

}  // namespace
}  // namespace tidemark
