// What tidemark-topics and tidemark-get-offsets make of their flags.
#include "tools/topics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/command.h"
#include "tools/offset_queries.h"
#include "tools/replica_warning.h"
#include "tools/topic_match.h"

namespace tidemark {
namespace {

using Lists = std::vector<std::vector<int32_t>>;

TEST(TopicMatch, AWordAsShellsTakeItIsShownAsTheExpressionThatIsMeant) {
  EXPECT_EQ(ExpressionOfGlob("o*"), "o.*");
  EXPECT_EQ(ExpressionOfGlob("*-log"), ".*-log");
  EXPECT_EQ(ExpressionOfGlob("eu.ord?rs-[ab]*"), "eu\\.ord.rs-[ab].*");
  EXPECT_EQ(ExpressionOfGlob("orders,cl*"), "orders,cl.*");
  // These are expressions, or names.
  for (const char* other : {"o.*", "orders", "(a|b)*", "a\\.b*", "^o*", "a.?", ""})
    EXPECT_EQ(ExpressionOfGlob(other), "") << other;
  EXPECT_EQ(NoneMatches("topic", "o*", {"orders"}), "no topic matches 'o*'; did you mean 'o.*'?");
  EXPECT_EQ(NoneMatches("group", "oders", {"orders"}), "no group matches 'oders'; did you mean 'orders'?");
  EXPECT_EQ(NoneMatches("group", "x.*", {"orders"}), "no group matches 'x.*'");
  EXPECT_EQ(TopicMatch::Of("*x").error().message,
            "'*x' is neither a topic name nor a regular expression; did you mean '.*x'?");
}

TEST(TopicMatch, ANameIsTakenLiterallyAndAnythingElseIsAnExpression) {
  const auto name = TopicMatch::Of("my.topic, other");
  ASSERT_TRUE(name.has_value());
  EXPECT_TRUE(name->only_names());
  EXPECT_TRUE(name->Matches("my.topic"));
  EXPECT_TRUE(name->Matches("other"));
  EXPECT_FALSE(name->Matches("my_topic"));
  const auto expression = TopicMatch::Of("my.*");
  EXPECT_FALSE(expression->only_names());
  EXPECT_TRUE(expression->Matches("my.topic"));
  EXPECT_FALSE(expression->Matches("not my topic"));
  EXPECT_TRUE(TopicMatch::Of("")->Matches("all"));
  EXPECT_EQ(TopicMatch::Of("(").error().code, v1::INVALID_REQUEST);
}

TEST(TopicMatch, ANameThatIsNotThereIsAnExpressionOfWhatReads) {
  auto match = TopicMatch::Of("web.,a.b,gone.x,plain");
  ASSERT_TRUE(match);
  match->TakeMissingAsExpressions({"web1", "web2", "a.b", "aXb"});
  EXPECT_EQ(match->names(), (std::vector<std::string>{"a.b", "gone.x", "plain"}))
      << "what is there is literal, what matches nothing is missing";
  EXPECT_TRUE(match->Matches("web1"));
  EXPECT_TRUE(match->Matches("web2"));
  EXPECT_TRUE(match->Matches("a.b"));
  EXPECT_FALSE(match->Matches("aXb"));
  EXPECT_EQ(MatchesAsExpressions({"web."}, {"web2", "web1", "x"}),
            "as an expression it would match web1, web2");
  EXPECT_EQ(MatchesAsExpressions({"w."}, {"w1", "w2", "w3", "w4", "w5"}),
            "as an expression it would match w1, w2, w3 and 2 more");
  EXPECT_EQ(MatchesAsExpressions({"gone.x"}, {"web1"}), "");
}

TEST(TopicMatch, WhatIsAlwaysAnExpressionIsNoName) {
  const auto match = TopicMatch::OfExpressions("a.b,plain");
  ASSERT_TRUE(match);
  EXPECT_TRUE(match->names().empty());
  EXPECT_FALSE(match->only_names());
  EXPECT_TRUE(match->Matches("aXb"));
  EXPECT_TRUE(match->Matches("plain"));
  EXPECT_FALSE(match->Matches("plainer"));
  EXPECT_FALSE(TopicMatch::OfExpressions("("));
}

TEST(ReplicaAssignment, IsReadInKafkasForm) {
  EXPECT_EQ(*ParseReplicaAssignment("0:1,1:2"), (Lists{{0, 1}, {1, 2}}));
  EXPECT_EQ(*ParseReplicaAssignment(""), Lists{});
  for (const char* wrong : {"a:1", "0:", ":1", "0::1", "-1", "0;1", "99999999999"})
    EXPECT_FALSE(ParseReplicaAssignment(wrong).has_value()) << wrong;
}

v1::PartitionMetadata Partition(int32_t leader, std::vector<int32_t> replicas, std::vector<int32_t> isr) {
  v1::PartitionMetadata out;
  out.set_leader(leader);
  out.mutable_replicas()->Assign(replicas.begin(), replicas.end());
  out.mutable_isr()->Assign(isr.begin(), isr.end());
  return out;
}

TEST(PartitionFilter, ShowsWhatItsNameSays) {
  const std::set<int32_t> live = {1, 2, 3};
  const auto whole = Partition(1, {1, 2, 3}, {1, 2, 3});
  const auto at = Partition(1, {1, 2, 3}, {1, 2});
  const auto under = Partition(1, {1, 2, 3}, {1});
  const auto dark = Partition(-1, {1, 2, 3}, {4});
  const auto stale = Partition(9, {9, 2, 3}, {9, 2});
  const auto shown = [&](PartitionFilter filter) {
    std::vector<bool> out;
    for (const auto& p : {whole, at, under, dark, stale}) out.push_back(IsShown(filter, p, live, 2));
    return out;
  };
  using Seen = std::vector<bool>;
  EXPECT_EQ(shown({}), (Seen{true, true, true, true, true}));
  EXPECT_EQ(shown({.under_replicated = true}), (Seen{false, true, true, true, true}));
  EXPECT_EQ(shown({.unavailable = true}), (Seen{false, false, false, true, true}));
  EXPECT_EQ(shown({.under_min_isr = true}), (Seen{false, false, true, true, true}));
  EXPECT_EQ(shown({.at_min_isr = true}), (Seen{false, true, false, false, false}));
  EXPECT_EQ(shown({.under_replicated = true, .under_min_isr = true}), (Seen{false, false, true, true, true}));
}

TEST(PartitionFilter, MinIsrCountsAsAtMostTheReplicas) {
  EXPECT_TRUE(IsShown({.at_min_isr = true}, Partition(1, {1}, {1}), {1}, 2));
  EXPECT_FALSE(IsShown({.under_min_isr = true}, Partition(1, {1}, {1}), {1}, 2));
  // What is not known is not said.
  EXPECT_FALSE(IsShown({.under_min_isr = true}, Partition(1, {1, 2}, {1}), {1}, std::nullopt));
  EXPECT_FALSE(IsShown({.at_min_isr = true}, Partition(1, {1, 2}, {1}), {1}, std::nullopt));
  EXPECT_TRUE(IsShown({.under_min_isr = true}, Partition(-1, {1, 2}, {1}), {1}, std::nullopt));
  const Error silent{v1::BROKER_NOT_READY, "ZooKeeper is silent"};
  EXPECT_TRUE(PartitionFilter{.under_min_isr = true}.CannotJudge({{"orders", {.unknown = silent}}}));
  EXPECT_FALSE(PartitionFilter{.unavailable = true}.CannotJudge({{"orders", {.unknown = silent}}}));
}

TEST(PartitionLine, IsKafkas) {
  auto partition = Partition(1, {1, 2}, {1});
  partition.set_partition(4);
  partition.add_offline_replicas(2);
  EXPECT_EQ(PartitionLine("t", partition),
            "\tTopic: t\tPartition: 4\tLeader: 1\tReplicas: 1,2\tIsr: 1\tOffline: 2\n");
}

TEST(OffsetTime, IsKafkasNumbersAndWords) {
  EXPECT_EQ(*ParseOffsetTime("-1"), -1);
  EXPECT_EQ(*ParseOffsetTime("earliest"), -2);
  EXPECT_EQ(*ParseOffsetTime("max-timestamp"), -3);
  EXPECT_EQ(*ParseOffsetTime("1700000000000"), 1700000000000);
  EXPECT_FALSE(ParseOffsetTime("-4").has_value());
  EXPECT_FALSE(ParseOffsetTime("yesterday").has_value());
}

TEST(PartitionRules, TakeNamesExpressionsAndRanges) {
  const auto matches = [](const char* text, const char* topic, PartitionIndex partition) {
    const auto rules = PartitionRules::Of(text);
    EXPECT_TRUE(rules.has_value()) << text;
    return rules && rules->Matches(topic, partition);
  };
  EXPECT_TRUE(matches("", "any", 7));
  EXPECT_TRUE(matches("a", "a", 7));
  EXPECT_FALSE(matches("a", "b", 7));
  EXPECT_FALSE(matches("a.b", "aXb", 0));
  auto dotted = *PartitionRules::Of("a.b,k.:1");
  dotted.TakeMissingAsExpressions({"a.b", "aXb", "k1"});
  EXPECT_FALSE(dotted.Matches("aXb", 0));
  EXPECT_TRUE(dotted.Matches("k1", 1));
  EXPECT_FALSE(dotted.Matches("k1", 0));
  EXPECT_TRUE(matches("a:1", "a", 1));
  EXPECT_FALSE(matches("a:1", "a", 2));
  EXPECT_TRUE(matches("a:1-3", "a", 2));
  EXPECT_FALSE(matches("a:1-3", "a", 3));
  EXPECT_TRUE(matches("a:2-", "a", 9));
  EXPECT_TRUE(matches("a:-2", "a", 1));
  EXPECT_FALSE(matches("a:-2", "a", 2));
  EXPECT_TRUE(matches(":5", "any", 5));
  EXPECT_TRUE(matches("x,a.*:0", "abc", 0));
  for (const char* wrong : {"a:b", "a:1-b", "a:-", "(:1", "a:99999999999"})
    EXPECT_FALSE(PartitionRules::Of(wrong).has_value()) << wrong;
}

TEST(NewTopic, WithFewerReplicasThanThereAreBrokersForIsWarnedOf) {
  v1::MetadataResponse cluster;
  cluster.add_brokers()->set_id(0);
  v1::CreateTopicsResponse::Topic created;
  created.set_name("orders");
  created.set_replication_factor(1);
  EXPECT_EQ(FewReplicas(created, cluster), std::nullopt) << "one broker is all there is";
  auto* partition = cluster.add_topics()->add_partitions();
  for (const int32_t id : {0, 1, 2, 3}) partition->add_replicas(id);
  EXPECT_THAT(FewReplicas(created, cluster),
              testing::Optional(testing::HasSubstr("orders has 1 replica, not 3")));
  created.set_replication_factor(3);
  EXPECT_EQ(FewReplicas(created, cluster), std::nullopt);
}

TEST(TopicsToDelete, OfAnExpressionAreNotTheSystemsOwn) {
  std::vector<v1::TopicMetadata> topics(2);
  topics[0].set_name("__consumer_offsets");
  topics[1].set_name("orders");
  EXPECT_THAT(TopicsToDelete(topics, ".*"), testing::ElementsAre("orders"));
  EXPECT_THAT(TopicsToDelete(topics, "__consumer_offsets,o.*"),
              testing::ElementsAre("__consumer_offsets", "orders"));
  Listing listing({"topic", "result"});
  EXPECT_NE(DryRunOfDeletion({"__consumer_offsets"}, &listing), kExitDone);
  EXPECT_EQ(DryRunOfDeletion({"__consumer_offsets", "orders"}, &listing), kExitPartly);
  EXPECT_EQ(DryRunOfDeletion({"orders"}, &listing), kExitDone);
}

}  // namespace
}  // namespace tidemark
