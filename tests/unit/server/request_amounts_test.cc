// How much one request may ask: the limit itself is taken, one more is refused, for every kind of request.
#include "broker/server/request_amounts.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/request_limits.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Kind {
  const char* name;
  size_t most;
  std::function<void(v1::Request&, size_t)> ask;  // that many
};

std::vector<Kind> Kinds() {
  return {
      {"metadata", kMaxTopicsAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_metadata()->add_topics();
       }},
      {"describe topics", kMaxTopicsAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_describe_topics()->add_names("t");
       }},
      {"delete topics", kMaxTopicsAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_delete_topics()->add_names("t");
       }},
      {"describe replicas", kMaxTopicsAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_describe_replicas()->add_topic_ids();
       }},
      {"describe log dirs", kMaxTopicsAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_describe_log_dirs()->add_topic_ids();
       }},
      {"describe configs", kMaxEntitiesAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_describe_configs()->add_entities();
       }},
      {"alter configs", kMaxEntitiesAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_alter_configs()->add_changes();
       }},
      {"configs set or removed", kMaxConfigsAltered,
       [](v1::Request& r, size_t n) {
         auto& one = *r.mutable_alter_configs()->add_changes();
         auto& other = *r.mutable_alter_configs()->add_changes();
         (*one.mutable_set())["a"] = "b";
         while (n-- > 1) other.add_remove("c");
       }},
      {"configs of new topics", kMaxConfigsAltered,
       [](v1::Request& r, size_t n) {
         auto& topic = *r.mutable_create_topics()->add_topics();
         while (n-- > 0) (*topic.mutable_configs())[std::to_string(n)] = "x";
       }},
      {"replicas chosen by hand", kMaxReplicasMade,
       [](v1::Request& r, size_t n) {
         auto& topic = *r.mutable_create_topics()->add_topics();
         topic.add_assignments()->add_replicas(1);
         auto& assignment = *topic.add_assignments();
         while (n-- > 1) assignment.add_replicas(1);
       }},
      {"replicas of new partitions", kMaxReplicasMade,
       [](v1::Request& r, size_t n) {
         auto& assignment = *r.mutable_create_partitions()->add_topics()->add_assignments();
         while (n-- > 0) assignment.add_replicas(1);
       }},
      {"create topics", kMaxEntitiesAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_create_topics()->add_topics();
       }},
      {"partitions made", kMaxPartitionsMade,
       [](v1::Request& r, size_t n) {
         r.mutable_create_topics()->add_topics()->set_partitions(static_cast<uint32_t>(n - 2));
         r.mutable_create_topics()->add_topics();  // the broker's default number
         r.mutable_create_topics()->add_topics()->add_assignments();
       }},
      {"partitions that would overflow", kMaxPartitionsMade,
       [](v1::Request& r, size_t n) {
         const uint32_t each = n > kMaxPartitionsMade ? ~uint32_t{0} : 1;
         for (int i = 0; i < 1000; ++i) r.mutable_create_topics()->add_topics()->set_partitions(each);
       }},
      {"create partitions", kMaxPartitionsMade,
       [](v1::Request& r, size_t n) {
         r.mutable_create_partitions()->add_topics()->set_partitions(static_cast<uint32_t>(n));
       }},
      {"produce", kMaxPartitionsProduced,
       [](v1::Request& r, size_t n) {
         r.mutable_produce()->set_acks(1);
         auto& topic = *r.mutable_produce()->add_topics();
         while (n-- > 0) topic.add_partitions();
       }},
      {"list offsets", kMaxPartitionsListed,
       [](v1::Request& r, size_t n) {
         r.mutable_list_offsets()->add_topics();  // counts as one
         auto& topic = *r.mutable_list_offsets()->add_topics();
         while (n-- > 1) topic.add_partitions();
       }},
      {"delete records", kMaxPartitionsListed,
       [](v1::Request& r, size_t n) {
         auto& topic = *r.mutable_delete_records()->add_topics();
         while (n-- > 0) topic.add_partitions();
       }},
      {"list groups", kMaxStatesAsked,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_list_groups()->add_states(v1::GROUP_STATE_STABLE);
       }},
      {"alter replica log dirs", kMaxPartitionsListed,
       [](v1::Request& r, size_t n) {
         while (n-- > 0) r.mutable_alter_replica_log_dirs()->add_moves();
       }},
  };
}

TEST(RequestAmounts, TheLimitIsTakenAndOneMoreRefused) {
  for (const Kind& kind : Kinds()) {
    SCOPED_TRACE(kind.name);
    v1::Request most;
    kind.ask(most, kind.most);
    EXPECT_TRUE(CheckAmountAsked(most)) << ToString(CheckAmountAsked(most).error());
    v1::Request more;
    kind.ask(more, kind.most + 1);
    const Result<> refused = CheckAmountAsked(more);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, v1::INVALID_REQUEST);
    EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(kind.most)));
  }
}

TEST(RequestAmounts, AllOfOneTypeIsAskedForOnce) {
  v1::Request request;
  request.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_BROKER);
  request.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_CLIENT);
  EXPECT_TRUE(CheckAmountAsked(request));
  request.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_BROKER);
  EXPECT_EQ(CheckAmountAsked(request).error().code, v1::INVALID_REQUEST);
}

TEST(RequestAmounts, ABrokerRefusesBeforeItBegins) {
  SimBrokers cluster(11, 1);
  cluster.StartAll();
  cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  for (const Kind& kind : Kinds()) {
    SCOPED_TRACE(kind.name);
    v1::Request more;
    kind.ask(more, kind.most + 1);
    const Result<v1::Response> answer = cluster.Call(0, more);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, v1::INVALID_REQUEST) << ToString(answer.error());
  }
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(RequestAmounts, MetadataTellsATopicOnceAndHintsOfAFew) {
  SimBrokers cluster(12, 1);
  cluster.StartAll();
  cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  v1::Request request;
  for (int i = 0; i < 3; ++i) request.mutable_metadata()->add_topics()->set_name("orders");
  for (int i = 0; i < 20; ++i)
    request.mutable_metadata()->add_topics()->set_name("order_" + std::string(1, static_cast<char>('a' + i)));
  const Result<v1::Response> answer = cluster.Call(0, request);
  ASSERT_TRUE(answer);
  const auto& topics = answer->metadata().topics();
  ASSERT_EQ(topics.size(), 21);
  EXPECT_EQ(topics[0].name(), "orders");
  EXPECT_THAT(topics[1].error().message(), HasSubstr("did you mean 'orders'"));
  EXPECT_THAT(topics[8].error().message(), HasSubstr("did you mean"));
  EXPECT_EQ(topics[9].error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_THAT(topics[9].error().message(), Not(HasSubstr("did you mean")));
  EXPECT_TRUE(cluster.Stop(0));
}

}  // namespace
}  // namespace tidemark
