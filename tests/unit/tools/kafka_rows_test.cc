// What commands under Kafka's names print as rows, as far as it needs no cluster.
#include "tools/kafka_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/nearest_name.h"
#include "tools/delete_records.h"
#include "tools/topic_rows.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

Result<std::optional<OutputFormat>> FormatIn(const Command& command, const std::vector<std::string>& words) {
  return RowFormatOf(*Arguments::Parse(words, command.flags, command.positionals));
}

TEST(KafkaRows, WithoutOutputItIsKafkasText) {
  EXPECT_EQ(*FormatIn(TopicsCommand(), {"--list"}), std::nullopt);
  EXPECT_EQ(*FormatIn(TopicsCommand(), {"--list", "-o", "json"}), OutputFormat::kJson);
  EXPECT_EQ(*FormatIn(ClusterCommand(), {"cluster-id", "--output", "csv"}), OutputFormat::kCsv);
  EXPECT_THAT(FormatIn(GetOffsetsCommand(), {"-o", "jsno"}).error().message, HasSubstr("did you mean json?"));
}

TEST(KafkaRows, ADryRunHasATableUnlessItIsOfOffsets) {
  EXPECT_EQ(*FormatIn(TopicsCommand(), {"--create", "--dry-run"}), OutputFormat::kTable);
  EXPECT_EQ(*FormatIn(ConfigsCommand(), {"--alter", "--dry-run", "-o", "csv"}), OutputFormat::kCsv);
  EXPECT_EQ(*FormatIn(DeleteRecordsCommand(), {"--dry-run"}), OutputFormat::kTable);
  EXPECT_EQ(*FormatIn(ConsumerGroupsCommand(), {"--delete", "--dry-run"}), OutputFormat::kTable);
  EXPECT_EQ(*FormatIn(ConsumerGroupsCommand(), {"--reset-offsets", "--dry-run"}), std::nullopt);
}

v1::MetadataResponse Cluster() {
  v1::MetadataResponse metadata;
  metadata.add_brokers()->set_id(1);
  for (const char* name : {"orders", "__consumer_offsets", "clicks"}) {
    v1::TopicMetadata* topic = metadata.add_topics();
    topic->set_name(name);
    topic->set_internal(name[0] == '_');
    v1::PartitionMetadata* partition = topic->add_partitions();
    partition->set_leader(name[0] == 'c' ? 2 : 1);  // broker 2 is not live
    partition->set_leader_epoch(3);
    for (const int32_t broker : {1, 2}) partition->add_replicas(broker);
    partition->add_isr(1);
  }
  return metadata;
}

TEST(TopicRows, AreSortedAndSayHowTopicsAre) {
  EXPECT_EQ(TopicRows(Cluster(), *TopicMatch::Of(""), false).Text(OutputFormat::kCsv),
            "topic,partitions,replicas,internal,state\n"
            "clicks,1,2,false,1 without leader\n"
            "orders,1,2,false,1 under-replicated\n");
  EXPECT_EQ(TopicRows(Cluster(), *TopicMatch::Of("orders"), true).size(), 1u);
  EXPECT_EQ(TopicRows(Cluster(), *TopicMatch::Of(""), true).size(), 3u);
  const auto why = [](const std::string& text) {
    return WhyNoTopic(Cluster(), *TopicMatch::Of(text), text, false);
  };
  EXPECT_EQ(why(""), "");
  EXPECT_EQ(why("ord.*"), "");
  EXPECT_EQ(why("o*"), "no topic matches 'o*'; did you mean 'o.*'?");
  EXPECT_EQ(why("__.*"), "'__.*' matches only topics of the system, which are not shown");
}

TEST(TopicRows, OfADescriptionAreThoseThatTheFilterShows) {
  const v1::MetadataResponse metadata = Cluster();
  const std::vector<v1::TopicMetadata> topics(metadata.topics().begin(), metadata.topics().end());
  const std::map<std::string, TopicFacts> facts = {{"orders", {.overrides = "a=1", .min_isr = 2}}};
  const auto all = DescribeRows(topics, facts, LiveBrokersIn(metadata), {});
  EXPECT_EQ(all.rows.size(), 3u);
  EXPECT_EQ(
      all.json[0]["partitions"].dump(),
      R"([{"partition":0,"leader":1,"epoch":3,"replicas":[1,2],"isr":[1],"offline":[],"state":"under min ISR"}])");
  EXPECT_EQ(all.json[0]["min_insync_replicas"], 2);
  EXPECT_THAT(all.heads, HasSubstr("orders: 1 partition, min ISR 2, a=1\n"));
  EXPECT_TRUE(all.json[2]["min_insync_replicas"].is_null());
  EXPECT_THAT(all.heads, HasSubstr("clicks: 1 partition, min ISR not known\n"));
  EXPECT_EQ(all.json[2]["partitions"][0]["state"], "no leader");
  const auto dark = DescribeRows(topics, facts, LiveBrokersIn(metadata), {.unavailable = true});
  EXPECT_EQ(dark.rows.Text(OutputFormat::kCsv),
            "topic,partition,leader,epoch,replicas,isr,offline,state\n"
            "clicks,0,2,3,1 2,1,,no leader\n");
}

std::string WarningsOf(const std::map<std::string, std::string>& configs) {
  v1::CreateTopicsRequest request;
  v1::CreateTopicsRequest::Topic* topic = request.add_topics();
  topic->set_name("orders");
  topic->mutable_configs()->insert(configs.begin(), configs.end());
  v1::CreateTopicsResponse::Topic created;
  created.set_name("orders");
  created.set_replication_factor(2);
  testing::internal::CaptureStderr();
  WarnOfConfigs(request, created);
  created.set_name("not asked for");
  WarnOfConfigs(request, created);
  return testing::internal::GetCapturedStderr();
}

TEST(NewTopic, ItsConfigsAreWarnedOfAsChangesAre) {
  EXPECT_EQ(WarningsOf({{"retention.ms", "5000"}, {"min.insync.replicas", "2"}}), "");
  EXPECT_EQ(WarningsOf({{"compression.type", "gzip"}}),
            "warning: orders: compression.type has no effect yet\n");
  EXPECT_EQ(WarningsOf({{"min.insync.replicas", "3"}}),
            "warning: orders: min.insync.replicas=3 is above the replication factor and acts as 2\n");
}

TEST(DeletedRecords, EndWhereTheLogAllows) {
  EXPECT_EQ(*NewLogStart({"orders", 0, 5}, 2, 10), 5u);
  EXPECT_EQ(*NewLogStart({"orders", 0, 1}, 2, 10), 2u);
  EXPECT_EQ(*NewLogStart({"orders", 0, std::nullopt}, 2, 10), 10u);
  EXPECT_EQ(NewLogStart({"orders", 0, 11}, 2, 10).error().code, v1::OFFSET_OUT_OF_RANGE);
}

TEST(NearestName, OfOneCharacterIsItselfOnly) {
  EXPECT_EQ(NearestName("o", {"h", "b"}), "");
  EXPECT_EQ(NearestName("O", {"h", "o"}), "o");
  EXPECT_EQ(NearestName("or", {"on"}), "on");
}

}  // namespace
}  // namespace tidemark
