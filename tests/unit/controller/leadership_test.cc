// Who leads and who is in sync: the pure decisions.
#include "controller/partition_leadership.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr BrokerEpoch kEarlierLife = 100;
constexpr BrokerEpoch kLaterLife = 200;

// Replicas 1, 2, 3, all live in their first life; 1 leads in epoch 5; all in sync.
PartitionFacts Facts() {
  PartitionFacts facts;
  for (const BrokerId id : {1, 2, 3}) {
    facts.replicas.push_back({.id = id, .usable = true, .clean_start = false, .epoch = kEarlierLife});
    facts.state.isr.push_back({id, kEarlierLife});
  }
  facts.state.leader = 1;
  facts.state.leader_epoch = 5;
  return facts;
}
void Die(PartitionFacts& facts, BrokerId id) {
  facts.replicas[id - 1].usable = false;
  facts.replicas[id - 1].epoch = kNoBrokerEpoch;
}
void Bounce(PartitionFacts& facts, BrokerId id, bool clean) {
  facts.replicas[id - 1].epoch = kLaterLife;
  facts.replicas[id - 1].clean_start = clean;
}
std::vector<BrokerId> Isr(const Leadership& state) {
  std::vector<BrokerId> ids;
  for (const IsrMember& member : state.isr) ids.push_back(member.id);
  return ids;
}
using Ids = std::vector<BrokerId>;

TEST(DecideLeadership, LeavesAWellPartitionAlone) { EXPECT_FALSE(DecideLeadership(Facts())); }

TEST(DecideLeadership, ElectsTheNextLiveMemberWhenTheLeaderDies) {
  PartitionFacts facts = Facts();
  Die(facts, 1);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{2, 3}));
}

TEST(DecideLeadership, DropsADeadFollowerWithoutANewEpoch) {
  PartitionFacts facts = Facts();
  Die(facts, 3);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 1);
  EXPECT_EQ(next->leader_epoch, 5u);
  EXPECT_EQ(Isr(*next), (Ids{1, 2}));
}

TEST(DecideLeadership, NeverElectsALiveReplicaOutsideTheIsr) {
  PartitionFacts facts = Facts();
  facts.state.isr = {{1, kEarlierLife}};
  Die(facts, 1);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, kNoBroker);
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{1})) << "the last member stays";
  facts.state = *next;
  EXPECT_FALSE(DecideLeadership(facts)) << "and nothing more is to be done until it returns";
}

TEST(DecideLeadership, KeepsTheWholeIsrWhenAllOfItIsDead) {
  PartitionFacts facts = Facts();
  for (const BrokerId id : {1, 2, 3}) Die(facts, id);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, kNoBroker);
  EXPECT_EQ(Isr(*next), (Ids{1, 2, 3}));
}

TEST(DecideLeadership, ElectsAMemberThatReturns) {
  PartitionFacts facts = Facts();
  for (const BrokerId id : {1, 2, 3}) Die(facts, id);
  facts.state = *DecideLeadership(facts);
  facts.replicas[2] = {.id = 3, .usable = true, .clean_start = true, .epoch = kLaterLife};
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 3);
  EXPECT_EQ(next->leader_epoch, 7u);
  EXPECT_EQ(Isr(*next), (Ids{3}));
  EXPECT_EQ(next->isr[0].epoch, kLaterLife);
}

TEST(DecideLeadership, UncleanElectionOnlyWhereAllowedAndMarked) {
  PartitionFacts facts = Facts();
  facts.state.isr = {{1, kEarlierLife}};
  facts.unclean_allowed = true;
  Die(facts, 1);
  facts.replicas[1].shutting_down = true;
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 3) << "2 is shutting down";
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{3}));
  EXPECT_EQ(next->recovery, v1::LEADER_RECOVERY_STATE_RECOVERING);
}

TEST(DecideLeadership, AMemberWhoseLogIsGoneLeavesTheIsr) {
  PartitionFacts facts = Facts();
  facts.replicas[0].usable = false;
  facts.replicas[0].lost = true;
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(Isr(*next), (Ids{2, 3}));
}

TEST(DecideLeadership, TheLastMemberWhoseLogIsGoneLeadsOnlyAfterAnUncleanElection) {
  PartitionFacts facts = Facts();
  facts.state.isr = {{1, kEarlierLife}};
  facts.replicas[0].usable = false;
  facts.replicas[0].lost = true;
  Die(facts, 2);
  Die(facts, 3);
  auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, kNoBroker);
  EXPECT_EQ(Isr(*next), (Ids{1}));
  facts.unclean_allowed = true;
  next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 1);
  EXPECT_EQ(next->recovery, v1::LEADER_RECOVERY_STATE_RECOVERING);
  // One that has something is preferred to one that has nothing.
  facts.replicas[2] = {.id = 3, .usable = true, .epoch = kLaterLife};
  next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 3);
}

