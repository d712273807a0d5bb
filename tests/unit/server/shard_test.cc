// What shards answer and how they scatter it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/server/fetch_session.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/unit/server/shard_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_P(ShardTest, BeforeItIsActiveItSaysSoAndTellsItsVersions) {
  const Result<v1::Response> produced = Call(Produce({{0, "x"}}));
  ASSERT_FALSE(produced);
  EXPECT_EQ(produced.error().code, v1::BROKER_NOT_READY);
  v1::Request versions;
  versions.mutable_api_versions();
  const Result<v1::Response> told = Call(versions);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->api_versions().max_frame_bytes(), 16u << 20);
}

TEST_P(ShardTest, OneProduceReachesEveryPartitionAndOneFetchReadsThemAll) {
  Activate();
  std::vector<std::pair<uint32_t, std::string>> records;
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) records.emplace_back(i, "value-" + std::to_string(i));
  const Result<v1::Response> produced = Call(Produce(records));
  ASSERT_TRUE(produced) << produced.error().message;
  const auto& topic = produced->produce().topics(0);
  ASSERT_EQ(topic.partitions_size(), static_cast<int>(kOrdersPartitions));
  for (int i = 0; i < topic.partitions_size(); ++i) {
    EXPECT_EQ(topic.partitions(i).partition(), static_cast<uint32_t>(i));
    EXPECT_EQ(topic.partitions(i).error().code(), v1::NONE) << topic.partitions(i).error().message();
  }
  std::vector<std::pair<uint32_t, Offset>> wanted;
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) wanted.emplace_back(i, 0);
  auto fetched = ByPartition(Call(Fetch(wanted)));
  ASSERT_EQ(fetched.size(), kOrdersPartitions);
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) {
    EXPECT_THAT(Values(fetched[i].records()), ElementsAre("value-" + std::to_string(i)));
    EXPECT_EQ(fetched[i].high_watermark(), 1u);
  }
}

TEST_P(ShardTest, PipelinedProducesToOnePartitionKeepTheirOrder) {
  Activate();
  std::vector<std::shared_ptr<std::optional<Result<v1::Response>>>> answers;
  std::vector<std::string> sent;
  for (int i = 0; i < 40; ++i) {
    sent.push_back(std::to_string(i));
    // Other partitions along with some, so that requests finish at different times.
    std::vector<std::pair<uint32_t, std::string>> records = {{2, sent.back()}};
    if (i % 3 == 0) records.emplace_back(i % 2 == 0 ? 4 : 5, "other");
    answers.push_back(Begin(Produce(records, i % 2 == 0 ? -1 : 1)));
  }
  ASSERT_TRUE(world.RunUntil(
      [&] { return std::ranges::all_of(answers, [](auto& a) { return a->has_value(); }); }, 60s));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(**answers[i]);
    EXPECT_EQ((**answers[i])->produce().topics(0).partitions(0).base_offset(), static_cast<Offset>(i));
  }
  EXPECT_EQ(Values(ByPartition(Call(Fetch({{2, 0}})))[2].records()), sent);
}

TEST_P(ShardTest, ABadBatchIsRefusedAloneAndNamesWhatIsWrong) {
  Activate();
  v1::Request request = Produce({{0, "good"}, {1, "bad"}, {77, "nowhere"}});
  request.mutable_produce()->mutable_topics(0)->mutable_partitions(1)->mutable_batches(0)->set_body_crc(1);
  const Result<v1::Response> produced = Call(request);
  ASSERT_TRUE(produced);
  const auto& topic = produced->produce().topics(0);
  EXPECT_EQ(topic.partitions(0).error().code(), v1::NONE);
  EXPECT_EQ(topic.partitions(1).error().code(), v1::CORRUPT_MESSAGE);
  EXPECT_EQ(topic.partitions(1).error().error_class(), ClassOf(v1::CORRUPT_MESSAGE));
  EXPECT_EQ(topic.partitions(2).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_EQ(ByPartition(Call(Fetch({{1, 0}})))[1].high_watermark(), 0u);
}

TEST_P(ShardTest, AParkedFetchOfSeveralShardsEndsWithTheFirstRecord) {
  Activate();
  std::vector<std::pair<uint32_t, Offset>> wanted;
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) wanted.emplace_back(i, 0);
  const MonoTime before = world.Now();
  auto parked = Begin(Fetch(wanted, 10000));
  world.RunFor(500ms);
  ASSERT_FALSE(parked->has_value());
  ASSERT_TRUE(Call(Produce({{3, "late"}})));
  ASSERT_TRUE(world.RunUntil([&] { return parked->has_value(); }, 5s));
  EXPECT_LT(world.Now() - before, 2s);
  EXPECT_THAT(Values(ByPartition(**parked)[3].records()), ElementsAre("late"));
}

