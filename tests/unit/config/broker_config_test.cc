// What a broker takes as configuration, and what it says of what it does not take.
#include "common/config/broker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

Properties Base(Properties more = {}) {
  Properties out = {{"zookeeper.connect", "localhost:2181"}, {"log.dirs", "/data/a"}};
  for (auto& [name, value] : more) out[name] = value;
  return out;
}

std::string ErrorOf(Properties more) {
  const Result<BrokerConfig> config = BrokerConfig::FromProperties(Base(std::move(more)));
  EXPECT_FALSE(config);
  return config ? "" : config.error().message;
}

// Kafka 3.9's config/server.properties without its comments.
constexpr const char* kStock = R"(
broker.id=0
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kafka-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.retention.check.interval.ms=300000
zookeeper.connect=localhost:2181
zookeeper.connection.timeout.ms=18000
group.initial.rebalance.delay.ms=0
)";

TEST(BrokerConfig, PausesOfNothingAreNotTaken) {
  for (const char* name : {"replica.fetch.backoff.ms", "log.cleaner.backoff.ms"}) {
    for (const auto& [value, pause] : {std::pair{"0", 10ms}, {"9", 10ms}, {"11", 11ms}}) {
      const Result<BrokerConfig> config = BrokerConfig::FromProperties(Base({{name, value}}));
      ASSERT_TRUE(config) << ToString(config.error());
      const bool cleaner = std::string_view(name).starts_with("log");
      EXPECT_EQ(cleaner ? config->cleaner.backoff : config->replica_fetch_backoff, pause) << name << value;
    }
  }
}

TEST(BrokerConfig, TakesKafkasStockFile) {
  const Result<BrokerConfig> config = BrokerConfig::FromProperties(*ParseProperties(kStock));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->broker_id, 0);
  EXPECT_EQ(config->log_dirs, std::vector<std::string>{"/tmp/kafka-logs"});
  EXPECT_EQ(config->max_request_bytes, 104857600u);
  EXPECT_EQ(config->zookeeper_connection_timeout, Duration(18s));
  ASSERT_EQ(config->listeners.size(), 1u);
  EXPECT_EQ(config->listeners[0].port, 9092);
  // Set to something without effect: warned about. What equals the default is not.
  EXPECT_THAT(config->without_effect, Contains("transaction.state.log.replication.factor"));
  EXPECT_THAT(config->without_effect, Not(Contains("num.io.threads")));
}

TEST(BrokerConfig, HasTheDesignsDefaults) {
  const BrokerConfig config = *BrokerConfig::FromProperties(Base());
  EXPECT_FALSE(config.auto_create_topics);
  EXPECT_EQ(config.default_replication_factor, 0u);
  EXPECT_EQ(config.topic_defaults.min_insync_replicas, 2u);
  EXPECT_TRUE(config.topic_defaults.synced);
  EXPECT_EQ(config.max_request_bytes, 16u << 20);
  EXPECT_EQ(config.broker_id, kNoBroker);
  EXPECT_EQ(config.admin_host, "127.0.0.1");
  EXPECT_EQ(config.admin_port, 0);
  EXPECT_FALSE(config.zookeeper_connection_timeout);
}

TEST(BrokerConfig, SuggestsTheNearestNameForAnUnknownOne) {
  EXPECT_THAT(ErrorOf({{"log.retention.hors", "5"}}), HasSubstr("log.retention.hours"));
  EXPECT_THAT(ErrorOf({{"completely.else", "5"}}), Not(HasSubstr("did you mean")));
}

TEST(BrokerConfig, RefusesIllTypedAndOutOfRangeValues) {
  EXPECT_THAT(ErrorOf({{"num.partitions", "many"}}), HasSubstr("num.partitions=many"));
  EXPECT_THAT(ErrorOf({{"num.partitions", "0"}}), HasSubstr("at least 1"));
  EXPECT_THAT(ErrorOf({{"num.partitions", ""}}), HasSubstr("num.partitions"));
  EXPECT_THAT(ErrorOf({{"num.partitions", "99999999999999999999"}}), HasSubstr("whole number"));
  EXPECT_THAT(ErrorOf({{"auto.create.topics.enable", "yes"}}), HasSubstr("true or false"));
  EXPECT_THAT(ErrorOf({{"ack.durability", "memory"}}), HasSubstr("synced"));
  EXPECT_THAT(ErrorOf({{"log.dirs", ""}}), HasSubstr("log.dirs"));
  EXPECT_THAT(ErrorOf({{"log.dirs", "/a,/a/"}}), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf({{"zookeeper.connect", ""}}), HasSubstr("zookeeper.connect"));
  EXPECT_THAT(ErrorOf({{"message.max.bytes", "99999999"}}), HasSubstr("at most"));
  EXPECT_THAT(ErrorOf({{"message.max.bytes", "6000000"}, {"socket.request.max.bytes", "5000000"}}),
              HasSubstr("socket.request.max.bytes"));
}

TEST(BrokerConfig, EveryEntryIsDocumented) {
  for (const ConfigTable* table : {&BrokerConfigTable(), &TopicConfigTable()}) {
    for (const ConfigDef& def : table->defs()) EXPECT_GT(std::string_view(def.doc).size(), 5u) << def.name;
  }
}

