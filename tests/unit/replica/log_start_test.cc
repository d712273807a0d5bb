// The log start of a replicated partition: retention on the leader, followers that adopt it, DeleteRecords.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/replica/cluster.h"

namespace tidemark {
namespace {

constexpr WallMillis kNow = 1'700'000'000'000;  // TestClock's
using Outcome = std::shared_ptr<std::optional<Result<Offset>>>;

Task<void> Delete(Partition* partition, std::optional<Offset> before, MonoTime deadline, Outcome out) {
  out->emplace(co_await partition->DeleteRecords(before, std::nullopt, deadline, {}));
}

Outcome Begin(Cluster& cluster, BrokerId leader, std::optional<Offset> before, Duration patience = 5s) {
  auto out = std::make_shared<std::optional<Result<Offset>>>();
  cluster.waits.Spawn("delete records",
                      Delete(&cluster[leader].replica(), before, cluster.loop.Now() + patience, out));
  return out;
}

void Fill(Cluster& cluster, int records) {
  for (int i = 0; i < records; ++i)
    ASSERT_TRUE(cluster.Produce(1, std::string(1, static_cast<char>('a' + i))));
  cluster.Run();
}

// The leader's log as one expired segment that ends where the log does.
void Expire(Cluster& cluster) {
  cluster[1].log().segments = {{.base_offset = 0,
                                .end_offset = cluster[1].log().end_offset(),
                                .size = 100,
                                .max_timestamp = kNow - 5000,
                                .last_append_time = kNow - 5000}};
}

TEST(LogStart, RetentionMovesItOnTheLeaderAndTheFollowersAdoptIt) {
  Cluster cluster(3, {.min_insync_replicas = 2, .retention = {.time = 1s}});
  Fill(cluster, 3);
  Expire(cluster);
  cluster.Run(31s);
  for (const BrokerId broker : {1, 2, 3}) EXPECT_EQ(cluster[broker].replica().log_start(), 3u) << broker;
  EXPECT_EQ(cluster[1].log().rolls, 1);
  EXPECT_EQ(cluster[2].log().rolls, 0) << "only the leader decides";
}

TEST(LogStart, AChangedRetentionConfigIsActedOnAtOnce) {
  Cluster cluster(2, {.min_insync_replicas = 1});
  Fill(cluster, 3);
  cluster.Run(40s);
  Expire(cluster);
  TopicSettings settings = cluster.settings;
  settings.retention.time = 1s;
  for (const BrokerId broker : {1, 2}) cluster[broker].table->UpdateConfig("t", settings);
  cluster.Run(100ms);
  EXPECT_EQ(cluster[1].replica().log_start(), 3u);
  EXPECT_EQ(cluster[2].replica().log_start(), 3u);
}

TEST(LogStart, ANewLeaderLooksSoonForTheOneBeforeTookItsPlansAlong) {
  Cluster cluster(2, {.min_insync_replicas = 1, .retention = {.time = 1s}});
  Fill(cluster, 3);
  cluster.Run(40s);
  cluster[2].log().segments = {{.base_offset = 0,
                                .end_offset = 3,
                                .size = 100,
                                .max_timestamp = kNow - 5000,
                                .last_append_time = kNow - 5000}};
  cluster.Run(1s);
  EXPECT_EQ(cluster[2].replica().log_start(), 0u) << "a follower decides nothing";
  cluster.Elect(2);
  cluster.Run(3s);
  EXPECT_EQ(cluster[2].replica().log_start(), 3u) << "not only at the next round";
}

TEST(LogStart, WhatExpiresBeforeTheNextRoundGoesWhenItExpires) {
  Cluster cluster(1, {.min_insync_replicas = 1});
  Fill(cluster, 2);
  cluster[1].log().segments = {{.base_offset = 0,
                                .end_offset = 2,
                                .size = 10,
                                .max_timestamp = kNow - 700,
                                .last_append_time = kNow - 700}};
  TopicSettings settings = cluster.settings;
  settings.retention.time = 1s;
  cluster[1].table->UpdateConfig("t", settings);
  cluster.Run(100ms);
  EXPECT_EQ(cluster[1].replica().log_start(), 0u);
  // The test's wall clock stands still: the record ages instead.
  cluster[1].log().segments[0].max_timestamp = kNow - 5000;
  cluster.Run(1500ms);
  EXPECT_EQ(cluster[1].replica().log_start(), 2u) << "not only at the next round";
}

TEST(LogStart, AnUnknownAppendTimeIsLearntBeforeItDecides) {
  Cluster cluster(1, {.min_insync_replicas = 1, .retention = {.time = 1s}});
  Fill(cluster, 2);
  Expire(cluster);
  cluster[1].log().segments[0].max_timestamp = kNow + 1'000'000'000;
  cluster[1].log().segments[0].last_append_time.reset();
  cluster[1].log().learnt_append_time = kNow - 2000;
  cluster.Run(31s);
  EXPECT_EQ(cluster[1].replica().log_start(), 2u);
}

TEST(LogStart, RetentionStopsAtTheHighWatermark) {
  Cluster cluster(2, {.min_insync_replicas = 2, .retention = {.time = 1s}});
  Fill(cluster, 2);
  cluster[2].log().auto_flush = false;
  ASSERT_TRUE(cluster.Produce(1, "c", 1));
  cluster[1].log().segments = {
      {.base_offset = 0, .end_offset = 2, .size = 10, .max_timestamp = 1, .last_append_time = 1},
      {.base_offset = 2, .end_offset = 3, .size = 10, .max_timestamp = 1, .last_append_time = 1}};
  cluster.Run(20s);
  cluster.Run(11s);
  EXPECT_EQ(cluster[1].replica().high_watermark(), 2u);
  EXPECT_EQ(cluster[1].replica().log_start(), 2u);
}

TEST(DeleteRecords, AnswersWhenEveryReplicaInSyncHasTheLogStartOnItsDisk) {
  Cluster cluster(3);
  Fill(cluster, 4);
  const auto some = Begin(cluster, 1, 2);
  const MonoTime before = cluster.loop.Now();
  cluster.Run(400ms);
  ASSERT_TRUE(*some);
  ASSERT_TRUE(**some) << ToString((**some).error());
  EXPECT_EQ(***some, 2u);
  EXPECT_LT(cluster.loop.Now() - before, 500ms) << "a parked fetch holds nobody up";
  for (const BrokerId broker : {1, 2, 3}) {
    EXPECT_EQ(cluster[broker].log().durable_start(), 2u) << broker;
    EXPECT_EQ(cluster[broker].log().Bodies(), "cd");
  }
  const auto all = Begin(cluster, 1, std::nullopt);
  cluster.Run(400ms);
  ASSERT_TRUE(*all && **all);
  EXPECT_EQ(***all, 4u);
  const auto again = Begin(cluster, 1, 1);
  cluster.Run(100ms);
  ASSERT_TRUE(*again && **again) << "below the log start there is nothing to do";
  EXPECT_EQ(***again, 4u);
}

TEST(DeleteRecords, ARestartedOrNewLeaderNeverStartsBelowWhatWasAnswered) {
  Cluster cluster(3);
  Fill(cluster, 4);
  const auto done = Begin(cluster, 1, 3);
  cluster.Run(400ms);
  ASSERT_TRUE(*done && **done);
  for (const BrokerId broker : {1, 2, 3}) cluster[broker].Kill(/*power_cut=*/true);
  for (const BrokerId broker : {1, 2, 3}) cluster[broker].Start();
  cluster.Elect(2);
  EXPECT_EQ(cluster[2].replica().log_start(), 3u);
  cluster.Run();
  EXPECT_EQ(cluster[2].replica().log_start(), 3u);
}

TEST(DeleteRecords, WhatCannotBeDeletedIsRefused) {
  Cluster cluster(1, {.min_insync_replicas = 1});
  Fill(cluster, 2);
  const auto above = Begin(cluster, 1, 3);
  cluster.Run(10ms);
  EXPECT_EQ((**above).error().code, v1::OFFSET_OUT_OF_RANGE);
  TopicSettings compact = cluster.settings;
  compact.retention.deletes = false;
  cluster[1].table->UpdateConfig("t", compact);
  const auto compacted = Begin(cluster, 1, 1);
  cluster.Run(10ms);
  EXPECT_EQ((**compacted).error().code, v1::POLICY_VIOLATION);
  EXPECT_EQ(cluster[1].replica().log_start(), 0u);
}

TEST(DeleteRecords, OnlyTheLeaderOfTheEpochDeletes) {
  Cluster cluster(2);
  Fill(cluster, 2);
  const auto follower = Begin(cluster, 2, 1);
  cluster.Run(10ms);
  EXPECT_EQ((**follower).error().code, v1::NOT_LEADER_OR_FOLLOWER);
  const auto old = cluster.loop.Run(cluster[1].replica().DeleteRecords(
      1, *cluster[1].replica().leader_epoch() + 1, cluster.loop.Now(), {}));
  EXPECT_EQ(old.error().code, v1::UNKNOWN_LEADER_EPOCH);
}

TEST(DeleteRecords, AMemberThatDoesNotAnswerIsNamed) {
  Cluster cluster(3);
  Fill(cluster, 2);
  cluster.Hold(Hop::kFetchAnswer, 1, 3);
  const auto out = Begin(cluster, 1, 2, 1s);
  cluster.Run(1500ms);
  ASSERT_TRUE(*out);
  ASSERT_FALSE(**out);
  EXPECT_EQ((**out).error().code, v1::REQUEST_TIMED_OUT);
  EXPECT_THAT((**out).error().message, testing::HasSubstr("broker 3"));
  EXPECT_THAT((**out).error().message, testing::Not(testing::HasSubstr("broker 2")));
  EXPECT_EQ(cluster[1].replica().log_start(), 2u) << "deleted all the same";
}

TEST(DeleteRecords, ALostLeadershipEndsTheWait) {
  Cluster cluster(2);
  Fill(cluster, 2);
  cluster.Hold(Hop::kFetchAnswer, 1, 2);
  const auto out = Begin(cluster, 1, 2);
  cluster.Run(100ms);
  EXPECT_FALSE(*out);
  cluster.Elect(2);
  cluster.Run(100ms);
  ASSERT_TRUE(*out);
  EXPECT_EQ((**out).error().code, v1::NOT_LEADER_OR_FOLLOWER);
  cluster.Release(Hop::kFetchAnswer, 1, 2);
}

TEST(DeleteRecords, AReplicaJoinsTheIsrOnlyWithThePromisedLogStartOnItsDisk) {
  IsrView view;
  FollowerProgress follower{.broker = 2, .broker_epoch = 9, .ends = ReplicaEnds{10, 10}};
  view.leader_log_end = view.high_watermark = 10;
  view.required_log_start = 7;
  view.lag_time_max = 30s;
  follower.log_start = 6;
  EXPECT_FALSE(MayJoin(follower, view));
  follower.log_start = 7;
  EXPECT_TRUE(MayJoin(follower, view));
}

TEST(DeleteRecords, ACopyMadeAnewBeginsAtThePromisedLogStartAndJoins) {
  Cluster cluster(3);
  Fill(cluster, 4);
  cluster[3].Kill();
  cluster.Elect(1);
  const auto done = Begin(cluster, 1, 3);
  cluster.Run(400ms);
  ASSERT_TRUE(*done && **done);
  cluster[3].Start();
  cluster.Send({3});
  cluster.Run(3s);
  EXPECT_EQ(cluster[3].log().durable_start(), 3u);
  EXPECT_EQ(cluster.Isr(), (std::vector<BrokerId>{1, 2, 3}));
}

}  // namespace
}  // namespace tidemark