TEST_P(ShardTest, MinBytesAreCountedOverAllShards) {
  Activate();
  std::vector<std::pair<uint32_t, Offset>> wanted;
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) wanted.emplace_back(i, 0);
  auto parked = Begin(Fetch(wanted, 15000, 0, 1500));
  const MonoTime before = world.Now();
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) {
    ASSERT_FALSE(parked->has_value()) << "after " << i;
    // 300 bytes a partition: together over 1500 with the fifth or sixth, none alone.
    ASSERT_TRUE(Call(Produce({{i, std::string(230, 'x')}})));
    world.RunFor(100ms);
  }
  ASSERT_TRUE(world.RunUntil([&] { return parked->has_value(); }, 5s));
  EXPECT_LT(world.Now() - before, 10s);
  size_t bytes = 0;
  for (const auto& [number, partition] : ByPartition(**parked)) bytes += partition.records().size();
  EXPECT_GE(bytes, 1500u);
}

TEST_P(ShardTest, AFetchOfNothingIsAnsweredAtOnce) {
  Activate();
  const MonoTime before = world.Now();
  for (const uint64_t session : {0, 1}) {
    const auto answer = Call(Fetch({}, 10'000, session));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->fetch().topics_size(), 0);
  }
  EXPECT_LT(world.Now() - before, 5s);
}

// Nobody waits for min_bytes that max_bytes, or a partition's, does not let in.
TEST_P(ShardTest, WhatIsLetInIsEnough) {
  Activate();
  const std::string value(1000, 'v');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Call(Produce({{0, value}})));
  for (const uint32_t most : {500, 2500}) {
    for (const bool of_partition : {false, true}) {
      const MonoTime before = world.Now();
      v1::Request request = Fetch({{0, 0}, {1, 0}, {2, 0}}, 10'000, 0, 1'000'000);
      if (of_partition) {
        request.mutable_fetch()->mutable_topics(0)->mutable_partitions(0)->set_max_bytes(most);
      } else {
        request.mutable_fetch()->set_max_bytes(most);
      }
      EXPECT_THAT(Values(ByPartition(Call(request)).at(0).records()), testing::Contains(value));
      EXPECT_LT(world.Now() - before, 5s) << most;
    }
  }
}

TEST_P(ShardTest, ASessionNamesOnlyWhatChanged) {
  Activate();
  std::vector<std::pair<uint32_t, Offset>> wanted;
  for (uint32_t i = 0; i < kOrdersPartitions; ++i) wanted.emplace_back(i, 0);
  EXPECT_EQ(ByPartition(Call(Fetch(wanted, 0, 1))).size(), kOrdersPartitions);
  EXPECT_EQ(ByPartition(Call(Fetch({}, 0, 2))).size(), 0u);
  ASSERT_TRUE(Call(Produce({{4, "new"}})));
  auto changed = ByPartition(Call(Fetch({}, 1000, 3)));
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_THAT(Values(changed[4].records()), ElementsAre("new"));
  EXPECT_EQ(ByPartition(Call(Fetch({{4, 1}}, 0, 4))).size(), 0u);
  // Out of step: refused, and the session is over.
  EXPECT_EQ(Call(Fetch({}, 0, 9)).error().code, v1::INVALID_FETCH_SESSION_EPOCH);
  EXPECT_EQ(Call(Fetch({}, 0, 5)).error().code, v1::FETCH_SESSION_ID_NOT_FOUND);
}

TEST_P(ShardTest, ASessionHoldsOnlySoManyPartitions) {
  Activate();
  ASSERT_TRUE(Call(Fetch({{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}}, 0, 1)));
  ASSERT_TRUE(Call(Fetch({{0, 0}, {1, 0}, {100, 0}, {101, 0}}, 0, 2))) << "8: named again is not one more";
  const auto refused = Call(Fetch({{102, 0}}, 0, 3));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, v1::POLICY_VIOLATION);
  EXPECT_THAT(refused.error().message, HasSubstr("max.fetch.partitions=8"));
  EXPECT_EQ(Call(Fetch({}, 0, 4)).error().code, v1::FETCH_SESSION_ID_NOT_FOUND) << "it is over";
  // What was given up by the session or by the connection makes room.
  ASSERT_TRUE(Call(Fetch({{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}}, 0, 1)));
  v1::Request swap = Fetch({{100, 0}}, 0, 2);
  *swap.mutable_fetch()->mutable_forgotten() = Fetch({{7, 0}}).fetch().topics();
  EXPECT_TRUE(Call(swap));
  EXPECT_FALSE(Call(Fetch({{7, 0}}, 0, 3)));
}

TEST_P(ShardTest, AConnectionHoldsTwiceAsManyWithFetchesThatHaveNotEnded) {
  Activate();
  const std::vector<std::pair<uint32_t, Offset>> six = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}};
  ASSERT_TRUE(Call(Fetch(six, 0, 1)));
  std::vector<std::pair<uint32_t, Offset>> nine = six;
  for (uint32_t i = 6; i < 9; ++i) nine.emplace_back(i, 0);
  EXPECT_EQ(Call(Fetch(nine)).error().code, v1::POLICY_VIOLATION) << "also without a session";
  auto parked = Begin(Fetch(six, 5000));
  world.RunFor(100ms);
  const auto refused = Call(Fetch(six));
  ASSERT_FALSE(refused) << "18";
  EXPECT_EQ(refused.error().code, v1::POLICY_VIOLATION);
  EXPECT_TRUE(Call(Fetch({{0, 0}, {1, 0}}))) << "14";
  ASSERT_TRUE(world.RunUntil([&] { return parked->has_value(); }, 10s));
  EXPECT_TRUE(**parked);
  EXPECT_TRUE(Call(Fetch(six))) << "one has ended";
}

