// Broker configs that change at run time, over the bare protocol, in whole brokers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/net/rpc_channel.h"
#include "common/zk/zk_paths.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::AllOf;
using testing::HasSubstr;

v1::AlterConfigsResponse::Result Alter(SimBrokers& cluster, v1::ConfigEntityType type,
                                       const std::string& name, const std::map<std::string, std::string>& set,
                                       const std::vector<std::string>& remove = {}) {
  v1::Request request;
  auto& change = *request.mutable_alter_configs()->add_changes();
  change.mutable_entity()->set_type(type);
  change.mutable_entity()->set_name(name);
  for (const auto& [key, value] : set) (*change.mutable_set())[key] = value;
  for (const std::string& key : remove) change.add_remove(key);
  const Result<v1::Response> answer = cluster.Call(0, request);
  CHECK(answer) << answer.error().message;
  return answer->alter_configs().results(0);
}

v1::DescribeConfigsResponse::Result Describe(SimBrokers& cluster, int asked, v1::ConfigEntityType type,
                                             const std::string& name, bool all) {
  v1::Request request;
  auto* entity = request.mutable_describe_configs()->add_entities();
  entity->set_type(type);
  entity->set_name(name);
  request.mutable_describe_configs()->set_include_defaults(all);
  const Result<v1::Response> answer = cluster.Call(asked, request);
  CHECK(answer) << answer.error().message;
  return answer->describe_configs().results(0);
}

std::string ValueOf(const v1::DescribeConfigsResponse::Result& result, std::string_view name) {
  for (const auto& entry : result.entries()) {
    if (entry.name() == name)
      return fmt::format("{} {}", entry.value(), v1::ConfigSource_Name(entry.source()));
  }
  return "";
}

std::vector<std::string> PassedOver(const v1::DescribeConfigsResponse::Result& result) {
  std::vector<std::string> out;
  for (const auto& one : result.passed_over()) {
    out.push_back(fmt::format("{}={} {}: {}", one.name(), one.value(), v1::ConfigSource_Name(one.source()),
                              one.reason()));
  }
  return out;
}

bool Until(SimBrokers& cluster, const std::function<bool()>& done) {
  for (int i = 0; i < 100; ++i) {
    if (done()) return true;
    cluster.world().RunFor(100ms);
  }
  return false;
}

constexpr auto kBroker = v1::CONFIG_ENTITY_TYPE_BROKER;
constexpr auto kTopic = v1::CONFIG_ENTITY_TYPE_TOPIC;

