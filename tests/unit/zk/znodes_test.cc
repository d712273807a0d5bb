// Znode payloads: Kafka's own JSON texts read and written, unknown members kept, bad input named.
#include "common/zk/znodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/zk/coordination.h"
#include "common/zk/zk_keeper.h"
#include "common/zk/zk_paths.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Decodes, and encodes again.
#define EXPECT_GOLDEN(What, json)                                  \
  do {                                                             \
    const auto decoded = Decode##What(json);                       \
    ASSERT_TRUE(decoded.has_value()) << ToString(decoded.error()); \
    EXPECT_EQ(Encode##What(*decoded), json);                       \
  } while (false)

// Decoding fails and names `part`.
#define EXPECT_REFUSED(What, json, part)                           \
  do {                                                             \
    const auto decoded = Decode##What(json);                       \
    ASSERT_FALSE(decoded.has_value()) << json;                     \
    EXPECT_EQ(decoded.error().code, v1::CORRUPT_MESSAGE);          \
    EXPECT_THAT(decoded.error().message, HasSubstr(part)) << json; \
  } while (false)

TEST(Znodes, KafkasOwnTextsComeBackByteForByte) {
  EXPECT_GOLDEN(Controller,
                R"({"version":2,"brokerid":1,"timestamp":"1690000000123","kraftControllerEpoch":-1})");
  EXPECT_GOLDEN(ClusterId, R"({"version":"1","id":"vPeOCWypqUOSepEvx0cbog"})");
  EXPECT_GOLDEN(Broker,
                R"({"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},)"
                R"("endpoints":["PLAINTEXT://localhost:9092"],"jmx_port":-1,"port":9092,"host":"localhost",)"
                R"("version":5,"timestamp":"1690000000123"})");
  EXPECT_GOLDEN(
      Broker,
      R"({"features":{"feature1":{"min_version":1,"max_version":2}},)"
      R"("listener_security_protocol_map":{"CLIENT":"SSL","REPLICATION":"PLAINTEXT"},)"
      R"("endpoints":["CLIENT://host1:9092","REPLICATION://host1:9093"],"rack":"dc1","jmx_port":9999,)"
      R"("port":-1,"host":null,"version":5,"timestamp":"2233345666"})");
  EXPECT_GOLDEN(Topic, R"({"removing_replicas":{},"partitions":{"0":[1,2,3],"1":[2,3,1],"10":[3,1,2]},)"
                       R"("topic_id":"WjkDGLhJTaWG4JzYmHsyGg","adding_replicas":{},"version":3})");
  EXPECT_GOLDEN(Topic, R"({"removing_replicas":{"0":[1]},"partitions":{"0":[4,2,3,1]},)"
                       R"("topic_id":"WjkDGLhJTaWG4JzYmHsyGg","adding_replicas":{"0":[4]},"version":3})");
  EXPECT_GOLDEN(PartitionState,
                R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":7,"isr":[1,2]})");
  EXPECT_GOLDEN(PartitionState, R"({"controller_epoch":3,"leader":-1,"version":1,"leader_epoch":7,"isr":[2],)"
                                R"("leader_recovery_state":1})");
  EXPECT_GOLDEN(Config, R"({"version":1,"config":{"cleanup.policy":"compact","retention.ms":"1000"}})");
  EXPECT_GOLDEN(Config, R"({"version":1,"config":{}})");
  EXPECT_GOLDEN(ConfigChange, R"({"version":2,"entity_path":"topics/foo"})");
  EXPECT_GOLDEN(Feature, R"({"features":{"group.version":{"max_version_level":1}},"version":2,"status":1})");
}

TEST(Znodes, OurOwnMembersStandBehindKafkas) {
  EXPECT_GOLDEN(
      Broker,
      R"({"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},)"
      R"("endpoints":["PLAINTEXT://localhost:9092"],"jmx_port":-1,"port":9092,"host":"localhost",)"
      R"("version":5,"timestamp":"1690000000123","directory_id":"WjkDGLhJTaWG4JzYmHsyGg",)"
      R"("clean_shutdown":true,"admin_address":"127.0.0.1:8080","inter_broker_listener":"PLAINTEXT"})");
}

TEST(Znodes, MembersOfOtherVersionsAreReadToo) {
  const auto broker =
      DecodeBroker(R"({"jmx_port":9999,"timestamp":"2233345666","host":"h","version":1,"port":9092})");
  ASSERT_TRUE(broker.has_value()) << ToString(broker.error());
  EXPECT_EQ(broker->host(), "h");
  EXPECT_EQ(broker->port(), 9092);
  const auto topic = DecodeTopic(R"({"version":1,"partitions":{"0":[1]}})");
  ASSERT_TRUE(topic.has_value()) << ToString(topic.error());
  EXPECT_EQ(topic->topic_id(), "");
  const auto controller = DecodeController(R"({"version":1,"brokerid":4,"timestamp":"5"})");
  ASSERT_TRUE(controller.has_value());
  EXPECT_EQ(controller->broker_id(), 4);
  EXPECT_EQ(controller->timestamp(), 5);
  EXPECT_TRUE(DecodeConfig("").has_value());
}

