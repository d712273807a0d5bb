// What may change at run time, and which of several values is in force.
#include "common/config/dynamic_configs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/broker_config.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> SynonymsOf(const std::vector<ConfigInForce>& configs, std::string_view name) {
  std::vector<std::string> out;
  for (const ConfigInForce& config : configs) {
    if (config.def->name != name) continue;
    for (const ConfigSynonym& synonym : config.synonyms) {
      out.push_back(fmt::format("{}:{}={}", v1::ConfigSource_Name(synonym.source).substr(14), synonym.name,
                                synonym.value));
    }
  }
  return out;
}

TEST(DynamicConfigs, OneBrokerStandsOverAllOverTheFileOverTheDefault) {
  BrokerLayers layers{.file = {{"log.segment.bytes", "3000"}, {"num.partitions", "3"}},
                      .cluster = {{"log.segment.bytes", "2000"}, {"log.retention.ms", "7"}},
                      .broker = {{"log.segment.bytes", "4000"}}};
  EXPECT_EQ(layers.Merged(),
            (Properties{{"log.segment.bytes", "4000"}, {"num.partitions", "3"}, {"log.retention.ms", "7"}}));
  const auto described = DescribeBrokerConfigs(layers);
  EXPECT_THAT(
      SynonymsOf(described, "log.segment.bytes"),
      ElementsAre("DYNAMIC_BROKER:log.segment.bytes=4000", "DYNAMIC_DEFAULT_BROKER:log.segment.bytes=2000",
                  "STATIC_BROKER:log.segment.bytes=3000", "DEFAULT:log.segment.bytes=1073741824"));
  EXPECT_THAT(SynonymsOf(described, "num.shards"), ElementsAre("DEFAULT:num.shards=0"));
}

TEST(DynamicConfigs, ATopicStandsOverItsBroker) {
  const BrokerLayers layers{.file = {{"log.retention.hours", "1"}, {"log.retention.minutes", "2"}},
                            .cluster = {{"log.retention.ms", "5"}},
                            .broker = {}};
  EXPECT_THAT(SynonymsOf(DescribeTopicConfigs(layers, {{"retention.ms", "9"}}), "retention.ms"),
              ElementsAre("DYNAMIC_TOPIC:retention.ms=9", "DYNAMIC_DEFAULT_BROKER:log.retention.ms=5",
                          "STATIC_BROKER:log.retention.minutes=120000",
                          "STATIC_BROKER:log.retention.hours=3600000", "DEFAULT:retention.ms=604800000"));
  EXPECT_EQ(MakeTopicConfigs(layers.Merged(), {}).retention_time, Duration(5ms));
}

TEST(DynamicConfigs, WhatIsDescribedIsWhatIsInForce) {
  // Of names with one meaning the dynamic one counts first, so that the strongest layer always wins.
  const BrokerLayers layers{
      .file = {{"log.roll.hours", "1"}, {"log.roll.ms", "8"}, {"log.retention.minutes", "3"}},
      .cluster = {{"log.roll.ms", "6"}, {"log.retention.ms", "4"}, {"min.insync.replicas", "1"}},
      .broker = {{"log.roll.ms", "5"}}};
  const TopicConfigs in_force = MakeTopicConfigs(layers.Merged(), {});
  for (const ConfigInForce& config : DescribeTopicConfigs(layers, {})) {
    const std::string_view name = config.def->name;
    if (name == "segment.ms") EXPECT_EQ(config.value(), std::to_string(ToMillis(in_force.segment_time)));
    if (name == "retention.ms") EXPECT_EQ(config.value(), std::to_string(ToMillis(*in_force.retention_time)));
    if (name == "min.insync.replicas")
      EXPECT_EQ(config.value(), std::to_string(in_force.min_insync_replicas));
  }
}

