// Requests that wait on shards: how many at a time, until when, and that nobody waits for a client that has
// left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server/shard_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;

class ShardWaits : public ShardTest {};

// Flushes need the threads that searches take.
TEST_P(ShardWaits, FewSearchByTimeAtOnceAndTheOthersGiveUpInTime) {
  Activate();
  ASSERT_TRUE(Call(Produce({{0, "a"}})));
  process->pool().SetHung(true);
  std::vector<std::shared_ptr<std::optional<Result<v1::Response>>>> slots;
  for (int i = 0; i < 20; ++i) slots.push_back(Begin(ListGreatest({0})));
  world.RunFor(1s);
  EXPECT_EQ(Waits("timestamp search"), 2u);
  EXPECT_EQ(Waits("turn to search"), 18u);
  for (const auto& slot : slots) {
    ASSERT_TRUE(world.RunUntil([&] { return slot->has_value(); }, 30s));
    ASSERT_TRUE(**slot) << ToString((**slot).error());
    EXPECT_EQ((**slot)->list_offsets().topics(0).partitions(0).error().code(), v1::REQUEST_TIMED_OUT);
  }
  EXPECT_EQ(Waits("turn to search"), 0u);
  process->pool().SetHung(false);
  world.RunFor(1s);
  EXPECT_EQ(Waits("timestamp search"), 0u);
  const auto listed = Call(ListGreatest({0}));
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->list_offsets().topics(0).partitions(0).timestamp(), 1);
}

TEST_P(ShardWaits, WhatIsFoundInTimeIsToldThoughTheRestIsNot) {
  Activate();
  ASSERT_TRUE(Call(Produce({{0, "a"}})));
  process->pool().SetHung(true);
  v1::Request request = ListGreatest({0, 0});
  request.mutable_list_offsets()->mutable_topics(0)->mutable_partitions(0)->set_timestamp(-1);
  for (int i = 0; i < 2; ++i) (void)Begin(ListGreatest({0}));
  auto slot = Begin(request);
  ASSERT_TRUE(world.RunUntil([&] { return slot->has_value(); }, 30s));
  process->pool().SetHung(false);
  ASSERT_TRUE(**slot) << ToString((**slot).error());
  const auto& answer = (**slot)->list_offsets().topics(0);
  EXPECT_EQ(answer.partitions(0).offset(), 1u);
  EXPECT_EQ(answer.partitions(1).error().code(), v1::REQUEST_TIMED_OUT);
}

TEST_P(ShardWaits, TheSameSearchIsMadeOnceForARequest) {
  Activate();
  ASSERT_TRUE(Call(Produce({{0, "a"}, {1, "b"}})));
  process->pool().SetDelay(500ms, 500ms);
  std::vector<uint32_t> partitions(300, 0);
  partitions.resize(600, 1);
  const auto listed = Call(ListGreatest(partitions));
  process->pool().SetDelay(50us, 3ms);
  ASSERT_TRUE(listed) << ToString(listed.error());
  ASSERT_EQ(listed->list_offsets().topics(0).partitions_size(), 600);
  for (int i = 0; i < 600; ++i) {
    const auto& answer = listed->list_offsets().topics(0).partitions(i);
    ASSERT_EQ(answer.error().code(), v1::NONE) << i << ": " << answer.error().message();
    EXPECT_EQ(answer.partition(), i < 300 ? 0u : 1u);
    EXPECT_EQ(answer.timestamp(), 1);
  }
}

TEST_P(ShardWaits, WhenTheClientHasLeftItsSearchesAreNotBegun) {
  Activate();
  ASSERT_TRUE(Call(Produce({{0, "a"}, {1, "b"}, {2, "c"}})));
  process->pool().SetHung(true);
  for (int i = 0; i < 20; ++i) (void)Begin(ListGreatest({0, 1, 2}));
  world.RunFor(1s);
  EXPECT_GT(Waits("turn to search"), 0u);
  Leave();
  EXPECT_EQ(Waits("turn to search"), 0u);
  EXPECT_EQ(Waits("list offsets"), 0u);
  process->pool().SetHung(false);
  world.RunFor(1s);
  EXPECT_EQ(Waits("timestamp search"), 0u);
}

TEST_P(ShardWaits, WhenTheClientHasLeftNobodyWaitsForItsAcknowledgement) {
  Activate();
  process->pool().SetHung(true);
  v1::Request produce = Produce({{0, "a"}, {1, "b"}, {2, "c"}, {3, "d"}});
  produce.mutable_produce()->set_timeout_ms(300'000);
  (void)Begin(produce);
  world.RunFor(1s);
  EXPECT_GT(Waits("high watermark"), 0u);
  Leave();
  EXPECT_EQ(Waits("high watermark"), 0u);
  EXPECT_EQ(Waits("produce"), 0u);
  process->pool().SetHung(false);
  world.RunFor(1s);
  const auto fetched = ByPartition(Call(Fetch({{0, 0}, {3, 0}})));
  EXPECT_THAT(Values(fetched.at(3).records()), ElementsAre("d")) << "what was appended stays";
}

INSTANTIATE_TEST_SUITE_P(Shards, ShardWaits, testing::Values(1, 3),
                         [](const auto& info) { return "Shards" + std::to_string(info.param); });

}  // namespace
}  // namespace tidemark
