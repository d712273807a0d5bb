// Admin calls whose answers are lost: what a repeated call finds may be its own work.
#include "client/admin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "client/admin_retries.h"
#include "client/delete_records.h"
#include "client/list_offsets.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

// Brokers over one obedient controller.
class AdminTest : public ::testing::Test {
 protected:
  AdminTest() {
    fakes_.on_other = [this](BrokerId, const v1::Request& request) { return Serve(request); };
    ClientOptions options;
    options.bootstrap = fakes_.bootstrap();
    options.on_slow_call = [this](const std::optional<Error>& last, Duration left) {
      told_.push_back(fmt::format("{} {}", last ? last->message : "nothing", (left + 500ms) / 1s));
    };
    cluster_.emplace(env_, env_.loop, options);
    admin_.emplace(*cluster_);
  }
  ~AdminTest() override { env_.Run(cluster_->Close()); }

  struct Topic {
    int partitions = 1;
    int replicas = 1;
    std::map<std::string, std::string> configs{};
  };

  Result<v1::Response> Serve(const v1::Request& request) {
    v1::Response response;
    for (const auto& wish : request.create_topics().topics()) Create(wish, &response);
    for (const auto& name : request.delete_topics().names()) {
      auto* told = response.mutable_delete_topics()->add_topics();
      told->set_name(name);
      if (there_.erase(name) == 0)
        ToProto({v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic"}, told->mutable_error());
    }
    for (const auto& wish : request.create_partitions().topics()) Grow(wish, &response);
    for (const auto& name : request.describe_topics().names()) Describe(name, &response);
    for (const auto& entity : request.describe_configs().entities()) {
      auto* result = response.mutable_describe_configs()->add_results();
      *result->mutable_entity() = entity;
      for (const auto& [key, value] : there_[entity.name()].configs) {
        auto* entry = result->add_entries();
        entry->set_name(key);
        entry->set_value(value);
        entry->set_source(v1::CONFIG_SOURCE_DYNAMIC_TOPIC);
      }
    }
    const bool write = !request.has_describe_topics() && !request.has_describe_configs();
    if (write && lost_ > 0) {
      --lost_;
      return Fail(v1::CANCELLED);
    }
    if (write && failing_) return std::unexpected(*failing_);
    return response;
  }
  void Create(const v1::CreateTopicsRequest::Topic& wish, v1::Response* response) {
    auto* told = response->mutable_create_topics()->add_topics();
    told->set_name(wish.name());
    if (there_.contains(wish.name())) {
      ToProto({v1::TOPIC_ALREADY_EXISTS, "topic exists"}, told->mutable_error());
      return;
    }
    there_[wish.name()] = {static_cast<int>(wish.partitions()),
                           static_cast<int>(wish.replication_factor()),
                           {wish.configs().begin(), wish.configs().end()}};
  }
  void Grow(const v1::CreatePartitionsRequest::Topic& wish, v1::Response* response) {
    auto* told = response->mutable_create_partitions()->add_topics();
    told->set_name(wish.name());
    Topic& topic = there_[wish.name()];
    if (static_cast<int>(wish.partitions()) <= topic.partitions)
      ToProto({v1::INVALID_PARTITIONS, "their number can only grow"}, told->mutable_error());
    topic.partitions = std::max(topic.partitions, static_cast<int>(wish.partitions()));
  }
  void Describe(const std::string& name, v1::Response* response) {
    auto* told = response->mutable_describe_topics()->add_topics();
    told->set_name(name);
    told->set_id(std::string(16, 'i'));
    for (int p = 0; p < there_[name].partitions; ++p) {
      auto* partition = told->add_partitions();
      partition->set_partition(static_cast<uint32_t>(p));
      for (int r = 0; r < there_[name].replicas; ++r) partition->add_replicas(r);
    }
  }

  v1::CreateTopicsResponse::Topic Create(const std::string& name, uint32_t partitions,
                                         std::map<std::string, std::string> configs = {}) {
    v1::CreateTopicsRequest request;
    request.set_timeout_ms(1000);
    auto* topic = request.add_topics();
    topic->set_name(name);
    topic->set_partitions(partitions);
    topic->set_replication_factor(2);
    topic->mutable_configs()->insert(configs.begin(), configs.end());
    const auto response = env_.Run(admin_->CreateTopics(request, env_.loop.Now() + 300s));
    CHECK(response) << ToString(response.error());
    return response->topics(0);
  }
  ErrorCode Delete(const std::string& name) {
    v1::DeleteTopicsRequest request;
    request.set_timeout_ms(1000);
    request.add_names(name);
    const auto response = env_.Run(admin_->DeleteTopics(request, env_.loop.Now() + 300s));
    return response ? response->topics(0).error().code() : response.error().code;
  }
  ErrorCode Grow(const std::string& name, uint32_t partitions) {
    v1::CreatePartitionsRequest request;
    request.set_timeout_ms(1000);
    request.add_topics()->set_name(name);
    request.mutable_topics(0)->set_partitions(partitions);
    const auto response = env_.Run(admin_->CreatePartitions(request, env_.loop.Now() + 300s));
    return response ? response->topics(0).error().code() : response.error().code;
  }

  std::map<std::string, Topic> there_;
  int lost_ = 0;  // answers
  std::optional<Error> failing_;
  std::vector<std::string> told_;
  MemoryEnvironment env_;
  FakeBrokers fakes_{env_, 2};
  std::optional<Cluster> cluster_;
  std::optional<Admin> admin_;
};

TEST_F(AdminTest, WhatAnEarlierTryHasCreatedIsCreated) {
  lost_ = 1;
  const auto told = Create("orders", 3, {{"retention.ms", "5"}});
  EXPECT_EQ(told.error().code(), v1::NONE) << told.error().message();
  EXPECT_EQ(told.partitions(), 3u);
  EXPECT_EQ(told.replication_factor(), 2u);
  EXPECT_EQ(told.id(), std::string(16, 'i'));
}

TEST_F(AdminTest, WhatIsThereOtherwiseThanAskedIsAnothers) {
  there_["orders"] = {3, 2, {}};
  lost_ = 1;
  auto told = Create("orders", 4);
  EXPECT_EQ(told.error().code(), v1::TOPIC_ALREADY_EXISTS);
  EXPECT_THAT(told.error().message(), HasSubstr("not what was asked: it has 3 partitions"));
  lost_ = 1;
  told = Create("orders", 3, {{"retention.ms", "5"}});
  EXPECT_EQ(told.error().code(), v1::TOPIC_ALREADY_EXISTS);
  EXPECT_THAT(told.error().message(), HasSubstr("other configs"));
}

TEST_F(AdminTest, WhatWasThereBeforeTheOnlyTryIsAnothers) {
  there_["orders"] = {3, 2, {}};
  EXPECT_EQ(Create("orders", 3).error().code(), v1::TOPIC_ALREADY_EXISTS);
  // A try that was never sent has done nothing.
  fakes_.Stop(1);
  EXPECT_EQ(Create("orders", 3).error().code(), v1::TOPIC_ALREADY_EXISTS);
  EXPECT_EQ(Delete("nothing"), v1::UNKNOWN_TOPIC_OR_PARTITION);
}

// What the broker that was asked has forwarded may be done though the answer came back.
TEST_F(AdminTest, AnErrorThatSaysThatTheOutcomeIsUnknownCounts) {
  failing_ = {v1::BROKER_NOT_READY, "the controller has gone", true};
  v1::CreateTopicsRequest request;
  request.add_topics()->set_name("orders");
  const auto response = env_.Run(admin_->CreateTopics(request, env_.loop.Now() + 20s));
  ASSERT_FALSE(response);
  EXPECT_TRUE(response.error().unknown_outcome);
  EXPECT_THAT(told_, ::testing::ElementsAre("the controller has gone 15"));
  there_.clear();
  failing_ = {v1::BROKER_NOT_READY, "no ZooKeeper"};
  const auto known = env_.Run(admin_->CreateTopics(request, env_.loop.Now() + 20s));
  ASSERT_FALSE(known);
  EXPECT_FALSE(known.error().unknown_outcome);
}

TEST_F(AdminTest, WhatAnEarlierTryHasDeletedIsDeleted) {
  there_["orders"] = {};
  lost_ = 1;
  EXPECT_EQ(Delete("orders"), v1::NONE);
  EXPECT_EQ(Delete("orders"), v1::UNKNOWN_TOPIC_OR_PARTITION) << "this call has lost no answer";
}

TEST_F(AdminTest, PartitionsThatAnEarlierTryHasAddedAreAdded) {
  there_["orders"] = {.partitions = 2, .replicas = 2};
  lost_ = 1;
  EXPECT_EQ(Grow("orders", 4), v1::NONE);
  lost_ = 1;
  EXPECT_EQ(Grow("orders", 3), v1::INVALID_PARTITIONS) << "there are 4";
  EXPECT_EQ(Grow("orders", 4), v1::INVALID_PARTITIONS) << "this call has lost no answer";
}

TEST_F(AdminTest, WhatIsReadFromABrokerIsToldOfWhenItTakesLongAndNeverMayHaveBeenDone) {
  // So that the brokers are known.
  ASSERT_TRUE(env_.Run(admin_->Metadata({}, kNoBroker, env_.loop.Now() + 20s)));
  fakes_.frozen = {2};
  v1::DescribeConfigsRequest request;
  request.add_entities()->set_name("2");
  const auto configs = env_.Run(admin_->DescribeConfigs(request, env_.loop.Now() + 20s, 2));
  ASSERT_FALSE(configs);
  EXPECT_EQ(configs.error().code, v1::REQUEST_TIMED_OUT);
  EXPECT_FALSE(configs.error().unknown_outcome);
  EXPECT_THAT(told_, ::testing::ElementsAre("broker 2 has not answered 15"));
  told_.clear();
  const auto directories = env_.Run(admin_->DescribeLogDirs(2, {}, env_.loop.Now() + 20s));
  ASSERT_FALSE(directories);
  EXPECT_FALSE(directories.error().unknown_outcome);
  EXPECT_THAT(told_, ::testing::ElementsAre("broker 2 has not answered 15"));
}

TEST_F(AdminTest, ACallThatIsNotAnsweredIsToldOfAndThenWhy) {
  fakes_.frozen = {1, 2};
  v1::DeleteTopicsRequest request;
  request.set_timeout_ms(30'000);
  request.add_names("orders");
  const auto response = env_.Run(admin_->DeleteTopics(request, env_.loop.Now() + 60s));
  ASSERT_FALSE(response);
  EXPECT_TRUE(response.error().unknown_outcome);
  EXPECT_THAT(told_, ::testing::ElementsAre("nothing 55", HasSubstr("no answer from")));
}

TEST(AdminRetries, ATopicByHandIsComparedReplicaByReplica) {
  v1::CreateTopicsRequest::Topic wish;
  wish.add_assignments()->add_replicas(3);
  v1::TopicMetadata there;
  there.add_partitions()->add_replicas(3);
  EXPECT_EQ(DifferenceFrom(wish, there, {}), "");
  there.mutable_partitions(0)->set_replicas(0, 2);
  EXPECT_EQ(DifferenceFrom(wish, there, {}), "partition 0 has other replicas");
  there.mutable_partitions(0)->set_replicas(0, 3);
  there.set_deleting(true);
  EXPECT_EQ(DifferenceFrom(wish, there, {}), "it is being deleted");
}

TEST_F(AdminTest, AQuestionForOffsetsThatNobodyAnswersIsToldOf) {
  fakes_.AddTopic("orders", 2).partitions[1].leader = kNoBroker;
  const auto ask = [&](Telling telling) {
    return env_.Run(
        AskOffsets(*cluster_, "orders", {0, 1}, kLatestTimestamp, env_.loop.Now() + 30s, {}, telling));
  };
  const auto answers = ask(Telling::kSlow);
  ASSERT_TRUE(answers) << answers.error().message;
  EXPECT_TRUE((*answers)[0].offset);
  EXPECT_FALSE((*answers)[1].offset);
  EXPECT_THAT(told_, ::testing::ElementsAre("no leader for orders-1 25"));
  (void)ask(Telling::kNever);
  EXPECT_EQ(told_.size(), 1u);
  (void)env_.Run(AskDeletion(*cluster_, {{"orders", 1, 0}}, env_.loop.Now() + 30s, {}));
  EXPECT_THAT(told_, ::testing::ElementsAre(::testing::_, HasSubstr("orders-1")));
}

}  // namespace
}  // namespace tidemark::testing