TEST_P(ShardTest, ASessionIsOverWithARequestThatWasGivenUp) {
  Activate();
  ASSERT_TRUE(Call(Fetch({{0, 0}, {1, 0}, {2, 0}, {3, 0}}, 0, 1)));
  for (uint32_t i = 0; i < 4; ++i) ASSERT_TRUE(Call(Produce({{i, "x"}})));
  for (const bool forgets : {true, false}) {
    process->pool().SetHung(true);
    world.disk("broker").SetColdReadChance(1);
    auto given_up = Begin(Fetch({}, 0, 2));
    world.RunFor(1s);
    v1::Request next = Fetch({}, 0, 3);
    if (forgets)
      *next.mutable_fetch()->mutable_forgotten() = Fetch({{0, 0}, {1, 0}, {2, 0}}).fetch().topics();
    auto waiting = Begin(next);
    ASSERT_TRUE(world.RunUntil([&] { return given_up->has_value() && waiting->has_value(); }, 15s));
    EXPECT_EQ((*given_up)->error().code, v1::REQUEST_TIMED_OUT);
    EXPECT_EQ((*waiting)->error().code, v1::FETCH_SESSION_ID_NOT_FOUND);
    world.disk("broker").SetColdReadChance(0);
    process->pool().SetHung(false);
    world.RunFor(1s);
    EXPECT_EQ(ByPartition(Call(Fetch({{0, 0}, {1, 0}, {2, 0}, {3, 0}}, 0, 1))).size(), 4u);
  }
}

