// DeleteRecords over the wire, on whole brokers in the simulated world.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/net/rpc_channel.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::DeleteRecordsResponse::Partition Delete(SimBrokers& cluster, int id, TopicId topic, uint32_t partition,
                                            int64_t offset) {
  v1::Request request;
  request.mutable_delete_records()->set_timeout_ms(5000);
  v1::DeleteRecordsRequest::Topic* wanted = request.mutable_delete_records()->add_topics();
  wanted->set_id(topic.ToBytes());
  wanted->add_partitions()->set_partition(partition);
  wanted->mutable_partitions(0)->set_offset(offset);
  const Result<v1::Response> response = cluster.Call(id, request);
  CHECK(response) << ToString(response.error());
  return response->delete_records().topics(0).partitions(0);
}

// A replica that is copied from the beginning can only begin where a batch does.
TEST(DeleteRecordsApi, ALogThatBeginsInsideOfABatchCanBeCopied) {
  SimBrokers cluster(12, 3, {{"log.dirs", "/data"}});
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 3);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.Produce("orders", 0, {"a", "b", "c", "d"});
  const int leader = cluster.LeaderOf("orders", 0);
  ASSERT_EQ(Delete(cluster, leader, id, 0, 2).low_watermark(), 2u);
  const int emptied = (leader + 1) % 3;
  ASSERT_TRUE(cluster.Stop(emptied));
  cluster.world().disk("host" + std::to_string(emptied)).RemovePath("/data");
  ASSERT_TRUE(cluster.Start(emptied));
  const auto in_sync = [&] {
    const auto now = cluster.Metadata("orders");
    return now ? now->partitions(0).isr_size() : 0;
  };
  for (int i = 0; i < 100 && in_sync() < 3; ++i) cluster.world().RunFor(1s);
  ASSERT_EQ(in_sync(), 3);
  for (const int id_of_other : {leader, 3 - leader - emptied}) cluster.Kill(id_of_other);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  ASSERT_EQ(cluster.LeaderOf("orders", 0), emptied);
  EXPECT_EQ(cluster.FetchOnce(emptied, id, 0, 1).error().code(), v1::OFFSET_OUT_OF_RANGE);
  const auto rest = cluster.FetchOnce(emptied, id, 0, 2);
  EXPECT_EQ(rest.log_start_offset(), 2u);
  EXPECT_EQ(SimBrokers::ValuesOf(rest.records()), (std::vector<std::string>{"a", "b", "c", "d"}))
      << "whole batches";
}

TEST(DeleteRecordsApi, TrimsEmptiesAndSurvivesPowerLossEverywhere) {
  SimBrokers cluster(11, 3);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 3);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.Produce("orders", 0, {"a", "b"});
  cluster.Produce("orders", 0, {"c", "d"});
  const auto trimmed = Delete(cluster, cluster.LeaderOf("orders", 0), id, 0, 3);
  EXPECT_EQ(trimmed.error().code(), v1::NONE) << trimmed.error().message();
  EXPECT_EQ(trimmed.low_watermark(), 3u);
  const auto below = cluster.FetchOnce(cluster.LeaderOf("orders", 0), id, 0, 2);
  EXPECT_EQ(below.error().code(), v1::OFFSET_OUT_OF_RANGE);
  EXPECT_EQ(below.log_start_offset(), 3u);
  for (const int broker : {0, 1, 2}) cluster.Kill(broker, /*power_loss=*/true);
  for (const int broker : {0, 1, 2}) ASSERT_TRUE(cluster.Start(broker));
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  const auto again = cluster.FetchOnce(cluster.LeaderOf("orders", 0), id, 0, 2);
  EXPECT_EQ(again.error().code(), v1::OFFSET_OUT_OF_RANGE);
  EXPECT_EQ(again.log_start_offset(), 3u);
  cluster.Produce("orders", 0, {"e"});
  const auto emptied = Delete(cluster, cluster.LeaderOf("orders", 0), id, 0, -1);
  EXPECT_EQ(emptied.low_watermark(), 5u) << emptied.error().message();
  EXPECT_EQ(cluster.Produce("orders", 0, {"f"}), 5u);
}

TEST(DeleteRecordsApi, RefusesWhatKafkaRefuses) {
  SimBrokers cluster(12, 2);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 2);
  const TopicId compact = cluster.CreateTopic("state", 1, 1, {{"cleanup.policy", "compact"}});
  const TopicId both = cluster.CreateTopic("both", 1, 1, {{"cleanup.policy", "compact,delete"}});
  for (const char* topic : {"orders", "state", "both"}) ASSERT_TRUE(cluster.WaitForLeaders(topic));
  cluster.Produce("orders", 0, {"a"});
  const int leader = cluster.LeaderOf("orders", 0);
  EXPECT_EQ(Delete(cluster, leader, id, 0, 2).error().code(), v1::OFFSET_OUT_OF_RANGE);
  EXPECT_EQ(Delete(cluster, leader, id, 0, -2).error().code(), v1::OFFSET_OUT_OF_RANGE);
  EXPECT_EQ(Delete(cluster, leader, id, 9, 0).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_EQ(Delete(cluster, leader, TopicId(), 0, 0).error().code(), v1::UNKNOWN_TOPIC_ID);
  const auto elsewhere = Delete(cluster, 1 - leader, id, 0, 1);
  EXPECT_EQ(elsewhere.error().code(), v1::NOT_LEADER_OR_FOLLOWER);
  EXPECT_EQ(elsewhere.current_leader().leader(), leader);
  const auto refused = Delete(cluster, cluster.LeaderOf("state", 0), compact, 0, 0);
  EXPECT_EQ(refused.error().code(), v1::POLICY_VIOLATION);
  EXPECT_THAT(refused.error().message(), HasSubstr("cleanup.policy"));
  EXPECT_EQ(Delete(cluster, cluster.LeaderOf("both", 0), both, 0, 0).error().code(), v1::NONE);
  EXPECT_THAT(cluster.Consume("orders", 0), ElementsAre("a"));
}

