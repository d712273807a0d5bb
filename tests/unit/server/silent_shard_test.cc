// A shard that does not answer: what /metrics and /state make of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <algorithm>

#include <nlohmann/json.hpp>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using Json = nlohmann::json;

constexpr uint32_t kSilentPartitions = 12;

class SilentShard : public testing::Test {
 protected:
  SilentShard() : cluster_(5, 1, {{"num.shards", "3"}}) {
    cluster_.StartAll();
    cluster_.CreateTopic("orders", kSilentPartitions, 1);
    CHECK(cluster_.WaitForLeaders("orders"));
    for (uint32_t p = 0; p < kSilentPartitions; ++p) cluster_.Produce("orders", p, {"one"});
  }
  std::string Metrics() { return cluster_.Http(0, {.path = "/metrics"}).body; }
  // Of the line that begins with the name and its labels.
  static double Value(const std::string& metrics, const std::string& name) {
    const size_t at = metrics.find("\n" + name + " ");
    CHECK(at != std::string::npos) << name << " in\n" << metrics;
    return std::stod(metrics.substr(at + name.size() + 2));
  }
  SimLoop& Shard() { return cluster_.process(0).LoopNamed("shard-1"); }

  SimBrokers cluster_;
};

TEST_F(SilentShard, CountsAsItLastToldAndTheOthersKeepTheirNames) {
  const std::string before = Metrics();
  EXPECT_EQ(Value(before, "tidemark_shards_not_answering"), 0);
  Shard().SetStill(true);
  const std::string during = Metrics();
  EXPECT_EQ(Value(during, "tidemark_shards_not_answering"), 1);
  EXPECT_GT(Value(before, "tidemark_produced_bytes_total"), 0);
  for (const char* name : {"tidemark_produced_bytes_total", "tidemark_leader_elections_total"})
    EXPECT_EQ(Value(during, name), Value(before, name)) << name;
  for (const char* shard : {"0", "1", "2"}) {
    const std::string name = fmt::format("tidemark_connection_bytes_in_total{{shard=\"{}\"}}", shard);
    EXPECT_EQ(Value(during, name), Value(before, name)) << "nobody has sent anything meanwhile";
  }
  Shard().SetStill(false);
  cluster_.Produce("orders", 0, {"two"});
  const std::string after = Metrics();
  EXPECT_EQ(Value(after, "tidemark_shards_not_answering"), 0);
  EXPECT_GT(Value(after, "tidemark_produced_bytes_total"), Value(before, "tidemark_produced_bytes_total"));
}

TEST_F(SilentShard, IsNamedByAStateThatIsNotWhole) {
  const auto state = [this](int status) {
    const AdminReply reply = cluster_.Http(0, {.path = "/state"});
    EXPECT_EQ(reply.status, status);
    return Json::parse(reply.body);
  };
  const Json before = state(200);
  EXPECT_EQ(before["partitions"].size(), kSilentPartitions);
  EXPECT_FALSE(before.contains("not_answering"));
  Shard().SetStill(true);
  const Json during = state(503);
  EXPECT_THAT(during["not_answering"], ElementsAre("shard-1"));
  EXPECT_LT(during["partitions"].size(), kSilentPartitions);
  EXPECT_GT(during["partitions"].size(), 0u);
  EXPECT_TRUE(during["loops"].contains("shard-0"));
  EXPECT_FALSE(during["loops"].contains("shard-1")) << "that would be how it was before";
  Shard().SetStill(false);
  EXPECT_EQ(state(200)["partitions"].size(), kSilentPartitions);
}

// A part of the replicas would pass for all of them.
TEST_F(SilentShard, ItsBrokerDoesNotTellOfAPartOfItsReplicas) {
  v1::Request request;
  request.mutable_describe_log_dirs();
  const auto replicas = [&] {
    int out = 0;
    const auto response = cluster_.Call(0, request);
    for (const auto& directory : response->describe_log_dirs().log_dirs()) out += directory.replicas_size();
    return out;
  };
  EXPECT_EQ(replicas(), kSilentPartitions);
  // Connections go to the shards in turn: one of these is not the silent shard's.
  v1::Request hello;
  hello.mutable_api_versions();
  const auto purposes = {v1::CONNECTION_PURPOSE_CLIENT, v1::CONNECTION_PURPOSE_CONTROL,
                         v1::CONNECTION_PURPOSE_REPLICATION};
  for (const auto purpose : purposes) ASSERT_TRUE(cluster_.Call(0, hello, purpose));
  Shard().SetStill(true);
  const auto heard = std::ranges::find_if(
      purposes, [&](v1::ConnectionPurpose purpose) { return cluster_.Call(0, hello, purpose).has_value(); });
  ASSERT_NE(heard, purposes.end());
  const auto told = cluster_.Call(0, request, *heard);
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, v1::REQUEST_TIMED_OUT);
  EXPECT_THAT(told.error().message, testing::HasSubstr("a shard of broker 0"));
  Shard().SetStill(false);
  EXPECT_EQ(replicas(), kSilentPartitions);
}

}  // namespace
}  // namespace tidemark