// A broker came back with a new log directory: whether its logs are there is not known before it was asked.
TEST(DecideLeadership, AnUnprovenMemberNeitherLeadsNorMakesOthersLeave) {
  PartitionFacts facts = Facts();
  for (const BrokerId id : {1, 2, 3}) Die(facts, id);
  facts.unclean_allowed = true;
  facts.replicas[0] = {.id = 1, .usable = true, .unproven = true, .epoch = kLaterLife};
  auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, kNoBroker);
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{1, 2, 3}));
  facts.state = *next;
  EXPECT_FALSE(DecideLeadership(facts)) << "not even uncleanly while it is asked";

  PartitionFacts there = facts;
  there.replicas[0].unproven = false;
  next = DecideLeadership(there);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 1) << "its log is there";

  PartitionFacts gone = facts;
  gone.unclean_allowed = false;
  gone.replicas[0].usable = false;
  gone.replicas[0].lost = true;
  EXPECT_FALSE(DecideLeadership(gone)) << "the others may have everything and are waited for";
  gone.replicas[1] = {.id = 2, .usable = true, .epoch = kLaterLife};
  next = DecideLeadership(gone);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(Isr(*next), (Ids{2}));
}

TEST(DecideLeadership, AnUnprovenMemberStaysBesideOthersUntilItHasAnswered) {
  PartitionFacts facts = Facts();
  Bounce(facts, 1, false);
  facts.replicas[0].unproven = true;
  auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(Isr(*next), (Ids{2, 3, 1}));
  EXPECT_EQ(next->Member(1)->epoch, kEarlierLife) << "its present life has not been proven";
  facts.state = *next;
  EXPECT_FALSE(DecideLeadership(facts));
  facts.replicas[0].unproven = false;
  next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->Member(1)->epoch, kLaterLife);
  EXPECT_EQ(next->leader, 2);

  facts.synced = false;
  facts.replicas[0].unproven = true;
  next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(Isr(*next), (Ids{2, 3})) << "not synced: an unclean stop takes it out anyway";
}

TEST(DecideLeadership, AMemberTakenInInItsPresentLifeNeedsNoProof) {
  PartitionFacts facts = Facts();
  for (ReplicaFacts& replica : facts.replicas) replica.unproven = true;
  EXPECT_FALSE(DecideLeadership(facts));
}

TEST(DecideLeadership, UncleanElectionIsNotUsedWhileAMemberLives) {
  PartitionFacts facts = Facts();
  facts.unclean_allowed = true;
  facts.state.isr = {{1, kEarlierLife}, {3, kEarlierLife}};
  Die(facts, 1);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 3);
  EXPECT_EQ(next->recovery, v1::LEADER_RECOVERY_STATE_RECOVERED);
}

TEST(DecideLeadership, ABouncedLeaderIsReplaced) {
  PartitionFacts facts = Facts();
  Bounce(facts, 1, false);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{1, 2, 3})) << "synced: what was counted is on its disk";
  EXPECT_EQ(next->isr[0].epoch, kLaterLife);
}

TEST(DecideLeadership, ABouncedLeaderAloneIsElectedAgainInANewEpoch) {
  for (const bool synced : {true, false}) {
    PartitionFacts facts = Facts();
    facts.synced = synced;
    facts.state.isr = {{1, kEarlierLife}};
    Bounce(facts, 1, false);
    const auto next = DecideLeadership(facts);
    ASSERT_TRUE(next);
    EXPECT_EQ(next->leader, 1);
    EXPECT_EQ(next->leader_epoch, 6u);
    EXPECT_EQ(Isr(*next), (Ids{1})) << "never the last member";
  }
}

TEST(DecideLeadership, AnUncleanBounceLeavesTheIsrOfAReplicatedPartition) {
  PartitionFacts facts = Facts();
  facts.synced = false;
  Bounce(facts, 2, false);
  auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 1);
  EXPECT_EQ(next->leader_epoch, 5u);
  EXPECT_EQ(Isr(*next), (Ids{1, 3}));

  Bounce(facts, 2, true);
  next = DecideLeadership(facts);
  ASSERT_TRUE(next) << "its new life is recorded";
  EXPECT_EQ(Isr(*next), (Ids{1, 2, 3})) << "a clean stop lost nothing";
}

