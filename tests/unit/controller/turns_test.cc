// Requests of many topics, and what must not wait for them: elections, and what brokers ask.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/zk/zk_paths.h"
#include "tests/unit/controller/cluster.h"

namespace tidemark::testing {
namespace {

using ::testing::UnorderedElementsAre;

constexpr int kMany = 400;

std::string Name(int i) { return fmt::format("t{:03}", i); }

class TurnsTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  TurnsTest() : cluster_(GetParam()) {
    for (const BrokerId id : {1, 2, 3}) cluster_.Start(id);
    controller_ = cluster_.Controlling().id();
    victim_ = controller_ == 3 ? 2 : 3;
    other_ = 6 - controller_ - victim_;
    EXPECT_EQ(cluster_.Create("orders", {{victim_, other_, controller_}}).code, v1::NONE);
  }
  v1::Request CreateMany() const {
    v1::Request request;
    for (int i = 0; i < kMany; ++i) {
      auto& wish = *request.mutable_create_topics()->add_topics();
      wish.set_name(Name(i));
      wish.set_partitions(1);
      wish.set_replication_factor(1);
    }
    request.mutable_create_topics()->set_timeout_ms(60000);
    return request;
  }
  v1::Request DeleteMany() const {
    v1::Request request;
    for (int i = 0; i < kMany; ++i) request.mutable_delete_topics()->add_names(Name(i));
    request.mutable_delete_topics()->set_timeout_ms(60000);
    return request;
  }
  v1::Request ConfigureMany() const {
    v1::Request request;
    for (int i = 0; i < kMany; ++i) {
      auto& change = *request.mutable_alter_configs()->add_changes();
      change.mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
      change.mutable_entity()->set_name(Name(i));
      (*change.mutable_set())["retention.ms"] = "1000000";
    }
    return request;
  }
  void Begin(v1::Request request) {
    answer_.reset();
    cluster_.process(controller_).Spawn("many", [this, request]() -> Task<void> {
      answer_.emplace(co_await cluster_.node(controller_).controller().Handle(request));
    });
  }
  using Seen = std::function<bool()>;
  // Once `begun`: the broker that leads "orders" dies, and another leads before the work is `done`.
  void ExpectElectionMeanwhile(const Seen& begun, const Seen& done) {
    ASSERT_TRUE(cluster_.Until(begun));
    cluster_.Expire(victim_);
    cluster_.Kill(victim_);
    ASSERT_TRUE(cluster_.Until([&] { return cluster_.LeaderOf("orders") == other_; }));
    EXPECT_FALSE(done());
    ASSERT_TRUE(cluster_.Until([&] { return answer_.has_value(); }));
    ASSERT_TRUE(answer_->has_value()) << answer_->error().message;
  }

  Seen There(std::string path) {
    return [this, path = std::move(path)] { return cluster_.Exists(path); };
  }

