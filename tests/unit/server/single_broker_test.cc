// A whole broker, and three of them, over the bare protocol in the simulated world.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(SingleBroker, WhatWasAcknowledgedIsThereAfterAKill) {
  SimBrokers cluster(1, 1);
  cluster.StartAll();
  cluster.CreateTopic("orders", 3, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  for (uint32_t partition = 0; partition < 3; ++partition) {
    EXPECT_EQ(cluster.Produce("orders", partition, {"a", "b"}), 0u);
    EXPECT_EQ(cluster.Produce("orders", partition, {"c"}), 2u);
  }
  for (const bool power_loss : {false, true}) {
    cluster.Kill(0, power_loss);
    ASSERT_TRUE(cluster.Start(0));
    ASSERT_TRUE(cluster.WaitForLeaders("orders"));
    for (uint32_t partition = 0; partition < 3; ++partition) {
      EXPECT_THAT(cluster.Consume("orders", partition), ElementsAre("a", "b", "c"));
    }
  }
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(SingleBroker, WithFlushMessagesOneAcknowledgementMeansOnDisk) {
  SimBrokers cluster(1, 1);
  cluster.StartAll();
  const TopicId id =
      cluster.CreateTopic("orders", 1, 1, {{"ack.durability", "replicated"}, {"flush.messages", "1"}});
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  std::vector<std::string> acknowledged;
  for (const int acks : {1, -1, 1}) {
    acknowledged.push_back(fmt::format("acks {}", acks));
    ASSERT_EQ(cluster.ProduceOnce(0, id, 0, {acknowledged.back()}, acks).error().code(), v1::NONE);
    cluster.Kill(0, /*power_loss=*/true);
    ASSERT_TRUE(cluster.Start(0));
    ASSERT_TRUE(cluster.WaitForLeaders("orders"));
    EXPECT_EQ(cluster.Consume("orders", 0), acknowledged);
  }
  // A disk that does not answer acknowledges nothing.
  cluster.process(0).pool().SetHung(true);
  EXPECT_EQ(cluster.ProduceOnce(0, id, 0, {"x"}, 1).error().code(), v1::REQUEST_TIMED_OUT);
  EXPECT_EQ(cluster.ProduceOnce(0, id, 0, {"y"}, -1).error().code(), v1::REQUEST_TIMED_OUT);
  cluster.process(0).pool().SetHung(false);
}

TEST(SingleBroker, StopsCleanlyAndComesBack) {
  SimBrokers cluster(2, 1);
  cluster.StartAll();
  cluster.CreateTopic("orders", 1, 1);
  cluster.Produce("orders", 0, {"a"});
  EXPECT_TRUE(cluster.Stop(0));
  ASSERT_TRUE(cluster.Start(0));
  EXPECT_THAT(cluster.Consume("orders", 0), ElementsAre("a"));
  EXPECT_EQ(cluster.Produce("orders", 0, {"b"}), 1u);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(SingleBroker, AnswersWhatIsWrongWithAskingNames) {
  SimBrokers cluster(3, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 2, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  v1::Request metadata;
  metadata.mutable_metadata()->add_topics()->set_name("order");
  metadata.mutable_metadata()->add_topics()->set_name("no/slash");
  const Result<v1::Response> answer = cluster.Call(0, metadata);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->metadata().topics(0).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_THAT(answer->metadata().topics(0).error().message(), HasSubstr("orders"));
  EXPECT_EQ(answer->metadata().topics(1).error().code(), v1::INVALID_TOPIC_EXCEPTION);
  EXPECT_EQ(cluster.ProduceOnce(0, id, 7, {"x"}).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_EQ(cluster.ProduceOnce(0, TopicId(), 0, {"x"}).error().code(), v1::UNKNOWN_TOPIC_ID);
  EXPECT_EQ(cluster.FetchOnce(0, id, 0, 99).error().code(), v1::OFFSET_OUT_OF_RANGE);
  v1::Request produce;
  produce.mutable_produce()->set_acks(2);
  EXPECT_EQ(cluster.Call(0, produce).error().code, v1::INVALID_REQUIRED_ACKS);
  // Nobody but the controller commands, and not on a client's connection.
  v1::Request command;
  command.mutable_leader_and_isr()->mutable_stamp()->set_controller_epoch(1000);
  EXPECT_EQ(cluster.Call(0, command).error().code, v1::LISTENER_FORBIDDEN);
  command.mutable_leader_and_isr()->mutable_stamp()->set_broker_epoch(cluster.broker(0)->epoch());
  const Result<v1::Response> refused = cluster.Call(0, command, v1::CONNECTION_PURPOSE_CONTROL);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->leader_and_isr().error().code(), v1::STALE_CONTROLLER_EPOCH);
  // A client cannot pose as a follower.
  v1::Request fetch;
  fetch.mutable_fetch()->mutable_follower()->set_replica_id(2);
  EXPECT_EQ(cluster.Call(0, fetch).error().code, v1::LISTENER_FORBIDDEN);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(SingleBroker, AFetchWaitsForData) {
  SimBrokers cluster(4, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  const MonoTime before = cluster.world().Now();
  EXPECT_EQ(cluster.FetchOnce(0, id, 0, 0, 3000).records(), "");
  EXPECT_GE(cluster.world().Now() - before, 3s);
  cluster.Produce("orders", 0, {"a"});
  const MonoTime then = cluster.world().Now();
  EXPECT_THAT(SimBrokers::ValuesOf(cluster.FetchOnce(0, id, 0, 0, 3000).records()), ElementsAre("a"));
  EXPECT_LT(cluster.world().Now() - then, 1s);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(SingleBroker, TopicConfigsFollowTheirChanges) {
  SimBrokers cluster(5, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("small", 1, 1, {{"max.message.bytes", "200"}});
  ASSERT_TRUE(cluster.WaitForLeaders("small"));
  const std::string big(300, 'x');
  EXPECT_EQ(cluster.ProduceOnce(0, id, 0, {big}).error().code(), v1::MESSAGE_TOO_LARGE);
  v1::Request alter;
  auto* change = alter.mutable_alter_configs()->add_changes();
  change->mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
  change->mutable_entity()->set_name("small");
  (*change->mutable_set())["max.message.bytes"] = "2000";
  const Result<v1::Response> altered = cluster.Call(0, alter);
  ASSERT_TRUE(altered) << altered.error().message;
  ASSERT_EQ(altered->alter_configs().results(0).error().code(), v1::NONE);
  cluster.world().RunFor(5s);
  EXPECT_EQ(cluster.ProduceOnce(0, id, 0, {big}).error().code(), v1::NONE);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(ThreeBrokers, GoOnWhileTheirLeadersAreKilled) {
  SimBrokers cluster(6, 3);
  cluster.StartAll();
  cluster.CreateTopic("orders", 2, 3);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  std::vector<std::string> sent;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 5; ++i) {
      sent.push_back(fmt::format("{}-{}", round, i));
      cluster.Produce("orders", 0, {sent.back()});
    }
    const int leader = cluster.LeaderOf("orders", 0);
    ASSERT_GE(leader, 0);
    cluster.Kill(leader, round % 2 == 1);
    sent.push_back(fmt::format("{}-without", round));
    cluster.Produce("orders", 0, {sent.back()});
    ASSERT_TRUE(cluster.Start(leader));
  }
  // A retry after an unknown outcome may repeat a record: the first occurrences are in order and complete.
  std::vector<std::string> firsts;
  for (const std::string& value : cluster.Consume("orders", 0)) {
    if (std::ranges::find(firsts, value) == firsts.end()) firsts.push_back(value);
  }
  EXPECT_EQ(firsts, sent);
}

TEST(ThreeBrokers, TheAnswerOfANonLeaderNamesTheLeader) {
  SimBrokers cluster(7, 3);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 2);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  const int leader = cluster.LeaderOf("orders", 0);
  for (int other = 0; other < 3; ++other) {
    if (other == leader) continue;
    const auto answer = cluster.ProduceOnce(other, id, 0, {"x"});
    EXPECT_EQ(answer.error().code(), v1::NOT_LEADER_OR_FOLLOWER) << answer.error().message();
    EXPECT_EQ(answer.current_leader().leader(), leader);
    EXPECT_EQ(answer.current_leader().host(), "host" + std::to_string(leader));
  }
}

TEST(ThreeBrokers, AControlledShutdownMovesLeadersFirst) {
  SimBrokers cluster(8, 3);
  cluster.StartAll();
  cluster.CreateTopic("orders", 6, 3);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  for (uint32_t partition = 0; partition < 6; ++partition) cluster.Produce("orders", partition, {"a"});
  EXPECT_TRUE(cluster.Stop(0));
  // At once, without waiting for anything to expire (that would take 6 s).
  EXPECT_TRUE(cluster.WaitForLeaders("orders", 2s));
  for (uint32_t partition = 0; partition < 6; ++partition) {
    EXPECT_THAT(cluster.Consume("orders", partition), ElementsAre("a"));
  }
  EXPECT_TRUE(cluster.Stop(1));
  EXPECT_TRUE(cluster.Stop(2));
}

TEST(ThreeBrokers, SurviveZooKeepersAbsence) {
  SimBrokers cluster(9, 3);
  cluster.StartAll();
  cluster.CreateTopic("orders", 3, 3);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.Produce("orders", 0, {"before"});
  cluster.world().zookeeper().Stop();
  cluster.Produce("orders", 0, {"during"});
  cluster.world().RunFor(20s);
  cluster.world().zookeeper().Start();
  cluster.world().RunFor(20s);
  cluster.Produce("orders", 0, {"after"});
  EXPECT_THAT(cluster.Consume("orders", 0), ElementsAre("before", "during", "after"));
  for (int id = 0; id < 3; ++id) EXPECT_THAT(cluster.broker(id)->NotReadyReasons(), testing::IsEmpty());
}

}  // namespace
}  // namespace tidemark
