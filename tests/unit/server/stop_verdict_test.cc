// May a broker be stopped now? The decision, and whole simulated brokers that answer /restartz and /metrics.
#include "broker/server/stop_verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Brokers = std::vector<BrokerId>;

StopVerdict Of(Brokers replicas, Brokers isr, uint32_t min_insync, std::set<BrokerId> live = {0, 1, 2},
               Brokers offline = {}) {
  StopVerdict verdict;
  JudgePartition(0, live,
                 {.topic = "orders",
                  .partition = 3,
                  .replicas = std::move(replicas),
                  .isr = std::move(isr),
                  .offline = std::move(offline),
                  .min_insync_replicas = min_insync},
                 &verdict);
  return verdict;
}

TEST(StopVerdict, AWholePartitionWithOneToSpareLetsItsBrokerGo) {
  const StopVerdict verdict = Of({0, 1, 2}, {0, 1, 2}, 2);
  EXPECT_TRUE(verdict.safe(false));
  EXPECT_EQ(verdict.held, 1u);
}

TEST(StopVerdict, ABrokerOutsideTheIsrTakesNothingAway) { EXPECT_TRUE(Of({0, 1, 2}, {1}, 2).safe(false)); }

TEST(StopVerdict, GoingBelowMinIsrIsARiskThatWaitingMends) {
  const StopVerdict verdict = Of({0, 1, 2}, {0, 1}, 2);
  EXPECT_FALSE(verdict.safe(false));
  EXPECT_FALSE(verdict.safe(true));
  ASSERT_THAT(verdict.partitions, SizeIs(1));
  EXPECT_EQ(verdict.partitions[0].risk, StopRisk::kBelowMinIsr);
  EXPECT_EQ(verdict.partitions[0].remaining, 1u);
  EXPECT_EQ(ToString(verdict.partitions[0]),
            "orders-3: 1 in sync would remain of 2 required (replicas 0,1,2, ISR 0,1)");
}

TEST(StopVerdict, MembersThatAreDeadOrWhoseDiskFailedDoNotCount) {
  EXPECT_FALSE(Of({0, 1, 2}, {0, 1, 2}, 2, {0, 1}).safe(false));
  EXPECT_FALSE(Of({0, 1, 2}, {0, 1, 2}, 2, {0, 1, 2}, {2}).safe(false));
  EXPECT_EQ(Of({0, 1}, {0, 1}, 1, {0}).partitions.at(0).risk, StopRisk::kLastInSync);
}

TEST(StopVerdict, WhatABrokerCannotServeItselfItTakesFromNobody) {
  EXPECT_TRUE(Of({0, 1, 2}, {0}, 2, {0, 1, 2}, {0}).safe(false)) << "the disk below the last ISR failed";
  EXPECT_TRUE(Of({0, 1, 2}, {0, 1}, 2, {0, 1, 2}, {0}).safe(false));
}

TEST(StopVerdict, TheLastInSyncIsWaitedForAlsoWhenOneWouldDo) {
  const StopVerdict verdict = Of({0, 1}, {0}, 1);
  ASSERT_THAT(verdict.partitions, SizeIs(1));
  EXPECT_EQ(verdict.partitions[0].risk, StopRisk::kLastInSync);
  EXPECT_FALSE(verdict.safe(true));
}

TEST(StopVerdict, WhatNoWaitingChangesCanBeIgnored) {
  for (const StopVerdict& verdict : {Of({0}, {0}, 2), Of({0, 1}, {0, 1}, 2), Of({0, 1}, {0, 1}, 5)}) {
    EXPECT_FALSE(verdict.safe(false));
    EXPECT_TRUE(verdict.safe(true));
    EXPECT_EQ(verdict.unavoidable, 1u);
  }
  EXPECT_EQ(Of({0}, {0}, 2).partitions.at(0).risk, StopRisk::kOnlyReplica);
  // All three must be in sync and one is not: that one is worth waiting for.
  EXPECT_FALSE(Of({0, 1, 2}, {0, 1}, 3).safe(true));
}

TEST(StopVerdict, CountsAllButListsABoundedNumber) {
  StopVerdict verdict;
  for (PartitionIndex p = 0; p < 250; ++p)
    JudgePartition(0, {0}, {.topic = "orders", .partition = p, .replicas = {0}, .isr = {0}}, &verdict);
  EXPECT_EQ(verdict.at_risk, 250u);
  EXPECT_THAT(verdict.partitions, SizeIs(StopVerdict::kMostPartitions));
}