TEST(DecideLeadership, AfterALossOfPowerEverywhereTheLeaderStays) {
  PartitionFacts facts = Facts();
  facts.synced = false;
  facts.state.leader = 2;
  for (const BrokerId id : {1, 2, 3}) Bounce(facts, id, false);
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{2}));
}

TEST(DecideLeadership, ControlledShutdownMovesLeadershipAndLeavesTheIsr) {
  PartitionFacts facts = Facts();
  facts.replicas[0].shutting_down = true;
  const auto next = DecideLeadership(facts);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(next->leader_epoch, 6u);
  EXPECT_EQ(Isr(*next), (Ids{2, 3}));
}

TEST(DecideLeadership, TheLastMemberLeadsThoughItIsShuttingDown) {
  PartitionFacts facts = Facts();
  facts.state.isr = {{1, kEarlierLife}};
  facts.replicas[0].shutting_down = true;
  EXPECT_FALSE(DecideLeadership(facts));
}

TEST(DecideLeadership, ReliefMovesLeadershipAndLeavesTheIsrOnlyWhenAsked) {
  const PartitionFacts facts = Facts();
  auto next = DecideLeadership(facts, {.replica = 1});
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(Isr(*next), (Ids{1, 2, 3}));
  next = DecideLeadership(facts, {.replica = 1, .leave_isr = true});
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 2);
  EXPECT_EQ(Isr(*next), (Ids{2, 3}));
  next = DecideLeadership(facts, {.replica = 3, .leave_isr = true});
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, 1);
  EXPECT_EQ(next->leader_epoch, 5u);
}

// Two damaged replicas must not hand leadership to each other for ever, past the third that is whole.
TEST(DecideLeadership, ReliefGoesRoundAllMembers) {
  PartitionFacts facts = Facts();
  for (const BrokerId expected : {2, 3, 1, 2}) {
    const auto next = DecideLeadership(facts, {.replica = facts.state.leader});
    ASSERT_TRUE(next);
    EXPECT_EQ(next->leader, expected);
    facts.state = *next;
  }
}

TEST(DecideLeadership, AFollowerThatIsToBeFencedRaisesTheLeaderEpoch) {
  PartitionFacts facts = Facts();
  const Relief relief{.replica = 3, .leave_isr = true, .fence = true};
  auto next = DecideLeadership(facts, relief);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader, facts.state.leader);
  EXPECT_EQ(next->leader_epoch, facts.state.leader_epoch + 1);
  EXPECT_EQ(next->Member(3), nullptr);
  // Also one that is out already: it may have told its leader that it has caught up.
  facts.state = *next;
  next = DecideLeadership(facts, relief);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->leader_epoch, facts.state.leader_epoch + 1);
  EXPECT_EQ(next->isr, facts.state.isr);
}

TEST(DecideLeadership, ReliefOfTheLastMemberChangesNothing) {
  PartitionFacts facts = Facts();
  facts.state.isr = {{1, kEarlierLife}};
  EXPECT_FALSE(DecideLeadership(facts, {.replica = 1, .leave_isr = true}));
}

