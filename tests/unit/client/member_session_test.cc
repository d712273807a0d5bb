#include "client/member_session.h"

#include <gtest/gtest.h>

namespace tidemark::internal {
namespace {

using Stage = MemberSession::Stage;
using Verdict = MemberSession::Verdict;

const TopicId kTopic(std::array<uint8_t, 16>{7});
const MonoTime kStart{1h};

class MemberSessionTest : public ::testing::Test {
 protected:
  MemberSession Make(const std::string& instance = "") {
    return MemberSession({.group = "g",
                          .member_id = "m",
                          .instance_id = instance,
                          .rack = "r",
                          .session_timeout = 6s,
                          .rebalance_timeout = 60s});
  }
  static v1::ConsumerGroupHeartbeatResponse Answer(int32_t epoch,
                                                   std::optional<std::set<uint32_t>> assigned) {
    v1::ConsumerGroupHeartbeatResponse answer;
    answer.set_member_epoch(epoch);
    answer.set_heartbeat_interval_ms(1000);
    if (assigned) {
      auto* topic = answer.mutable_assignment()->add_topics();
      topic->set_topic_id(kTopic.ToBytes());
      topic->set_topic("orders");
      for (const uint32_t p : *assigned) topic->add_partitions(p);
    }
    return answer;
  }
  static MemberSession Joined(MemberSession session, std::set<uint32_t> assigned) {
    v1::GroupSubscription subscription;
    subscription.add_topics("orders");
    session.Subscribe(subscription, kStart);
    (void)session.Begin(kStart);
    session.OnAnswer(Answer(3, assigned), kStart);
    return session;
  }
  static std::set<PartitionKey> Keys(std::set<uint32_t> partitions) {
    std::set<PartitionKey> keys;
    for (const uint32_t p : partitions) keys.insert({kTopic, p});
    return keys;
  }
};

TEST_F(MemberSessionTest, TheFirstHeartbeatSaysAllAndHoldsNothing) {
  MemberSession session = Make("i");
  EXPECT_FALSE(session.active());
  v1::GroupSubscription subscription;
  subscription.set_regex("o.*");
  session.Subscribe(subscription, kStart);
  EXPECT_EQ(session.due(), kStart);
  const auto request = session.Begin(kStart);
  EXPECT_EQ(request.member_epoch(), 0);
  EXPECT_EQ(request.instance_id(), "i");
  EXPECT_EQ(request.rack_id(), "r");
  EXPECT_EQ(request.rebalance_timeout_ms(), 60'000u);
  EXPECT_EQ(request.session_timeout_ms(), 6'000u);
  EXPECT_EQ(request.subscription().regex(), "o.*");
  EXPECT_TRUE(request.has_owned());
  EXPECT_EQ(request.owned().topics_size(), 0);
}

TEST_F(MemberSessionTest, WhatIsHeldIsSaidAtOnceAndThenNoMore) {
  MemberSession session = Joined(Make(), {0, 1});
  EXPECT_EQ(session.target().size(), 2u);
  EXPECT_EQ(session.due(), kStart + 1s) << "nothing to say before the application holds it";
  session.SetHeld(Keys({0, 1}), kStart + 10ms);
  EXPECT_EQ(session.due(), kStart + 10ms);
  const auto said = session.Begin(kStart + 10ms);
  EXPECT_EQ(said.member_epoch(), 3);
  EXPECT_FALSE(said.has_subscription());
  EXPECT_EQ(said.owned().topics(0).partitions_size(), 2);
  session.OnAnswer(Answer(3, std::nullopt), kStart + 20ms);
  EXPECT_EQ(session.due(), kStart + 1020ms);
  EXPECT_FALSE(session.Begin(kStart + 1020ms).has_owned());
}

TEST_F(MemberSessionTest, APartitionAskedBackIsSaidToBeHeldUntilItIsLetGo) {
  MemberSession session = Joined(Make(), {0, 1});
  session.SetHeld(Keys({0, 1}), kStart);
  (void)session.Begin(kStart);
  session.OnAnswer(Answer(4, std::set<uint32_t>{0}), kStart);
  EXPECT_EQ(session.Begin(kStart + 1s).owned().topics(0).partitions_size(), 2);
  // It is let go while that heartbeat is under way: the next one goes at once.
  session.SetHeld(Keys({0}), kStart + 1010ms);
  session.OnAnswer(Answer(4, std::nullopt), kStart + 1020ms);
  EXPECT_EQ(session.due(), kStart + 1020ms);
  const auto said = session.Begin(session.due());
  EXPECT_EQ(said.member_epoch(), 4);
  EXPECT_EQ(said.owned().topics(0).partitions_size(), 1);
}

TEST_F(MemberSessionTest, AnAssignmentThatIsToldOverAndOverIsConfirmedAtOnceOnlyOnce) {
  MemberSession session = Joined(Make(), {0});
  session.SetHeld(Keys({0}), kStart);
  (void)session.Begin(kStart);
  session.OnAnswer(Answer(4, std::set<uint32_t>{0}), kStart);
  EXPECT_EQ(session.due(), kStart) << "the new epoch is confirmed at once";
  EXPECT_TRUE(session.Begin(kStart).has_owned());
  session.OnAnswer(Answer(4, std::set<uint32_t>{0}), kStart);
  EXPECT_EQ(session.due(), kStart + 1s);
  EXPECT_TRUE(session.Begin(kStart + 1s).has_owned());
}

TEST_F(MemberSessionTest, WhatALostAnswerMayHaveCarriedIsSaidAgain) {
  MemberSession session = Joined(Make(), {0});
  session.SetHeld(Keys({0}), kStart);
  v1::GroupSubscription other;
  other.add_topics("other");
  session.Subscribe(other, kStart);
  EXPECT_EQ(session.Begin(kStart).subscription().topics(0), "other");
  EXPECT_EQ(session.OnError({v1::REQUEST_TIMED_OUT, ""}, kStart + 1s, 200ms), Verdict::kGoOn);
  EXPECT_EQ(session.due(), kStart + 1200ms);
  EXPECT_EQ(session.problem()->code, v1::REQUEST_TIMED_OUT);
  const auto again = session.Begin(session.due());
  EXPECT_EQ(again.member_epoch(), 3);
  EXPECT_EQ(again.subscription().topics(0), "other");
  EXPECT_EQ(again.owned().topics(0).partitions_size(), 1);
}

TEST_F(MemberSessionTest, AFenceForgetsAllAndJoinsAgain) {
  MemberSession session = Joined(Make(), {0});
  session.SetHeld(Keys({0}), kStart);
  (void)session.Begin(kStart);
  EXPECT_EQ(session.OnError({v1::FENCED_MEMBER_EPOCH, ""}, kStart, 1s), Verdict::kFenced);
  EXPECT_TRUE(session.target().empty());
  EXPECT_EQ(session.due(), kStart);
  const auto request = session.Begin(kStart);
  EXPECT_EQ(request.member_epoch(), 0);
  EXPECT_TRUE(request.has_subscription());
  EXPECT_EQ(request.owned().topics_size(), 0);
}

TEST_F(MemberSessionTest, WhatNobodyForesawIsTriedTenTimesAndWhatIsWrongOnce) {
  MemberSession session = Joined(Make(), {});
  for (int i = 1; i < 10; ++i) {
    (void)session.Begin(kStart);
    EXPECT_EQ(session.OnError({v1::UNKNOWN_SERVER_ERROR, ""}, kStart, 1s), Verdict::kGoOn) << i;
  }
  (void)session.Begin(kStart);
  EXPECT_EQ(session.OnError({v1::UNKNOWN_SERVER_ERROR, ""}, kStart, 1s), Verdict::kFailed);
  EXPECT_EQ(session.stage(), Stage::kFailed);
  MemberSession wrong = Joined(Make("i"), {0});
  (void)wrong.Begin(kStart);
  EXPECT_EQ(wrong.OnError({v1::FENCED_INSTANCE_ID, "taken over"}, kStart, 1s), Verdict::kFailed);
  EXPECT_EQ(wrong.problem()->message, "taken over");
}

TEST_F(MemberSessionTest, OnlyAStaticMemberKeepsItsPlace) {
  EXPECT_EQ(Joined(Make(), {0}).Leave().member_epoch(), -1);
  MemberSession session = Joined(Make("i"), {0});
  EXPECT_EQ(session.Leave().member_epoch(), -2);
  EXPECT_EQ(session.stage(), Stage::kOut);
}

TEST_F(MemberSessionTest, AStandstillLastsUntilAHeartbeatThatWasSentAfterItIsAnswered) {
  MemberSession session = Joined(Make(), {0});
  EXPECT_FALSE(session.Stalled(kStart + 6s));
  (void)session.Begin(kStart + 1s);
  // The answer was waiting in the socket while the process stood still.
  session.OnAnswer(Answer(3, std::nullopt), kStart + 60s);
  EXPECT_TRUE(session.Stalled(kStart + 60s));
  EXPECT_EQ(session.due(), kStart + 60s);
  (void)session.Begin(kStart + 60s);
  session.OnAnswer(Answer(3, std::nullopt), kStart + 60s);
  EXPECT_FALSE(session.Stalled(kStart + 60s));
}

TEST_F(MemberSessionTest, ACoordinatorThatCannotBeReachedIsNoStandstill) {
  MemberSession session = Joined(Make(), {0});
  for (auto now = kStart; now < kStart + 60s; now += 2s) {
    EXPECT_FALSE(session.Stalled(now));
    (void)session.Begin(now);
    (void)session.OnError({v1::COORDINATOR_NOT_AVAILABLE, ""}, now + 1s, 1s);
  }
}

}  // namespace
}  // namespace tidemark::internal