class Restartz : public testing::Test {
 protected:
  Restartz() : cluster_(5, 3, {{"replica.lag.time.max.ms", "3000"}}) {
    cluster_.StartAll();
    cluster_.CreateTopic("orders", 2, 3, {{"min.insync.replicas", "2"}});
    CHECK(cluster_.WaitForLeaders("orders"));
  }
  nlohmann::json Ask(int broker, std::string ignore = "") {
    AdminRequest request{.path = "/restartz", .query = {{"format", "json"}}};
    if (!ignore.empty()) request.query["ignore"] = ignore;
    const AdminReply reply = cluster_.Http(broker, request);
    nlohmann::json out = nlohmann::json::parse(reply.body);
    EXPECT_EQ(reply.status, out["safe_to_stop"] ? 200 : 503);
    return out;
  }
  bool Until(const std::function<bool()>& done) {
    const MonoTime deadline = cluster_.world().Now() + 60s;
    while (!done() && cluster_.world().Now() < deadline) cluster_.world().RunFor(200ms);
    return done();
  }
  SimBrokers cluster_;
};

TEST_F(Restartz, SaysYesWhileAllAreInSyncAndNoWhileOneIsDown) {
  for (int broker : {0, 1, 2})
    ASSERT_TRUE(Until([&] { return Ask(broker)["safe_to_stop"].get<bool>(); })) << Ask(broker).dump(2);
  EXPECT_EQ(Ask(0)["partitions_held"], 2);
  cluster_.Kill(2);
  // The partitions leave their ISR one after the other.
  ASSERT_TRUE(Until([&] { return Ask(0)["partitions"].size() == 2 && !Ask(1)["safe_to_stop"]; }));
  const nlohmann::json no = Ask(0);
  EXPECT_THAT(no["reasons"], IsEmpty());
  ASSERT_THAT(no["partitions"], SizeIs(2));
  EXPECT_EQ(no["partitions"][0]["topic"], "orders");
  EXPECT_EQ(no["partitions"][0]["problem"], "below_min_isr");
  EXPECT_EQ(no["partitions"][0]["required_in_sync"], 2);
  EXPECT_THAT(cluster_.Http(0, {.path = "/restartz"}).body, HasSubstr("orders-1: 1 in sync would remain"));
  ASSERT_TRUE(cluster_.Start(2));
  EXPECT_TRUE(Until([&] { return Ask(0)["safe_to_stop"].get<bool>(); })) << Ask(0).dump(2);
}

TEST_F(Restartz, ATopicOfOneReplicaIsAlwaysAtRiskAndCanBeIgnored) {
  cluster_.CreateTopic("single", 3, 1);
  ASSERT_TRUE(cluster_.WaitForLeaders("single"));
  const int leader = cluster_.LeaderOf("single", 0);
  ASSERT_TRUE(Until([&] { return Ask(leader)["partitions_unavoidable"] == 1; }));
  EXPECT_FALSE(Ask(leader)["safe_to_stop"]);
  EXPECT_EQ(Ask(leader)["partitions"][0]["problem"], "only_replica");
  EXPECT_TRUE(Ask(leader, "unavoidable")["safe_to_stop"]);
  EXPECT_EQ(cluster_.Http(leader, {.path = "/restartz", .query = {{"ignore", "all"}}}).status, 400);
}

TEST_F(Restartz, NobodyMayGoWithoutZooKeeper) {
  ASSERT_TRUE(Until([&] { return Ask(0)["safe_to_stop"].get<bool>(); }));
  cluster_.world().zookeeper().Stop();
  ASSERT_TRUE(Until([&] { return !Ask(0)["safe_to_stop"]; }));
  EXPECT_THAT(Ask(0)["reasons"].dump(), HasSubstr("ZooKeeper is out of reach"));
  EXPECT_THAT(Ask(0)["partitions"], IsEmpty());
}

TEST_F(Restartz, TheOtherPagesAnswerAsWell) {
  EXPECT_EQ(cluster_.Http(0, {.path = "/livez"}).status, 200);
  ASSERT_TRUE(Until([&] { return cluster_.Http(0, {.path = "/readyz"}).status == 200; }));
  EXPECT_THAT(cluster_.Http(0, {.path = "/readyz", .accept = "application/json"}).body,
              HasSubstr("\"ready\": true"));
  EXPECT_THAT(cluster_.Http(0, {.path = "/metrics"}).body, HasSubstr("tidemark_broker_ready 1\n"));
  EXPECT_EQ(nlohmann::json::parse(cluster_.Http(0, {.path = "/state"}).body)["broker"]["id"], 0);
  EXPECT_EQ(cluster_.Http(0, {.path = "/"}).status, 404);
}

}  // namespace
}  // namespace tidemark