TEST(Znodes, UnknownMembersAreKeptBehindTheKnownOnes) {
  const std::string text =
      R"({"controller_epoch":3,"leader":1,"version":1,"leader_epoch":7,"isr":[1,2],"later":{"x":[1,"ü"]},"b":null})";
  EXPECT_GOLDEN(PartitionState, text);
  auto state = *DecodePartitionState(text);
  EXPECT_EQ(state.unknown_members(), R"({"later":{"x":[1,"ü"]},"b":null})");
  state.set_leader(2);
  EXPECT_EQ(EncodePartitionState(state),
            R"({"controller_epoch":3,"leader":2,"version":1,"leader_epoch":7,"isr":[1,2],)"
            R"("later":{"x":[1,"ü"]},"b":null})");
  // A known member never comes from there, and what is no object is passed over.
  state.set_unknown_members(R"({"leader":9})");
  EXPECT_EQ(DecodePartitionState(EncodePartitionState(state))->leader(), 2);
  state.set_unknown_members("no json");
  EXPECT_EQ(DecodePartitionState(EncodePartitionState(state))->leader(), 2);
}

TEST(Znodes, WhatIsWrongIsNamed) {
  EXPECT_REFUSED(Topic, "", "not JSON");
  EXPECT_REFUSED(Topic, "{", "not JSON");
  EXPECT_REFUSED(Topic, "\xff\xfe", "not JSON");
  EXPECT_REFUSED(Topic, "[1]", "not a JSON object");
  EXPECT_REFUSED(Topic, std::string(100'000, '['), "not JSON");
  EXPECT_REFUSED(Topic, "{}", "member 'partitions': missing");
  EXPECT_REFUSED(Topic, R"({"partitions":[]})", "member 'partitions'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"x":[1]}})", "member 'partitions.x'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"-1":[1]}})", "member 'partitions.-1'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"01":[1]}})", "member 'partitions.01'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"0":[]}})", "member 'partitions.0'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"0":[1,1]}})", "broker 1 is named twice");
  EXPECT_REFUSED(Topic, R"({"partitions":{"0":[-1]}})", "-1 is not within");
  EXPECT_REFUSED(Topic, R"({"partitions":{"0":["1"]}})", "member 'partitions.0'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"0":[1]},"topic_id":"short"})", "member 'topic_id'");
  EXPECT_REFUSED(Topic, R"({"partitions":{"0":[1]},"topic_id":7})", "member 'topic_id'");
  EXPECT_REFUSED(PartitionState, R"({"leader":1,"leader_epoch":0,"controller_epoch":1})",
                 "member 'isr': missing");
  EXPECT_REFUSED(PartitionState, R"({"leader":-2,"leader_epoch":0,"controller_epoch":1,"isr":[1]})",
                 "'leader'");
  EXPECT_REFUSED(PartitionState, R"({"leader":1.5,"leader_epoch":0,"controller_epoch":1,"isr":[1]})",
                 "'leader'");
  EXPECT_REFUSED(PartitionState,
                 R"({"leader":18446744073709551615,"leader_epoch":0,"controller_epoch":1,"isr":[]})",
                 "'leader'");
  EXPECT_REFUSED(PartitionState, R"({"leader":1,"leader_epoch":4294967296,"controller_epoch":1,"isr":[1]})",
                 "'leader_epoch'");
  EXPECT_REFUSED(Controller, R"({"version":2,"timestamp":"1"})", "member 'brokerid': missing");
  EXPECT_REFUSED(Controller, R"({"brokerid":1,"timestamp":"now"})", "member 'timestamp'");
  EXPECT_REFUSED(Broker, R"({"endpoints":"x"})", "member 'endpoints'");
  EXPECT_REFUSED(Broker, R"({"endpoints":[1]})", "member 'endpoints'");
  EXPECT_REFUSED(Broker, R"({"endpoints":[]})", "member 'endpoints'");
  EXPECT_REFUSED(Broker, R"({"endpoints":["P://h:1"],"port":70000})", "member 'port'");
  EXPECT_REFUSED(Broker, R"({"endpoints":["P://h:1"],"features":{"f":{"max_version":-1}}})",
                 "member 'features.f'");
  EXPECT_REFUSED(Broker, R"({"endpoints":["P://h:1"],"clean_shutdown":"yes"})", "member 'clean_shutdown'");
  EXPECT_REFUSED(Config, R"({"version":1})", "member 'config': missing");
  EXPECT_REFUSED(Config, R"({"config":{"a":1}})", "member 'config.a'");
  EXPECT_REFUSED(ConfigChange, R"({"version":2})", "member 'entity_path': missing");
  EXPECT_REFUSED(ClusterId, R"({"version":"1","id":""})", "member 'id'");
  EXPECT_REFUSED(Feature, R"({"status":3})", "member 'status'");
  EXPECT_REFUSED(ControllerEpoch, "", "not an epoch");
  EXPECT_REFUSED(ControllerEpoch, "-1", "not an epoch");
  EXPECT_REFUSED(ControllerEpoch, "1x", "not an epoch");
}

TEST(Znodes, ValuesThatAreNoUtf8AreWrittenAsSomethingReadable) {
  v1::ConfigZnode node;
  (*node.mutable_config())["a"] = "\xff";
  EXPECT_TRUE(DecodeConfig(EncodeConfig(node)).has_value());
}

TEST(Znodes, TheControllerEpochIsPlainText) {
  EXPECT_EQ(EncodeControllerEpoch(17), "17");
  EXPECT_EQ(DecodeControllerEpoch("17").value(), 17u);
}

TEST(ZkPaths, AreKafkas) {
  EXPECT_EQ(zkpath::Broker(3), "/brokers/ids/3");
  EXPECT_EQ(zkpath::Topic("t"), "/brokers/topics/t");
  EXPECT_EQ(zkpath::PartitionState("t", 4), "/brokers/topics/t/partitions/4/state");
  EXPECT_EQ(zkpath::TopicConfig("t"), "/config/topics/t");
  EXPECT_EQ(zkpath::BrokerConfig(std::nullopt), "/config/brokers/<default>");
  EXPECT_EQ(zkpath::DeleteTopic("t"), "/admin/delete_topics/t");
  EXPECT_EQ(zkpath::ConfigOfEntity(zkpath::TopicEntity("t")), zkpath::TopicConfig("t"));
  EXPECT_EQ(zkpath::ConfigOfEntity(zkpath::BrokerEntity(1)), zkpath::BrokerConfig(1));
  EXPECT_EQ(zkpath::ClientEntity(""), "clients/<default>");
  EXPECT_EQ(zkpath::UserEntity("alice"), "users/alice");
  // As Kafka's Sanitizer writes them.
  EXPECT_EQ(zkpath::ClientEntity("my app/1*<default>"), "clients/my%20app%2F1%2A%3Cdefault%3E");
  for (const std::string name : {"plain.name-1_2", "a b/c%d+e", "\xc3\xa4\xff", ""}) {
    EXPECT_EQ(zkpath::Unsanitized(zkpath::Sanitized(name)), name);
  }
  EXPECT_EQ(zkpath::Unsanitized("a+b"), "a b");
  for (const char* bad : {"%", "%4", "a%zz", "%-1"}) EXPECT_EQ(zkpath::Unsanitized(bad), std::nullopt) << bad;
}

TEST(ZkPaths, NamesOfChildrenAreReadStrictly) {
  EXPECT_EQ(zkpath::ParseBrokerId("0"), 0);
  EXPECT_EQ(zkpath::ParseBrokerId("2147483647"), 2147483647);
  for (const char* bad : {"", "-1", "01", "1x", "2147483648", "99999999999999999999", "+1", " 1"}) {
    EXPECT_EQ(zkpath::ParseBrokerId(bad), std::nullopt) << bad;
    EXPECT_EQ(zkpath::ParsePartition(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(zkpath::ParseSequence("config_change_0000000012"), 12u);
  EXPECT_EQ(zkpath::ParseSequence("config_change_12"), std::nullopt);
  EXPECT_EQ(zkpath::BaseName("/a/b"), "b");
  EXPECT_EQ(zkpath::Parent("/a/b"), "/a");
  EXPECT_EQ(zkpath::Parent("/a"), "/");
}

TEST(ZkPaths, ParentsComeBeforeChildrenInThePersistentPaths) {
  std::vector<std::string> seen = {"/"};
  for (const std::string& path : zkpath::Persistent()) {
    EXPECT_THAT(seen, ::testing::Contains(std::string(zkpath::Parent(path)))) << path;
    seen.push_back(path);
  }
}

TEST(ZkConnect, SplitsServersAndChroot) {
  EXPECT_EQ(ParseZkConnect("a:1")->servers, "a:1");
  EXPECT_EQ(ParseZkConnect("a:1")->chroot, "");
  EXPECT_EQ(ParseZkConnect(" a:1, b:2 /x/y/ ")->servers, "a:1,b:2");
  EXPECT_EQ(ParseZkConnect(" a:1, b:2/x/y/ ")->chroot, "/x/y");
  EXPECT_EQ(ParseZkConnect("[::1]:2181/")->servers, "[::1]:2181");
  EXPECT_EQ(ParseZkConnect("a:1/")->chroot, "");
  for (const char* bad :
       {"", "a", "a:", "a:0", "a:65536", ":1", "a:1,", ",a:1", "/x", "a:1/x//y", "a:1/../x", "a b:1"}) {
    EXPECT_FALSE(ParseZkConnect(bad).has_value()) << bad;
  }
}

TEST(FormerSession, IsKeptAsText) {
  ZkFormerSession session{-72057594037927935, std::string("\0\x01\xff", 3) + std::string(13, 'p')};
  const auto back = DecodeFormerSession(EncodeFormerSession(session));
  ASSERT_TRUE(back.has_value()) << ToString(back.error());
  EXPECT_EQ(back->session_id, session.session_id);
  EXPECT_EQ(back->password, session.password);
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string(16, '0') + " " + std::string(32, 'g'),
        std::string(16, 'z') + " " + std::string(32, '0')}) {
    EXPECT_FALSE(DecodeFormerSession(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace tidemark
