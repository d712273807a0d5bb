// What whole brokers tell of configs while ZooKeeper stands still, over the bare protocol.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

class SilentZooKeeper : public testing::Test {
 protected:
  SilentZooKeeper() {
    cluster_.StartAll();
    for (int i = 0; i < kTopics; ++i) {
      cluster_.CreateTopic(NameOf(i), 1, 1);
      EXPECT_TRUE(cluster_.WaitForLeaders(NameOf(i)));
    }
  }
  static std::string NameOf(int topic) { return "topic-" + std::to_string(topic); }

  // Of every topic, of this broker and of the default of all.
  static v1::Request OfEverything() {
    v1::Request request;
    for (int i = 0; i < kTopics; ++i) {
      auto* entity = request.mutable_describe_configs()->add_entities();
      entity->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
      entity->set_name(NameOf(i));
    }
    for (const char* name : {"0", ""}) {
      auto* entity = request.mutable_describe_configs()->add_entities();
      entity->set_type(v1::CONFIG_ENTITY_TYPE_BROKER);
      entity->set_name(name);
    }
    request.mutable_describe_configs()->set_include_defaults(true);
    return request;
  }

  static constexpr int kTopics = 12;
  SimBrokers cluster_{1, 1};
};

TEST_F(SilentZooKeeper, IsWaitedForOnceHoweverManyTopicsAreAsked) {
  cluster_.world().zookeeper().Pause();
  // While the session still seems well, and when its connection is known to be lost.
  for (const Duration later : {0s, 30s}) {
    cluster_.world().RunFor(later);
    const MonoTime began = cluster_.world().Now();
    const Result<v1::Response> answer = cluster_.Call(0, OfEverything());
    ASSERT_TRUE(answer) << answer.error().message;
    // A client gives up a try after 5 s.
    EXPECT_LT(cluster_.world().Now() - began, 5s);
    const v1::DescribeConfigsResponse& told = answer->describe_configs();
    ASSERT_EQ(told.results_size(), kTopics + 2);
    for (int i = 0; i < told.results_size(); ++i) {
      const auto& result = told.results(i);
      if (result.entity().name() == "0") {
        EXPECT_FALSE(result.has_error());  // it knows its own
        EXPECT_GT(result.entries_size(), 0);
        continue;
      }
      EXPECT_EQ(result.entity().name(), i < kTopics ? NameOf(i) : "");
      EXPECT_EQ(result.error().code(), v1::BROKER_NOT_READY);
      EXPECT_THAT(result.error().message(), HasSubstr("ZooKeeper"));
      EXPECT_EQ(result.entries_size(), 0);
    }
  }
}

TEST_F(SilentZooKeeper, SaysSoOfAllThatHaveQuotas) {
  cluster_.world().zookeeper().Pause();
  v1::Request request = OfEverything();
  request.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_CLIENT);
  request.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_BROKER);
  const MonoTime began = cluster_.world().Now();
  const Result<v1::Response> answer = cluster_.Call(0, request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_LT(cluster_.world().Now() - began, 5s);
  ASSERT_EQ(answer->describe_configs().results_size(), kTopics + 4);
  for (const auto& result : answer->describe_configs().results())
    EXPECT_EQ(result.has_error(), result.entity().name() != "0");
}

TEST_F(SilentZooKeeper, IsAskedAgainByTheNextRequest) {
  cluster_.world().zookeeper().Pause();
  ASSERT_TRUE(cluster_.Call(0, OfEverything()));
  cluster_.world().zookeeper().Resume();
  cluster_.world().RunFor(10s);
  const Result<v1::Response> answer = cluster_.Call(0, OfEverything());
  ASSERT_TRUE(answer) << answer.error().message;
  for (const auto& result : answer->describe_configs().results())
    EXPECT_FALSE(result.has_error()) << result.error().message();
  EXPECT_TRUE(cluster_.Stop(0));
}

}  // namespace
}  // namespace tidemark
