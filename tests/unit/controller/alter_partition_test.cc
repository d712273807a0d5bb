// A leader's wishes for its ISR: granted, refused, repeated.
#include "controller/alter_partition.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

class AlterPartitionTest : public ::testing::Test {
 protected:
  // 1 leads in epoch 5 at partition epoch 8, 1 and 2 are in sync, 3 is live.
  AlterPartitionTest() {
    for (const BrokerId id : {1, 2, 3})
      facts_.replicas.push_back({.id = id, .usable = true, .epoch = 100 + id});
    facts_.state.isr = {{1, 101}, {2, 102}};
    facts_.state.leader = 1;
    facts_.state.leader_epoch = 5;
    wish_.set_leader_epoch(5);
    wish_.set_partition_epoch(8);
  }
  void Want(std::vector<std::pair<BrokerId, BrokerEpoch>> isr) {
    wish_.clear_isr();
    for (const auto& [id, epoch] : isr) {
      auto* member = wish_.add_isr();
      member->set_broker_id(id);
      member->set_broker_epoch(epoch);
    }
  }
  AlterPartitionDecision Decide(BrokerId sender = 1) {
    return DecideAlterPartition(facts_, 8, sender, wish_);
  }

  PartitionFacts facts_;
  v1::AlterPartitionRequest::Partition wish_;
};

TEST_F(AlterPartitionTest, GrantsAnExpansion) {
  Want({{1, 101}, {2, 102}, {3, 103}});
  const auto decision = Decide();
  EXPECT_EQ(decision.error.code, v1::NONE);
  ASSERT_TRUE(decision.next);
  EXPECT_EQ(decision.next->isr.size(), 3u);
  EXPECT_EQ(decision.next->leader_epoch, 5u);
}

TEST_F(AlterPartitionTest, GrantsAShrinkAlsoWhileAnotherMemberIsDead) {
  facts_.state.isr.push_back({3, 103});
  facts_.replicas[1].usable = false;
  facts_.replicas[1].epoch = kNoBrokerEpoch;
  Want({{1, 101}, {2, 102}});
  const auto decision = Decide();
  EXPECT_EQ(decision.error.code, v1::NONE);
  ASSERT_TRUE(decision.next);
}

TEST_F(AlterPartitionTest, ARepetitionIsAnsweredWithTheStateInForce) {
  Want({{2, 102}, {1, 101}});
  wish_.set_partition_epoch(7);
  const auto decision = Decide();
  EXPECT_EQ(decision.error.code, v1::NONE);
  EXPECT_TRUE(decision.tells_state);
  EXPECT_FALSE(decision.next);
}

// Else an earlier wish of the same leader, still under way, could be granted after the leader has given it
// up.
TEST_F(AlterPartitionTest, AWishForTheStateInForceRaisesThePartitionEpoch) {
  Want({{1, 101}, {2, 102}});
  const auto decision = Decide();
  EXPECT_EQ(decision.error.code, v1::NONE);
  ASSERT_TRUE(decision.next);
  EXPECT_EQ(*decision.next, facts_.state);
}

TEST_F(AlterPartitionTest, MembersThatStayNeedNotBeLiveOrMet) {
  facts_.state.isr.push_back({3, 103});
  facts_.replicas[1].epoch = kNoBrokerEpoch;
  facts_.replicas[1].usable = false;
  // The leader wants to drop broker 3 and has not heard from broker 2 in its epoch, or in a former life of
  // it.
  for (const BrokerEpoch met : {kNoBrokerEpoch, BrokerEpoch{50}}) {
    Want({{1, 101}, {2, met}});
    const auto decision = Decide();
    EXPECT_EQ(decision.error.code, v1::NONE) << decision.error.message;
    ASSERT_TRUE(decision.next);
    EXPECT_EQ(decision.next->isr, (std::vector<IsrMember>{{1, 101}, {2, 102}}));
  }
}

TEST_F(AlterPartitionTest, APastPartitionEpochIsToldTheStateInForce) {
  Want({{1, 101}});
  wish_.set_partition_epoch(7);
  const auto decision = Decide();
  EXPECT_EQ(decision.error.code, v1::INVALID_UPDATE_VERSION);
  EXPECT_TRUE(decision.tells_state);
}