  Cluster cluster_;
  BrokerId controller_ = 0, victim_ = 0, other_ = 0;
  std::optional<Result<v1::Response>> answer_;
};

TEST_P(TurnsTest, AnElectionDoesNotWaitForManyNewTopics) {
  Begin(CreateMany());
  ExpectElectionMeanwhile(There(zkpath::Topic(Name(3))), There(zkpath::Topic(Name(kMany - 1))));
  const auto& topics = (*answer_)->create_topics().topics();
  ASSERT_EQ(topics.size(), kMany);
  for (int i = 0; i < kMany; ++i) {
    EXPECT_EQ(topics[i].name(), Name(i));
    // Its only replica may be on the broker that has died; one plan is of live brokers only.
    EXPECT_THAT(topics[i].error().code(), ::testing::AnyOf(v1::NONE, v1::REQUEST_TIMED_OUT));
    EXPECT_EQ(topics[i].id(), cluster_.TopicIdOf(Name(i)));
  }
}

TEST_P(TurnsTest, AnElectionDoesNotWaitForManyDeletions) {
  ASSERT_EQ(cluster_.Call(CreateMany()).create_topics().topics_size(), kMany);
  Begin(DeleteMany());
  ExpectElectionMeanwhile(There(zkpath::DeleteTopic(Name(3))), There(zkpath::DeleteTopic(Name(kMany - 1))));
  EXPECT_EQ((*answer_)->delete_topics().topics_size(), kMany);
  cluster_.Start(victim_);
  ASSERT_TRUE(cluster_.Until([&] {
    for (int i = 0; i < kMany; ++i) {
      if (cluster_.Exists(zkpath::Topic(Name(i))) || cluster_.Exists(zkpath::DeleteTopic(Name(i))))
        return false;
    }
    return true;
  }));
}

TEST_P(TurnsTest, AnElectionDoesNotWaitForTheZnodesOfManyDeletedTopics) {
  ASSERT_EQ(cluster_.Call(CreateMany()).create_topics().topics_size(), kMany);
  Begin(DeleteMany());
  const auto gone = [&](int i) { return [this, i] { return !cluster_.Exists(zkpath::Topic(Name(i))); }; };
  ExpectElectionMeanwhile(gone(3), gone(kMany - 1));
}

// Brokers may have deleted their replicas of it: told that it is there they would make it anew.
TEST_P(TurnsTest, ANewControllerTellsNobodyOfATopicThatIsBeingDeleted) {
  ASSERT_EQ(cluster_.Call(CreateMany()).create_topics().topics_size(), kMany);
  cluster_.process(controller_).Pause();
  for (int i = 0; i < kMany; ++i) cluster_.zk().Poke(zkpath::DeleteTopic(Name(i)), "");
  cluster_.node(other_).states.clear();
  cluster_.node(victim_).states.clear();
  cluster_.Expire(controller_);
  // There is always something to do besides.
  for (int i = 0; i < 1000; ++i) {
    cluster_.zk().Poke(zkpath::DeleteTopic("nothing"), "");
    cluster_.world().RunFor(2ms);
    cluster_.zk().PokeDelete(zkpath::DeleteTopic("nothing"));
    cluster_.world().RunFor(2ms);
  }
  cluster_.world().RunFor(30s);
  for (const BrokerId id : {other_, victim_}) {
    EXPECT_FALSE(cluster_.node(id).states.empty());
    for (const auto& command : cluster_.node(id).states) {
      for (const auto& topic : command.topics()) EXPECT_EQ(topic.name(), "orders");
    }
  }
  cluster_.process(controller_).Resume();
}

TEST_P(TurnsTest, AnElectionDoesNotWaitForManyConfigs) {
  ASSERT_EQ(cluster_.Call(CreateMany()).create_topics().topics_size(), kMany);
  Begin(ConfigureMany());
  const auto changed = [&] { return cluster_.zk().PeekChildren(std::string(zkpath::kConfigChanges)).size(); };
  ExpectElectionMeanwhile([&] { return changed() > 3; }, [&] { return changed() >= kMany; });
  ASSERT_EQ((*answer_)->alter_configs().results_size(), kMany);
  for (const auto& result : (*answer_)->alter_configs().results())
    EXPECT_EQ(result.error().code(), v1::NONE) << result.error().message();
}

TEST_P(TurnsTest, AnIsrChangeDoesNotWaitForManyDeletions) {
  ASSERT_EQ(cluster_.Call(CreateMany()).create_topics().topics_size(), kMany);
  Begin(DeleteMany());
  ASSERT_TRUE(cluster_.Until([&] { return cluster_.Exists(zkpath::DeleteTopic(Name(3))); }));
  const auto changed = cluster_.AlterIsr("orders", {victim_, other_});
  EXPECT_EQ(changed.partitions(0).error().code(), v1::NONE) << changed.partitions(0).error().message();
  EXPECT_THAT(cluster_.IsrOf("orders"), UnorderedElementsAre(victim_, other_));
  EXPECT_FALSE(cluster_.Exists(zkpath::DeleteTopic(Name(kMany - 1))));
  ASSERT_TRUE(cluster_.Until([&] { return answer_.has_value(); }));
}

INSTANTIATE_TEST_SUITE_P(Seeds, TurnsTest, ::testing::Values(1, 2, 3));

}  // namespace
}  // namespace tidemark::testing