TEST(Listeners, SingleOneHasBothRolesAndIsAdvertisedAsBound) {
  const auto listeners = ParseListeners({.listeners = "PLAINTEXT://127.0.0.1:9092"});
  ASSERT_TRUE(listeners);
  EXPECT_TRUE((*listeners)[0].client);
  EXPECT_TRUE((*listeners)[0].inter_broker);
  EXPECT_EQ((*listeners)[0].advertised_host, "127.0.0.1");
}

TEST(Listeners, NamedOnesNeedAProtocolAndGetTheirRole) {
  const auto listeners = ParseListeners({.listeners = "OUTSIDE://0.0.0.0:9092, INSIDE://10.0.0.1:9093",
                                         .advertised = "OUTSIDE://broker.example.org:19092",
                                         .protocol_map = "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT",
                                         .inter_broker_name = "INSIDE"});
  ASSERT_TRUE(listeners) << listeners.error().message;
  EXPECT_FALSE((*listeners)[0].inter_broker);
  EXPECT_TRUE((*listeners)[1].inter_broker);
  EXPECT_EQ((*listeners)[0].advertised_host, "broker.example.org");
  EXPECT_EQ((*listeners)[0].advertised_port, 19092);
}

TEST(Listeners, SayWhatIsWrong) {
  auto error = [](ListenersInput input) { return ParseListeners(input).error().message; };
  EXPECT_THAT(error({.listeners = "127.0.0.1:9092"}), HasSubstr("NAME://host:port"));
  EXPECT_THAT(error({.listeners = "PLAINTEXT://h:port"}), HasSubstr("'port' is not a port"));
  EXPECT_THAT(error({.listeners = "PLAINTEXT://h:70000"}), HasSubstr("70000"));
  EXPECT_THAT(error({.listeners = "PLAINTEXT://::1:9092"}), HasSubstr("brackets"));
  EXPECT_THAT(error({.listeners = "INSIDE://h:1"}), HasSubstr("listener.security.protocol.map"));
  EXPECT_THAT(error({.listeners = "SSL://h:1"}), HasSubstr("only PLAINTEXT"));
  EXPECT_THAT(error({.listeners = "PLAINTEXT://h:1,PLAINTEXT://h:2"}), HasSubstr("twice"));
  EXPECT_THAT(error({.listeners = "PLAINTEXT://h:1", .advertised = "PLAINTEXT://0.0.0.0:1"}),
              HasSubstr("0.0.0.0"));
  EXPECT_THAT(error({.listeners = "PLAINTEXT://h:1", .inter_broker_name = "PLAINTEX"}),
              HasSubstr("did you mean"));
}

TEST(TopicConfigs, OverridesStandOverTheBrokersFileOverTheDefaults) {
  const Properties broker =
      Base({{"log.segment.bytes", "2048"}, {"log.roll.hours", "2"}, {"ack.durability", "replicated"}});
  const TopicConfigs defaults = MakeTopicConfigs(broker, {});
  EXPECT_EQ(defaults.segment_bytes, 2048u);
  EXPECT_EQ(defaults.segment_time, Duration(std::chrono::hours(2)));
  EXPECT_FALSE(defaults.synced);
  const TopicConfigs own =
      MakeTopicConfigs(broker, {{"segment.bytes", "4096"}, {"ack.durability", "synced"}});
  EXPECT_EQ(own.segment_bytes, 4096u);
  EXPECT_TRUE(own.synced);
}

TEST(TopicConfigs, SkipsWhatItCannotReadInZooKeeper) {
  const TopicConfigs configs = MakeTopicConfigs(
      Base(), {{"segment.bytes", "huge"}, {"from.the.future", "1"}, {"min.insync.replicas", "3"}});
  EXPECT_EQ(configs.segment_bytes, 1u << 30);
  EXPECT_EQ(configs.min_insync_replicas, 3u);
}

TEST(TopicConfigs, ValidatesWhatAnOperatorGives) {
  EXPECT_TRUE(ValidateTopicOverrides({{"retention.ms", "-1"}, {"cleanup.policy", "compact,delete"}}));
  EXPECT_THAT(ValidateTopicOverrides({{"retention.mss", "1"}}).error().message, HasSubstr("retention.ms"));
  EXPECT_FALSE(ValidateTopicOverrides({{"cleanup.policy", "shred"}}));
  EXPECT_FALSE(ValidateTopicOverrides({{"min.insync.replicas", ""}}));
}

TEST(TopicConfigs, AnEndlessTimeDoesNotOverflow) {
  EXPECT_GT(MakeTopicConfigs(Base(), {{"segment.ms", "9223372036854775807"}}).segment_time, Duration(0));
}

TEST(TopicConfigs, MinIsrIsNeverAboveTheReplicas) {
  EXPECT_EQ(EffectiveMinIsr(2, 1), 1u);
  EXPECT_EQ(EffectiveMinIsr(2, 3), 2u);
}

}  // namespace
}  // namespace tidemark