// Every combination of who is in the ISR, who leads, and how each broker fares.
TEST(DecideLeadership, HoldsItsPromisesInEveryCase) {
  enum Fate { kLive, kDead, kCleanBounce, kUncleanBounce, kStopping, kFates };
  int cases = 0;
  for (int isr = 1; isr < 8; ++isr) {
    for (int leader = -1; leader < 3; ++leader) {
      if (leader >= 0 && !(isr & (1 << leader))) continue;
      for (int fates = 0; fates < kFates * kFates * kFates; ++fates) {
        for (int flags = 0; flags < 4; ++flags) {
          PartitionFacts facts;
          facts.synced = flags & 1;
          facts.unclean_allowed = flags & 2;
          facts.state.leader = leader < 0 ? kNoBroker : leader + 1;
          facts.state.leader_epoch = 5;
          for (int i = 0, rest = fates; i < 3; ++i, rest /= kFates) {
            const int fate = rest % kFates;
            const bool bounced = fate == kCleanBounce || fate == kUncleanBounce;
            facts.replicas.push_back({.id = i + 1,
                                      .usable = fate != kDead,
                                      .shutting_down = fate == kStopping,
                                      .clean_start = fate == kCleanBounce,
                                      .epoch = fate == kDead ? kNoBrokerEpoch
                                               : bounced     ? kLaterLife
                                                             : kEarlierLife});
            if (isr & (1 << i)) facts.state.isr.push_back({i + 1, kEarlierLife});
          }
          const auto decided = DecideLeadership(facts);
          const Leadership next = decided.value_or(facts.state);
          ++cases;
          ASSERT_FALSE(next.isr.empty());
          if (next.leader != kNoBroker) {
            const IsrMember* member = next.Member(next.leader);
            ASSERT_NE(member, nullptr) << "the leader is in the ISR";
            ASSERT_TRUE(facts.Replica(next.leader)->usable);
            ASSERT_EQ(member->epoch, facts.Replica(next.leader)->epoch) << "in its present life";
            const bool was_in = facts.state.Member(next.leader) != nullptr;
            ASSERT_TRUE(was_in || next.recovery == v1::LEADER_RECOVERY_STATE_RECOVERING);
            const bool same_life = was_in && facts.state.Member(next.leader)->epoch == member->epoch;
            if (next.leader != facts.state.leader || !same_life) {
              ASSERT_EQ(next.leader_epoch, 6u) << "each leadership has an epoch of its own";
            } else {
              ASSERT_EQ(next.leader_epoch, 5u);
            }
          } else {
            for (const IsrMember& member : next.isr) ASSERT_FALSE(facts.Replica(member.id)->usable);
          }
          facts.state = next;
          ASSERT_FALSE(DecideLeadership(facts)) << "a decision, once in force, is final";
        }
      }
    }
  }
  EXPECT_GT(cases, 9000);
}

TEST(InitialLeadership, TakesAllLiveReplicasIn) {
  PartitionFacts facts = Facts();
  facts.state = {};
  Die(facts, 1);
  const auto first = InitialLeadership(facts);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->leader, 2);
  EXPECT_EQ(first->leader_epoch, 0u);
  EXPECT_EQ(Isr(*first), (Ids{2, 3}));
  for (const BrokerId id : {2, 3}) Die(facts, id);
  EXPECT_FALSE(InitialLeadership(facts));
}

TEST(PreferredLeader, IsTheFirstReplicaWhereItIsFit) {
  PartitionFacts facts = Facts();
  facts.state.leader = 2;
  EXPECT_EQ(PreferredLeader(facts), 1);
  facts.replicas[0].shutting_down = true;
  EXPECT_EQ(PreferredLeader(facts), std::nullopt);
  facts = Facts();
  facts.state.isr = {{2, kEarlierLife}};
  EXPECT_EQ(PreferredLeader(facts), std::nullopt);
}

TEST(LeadershipCodec, KeepsEverythingOverARoundTrip) {
  Leadership state = Facts().state;
  state.recovery = v1::LEADER_RECOVERY_STATE_RECOVERING;
  state.controller_epoch = 9;
  state.unknown_members = R"({"later":true})";
  const Result<Leadership> again = DecodeLeadership(EncodeLeadership(state));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, state);
}

TEST(LeadershipCodec, ReadsKafkasOwn) {
  const auto state =
      DecodeLeadership(R"({"controller_epoch":3,"leader":2,"version":1,"leader_epoch":7,"isr":[2,1]})");
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->leader, 2);
  EXPECT_EQ(state->leader_epoch, 7u);
  ASSERT_EQ(state->isr.size(), 2u);
  EXPECT_EQ(state->isr[0].epoch, kNoBrokerEpoch);
}

TEST(LeadershipCodec, RefusesWhatCannotBe) {
  const char* const bad[] = {
      "",
      "[]",
      R"({"controller_epoch":3,"leader":2,"version":1,"leader_epoch":7,"isr":[]})",
      R"({"controller_epoch":3,"leader":2,"version":1,"leader_epoch":7,"isr":[1,3]})",
      R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":7,"isr":[1,1]})",
      R"({"controller_epoch":3,"leader":-1,"version":1,"leader_epoch":7,"isr":[-5]})",
      R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":4294967295,"isr":[1]})",
      R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":7,"isr":[1],"isr_broker_epochs":["x"]})",
      R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":7,"isr":[1],"isr_broker_epochs":5})",
  };
  for (const char* json : bad) EXPECT_FALSE(DecodeLeadership(json)) << json;
}

TEST(LeadershipCodec, DistrustsEpochsThatDoNotFitTheIsr) {
  const auto state = DecodeLeadership(
      R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":7,"isr":[1],"isr_broker_epochs":[4,5]})");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->isr[0].epoch, kNoBrokerEpoch);
}

}  // namespace
}  // namespace tidemark