TEST(DynamicConfigs, SaysWhyAConfigCannotBeSet) {
  const auto error = [](const char* name, const char* value, bool one) {
    const Result<> checked = CheckBrokerOverride(name, value, one);
    return checked ? std::string() : checked.error().message;
  };
  EXPECT_EQ(error("log.retention.ms", "1000", false), "");
  EXPECT_EQ(error("log.open.files", "100", true), "");
  EXPECT_THAT(error("log.open.files", "100", false), HasSubstr("set it for one broker"));
  EXPECT_EQ(error("ack.durability", "replicated", false), "");
  EXPECT_THAT(error("ack.durability", "replicated", true), HasSubstr("the same on all brokers"));
  EXPECT_THAT(error("log.dirs", "/x", true), HasSubstr("cannot be changed at run time"));
  EXPECT_THAT(error("log.retention.hours", "1", true), HasSubstr("set log.retention.ms"));
  EXPECT_THAT(error("log.retention.mss", "1", true), HasSubstr("did you mean 'log.retention.ms'"));
  EXPECT_THAT(error("log.cleaner.threads", "many", true), HasSubstr("whole number"));
}

TEST(DynamicConfigs, WhatIsBadInZooKeeperLeavesTheLastGoodValue) {
  const auto check = [](std::string_view name, std::string_view value) {
    return CheckBrokerOverride(name, value, true);
  };
  std::vector<std::string> complaints;
  EXPECT_EQ(TakeGood({{"log.retention.ms", "soon"}, {"num.partitions", "4"}, {"nonsense", "1"}},
                     {{"log.retention.ms", "1000"}, {"log.segment.bytes", "2000"}}, check, &complaints),
            (Properties{{"log.retention.ms", "1000"}, {"num.partitions", "4"}}));
  ASSERT_EQ(complaints.size(), 2u);
  EXPECT_THAT(complaints[0], HasSubstr("1000 stays in force"));
  EXPECT_THAT(complaints[1], HasSubstr("nonsense"));
}

TEST(DynamicConfigs, AChangeTakesOverWhatIsDynamicAndNothingElse) {
  const Properties file = {{"zookeeper.connect", "z:1"}, {"log.dirs", "/a"}};
  BrokerConfig started = *BrokerConfig::FromProperties(file);
  started.num_shards = 7;          // settled by the process, not by the file
  started.log_open_files = 12345;  // likewise
  Properties merged = file;
  for (const auto& [name, value] : Properties{{"log.cleaner.threads", "3"},
                                              {"fetch.max.bytes", "5000"},
                                              {"log.retention.ms", "1000"},
                                              {"log.dir.min.free.bytes", "0"},
                                              {"auto.create.topics.enable", "true"}}) {
    merged[name] = value;
  }
  const Result<BrokerConfig> next = started.WithDynamic(merged);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->num_shards, 7u);
  EXPECT_EQ(next->log_open_files, 12345u);
  EXPECT_EQ(next->cleaner.threads, 3u);
  EXPECT_EQ(next->fetch_max_bytes, 5000u);
  EXPECT_EQ(next->topic_defaults.retention_time, Duration(1s));
  EXPECT_EQ(next->log_dir_min_free, 0u);
  EXPECT_TRUE(next->auto_create_topics);
  // More files than the process may open would fail a log directory.
  EXPECT_GT(next->max_connections, 1000u);
  started.most_connections = 1000;
  started.most_log_open_files = 2000;
  merged["log.open.files"] = "3000";
  EXPECT_EQ(started.WithDynamic(merged)->max_connections, 1000u);
  EXPECT_EQ(started.WithDynamic(merged)->log_open_files, 2000u);
  merged["message.max.bytes"] = "8000000";
  merged["socket.request.max.bytes"] = "4000000";
  EXPECT_FALSE(started.WithDynamic(merged));
  merged["message.max.bytes"] = "4000000";
  EXPECT_FALSE(started.WithDynamic(merged)) << "a request is more than the batch in it";
  merged["message.max.bytes"] = "3995904";
  EXPECT_TRUE(started.WithDynamic(merged));
}

}  // namespace
}  // namespace tidemark
