#include "client/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/list_offsets.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

class ClusterTest : public ::testing::Test {
 protected:
  Result<v1::Response> CallAny(Duration first_contact, Duration limit) {
    ClientOptions options;
    options.bootstrap = fakes_.bootstrap();
    options.first_contact_timeout = first_contact;
    options.on_no_contact = on_no_contact_;
    Cluster cluster(env_, env_.loop, options);
    v1::Request request;
    request.mutable_metadata();
    auto response = env_.Run(cluster.CallAny(std::move(request), env_.loop.Now() + limit, {}));
    env_.Run(cluster.Close());
    return response;
  }

  std::function<void(const Error&)> on_no_contact_;
  MemoryEnvironment env_;
  FakeBrokers fakes_{env_, 2};
};

TEST_F(ClusterTest, AddressesThatNeverAnswerAreGivenUpEarlyWhereThatIsWanted) {
  fakes_.Stop(1);
  fakes_.Stop(2);
  const MonoTime began = env_.loop.Now();
  const auto refused = CallAny(10s, 60s);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::NETWORK_EXCEPTION);
  EXPECT_THAT(refused.error().message, HasSubstr("no broker could be reached in 10 s; the last try: "));
  EXPECT_LT(env_.loop.Now() - began, 20s);
}

TEST_F(ClusterTest, ThatNobodyAnswersIsToldOnceAfterTheFirstRoundWhileTriesGoOn) {
  fakes_.Stop(1);
  fakes_.Stop(2);
  const MonoTime began = env_.loop.Now();
  std::vector<Duration> told;
  on_no_contact_ = [&](const Error& last) {
    told.push_back(env_.loop.Now() - began);
    EXPECT_EQ(last.code, v1::NETWORK_EXCEPTION);
  };
  ASSERT_FALSE(CallAny(10s, 60s));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_LT(told.front(), 1s) << "not after the pauses";
  fakes_.Start(1);
  told.clear();
  EXPECT_TRUE(CallAny(10s, 60s));
  EXPECT_TRUE(told.empty()) << "somebody answered within the first round";
}

TEST_F(ClusterTest, WithoutThatLimitTheCallTakesItsWholeTime) {
  fakes_.Stop(1);
  fakes_.Stop(2);
  const MonoTime began = env_.loop.Now();
  ASSERT_FALSE(CallAny({}, 60s));
  EXPECT_GT(env_.loop.Now() - began, 55s);
}

TEST_F(ClusterTest, ATopicThatIsBeingDeletedIsAsGoodAsGoneAndSaysWhy) {
  fakes_.AddTopic("orders", 2);
  bool deleting = false;
  fakes_.on_metadata = [&](BrokerId, v1::MetadataResponse* told) {
    for (v1::TopicMetadata& topic : *told->mutable_topics()) topic.set_deleting(deleting);
  };
  ClientOptions options;
  options.bootstrap = fakes_.bootstrap();
  Cluster known(env_, env_.loop, options);
  ASSERT_TRUE(env_.Run(EnsureTopic(known, "orders", env_.loop.Now() + 60s, {})));
  EXPECT_EQ(known.Find("orders")->partitions[0].leader, 1);
  deleting = true;
  // Who has used it stops asking its leaders.
  const auto refreshed = env_.Run(known.Refresh("orders", env_.loop.Now() + 60s, {}));
  ASSERT_FALSE(refreshed);
  EXPECT_EQ(refreshed.error().code, v1::UNKNOWN_TOPIC_OR_PARTITION);
  for (const PartitionLeader& leader : known.Find("orders")->partitions) EXPECT_EQ(leader.leader, kNoBroker);
  // Who comes now is not left to wait for leaders.
  Cluster fresh(env_, env_.loop, options);
  const MonoTime began = env_.loop.Now();
  const auto found = env_.Run(EnsureTopic(fresh, "orders", began + 60s, {}));
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, "topic 'orders' is being deleted");
  EXPECT_LT(env_.loop.Now() - began, 10s);
  EXPECT_EQ(fresh.Find("orders"), nullptr);
  // The next topic of the name is another one.
  fakes_.topics.clear();
  fakes_.AddTopic("orders", 1, 7);
  deleting = false;
  EXPECT_TRUE(env_.Run(EnsureTopic(fresh, "orders", env_.loop.Now() + 60s, {})));
  EXPECT_TRUE(env_.Run(known.Refresh("orders", env_.loop.Now() + 60s, {})));
  EXPECT_EQ(known.Find("orders")->partitions.size(), 1u);
  for (Cluster* cluster : {&known, &fresh}) env_.Run(cluster->Close());
}

// A broker that is cut off from the others answers, and tells of former leaders for ever.
TEST_F(ClusterTest, WhoTellsNothingNewIsNotTheOnlyOneAsked) {
  fakes_.AddTopic("orders", 1).partitions[0] = {.leader = 2, .epoch = 7};
  fakes_.on_metadata = [](BrokerId broker, v1::MetadataResponse* told) {
    if (broker != 1) return;
    told->mutable_topics(0)->mutable_partitions(0)->set_leader(1);
    told->mutable_topics(0)->mutable_partitions(0)->set_leader_epoch(6);
  };
  ClientOptions options;
  options.bootstrap = {fakes_.bootstrap().front()};
  Cluster cluster(env_, env_.loop, options);
  const auto refreshed = [&] {
    EXPECT_TRUE(env_.Run(cluster.Refresh("orders", env_.loop.Now() + 10s, {})));
    return cluster.Find("orders")->partitions[0];
  };
  EXPECT_EQ(refreshed(), (PartitionLeader{1, 6}));
  EXPECT_EQ(refreshed(), (PartitionLeader{1, 6})) << "the one with a connection is asked first";
  EXPECT_EQ(refreshed(), (PartitionLeader{2, 7}));
  EXPECT_EQ(refreshed(), (PartitionLeader{2, 7})) << "what is old is not taken back";
  env_.Run(cluster.Close());
}

TEST_F(ClusterTest, OneBrokerOfTheListIsEnough) {
  fakes_.Stop(1);
  EXPECT_TRUE(CallAny(10s, 60s));
}

}  // namespace
}  // namespace tidemark::testing