// Pipelined on one connection they may not all be answered with as much as one.
TEST_P(ShardTest, FetchesUnderWayShareWhatOneMayBeAnsweredWith) {
  Activate();
  const std::string value(100'000, 'v');
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(Call(Produce({{0, value}})));
  world.disk("broker").SetColdReadChance(1);
  std::vector<std::shared_ptr<std::optional<Result<v1::Response>>>> asked;
  for (int i = 0; i < 12; ++i) {
    v1::Request request = Fetch({{0, 0}}, 10'000);
    request.mutable_fetch()->mutable_topics(0)->mutable_partitions(0)->set_max_bytes(1 << 30);
    asked.push_back(Begin(request));
  }
  ASSERT_TRUE(world.RunUntil(
      [&] { return std::ranges::all_of(asked, [](const auto& one) { return one->has_value(); }); }, 60s));
  size_t bytes = 0;
  for (const auto& one : asked) {
    auto parts = ByPartition(**one);
    EXPECT_FALSE(parts[0].records().empty()) << "the first batch comes in any case";
    bytes += parts[0].records().size();
  }
  EXPECT_GT(bytes, 1'900'000u);
  EXPECT_LT(bytes, 5'000'000u) << "fetch.max.bytes, and the first batch for each of the others";
}

TEST(FetchAllowance, IsWhatTheConnectionHasLeft) {
  const auto holding = std::make_shared<FetchHolding>();
  {
    const FetchAllowance first(holding, 60, 100), second(holding, 60, 100), third(holding, 60, 100);
    EXPECT_EQ(first.bytes(), 60u);
    EXPECT_EQ(second.bytes(), 40u);
    EXPECT_EQ(third.bytes(), 1u) << "the first batch";
    const FetchAllowance bounds_only(holding, 0, 100);
    EXPECT_EQ(bounds_only.bytes(), 0u);
  }
  EXPECT_EQ(holding->bytes, 0u);
}

TEST_P(ShardTest, ASecondFetchOfASessionEndsTheParkedOne) {
  Activate();
  ASSERT_TRUE(Call(Fetch({{0, 0}, {1, 0}, {2, 0}}, 0, 1)));
  auto parked = Begin(Fetch({}, 15000, 2));
  world.RunFor(100ms);
  auto second = Begin(Fetch({}, 200, 3));
  ASSERT_TRUE(world.RunUntil([&] { return parked->has_value() && second->has_value(); }, 5s));
  EXPECT_TRUE(**parked);
  EXPECT_TRUE(**second);
}

TEST_P(ShardTest, ListsOffsetsAndDescribesReplicasOfEveryShard) {
  Activate();
  ASSERT_TRUE(Call(Produce({{0, "a"}, {5, "b"}})));
  v1::Request request;
  auto* topic = request.mutable_list_offsets()->add_topics();
  topic->set_id(OrdersId().ToBytes());
  for (const uint32_t partition : {0u, 3u, 5u, 9u}) {
    topic->add_partitions()->set_partition(partition);
    topic->mutable_partitions(topic->partitions_size() - 1)->set_timestamp(-1);
  }
  const Result<v1::Response> listed = Call(request);
  ASSERT_TRUE(listed);
  const auto& answer = listed->list_offsets().topics(0);
  EXPECT_EQ(answer.partitions(0).offset(), 1u);
  EXPECT_EQ(answer.partitions(1).offset(), 0u);
  EXPECT_EQ(answer.partitions(2).offset(), 1u);
  EXPECT_EQ(answer.partitions(3).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  v1::Request describe;
  describe.mutable_describe_replicas();
  const Result<v1::Response> described = Call(describe);
  ASSERT_TRUE(described);
  EXPECT_EQ(described->describe_replicas().replicas_size(), static_cast<int>(kOrdersPartitions));
  EXPECT_EQ(described->describe_replicas().broker_id(), kSelf);
}

TEST_P(ShardTest, MetadataSuggestsTheNearestName) {
  Activate();
  v1::Request request;
  request.mutable_metadata()->add_topics()->set_name("odrers");
  request.mutable_metadata()->add_topics()->set_name("orders");
  const Result<v1::Response> answer = Call(request);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT(answer->metadata().topics(0).error().message(), HasSubstr("'orders'"));
  EXPECT_EQ(answer->metadata().topics(1).partitions_size(), static_cast<int>(kOrdersPartitions));
  EXPECT_EQ(answer->metadata().brokers(0).host(), "broker");
}

TEST_P(ShardTest, AdminCallsGoToTheControlPlane) {
  Activate();
  v1::Request request;
  request.mutable_create_topics()->add_topics()->set_name("more");
  EXPECT_EQ(Call(request).error().code, v1::NOT_CONTROLLER);
  EXPECT_EQ(host->control.served, 1);
  EXPECT_FALSE(host->control.last_forwarded);
}

TEST_P(ShardTest, TopicsThatClientsNameAreAskedForOnceAndNotWithoutEnd) {
  Activate();
  host->control.slow = &process->main_loop();
  const auto ask = [&](int first, int count) {
    v1::Request request;
    request.mutable_metadata()->set_allow_auto_create(true);
    for (int i = first; i < first + count; ++i)
      request.mutable_metadata()->add_topics()->set_name("made" + std::to_string(i));
    const auto answer = Call(request);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->metadata().topics(0).error().code(), v1::LEADER_NOT_AVAILABLE);
  };
  for (int i = 0; i < 20; ++i) ask(0, 1);
  EXPECT_EQ(host->control.topics_asked_for, 1);
  ask(0, 1000);
  ask(5000, 1000);
  EXPECT_EQ(host->control.topics_asked_for, 1000);
  world.RunFor(10s);
  ask(5000, 10);
  EXPECT_EQ(host->control.topics_asked_for, 1010) << "when those before are answered";
  world.RunFor(10s);
}

TEST_P(ShardTest, StopsWhileRequestsAreParked) {
  Activate();
  auto parked = Begin(Fetch({{0, 0}, {1, 0}, {2, 0}, {3, 0}}, 15000));
  world.RunFor(100ms);
  ASSERT_FALSE(parked->has_value());
  // TearDown stops the host; the parked fetch must not hold it up or outlive it.
}

INSTANTIATE_TEST_SUITE_P(Shards, ShardTest, testing::Values(1, 3),
                         [](const auto& info) { return "Shards" + std::to_string(info.param); });

}  // namespace
}  // namespace tidemark