TEST(DynamicBrokerConfigs, MessageMaxBytesOfAllBrokersCountsAtOnceAndEnds) {
  SimBrokers cluster(1, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  const std::string record(5000, 'x');
  EXPECT_EQ(cluster.ProduceOnce(0, id, 0, {record}).error().code(), v1::NONE);
  EXPECT_EQ(Alter(cluster, kBroker, "", {{"message.max.bytes", "2000"}}).error().code(), v1::NONE);
  EXPECT_TRUE(Until(cluster, [&] {
    return cluster.ProduceOnce(0, id, 0, {record}).error().code() == v1::MESSAGE_TOO_LARGE;
  }));
  // The topic's own value stands over it.
  EXPECT_EQ(Alter(cluster, kTopic, "orders", {{"max.message.bytes", "9000"}}).error().code(), v1::NONE);
  EXPECT_TRUE(
      Until(cluster, [&] { return cluster.ProduceOnce(0, id, 0, {record}).error().code() == v1::NONE; }));
  EXPECT_EQ(Alter(cluster, kTopic, "orders", {}, {"max.message.bytes"}).error().code(), v1::NONE);
  EXPECT_TRUE(Until(cluster, [&] {
    return cluster.ProduceOnce(0, id, 0, {record}).error().code() == v1::MESSAGE_TOO_LARGE;
  }));
  EXPECT_EQ(Alter(cluster, kBroker, "", {}, {"message.max.bytes"}).error().code(), v1::NONE);
  EXPECT_TRUE(
      Until(cluster, [&] { return cluster.ProduceOnce(0, id, 0, {record}).error().code() == v1::NONE; }));
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(DynamicBrokerConfigs, AreInForceAgainAfterARestart) {
  SimBrokers cluster(2, 1);
  cluster.StartAll();
  EXPECT_EQ(Alter(cluster, kBroker, "0", {{"num.partitions", "5"}}).error().code(), v1::NONE);
  EXPECT_TRUE(cluster.Stop(0));
  ASSERT_TRUE(cluster.Start(0));
  EXPECT_EQ(ValueOf(Describe(cluster, 0, kBroker, "0", true), "num.partitions"),
            "5 CONFIG_SOURCE_DYNAMIC_BROKER");
  cluster.CreateTopic("orders", 0, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  EXPECT_EQ(cluster.Metadata("orders")->partitions_size(), 5);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(DynamicBrokerConfigs, DescribeShowsEachValueAndItsSource) {
  SimBrokers cluster(3, 2, {{"log.segment.bytes", "20000"}});
  cluster.StartAll();
  EXPECT_EQ(Alter(cluster, kBroker, "", {{"log.segment.bytes", "30000"}, {"log.retention.ms", "60000"}})
                .error()
                .code(),
            v1::NONE);
  EXPECT_EQ(Alter(cluster, kBroker, "1", {{"log.segment.bytes", "40000"}}).error().code(), v1::NONE);
  const auto zero = Describe(cluster, 0, kBroker, "0", true);
  EXPECT_EQ(ValueOf(zero, "log.segment.bytes"), "30000 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER");
  EXPECT_EQ(ValueOf(zero, "zookeeper.connect"), "zookeeper:2181 CONFIG_SOURCE_STATIC_BROKER");
  EXPECT_EQ(ValueOf(zero, "num.partitions"), "1 CONFIG_SOURCE_DEFAULT");
  EXPECT_EQ(ValueOf(Describe(cluster, 1, kBroker, "1", true), "log.segment.bytes"),
            "40000 CONFIG_SOURCE_DYNAMIC_BROKER");
  // Of another broker what ZooKeeper holds, and no more.
  EXPECT_EQ(ValueOf(Describe(cluster, 0, kBroker, "1", false), "log.segment.bytes"),
            "40000 CONFIG_SOURCE_DYNAMIC_BROKER");
  EXPECT_EQ(Describe(cluster, 0, kBroker, "1", true).error().code(), v1::WRONG_BROKER);
  EXPECT_EQ(ValueOf(Describe(cluster, 1, kBroker, "", false), "log.retention.ms"),
            "60000 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER");
  cluster.CreateTopic("orders", 1, 1);
  EXPECT_EQ(ValueOf(Describe(cluster, 0, kTopic, "orders", true), "retention.ms"),
            "60000 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER");
  for (const int id : {0, 1}) EXPECT_TRUE(cluster.Stop(id));
}

TEST(DynamicBrokerConfigs, WhoeverIsAskedOfATopicTellsWhatWasWrittenBefore) {
  SimBrokers cluster(1, 2);
  cluster.StartAll();
  cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  for (int i = 0; i < 20; ++i) {
    const int asked = i % 2;
    const std::string hour = std::to_string(3'600'000 + i);
    ASSERT_EQ(Alter(cluster, kBroker, std::to_string(asked), {{"log.retention.ms", hour}}).error().code(),
              v1::NONE);
    ASSERT_EQ(ValueOf(Describe(cluster, asked, kTopic, "orders", true), "retention.ms"),
              hour + " CONFIG_SOURCE_DYNAMIC_BROKER");
  }
}

TEST(DynamicBrokerConfigs, RefusesWhatIsWrongAndWarnsOfWhatCannotBeMet) {
  SimBrokers cluster(4, 1);
  cluster.StartAll();
  const auto refused = [&](const std::string& broker, const std::string& name, const std::string& value) {
    const auto result = Alter(cluster, kBroker, broker, {{name, value}});
    EXPECT_NE(result.error().code(), v1::NONE) << name;
    return result.error().message();
  };
  EXPECT_THAT(refused("", "log.retention.mss", "1"), HasSubstr("did you mean"));
  EXPECT_THAT(refused("", "log.dirs", "/x"), HasSubstr("cannot be changed at run time"));
  EXPECT_THAT(refused("", "log.open.files", "100"), HasSubstr("for one broker"));
  EXPECT_THAT(refused("zero", "num.partitions", "1"), HasSubstr("not a broker id"));
  EXPECT_THAT(refused("0", "num.partitions", "none"), HasSubstr("whole number"));
  EXPECT_THAT(refused("", "log.retention.ms", ""), HasSubstr("--delete-config"));
  EXPECT_THAT(refused("", "log.retention.ms", std::string(100'000, '0') + "1"), HasSubstr("bytes"));
  EXPECT_FALSE(cluster.world().zookeeper().Peek(zkpath::BrokerConfig(std::nullopt)));
  const auto warned = Alter(cluster, kBroker, "", {{"min.insync.replicas", "2"}});
  EXPECT_EQ(warned.error().code(), v1::NONE);
  ASSERT_EQ(warned.warnings_size(), 1);
  EXPECT_THAT(warned.warnings(0), HasSubstr("live brokers"));
  EXPECT_THAT(Alter(cluster, kBroker, "7", {{"log.retention.ms", "2"}}).warnings(0), HasSubstr("not live"));
  EXPECT_THAT(Alter(cluster, kBroker, "0", {{"num.partitions", "2"}}).warnings(0),
              HasSubstr("may differ between brokers"));
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(DynamicBrokerConfigs, WhatIsBadInZooKeeperLeavesTheLastGoodInForce) {
  SimBrokers cluster(5, 1);
  cluster.StartAll();
  EXPECT_EQ(Alter(cluster, kBroker, "", {{"num.partitions", "4"}}).error().code(), v1::NONE);
  const auto value = [&] { return ValueOf(Describe(cluster, 0, kBroker, "0", true), "num.partitions"); };
  EXPECT_EQ(value(), "4 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER");
  for (const char* bad : {"not json", R"({"version":1,"config":{"num.partitions":"zero"}})", "[]"}) {
    cluster.world().zookeeper().Poke(zkpath::BrokerConfig(std::nullopt), bad);
    EXPECT_EQ(value(), "4 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER") << bad;
  }
  cluster.world().zookeeper().Poke(zkpath::BrokerConfig(std::nullopt),
                                   R"({"version":1,"config":{"num.partitions":"6"}})");
  EXPECT_EQ(value(), "6 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER");
  EXPECT_TRUE(cluster.Stop(0));
}

uint32_t PartitionsOfNew(SimBrokers& cluster) {
  static int number = 0;
  const std::string name = "new" + std::to_string(number++);
  cluster.CreateTopic(name, 0, 1);
  EXPECT_TRUE(cluster.WaitForLeaders(name));
  return static_cast<uint32_t>(cluster.Metadata(name)->partitions_size());
}

// Whatever happened to notifications while a broker was away.
TEST(DynamicBrokerConfigs, WhatChangedDuringALostSessionIsCaughtUp) {
  for (const bool expired : {true, false}) {
    SimBrokers cluster(11, 1);
    cluster.StartAll();
    SimZooKeeper& zookeeper = cluster.world().zookeeper();
    EXPECT_EQ(PartitionsOfNew(cluster), 1u);
    // Written with no notification at all: only reading everything again brings it.
    zookeeper.Poke(zkpath::BrokerConfig(std::nullopt), R"({"version":1,"config":{"num.partitions":"3"}})");
    cluster.world().RunFor(30s);
    EXPECT_EQ(PartitionsOfNew(cluster), 1u);
    if (expired) {
      for (const int64_t session : zookeeper.sessions()) zookeeper.Expire(session);
    } else {
      zookeeper.DropConnections();
    }
    EXPECT_TRUE(Until(cluster, [&] { return PartitionsOfNew(cluster) == 3; })) << expired;
    EXPECT_TRUE(cluster.Stop(0));
  }
}

TEST(DynamicBrokerConfigs, ABadNotificationStopsNoOther) {
  SimBrokers cluster(12, 1);
  cluster.StartAll();
  SimZooKeeper& zookeeper = cluster.world().zookeeper();
  int number = 900;
  for (const char* bad :
       {"no json", R"({"version":2,"entity_path":"clients/"})",
        R"({"version":2,"entity_path":"clients/a//b"})", R"({"version":2,"entity_path":"brokers/x"})",
        R"({"version":2,"entity_path":""})"}) {
    zookeeper.Poke(fmt::format("/config/changes/config_change_0000000{}", number++), bad);
  }
  zookeeper.Poke("/config/clients/%zz", R"({"version":1,"config":{"producer_byte_rate":"1"}})");
  EXPECT_EQ(Alter(cluster, kBroker, "", {{"num.partitions", "2"}}).error().code(), v1::NONE);
  EXPECT_TRUE(Until(cluster, [&] { return PartitionsOfNew(cluster) == 2; }));
  EXPECT_TRUE(cluster.Stop(0));
}

// The last good values are not known then: no record is to be deleted for want of them.
TEST(DynamicBrokerConfigs, AStartWithADamagedZnodeDeletesNothing) {
  SimBrokers cluster(14, 1, {{"log.retention.hours", "1"}});
  cluster.StartAll();
  const auto retention = [&] {
    return ValueOf(Describe(cluster, 0, kBroker, "0", true), "log.retention.ms");
  };
  for (const char* bad : {"not json", R"({"version":1,"config":{"log.retention.ms":"a week"}})"}) {
    cluster.world().zookeeper().Poke(zkpath::BrokerConfig(std::nullopt), bad);
    EXPECT_TRUE(cluster.Stop(0));
    ASSERT_TRUE(cluster.Start(0));
    EXPECT_EQ(retention(), "-1 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER") << bad;
    cluster.world().zookeeper().Poke(zkpath::BrokerConfig(std::nullopt), R"({"version":1,"config":{}})");
    EXPECT_EQ(retention(), " CONFIG_SOURCE_DEFAULT") << "it was mended";
  }
  EXPECT_TRUE(cluster.Stop(0));
}

// What does not fit this broker's own file is passed over alone.
TEST(DynamicBrokerConfigs, OneValueThatDoesNotFitKeepsNoOtherOut) {
  SimBrokers cluster(13, 1, {{"socket.request.max.bytes", "4000000"}});
  cluster.StartAll();
  cluster.world().zookeeper().Poke(
      zkpath::BrokerConfig(std::nullopt),
      R"({"version":1,"config":{"message.max.bytes":"8000000","num.partitions":"3"}})");
  EXPECT_TRUE(cluster.Stop(0));
  ASSERT_TRUE(cluster.Start(0));
  EXPECT_EQ(PartitionsOfNew(cluster), 3u);
  const auto described = Describe(cluster, 0, kBroker, "0", true);
  EXPECT_EQ(ValueOf(described, "message.max.bytes"), "1048588 CONFIG_SOURCE_DEFAULT");
  EXPECT_THAT(PassedOver(described),
              testing::ElementsAre(AllOf(HasSubstr("message.max.bytes=8000000"),
                                         HasSubstr("CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER"),
                                         HasSubstr("socket.request.max.bytes=4000000"))));
  EXPECT_TRUE(cluster.Stop(0));
}

// What somebody else wrote is told with why it does not count, beside what does.
TEST(DescribedConfigs, TellOfStoredValuesThatAreNotInForce) {
  SimBrokers cluster(17, 1);
  cluster.StartAll();
  ASSERT_EQ(Alter(cluster, kBroker, "", {{"log.retention.ms", "5000"}}).error().code(), v1::NONE);
  ASSERT_EQ(Describe(cluster, 0, kBroker, "0", false).passed_over_size(), 0);
  cluster.world().zookeeper().Poke(
      zkpath::BrokerConfig(std::nullopt),
      R"({"version":1,"config":{"log.retention.ms":"soon","num.partitions":"3","no.such":"1"}})");
  for (const std::string name : {"0", "", "7"}) {
    const auto described = Describe(cluster, 0, kBroker, name, false);
    EXPECT_EQ(ValueOf(described, "num.partitions"), "3 CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER") << name;
    EXPECT_THAT(PassedOver(described),
                testing::UnorderedElementsAre(
                    AllOf(HasSubstr("no.such=1"), HasSubstr("there is no")),
                    AllOf(HasSubstr("log.retention.ms=soon"), HasSubstr("5000 stays in force"))))
        << name;
  }
  cluster.world().zookeeper().Poke(zkpath::BrokerConfig(0), "no JSON");
  EXPECT_THAT(PassedOver(Describe(cluster, 0, kBroker, "0", false)),
              testing::Contains(AllOf(testing::StartsWith("="), HasSubstr("CONFIG_SOURCE_DYNAMIC_BROKER:"),
                                      HasSubstr("cannot be read"))));
  cluster.world().zookeeper().Poke("/config/topics/gone",
                                   R"({"version":1,"config":{"retention.ms":"later"}})");
  const auto topic = Describe(cluster, 0, v1::CONFIG_ENTITY_TYPE_TOPIC, "gone", true);
  EXPECT_EQ(ValueOf(topic, "cleanup.policy"), "delete CONFIG_SOURCE_DEFAULT");
  EXPECT_THAT(PassedOver(topic), testing::ElementsAre(HasSubstr("retention.ms=later")));
  cluster.world().zookeeper().Poke("/config/clients/app",
                                   R"({"version":1,"config":{"producer_byte_rate":"-1"}})");
  const auto client = Describe(cluster, 0, v1::CONFIG_ENTITY_TYPE_CLIENT, "app", false);
  EXPECT_EQ(ValueOf(client, "producer_byte_rate"), "");
  EXPECT_THAT(PassedOver(client), testing::ElementsAre(HasSubstr("producer_byte_rate=-1")));
  EXPECT_TRUE(cluster.Stop(0));
}

// The largest batch of a topic must fit into a request, as that of all brokers must.
TEST(DynamicTopicConfigs, ABatchThatNoRequestHoldsIsRefused) {
  SimBrokers cluster(19, 2, {{"socket.request.max.bytes", "4000000"}});
  cluster.StartAll();
  const auto set = [&](v1::ConfigEntityType type, const std::string& name, const std::string& config) {
    return Alter(cluster, type, name, {{config, "4000000"}}).error();
  };
  v1::Request create;
  create.mutable_create_topics()->set_timeout_ms(30'000);
  auto* topic = create.mutable_create_topics()->add_topics();
  topic->set_name("large");
  (*topic->mutable_configs())["max.message.bytes"] = "4000000";
  const auto refused = cluster.Call(0, create)->create_topics().topics(0).error();
  EXPECT_EQ(refused.code(), v1::INVALID_CONFIG);
  EXPECT_THAT(refused.message(), HasSubstr("socket.request.max.bytes=4000000"));
  (*topic->mutable_configs())["max.message.bytes"] = "3000000";
  EXPECT_EQ(cluster.Call(0, create)->create_topics().topics(0).error().code(), v1::NONE);
  EXPECT_THAT(set(v1::CONFIG_ENTITY_TYPE_TOPIC, "large", "max.message.bytes").message(),
              HasSubstr("does not fit into a request"));
  EXPECT_THAT(set(kBroker, "", "message.max.bytes").message(), HasSubstr("does not fit into a request"));
  // One broker's own is for that broker to judge: the controller does not know its file.
  EXPECT_THAT((std::vector{set(kBroker, "0", "message.max.bytes").code(),
                           set(kBroker, "1", "message.max.bytes").code()}),
              testing::UnorderedElementsAre(v1::INVALID_CONFIG, v1::NONE));
  EXPECT_TRUE(cluster.Stop(0));
  EXPECT_TRUE(cluster.Stop(1));
}

// A program with a client id, on a connection of its own.
class Client {
 public:
  Client(SimBrokers& cluster, const std::string& host, const std::string& client_id)
      : process_(cluster.world().StartProcess(host)),
        channel_(std::make_shared<RpcChannel>(process_.main_loop(), process_.transport(), process_.random(),
                                              Endpoint{"host0", 9092},
                                              RpcChannelOptions{.client_id = client_id})) {}
  ~Client() {
    process_.Await([channel = channel_] { return channel->Close(); });
  }
  MonoTime Now() { return process_.main_loop().Now(); }
  Result<v1::Response> Call(const v1::Request& request) {
    return process_.Await([channel = channel_, request] { return channel->Call(request, 60s, {}); });
  }
  // Sent at once; what it points to is filled with the answer and when it came.
  struct Answered {
    std::optional<Result<v1::Response>> response;
    MonoTime at;
  };
  std::shared_ptr<Answered> Begin(const v1::Request& request) {
    auto out = std::make_shared<Answered>();
    process_.Spawn("call", [this, request, out] { return Note(request, out); });
    return out;
  }
  // Milliseconds that the answer tells; -1 without an answer.
  int64_t ThrottleOf(const v1::Request& request) {
    const Result<v1::Response> answer =
        process_.Await([channel = channel_, request] { return channel->Call(request, 20s, {}); });
    return answer ? static_cast<int64_t>(answer->header().throttle_ms()) : -1;
  }

 private:
  Task<void> Note(v1::Request request, std::shared_ptr<Answered> out) {
    out->response = co_await channel_->Call(std::move(request), 60s, {});
    out->at = Now();
  }

  SimProcess& process_;
  std::shared_ptr<RpcChannel> channel_;
};

v1::Request ProduceOf(const TopicId& topic, size_t bytes) {
  v1::Request request;
  v1::ProduceRequest* produce = request.mutable_produce();
  produce->set_acks(1);
  auto* part = produce->add_topics();
  part->set_id(topic.ToBytes());
  // A batch that is refused counts as well: what is charged is what was sent.
  part->add_partitions()->add_batches()->set_body(std::string(bytes, 'x'));
  return request;
}

constexpr auto kClient = v1::CONFIG_ENTITY_TYPE_CLIENT;

TEST(ClientQuotas, AClientOverItsQuotaIsToldAndNoOtherIs) {
  SimBrokers cluster(6, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  const v1::Request produce = ProduceOf(id, 250'000);
  Client loud(cluster, "loud", "batch/load"), other(cluster, "quiet", "other");
  EXPECT_EQ(loud.ThrottleOf(produce), 0) << "there is no quota yet";
  EXPECT_EQ(Alter(cluster, kClient, "batch/load", {{"producer_byte_rate", "10000"}}).error().code(),
            v1::NONE);
  // Ten seconds' worth goes through; 250 kB are 15 seconds more.
  ASSERT_TRUE(Until(cluster, [&] { return loud.ThrottleOf(produce) > 14'000; }));
  MonoTime begun = other.Now();
  EXPECT_EQ(other.ThrottleOf(produce), 0);
  EXPECT_LT(other.Now() - begun, Duration(1s));
  begun = loud.Now();
  EXPECT_GT(loud.ThrottleOf(produce), 20'000);
  EXPECT_GE(loud.Now() - begun, Duration(14s)) << "its connection is not read meanwhile";
  // The delay ends with the quota, before its time.
  EXPECT_EQ(Alter(cluster, kClient, "batch/load", {}, {"producer_byte_rate"}).error().code(), v1::NONE);
  begun = loud.Now();
  EXPECT_EQ(loud.ThrottleOf(produce), 0);
  EXPECT_LT(loud.Now() - begun, Duration(5s));
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(ClientQuotas, HoldForAllConnectionsOfAClientTogether) {
  SimBrokers cluster(8, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  EXPECT_EQ(Alter(cluster, kClient, "", {{"producer_byte_rate", "10000"}}).error().code(), v1::NONE);
  cluster.world().RunFor(2s);
  const v1::Request produce = ProduceOf(id, 60'000);
  // Their connections are on both shards of the broker.
  Client first(cluster, "a", "app"), second(cluster, "b", "app"), third(cluster, "c", "another");
  EXPECT_EQ(first.ThrottleOf(produce), 0);
  EXPECT_GT(second.ThrottleOf(produce), 1000);
  EXPECT_EQ(third.ThrottleOf(produce), 0) << "the default is of each client id for itself";
  EXPECT_TRUE(cluster.Stop(0));
}

v1::Request FetchOf(const TopicId& topic, uint32_t max_wait_ms) {
  v1::Request request;
  v1::FetchRequest* fetch = request.mutable_fetch();
  fetch->set_max_wait_ms(max_wait_ms);
  fetch->set_min_bytes(1);
  auto* part = fetch->add_topics();
  part->set_id(topic.ToBytes());
  part->add_partitions()->set_max_bytes(1 << 20);
  return request;
}

size_t RecordsIn(const Result<v1::Response>& answer) {
  if (!answer || answer->fetch().topics_size() != 1) return SIZE_MAX;
  return answer->fetch().topics(0).partitions(0).records().size();
}

class FetchQuota : public testing::Test {
 protected:
  static constexpr size_t kBytes = 300'000;
  FetchQuota() : cluster_(9, 1, {{"offsets.topic.replication.factor", "1"}}) {
    cluster_.StartAll();
    id_ = cluster_.CreateTopic("orders", 1, 1);
    EXPECT_TRUE(cluster_.WaitForLeaders("orders"));
    (void)cluster_.Produce("orders", 0, {std::string(kBytes, 'x')});
  }
  ~FetchQuota() override { EXPECT_TRUE(cluster_.Stop(0)); }
  // Lets `client` fetch until it is over a quota of 10 kB/s, by 20 s; it is told 10 of them.
  void SetQuotaAndExceedIt(Client& client) {
    EXPECT_EQ(Alter(cluster_, kClient, "app", {{"consumer_byte_rate", "10000"}}).error().code(), v1::NONE);
    ASSERT_TRUE(Until(cluster_, [&] { return client.ThrottleOf(FetchOf(id_, 0)) == 10'000; }));
  }

  SimBrokers cluster_;
  TopicId id_;
};

TEST_F(FetchQuota, HoldsTheFetchesOfAConnectionAndNothingElseOnIt) {
  Client app(cluster_, "app", "app"), other(cluster_, "other", "other");
  SetQuotaAndExceedIt(app);
  const MonoTime over = app.Now();
  const auto held = app.Begin(FetchOf(id_, 5000));
  v1::Request heartbeat;
  auto& member = *heartbeat.mutable_consumer_group_heartbeat();
  member.set_group_id("readers");
  member.set_member_id("one");
  member.set_rebalance_timeout_ms(60'000);
  member.mutable_subscription()->add_topics("orders");
  // On the same connection, behind the fetch; whatever its answer is, it is there at once.
  const Result<v1::Response> beaten = app.Call(heartbeat);
  EXPECT_TRUE(beaten || beaten.error().code != v1::REQUEST_TIMED_OUT) << beaten.error().message;
  EXPECT_LT(app.Now() - over, Duration(1s));
  const Result<v1::Response> others = other.Call(FetchOf(id_, 0));
  EXPECT_GT(RecordsIn(others), kBytes);
  EXPECT_EQ(others->header().throttle_ms(), 0u);
  EXPECT_LT(app.Now() - over, Duration(2s));
  ASSERT_TRUE(Until(cluster_, [&] { return held->response.has_value(); }));
  // At the end of its own wait it is told that it is over still.
  EXPECT_GE(held->at - over, Duration(5s));
  EXPECT_LT(held->at - over, Duration(6s));
  EXPECT_EQ(RecordsIn(*held->response), 0u);
  EXPECT_EQ((*held->response)->header().throttle_ms(), 10'000u);
}

TEST_F(FetchQuota, WhoWaitsGetsRecordsWhenItsTimeHasCome) {
  Client app(cluster_, "app", "app");
  SetQuotaAndExceedIt(app);
  const MonoTime over = app.Now();
  const Result<v1::Response> answer = app.Call(FetchOf(id_, 50'000));
  EXPECT_GT(RecordsIn(answer), kBytes);
  EXPECT_GE(app.Now() - over, Duration(19s));
  EXPECT_LT(app.Now() - over, Duration(22s));
}

TEST_F(FetchQuota, WhoAsksAgainAtOnceDoesNotKeepTheBrokerBusy) {
  Client app(cluster_, "app", "app");
  SetQuotaAndExceedIt(app);
  const MonoTime over = app.Now();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RecordsIn(app.Call(FetchOf(id_, 0))), 0u);
  EXPECT_GE(app.Now() - over, Duration(3s));
}

// Each time another connection, which nobody has told anything.
TEST_F(FetchQuota, IsOfNoLessUseWhereClientsConnectAnew) {
  {
    Client app(cluster_, "app", "app");
    SetQuotaAndExceedIt(app);
  }
  const MonoTime begun = cluster_.world().Now();
  size_t got = 0;
  for (int i = 0; cluster_.world().Now() - begun < 600s && got < 30 * kBytes; ++i) {
    Client again(cluster_, fmt::format("again{}", i), "app");
    const Result<v1::Response> answer = again.Call(FetchOf(id_, 5000));
    ASSERT_TRUE(answer);
    got += RecordsIn(answer);
    if (RecordsIn(answer) == 0) EXPECT_GT(answer->header().throttle_ms(), 0u);
  }
  // 20 s are owed at the beginning, 30 s for each of the answers.
  EXPECT_GE(got, 18 * kBytes);
  EXPECT_LE(got, 21 * kBytes);
  Client other(cluster_, "other", "other");
  EXPECT_GT(RecordsIn(other.Call(FetchOf(id_, 0))), kBytes) << "nobody else is concerned";
}

TEST_F(FetchQuota, ThatIsRaisedLetsOnWhoConnectedAnew) {
  Client app(cluster_, "app", "app");
  SetQuotaAndExceedIt(app);
  Client again(cluster_, "again", "app");
  const MonoTime over = again.Now();
  const auto held = again.Begin(FetchOf(id_, 50'000));
  cluster_.world().RunFor(5s);
  EXPECT_FALSE(held->response.has_value());
  // What is owed does not change by another client's quota.
  EXPECT_EQ(Alter(cluster_, kClient, "another", {{"consumer_byte_rate", "1"}}).error().code(), v1::NONE);
  cluster_.world().RunFor(2s);
  EXPECT_FALSE(held->response.has_value());
  EXPECT_EQ(Alter(cluster_, kClient, "app", {{"consumer_byte_rate", "1000000"}}).error().code(), v1::NONE);
  ASSERT_TRUE(Until(cluster_, [&] { return held->response.has_value(); }));
  EXPECT_GT(RecordsIn(*held->response), kBytes);
  EXPECT_LT(held->at - over, Duration(10s));
}

// What was begun under a quota that was a mistake is not charged by it.
TEST_F(FetchQuota, ThatIsTakenBackDelaysNobodyAnyMore) {
  Client app(cluster_, "app", "app");
  EXPECT_EQ(Alter(cluster_, kClient, "app", {{"consumer_byte_rate", "1"}}).error().code(), v1::NONE);
  cluster_.world().RunFor(1s);
  v1::Request at_the_end = FetchOf(id_, 20'000);
  at_the_end.mutable_fetch()->mutable_topics(0)->mutable_partitions(0)->set_fetch_offset(1);
  const auto parked = app.Begin(at_the_end);
  cluster_.world().RunFor(1s);
  EXPECT_EQ(Alter(cluster_, kClient, "app", {}, {"consumer_byte_rate"}).error().code(), v1::NONE);
  cluster_.world().RunFor(1s);
  (void)cluster_.Produce("orders", 0, {std::string(1000, 'y')});
  ASSERT_TRUE(Until(cluster_, [&] { return parked->response.has_value(); }));
  EXPECT_GT(RecordsIn(*parked->response), 1000u);
  EXPECT_EQ((*parked->response)->header().throttle_ms(), 0u);
}

TEST_F(FetchQuota, EndsWhatItHoldsWhenItChanges) {
  Client app(cluster_, "app", "app");
  SetQuotaAndExceedIt(app);
  const MonoTime over = app.Now();
  const auto held = app.Begin(FetchOf(id_, 50'000));
  EXPECT_EQ(Alter(cluster_, kClient, "app", {}, {"consumer_byte_rate"}).error().code(), v1::NONE);
  ASSERT_TRUE(Until(cluster_, [&] { return held->response.has_value(); }));
  EXPECT_GT(RecordsIn(*held->response), kBytes);
  EXPECT_LT(held->at - over, Duration(5s));
}

// One percent of a second a second. The clock of the simulation stands still while a request is handled, so
// all that is charged here is what connections tell of their transfers.
TEST(RequestQuota, CountsWhatReceivingAndSendingTake) {
  SimBrokers cluster(11, 1, {{"offsets.topic.replication.factor", "1"}});
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.world().network().options().call_time_per_byte = 1us;
  Client writer(cluster, "writer", "writer"), reader(cluster, "reader", "reader"),
      other(cluster, "o", "other");
  const v1::Request small = FetchOf(id, 0);
  for (const char* name : {"writer", "reader"}) {
    EXPECT_EQ(Alter(cluster, kClient, name, {{"request_percentage", "1"}}).error().code(), v1::NONE);
  }
  cluster.world().RunFor(2s);
  // From the first request under a quota on its connection is timed.
  EXPECT_EQ(writer.ThrottleOf(small), 0);
  EXPECT_EQ(reader.ThrottleOf(small), 0);
  EXPECT_EQ(other.ThrottleOf(small), 0);
  // 300 kB in are 0.3 s, three times what ten seconds allow; one delay is a second at most.
  EXPECT_EQ(writer.ThrottleOf(ProduceOf(id, 300'000)), 1000);
  EXPECT_EQ(other.ThrottleOf(ProduceOf(id, 300'000)), 0);
  // What 300 kB out took is charged with the request after.
  (void)cluster.Produce("orders", 0, {std::string(300'000, 'x')});
  const Result<v1::Response> records = reader.Call(FetchOf(id, 5000));
  EXPECT_GT(RecordsIn(records), 300'000u);
  EXPECT_EQ(records->header().throttle_ms(), 0u);
  EXPECT_EQ(reader.ThrottleOf(small), 1000);
  EXPECT_TRUE(cluster.Stop(0));
}

// Else a quota that is set again would charge what was done while there was none.
TEST(RequestQuota, CountsNothingOfTheTimeBeforeIt) {
  SimBrokers cluster(12, 1, {{"offsets.topic.replication.factor", "1"}});
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.world().network().options().call_time_per_byte = 1us;
  Client app(cluster, "app", "app");
  const auto set = [&](std::map<std::string, std::string> values, std::vector<std::string> gone) {
    EXPECT_EQ(Alter(cluster, kClient, "app", std::move(values), std::move(gone)).error().code(), v1::NONE);
    cluster.world().RunFor(2s);
  };
  set({{"request_percentage", "1"}}, {});
  EXPECT_EQ(app.ThrottleOf(FetchOf(id, 0)), 0);
  set({}, {"request_percentage"});
  EXPECT_EQ(app.ThrottleOf(ProduceOf(id, 900'000)), 0);
  set({{"request_percentage", "1"}}, {});
  EXPECT_EQ(app.ThrottleOf(FetchOf(id, 0)), 0);
  EXPECT_TRUE(cluster.Stop(0));
}

// As Kafka has it: quotas of a user together with a client id stand below the user's.
TEST(UserQuotas, WithAClientAreStoredBelowTheUserAndDescribed) {
  SimBrokers cluster(7, 1);
  cluster.StartAll();
  auto& zookeeper = cluster.world().zookeeper();
  const auto alter = [&](const std::string& user, const std::optional<std::string>& client,
                         const std::string& rate) {
    v1::Request request;
    auto* change = request.mutable_alter_configs()->add_changes();
    change->mutable_entity()->set_type(v1::CONFIG_ENTITY_TYPE_USER);
    change->mutable_entity()->set_name(user);
    if (client) change->mutable_entity()->set_client_id(*client);
    if (rate.empty()) change->add_remove("producer_byte_rate");
    if (!rate.empty()) (*change->mutable_set())["producer_byte_rate"] = rate;
    return cluster.Call(0, request)->alter_configs().results(0).error().code();
  };
  const auto described = [&](const std::string& user, const std::string& client) {
    v1::Request request;
    auto* entity = request.mutable_describe_configs()->add_entities();
    entity->set_type(v1::CONFIG_ENTITY_TYPE_USER);
    entity->set_name(user);
    entity->set_client_id(client);
    std::string out;
    const auto response = cluster.Call(0, request)->describe_configs();
    for (const auto& entry : response.results(0).entries()) {
      for (const auto& synonym : entry.synonyms()) {
        out += v1::ConfigSource_Name(synonym.source()).substr(22) + "=" + synonym.value() + " ";
      }
    }
    return out;
  };
  EXPECT_EQ(alter("alice", "my app", "1"), v1::NONE);
  EXPECT_TRUE(zookeeper.Peek("/config/users/alice/clients/my%20app"));
  EXPECT_EQ(described("alice", "my app"), "USER_CLIENT=1 ");
  EXPECT_EQ(alter("alice", "", "2"), v1::NONE);
  EXPECT_EQ(alter("alice", std::nullopt, "3"), v1::NONE);
  EXPECT_EQ(alter("", "my app", "4"), v1::NONE);
  EXPECT_EQ(alter("", "", "5"), v1::NONE);
  EXPECT_EQ(alter("", std::nullopt, "6"), v1::NONE);
  EXPECT_EQ(Alter(cluster, kClient, "my app", {{"producer_byte_rate", "7"}}).error().code(), v1::NONE);
  EXPECT_EQ(Alter(cluster, kClient, "", {{"producer_byte_rate", "8"}}).error().code(), v1::NONE);
  EXPECT_EQ(described("alice", "my app"),
            "USER_CLIENT=1 USER_DEFAULT_CLIENT=2 USER=3 DEFAULT_USER_CLIENT=4 DEFAULT_USER_DEFAULT_CLIENT=5 "
            "DEFAULT_USER=6 CLIENT=7 DEFAULT_CLIENT=8 ");
  EXPECT_EQ(described("", ""), "DEFAULT_USER_DEFAULT_CLIENT=5 DEFAULT_USER=6 DEFAULT_CLIENT=8 ");
  v1::Request all;
  all.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_USER);
  EXPECT_EQ(cluster.Call(0, all)->describe_configs().results_size(), 6);
  // A user loses its own quota and keeps those it has with clients; with the last of these nothing stays.
  EXPECT_EQ(alter("alice", std::nullopt, ""), v1::NONE);
  EXPECT_EQ(cluster.Call(0, all)->describe_configs().results_size(), 5);
  EXPECT_EQ(described("alice", "my app").substr(0, 14), "USER_CLIENT=1 ");
  EXPECT_EQ(alter("alice", "my app", ""), v1::NONE);
  EXPECT_TRUE(zookeeper.Peek("/config/users/alice/clients"));
  EXPECT_EQ(alter("alice", "", ""), v1::NONE);
  EXPECT_FALSE(zookeeper.Peek("/config/users/alice"));
  EXPECT_EQ(alter("alice", "..", "1"), v1::INVALID_REQUEST);
  EXPECT_TRUE(cluster.Stop(0));
}

TEST(ClientQuotas, AreDescribedWithTheirSources) {
  SimBrokers cluster(7, 1);
  cluster.StartAll();
  EXPECT_EQ(Alter(cluster, kClient, "", {{"producer_byte_rate", "100"}, {"consumer_byte_rate", "200"}})
                .error()
                .code(),
            v1::NONE);
  EXPECT_EQ(Alter(cluster, kClient, "my app", {{"producer_byte_rate", "300"}}).error().code(), v1::NONE);
  const auto app = Describe(cluster, 0, kClient, "my app", false);
  EXPECT_EQ(ValueOf(app, "producer_byte_rate"), "300 CONFIG_SOURCE_DYNAMIC_CLIENT");
  EXPECT_EQ(ValueOf(app, "consumer_byte_rate"), "200 CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT");
  EXPECT_EQ(ValueOf(app, "request_percentage"), "");
  v1::Request all;
  all.mutable_describe_configs()->add_all_of(kClient);
  all.mutable_describe_configs()->add_all_of(v1::CONFIG_ENTITY_TYPE_TOPIC);
  const v1::DescribeConfigsResponse described = cluster.Call(0, all)->describe_configs();
  ASSERT_EQ(described.results_size(), 3);
  EXPECT_EQ(described.results(0).error().code(), v1::INVALID_REQUEST) << "topics are listed by metadata";
  EXPECT_EQ(described.results(1).entity().name(), "");
  EXPECT_EQ(described.results(2).entity().name(), "my app");
  EXPECT_TRUE(cluster.world().zookeeper().Peek("/config/clients/my%20app"));
  const auto refused = Alter(cluster, kClient, "app", {{"producer_byte_rates", "1"}});
  EXPECT_THAT(refused.error().message(), HasSubstr("did you mean 'producer_byte_rate'"));
  EXPECT_EQ(Alter(cluster, kClient, "app", {{"producer_byte_rate", "0"}}).error().code(), v1::INVALID_CONFIG);
  EXPECT_EQ(Alter(cluster, kClient, "..", {{"producer_byte_rate", "1"}}).error().code(), v1::INVALID_REQUEST);
  EXPECT_THAT(Alter(cluster, v1::CONFIG_ENTITY_TYPE_USER, "alice", {{"producer_byte_rate", "1"}}).warnings(0),
              HasSubstr("nobody authenticates"));
  EXPECT_TRUE(cluster.Stop(0));
}

}  // namespace
}  // namespace tidemark