v1::Request DeleteBefore(TopicId topic, const std::vector<std::pair<uint32_t, int64_t>>& wanted,
                         uint32_t timeout_ms) {
  v1::Request request;
  request.mutable_delete_records()->set_timeout_ms(timeout_ms);
  v1::DeleteRecordsRequest::Topic* out = request.mutable_delete_records()->add_topics();
  out->set_id(topic.ToBytes());
  for (const auto& [partition, offset] : wanted) {
    out->add_partitions()->set_partition(partition);
    out->mutable_partitions()->rbegin()->set_offset(offset);
  }
  return request;
}

TEST(DeleteRecordsApi, NamesEachPartitionOnce) {
  SimBrokers cluster(14, 1);
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 2, 1);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.Produce("orders", 0, {"a", "b"});
  const auto twice = cluster.Call(0, DeleteBefore(id, {{0, 1}, {1, 0}, {0, 2}}, 1000));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, v1::INVALID_REQUEST);
  EXPECT_EQ(cluster.FetchOnce(0, id, 0, 0).log_start_offset(), 0u) << "nothing of it is done";
  EXPECT_TRUE(cluster.Stop(0));
}

// A follower in sync that does not follow, because its disk hangs.
class DeletionThatWaits : public testing::Test {
 protected:
  DeletionThatWaits()
      : cluster_(15, 2,
                 {{"watchdog.stuck.ms", "36000000"},
                  {"replica.lag.time.max.ms", "36000000"},
                  {"num.shards", "1"}}) {
    cluster_.StartAll();
    id_ = cluster_.CreateTopic("orders", 1, 2);
    CHECK(cluster_.WaitForLeaders("orders"));
    cluster_.Produce("orders", 0, {"a", "b"});
    leader_ = cluster_.LeaderOf("orders", 0);
    cluster_.process(1 - leader_).pool().SetHung(true);
    channel_ = std::make_shared<RpcChannel>(client_.main_loop(), client_.transport(), client_.random(),
                                            Endpoint{"host" + std::to_string(leader_), 9092},
                                            RpcChannelOptions{.client_id = "leaver"});
    client_.Spawn("delete", [channel = channel_, id = id_, answer = answer_]() -> Task<void> {
      answer->emplace(co_await channel->Call(DeleteBefore(id, {{0, 1}}, ~0u), 48h, {}));
    });
    cluster_.world().RunFor(60s);
  }
  ~DeletionThatWaits() override {
    client_.Await([this] { return channel_->Close(); });
  }
  bool Waiting() {
    size_t waits = 0;
    for (const auto& wait : cluster_.process(leader_).LoopNamed("shard-0").waits().Snapshot())
      waits += std::string_view(wait.name) == "log start of the replicas" ? 1 : 0;
    return waits > 0;
  }

  SimBrokers cluster_;
  SimProcess& client_ = cluster_.world().StartProcess("leaver");
  TopicId id_;
  int leader_ = 0;
  std::shared_ptr<RpcChannel> channel_;
  std::shared_ptr<std::optional<Result<v1::Response>>> answer_ =
      std::make_shared<std::optional<Result<v1::Response>>>();
};

TEST_F(DeletionThatWaits, EndsWhenItsClientLeaves) {
  ASSERT_TRUE(Waiting());
  ASSERT_FALSE(answer_->has_value());
  client_.Await([this] { return channel_->Close(); });
  cluster_.world().RunFor(1s);
  EXPECT_FALSE(Waiting());
}

TEST_F(DeletionThatWaits, DoesNotWaitForLongerThanFiveMinutes) {
  ASSERT_TRUE(Waiting());
  cluster_.world().RunFor(200s);
  EXPECT_TRUE(Waiting());
  cluster_.world().RunFor(50s);
  EXPECT_FALSE(Waiting());
  ASSERT_TRUE(answer_->has_value());
  ASSERT_TRUE(**answer_) << ToString((**answer_).error());
  EXPECT_EQ((**answer_)->delete_records().topics(0).partitions(0).error().code(), v1::REQUEST_TIMED_OUT);
}

TEST(RetentionOfABroker, ARoundDeletesWhatIsOldAndFollowersGiveTheirSpaceBack) {
  SimBrokers cluster(13, 2, {{"log.retention.ms", "60000"}, {"log.retention.check.interval.ms", "10000"}});
  cluster.StartAll();
  const TopicId id = cluster.CreateTopic("orders", 1, 2);
  ASSERT_TRUE(cluster.WaitForLeaders("orders"));
  cluster.Produce("orders", 0, {"a", "b", "c"});
  cluster.world().RunFor(50s);
  EXPECT_THAT(cluster.Consume("orders", 0), ElementsAre("a", "b", "c"));
  cluster.world().RunFor(40s);
  for (const int broker : {0, 1}) {
    v1::Request describe;
    describe.mutable_describe_replicas()->add_topic_ids(id.ToBytes());
    const Result<v1::Response> replicas = cluster.Call(broker, describe);
    ASSERT_TRUE(replicas);
    EXPECT_EQ(replicas->describe_replicas().replicas(0).log_start_offset(), 3u) << broker;
    EXPECT_EQ(replicas->describe_replicas().replicas(0).size_bytes(), 0u) << broker;
  }
  EXPECT_EQ(cluster.Produce("orders", 0, {"d"}), 3u);
}

}  // namespace
}  // namespace tidemark