TEST_F(AlterPartitionTest, EpochsFromTheFutureMeanThatThisControllerIsDeposed) {
  Want({{1, 101}});
  wish_.set_partition_epoch(9);
  EXPECT_EQ(Decide().error.code, v1::NOT_CONTROLLER);
  wish_.set_partition_epoch(8);
  wish_.set_leader_epoch(6);
  EXPECT_EQ(Decide().error.code, v1::NOT_CONTROLLER);
}

TEST_F(AlterPartitionTest, OnlyTheLeaderOfTheEpochIsHeard) {
  Want({{1, 101}});
  wish_.set_leader_epoch(4);
  EXPECT_EQ(Decide().error.code, v1::FENCED_LEADER_EPOCH);
  wish_.set_leader_epoch(5);
  EXPECT_EQ(Decide(2).error.code, v1::FENCED_LEADER_EPOCH);
}

TEST_F(AlterPartitionTest, RefusesWhatCannotBe) {
  Want({{2, 102}});
  EXPECT_EQ(Decide().error.code, v1::INVALID_REQUEST) << "without the leader";
  Want({{1, 101}, {1, 101}});
  EXPECT_EQ(Decide().error.code, v1::INVALID_REQUEST) << "twice the same";
  Want({{1, 101}, {9, 109}});
  EXPECT_EQ(Decide().error.code, v1::INVALID_REQUEST) << "no replica";
  Want({});
  EXPECT_EQ(Decide().error.code, v1::INVALID_REQUEST) << "nobody";
}

TEST_F(AlterPartitionTest, ABrokerJoinsOnlyInTheLifeInWhichItIsRegistered) {
  Want({{1, 101}, {2, 102}, {3, 99}});
  EXPECT_EQ(Decide().error.code, v1::INELIGIBLE_REPLICA);
  Want({{1, 101}, {2, 102}, {3, 0}});
  EXPECT_EQ(Decide().error.code, v1::INELIGIBLE_REPLICA);
  facts_.replicas[2] = {.id = 3};
  Want({{1, 101}, {2, 102}, {3, 103}});
  EXPECT_EQ(Decide().error.code, v1::INELIGIBLE_REPLICA) << "dead";
}

TEST_F(AlterPartitionTest, AMemberOfAFormerLifeJoinsAnewInItsPresentOne) {
  facts_.replicas[1].epoch = 202;
  Want({{1, 101}, {2, 202}});
  const auto decision = Decide();
  ASSERT_TRUE(decision.next);
  EXPECT_EQ(decision.next->Member(2)->epoch, 202);
}

TEST_F(AlterPartitionTest, NobodyJoinsWhileShuttingDownOrWithAFailedDisk) {
  Want({{1, 101}, {2, 102}, {3, 103}});
  facts_.replicas[2].shutting_down = true;
  EXPECT_EQ(Decide().error.code, v1::INELIGIBLE_REPLICA);
  facts_.replicas[2].shutting_down = false;
  facts_.replicas[2].usable = false;
  EXPECT_EQ(Decide().error.code, v1::INELIGIBLE_REPLICA);
}

TEST_F(AlterPartitionTest, ALeaderThatIsShuttingDownMayStillTakeOthersIn) {
  facts_.replicas[0].shutting_down = true;
  Want({{1, 101}, {2, 102}, {3, 103}});
  EXPECT_EQ(Decide().error.code, v1::NONE);
}

TEST_F(AlterPartitionTest, RecoveryEndsByTheLeaderAndBeginsByTheController) {
  Want({{1, 101}, {2, 102}, {3, 103}});
  wish_.set_recovery_state(v1::LEADER_RECOVERY_STATE_RECOVERING);
  EXPECT_EQ(Decide().error.code, v1::INVALID_REQUEST);
  facts_.state.recovery = v1::LEADER_RECOVERY_STATE_RECOVERING;
  facts_.state.isr = {{1, 101}};
  EXPECT_EQ(Decide().error.code, v1::INVALID_REQUEST) << "nobody joins while recovering";
  Want({{1, 101}});
  wish_.set_recovery_state(v1::LEADER_RECOVERY_STATE_RECOVERED);
  const auto decision = Decide();
  ASSERT_TRUE(decision.next);
  EXPECT_EQ(decision.next->recovery, v1::LEADER_RECOVERY_STATE_RECOVERED);
}

}  // namespace
}  // namespace tidemark
