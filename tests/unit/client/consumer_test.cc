#include "client/consumer.h"

#include <gtest/gtest.h>

#include "client/admin.h"
#include "client/backoff.h"
#include "client/list_offsets.h"
#include "common/record/crc32c.h"
#include "tests/unit/client/consumer_fixture.h"

namespace tidemark::testing {
namespace {

TEST_F(ConsumerTest, ReadsFromTheBeginningInOrderWithEveryCodec) {
  Begin();
  Append(0, {"a", "b"});
  Append(0, {"c", "d"}, v1::COMPRESSION_GZIP);
  Append(0, {"e"}, v1::COMPRESSION_SNAPPY);
  Append(0, {"f", "g"}, v1::COMPRESSION_LZ4);
  Append(0, {"h"}, v1::COMPRESSION_ZSTD);
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"a", "b", "c", "d", "e", "f", "g", "h"}));
  EXPECT_EQ(consumer_->Position("orders", 0), 8u);
  EXPECT_GT(consumer_->bytes_fetched(), 0u);
}

TEST_F(ConsumerTest, FromTheEndSeesOnlyWhatComesAfterAssign) {
  Begin();
  Append(0, {"old"});
  ASSERT_TRUE(Assign(0, {Kind::kEnd}).has_value());
  Append(0, {"new"});
  EXPECT_EQ(Drain(), Values({"new"}));
}

TEST_F(ConsumerTest, FromAnOffsetInsideABatchSkipsWhatLiesBelow) {
  Begin();
  Append(0, {"a", "b", "c", "d"});
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 2}).has_value());
  EXPECT_EQ(Drain(), Values({"c", "d"}));
}

TEST_F(ConsumerTest, FromATimestampAndBeyondTheYoungest) {
  Begin();
  Append(0, {"a", "b", "c"});
  ASSERT_TRUE(Assign(0, {Kind::kTimestamp, 1}).has_value());
  EXPECT_EQ(Drain(), Values({"b", "c"}));
  Append(1, {"x"});
  ASSERT_TRUE(Assign(1, {Kind::kTimestamp, 500}).has_value());
  Append(1, {"y"});
  EXPECT_EQ(Drain(), Values({"y"})) << "no record is that young: the end";
}

TEST_F(ConsumerTest, AllPartitionsAreRead) {
  Begin();
  for (PartitionIndex p = 0; p < 3; ++p) Append(p, {"p" + std::to_string(p)});
  ASSERT_TRUE(env_.Run(consumer_->AssignAll("orders", {Kind::kBeginning})).has_value());
  Values values = Drain();
  std::sort(values.begin(), values.end());
  EXPECT_EQ(values, Values({"p0", "p1", "p2"}));
}

TEST_F(ConsumerTest, PrefetchIsBoundedAndGoesOnWhilePolling) {
  ConsumerOptions options;
  options.max_partition_fetch_bytes = 2000;
  options.prefetch_bytes = 4000;
  Begin(options);
  Values all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(std::string(300, 'x') + std::to_string(i));
    Append(0, {all.back()});
  }
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  env_.RunFor(5s);
  EXPECT_LT(consumer_->bytes_fetched(), 6000u) << "nobody polls, so fetching ahead stops";
  EXPECT_EQ(Drain(), all);
}

TEST_F(ConsumerTest, FollowsTheLeader) {
  for (const bool tells : {true, false}) {
    Begin();
    fakes_->tell_leaders = tells;
    Append(0, {"a"});
    ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
    EXPECT_EQ(Drain(), Values({"a"}));
    fakes_->topics["orders"].partitions[0].leader = 2;
    fakes_->topics["orders"].partitions[0].epoch = 5;
    Append(0, {"b"});
    EXPECT_EQ(Drain(), Values({"b"}));
    TearDown();
    fakes_.reset();
  }
  Begin();
}

TEST_F(ConsumerTest, SurvivesABrokerThatGoesAndComesBack) {
  Begin();
  Append(0, {"a"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"a"}));
  fakes_->Stop(1);
  Append(0, {"b"});
  EXPECT_EQ(Drain(), Values());
  fakes_->Start(1);
  EXPECT_EQ(Drain(), Values({"b"}));
}

TEST_F(ConsumerTest, DamageIsReportedOnceWithPartitionAndOffsetAfterWhatIsGood) {
  Begin();
  Append(0, {"good", "good too"});
  Append(0, {"rotten"});
  fakes_->on_fetch = [](PartitionIndex, std::string* records) { records->back() ^= 1; };
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"good", "good too"}));
  EXPECT_EQ(error_.code, v1::CORRUPT_MESSAGE);
  EXPECT_NE(error_.message.find("orders-0 at offset 2: body_crc"), std::string::npos) << error_.message;
  error_.code = v1::NONE;
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(error_.code, v1::NONE) << "an error is told once";
  fakes_->on_fetch = nullptr;
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 2})).has_value());
  EXPECT_EQ(Drain(), Values({"rotten"})) << "a seek begins anew";
}

TEST_F(ConsumerTest, ABatchThatCannotBeDecodedEndsAtItsRecordAndThePositionStaysThere) {
  Begin();
  Append(0, {"a", "b"});
  // Checksums are right, but the producer wrote nonsense where its second record begins.
  FakePartition& partition = fakes_->topics["orders"].partitions[0];
  Append(0, {"good", "rotten"});
  BatchView batch;
  ASSERT_EQ(ParseBatch(partition.batches[1], &batch, nullptr, nullptr), BatchParse::kOk);
  std::string body(batch.body);
  body.replace(body.find("rotten") - 2, 2, 2, '\xff');
  const BatchPrefix prefix =
      StampBatch(body, Crc32c(body), 2, partition.epoch, 5, fakes_->topics["orders"].id, 0);
  partition.batches[1] = std::string(prefix.view()) + body;
  Append(0, {"behind"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"a", "b", "good"}));
  EXPECT_EQ(error_.code, v1::CORRUPT_MESSAGE);
  EXPECT_EQ(consumer_->Position("orders", 0), 3u);
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(consumer_->Position("orders", 0), 3u) << "what lies behind was not given";
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 4})).has_value());
  EXPECT_EQ(Drain(), Values({"behind"}));
}

TEST_F(ConsumerTest, WithoutPausesBetweenTriesAMissingLeaderDoesNotSpinTheLoop) {
  ConsumerOptions options;
  options.client.retry_backoff = 0ms;
  options.client.retry_backoff_max = 0ms;
  Begin(options);
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  Random& random = env_.random();
  EXPECT_GE(Backoff(options.client).Next(random), 500us);
  fakes_->topics["orders"].partitions[0].leader = -1;
  fakes_->topics["orders"].partitions[0].epoch = 2;
  Append(0, {"a"});
  env_.RunFor(1s);
  fakes_->topics["orders"].partitions[0].leader = 2;
  EXPECT_EQ(Drain(), Values({"a"}));
}

TEST_F(ConsumerTest, TellsWhatItAsksForAgainAndWhy) {
  Begin();
  Append(0, {"good"});
  Append(1, {"a", "b"});
  auto& partitions = fakes_->topics["orders"].partitions;
  partitions[0].refused[1] = v1::CORRUPT_MESSAGE;
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  ASSERT_TRUE(Assign(1, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain().size(), 3u);
  auto refused = consumer_->Refused();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused.begin()->first, (TopicPartition{"orders", 0}));
  EXPECT_EQ(refused.begin()->second.code, v1::CORRUPT_MESSAGE);
  EXPECT_EQ(refused.begin()->second.message, "as the test wants");
  partitions[0].refused[1] = v1::NOT_LEADER_OR_FOLLOWER;
  env_.RunFor(2s);
  EXPECT_EQ(consumer_->Refused().begin()->second.code, v1::CORRUPT_MESSAGE) << "it is handed over meanwhile";
  ASSERT_TRUE(consumer_->Pause("orders", 0));
  EXPECT_TRUE(consumer_->Refused().empty()) << "nobody wants it now";
  ASSERT_TRUE(consumer_->Resume("orders", 0));
  partitions[0].refused.clear();
  Append(0, {"more"});
  EXPECT_EQ(Drain(), Values({"more"}));
  EXPECT_TRUE(consumer_->Refused().empty());
  partitions[1].leader = -1;
  partitions[1].epoch = 2;
  env_.RunFor(2s);
  refused = consumer_->Refused();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused.begin()->first, (TopicPartition{"orders", 1}));
}

TEST_F(ConsumerTest, APartitionWithoutLeaderKeepsTheOthersWaitingAsLongAsOneLikes) {
  ConsumerOptions options;
  options.start_patience = 3s;
  Begin(options);
  Append(1, {"a"});
  fakes_->topics["orders"].partitions[0].leader = -1;
  const MonoTime begun = env_.loop.Now();
  ASSERT_TRUE(env_.Run(consumer_->AssignAll("orders", {Kind::kBeginning})).has_value());
  EXPECT_LT(env_.loop.Now() - begun, 4s);
  EXPECT_EQ(Drain(), Values({"a"}));
  const auto refused = consumer_->Refused();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused.begin()->first, (TopicPartition{"orders", 0}));
}

TEST_F(ConsumerTest, DamageThatLastsIsToldOnceAndWhatIsRepairedIsReadOn) {
  Begin();
  Append(0, {"good"});
  auto& partition = fakes_->topics["orders"].partitions[0];
  partition.refused[1] = v1::CORRUPT_MESSAGE;
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"good"}));
  Append(0, {"repaired"});
  int told = 0;
  for (const MonoTime end = env_.loop.Now() + 300s; env_.loop.Now() < end;) {
    if (!env_.Run(consumer_->Poll(env_.loop.Now() + 10s))) ++told;
  }
  EXPECT_EQ(told, 1);
  EXPECT_EQ(consumer_->Refused().size(), 1u);
  partition.refused.clear();
  env_.RunFor(20s);
  EXPECT_EQ(Drain(), Values({"repaired"}));
}

TEST_F(ConsumerTest, ALeaderThatHangsIsNotAskedAgainBeforeOthersHaveSaidWhoLeads) {
  Begin();
  Append(0, {"a"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"a"}));
  fakes_->frozen.insert(1);
  fakes_->topics["orders"].partitions[0].leader = 2;
  fakes_->topics["orders"].partitions[0].epoch = 2;
  Append(0, {"b"});
  fakes_->requests.clear();
  Values got;
  for (int i = 0; i < 60 && got.empty(); ++i) got = Drain();
  EXPECT_EQ(got, Values({"b"}));
  const auto fetches = std::ranges::count_if(fakes_->requests, [](const v1::Request& r) {
    return r.has_fetch() && r.header().expected_broker_id() == 1;
  });
  EXPECT_LE(fetches, 1) << "the one that was under way";
}

TEST_F(ConsumerTest, SeeksThatHoldAWholeFetchInHandDoNotWaitForIt) {
  ConsumerOptions options;
  options.max_partition_fetch_bytes = 1000;
  Begin(options);
  Append(0, {std::string(5000, 'x'), "b"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  ASSERT_EQ(env_.Run(consumer_->Poll(env_.loop.Now() + 2s))->records.size(), 2u);
  const MonoTime begun = env_.loop.Now();
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kEnd})).has_value());
  EXPECT_LT(env_.loop.Now() - begun, 1s);
}

TEST_F(ConsumerTest, WhatIsPausedDoesNotKeepTheOthersFromBeingFetched) {
  ConsumerOptions options;
  options.max_partition_fetch_bytes = 2000;
  options.prefetch_bytes = 4000;
  Begin(options, 2);
  Values all;
  for (int i = 0; i < 30; ++i) {
    all.push_back(std::string(300, 'x') + std::to_string(i));
    Append(0, {all.back()});
  }
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  const auto first = env_.Run(consumer_->Poll(env_.loop.Now() + 2s));
  ASSERT_EQ(first->records.size(), 1u);
  env_.RunFor(1s);
  ASSERT_TRUE(consumer_->Pause("orders", 0));
  Append(1, Values(1, std::string(3000, 'y')));
  ASSERT_TRUE(Assign(1, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values(1, std::string(3000, 'y')));
  ASSERT_TRUE(consumer_->Resume("orders", 0));
  all.erase(all.begin());
  EXPECT_EQ(Drain(), all) << "nothing twice, nothing passed over";
}

TEST_F(ConsumerTest, BatchesOfAnotherPartitionAreRefused) {
  Begin();
  Append(0, {"mine"});
  Append(1, {"not mine"});
  const std::string foreign = fakes_->topics["orders"].partitions[1].batches[0];
  fakes_->on_fetch = [&](PartitionIndex, std::string* records) { *records = foreign; };
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(error_.code, v1::CORRUPT_MESSAGE);
  EXPECT_NE(error_.message.find("header_crc"), std::string::npos) << error_.message;
}

TEST_F(ConsumerTest, EveryCutOfAnAnswerGivesAPrefixOrAnError) {
  Begin();
  Append(0, {"a"});
  Append(0, {"b"});
  ASSERT_TRUE(Assign(0, {Kind::kEnd}).has_value());
  const auto& batches = fakes_->topics["orders"].partitions[0].batches;
  const size_t size = batches[0].size() + batches[1].size();
  for (size_t cut = 1; cut < size; cut += 3) {
    bool first = true;
    fakes_->on_fetch = [&](PartitionIndex, std::string* records) {
      if (std::exchange(first, false)) records->resize(cut);
    };
    ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 0})).has_value());
    error_.code = v1::NONE;
    const Values values = Drain();
    if (error_.code == v1::NONE) {
      EXPECT_EQ(values, Values({"a", "b"})) << cut;
    } else {
      EXPECT_LT(cut, batches[0].size());
      EXPECT_EQ(values, Values());
    }
  }
}

TEST_F(ConsumerTest, OutOfRangeFollowsThePolicy) {
  for (const OffsetReset reset : {OffsetReset::kEarliest, OffsetReset::kLatest, OffsetReset::kNone}) {
    ConsumerOptions options;
    options.auto_offset_reset = reset;
    Begin(options);
    Append(0, {"a"});
    ASSERT_TRUE(Assign(0, {Kind::kOffset, 1000}).has_value());
    env_.RunFor(1s);
    Append(0, {"b"});
    error_.code = v1::NONE;
    const Values values = Drain();
    if (reset == OffsetReset::kEarliest) EXPECT_EQ(values, Values({"a", "b"}));
    if (reset == OffsetReset::kLatest) EXPECT_EQ(values, Values({"b"}));
    EXPECT_EQ(error_.code, reset == OffsetReset::kNone ? v1::OFFSET_OUT_OF_RANGE : v1::NONE);
    TearDown();
    fakes_.reset();
  }
  Begin();
}

// A leader that was replaced, does not know it, and has less than the one after it.
class ReplacedLeaderTest : public ConsumerTest {
 protected:
  // Broker 1 led partition 0 in epoch 1 and stands apart with two records; broker 2 leads it in epoch 2 with
  // four.
  void Replace(ConsumerOptions options = {}) {
    options.auto_offset_reset = OffsetReset::kLatest;
    Begin(options);
    Append(0, {"a", "b"});
    fakes_->former[1] = fakes_->topics;
    FakePartition& partition = fakes_->topics["orders"].partitions[0];
    partition.leader = 2;
    partition.epoch = 2;
    Append(0, {"c"});
    Append(0, {"d"});
  }
  // The client's picture is that of the former leader.
  void LookAtFormer() {
    const auto now = std::exchange(fakes_->topics, fakes_->former[1]);
    EXPECT_TRUE(env_.Run(cluster_->Refresh("orders", env_.loop.Now() + 5s, {})));
    EXPECT_EQ(cluster_->Find("orders")->partitions[0], (PartitionLeader{1, 1}));
    fakes_->topics = now;
  }
  size_t FetchesAt(LeaderEpoch epoch) const {
    return static_cast<size_t>(std::ranges::count_if(fakes_->requests, [&](const v1::Request& request) {
      return request.has_fetch() && request.fetch().topics(0).partitions(0).leader_epoch() == epoch;
    }));
  }
};

TEST_F(ReplacedLeaderTest, ThatAnOffsetIsAboveItsEndIsNotBelieved) {
  Replace();
  LookAtFormer();
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 3}));
  EXPECT_EQ(Drain(), Values({"d"})) << "not reset to the end, nor to that of the former leader";
  EXPECT_GT(FetchesAt(1), 0u) << "it was asked, and said that";
  EXPECT_EQ(error_.code, v1::NONE);
}

TEST_F(ReplacedLeaderTest, AnOffsetThatComesWithALaterEpochIsNotEvenAskedOfIt) {
  Replace();
  LookAtFormer();
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 2, LeaderEpoch{2}}));
  EXPECT_EQ(Drain(), Values({"c", "d"}));
  EXPECT_EQ(FetchesAt(1), 0u) << "it would have answered that nothing is there yet";
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 0, LeaderEpoch{1}})));
  EXPECT_EQ(Drain(), Values({"a", "b", "c", "d"})) << "an older epoch says nothing new";
}

TEST_F(ReplacedLeaderTest, WhereItIsTheOnlyOneThatAnswersItIsBelievedInTheEnd) {
  Replace();
  LookAtFormer();
  fakes_->Stop(2);
  fakes_->Stop(3);
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 3}));
  env_.RunFor(20s);
  EXPECT_EQ(consumer_->Position("orders", 0), 3u);
  env_.RunFor(30s);
  EXPECT_EQ(consumer_->Position("orders", 0), 2u);
}

TEST_F(ReplacedLeaderTest, BoundsAreAskedInTheEpochThatIsKnown) {
  Replace();
  LookAtFormer();
  cluster_->NoteEpoch("orders", fakes_->topics["orders"].id, 0, 2);
  EXPECT_EQ(cluster_->Find("orders")->partitions[0], (PartitionLeader{kNoBroker, 2}));
  cluster_->NoteEpoch("orders", TopicId(), 1, 9);
  EXPECT_EQ(cluster_->Find("orders")->partitions[1].epoch, 1u) << "of another topic of that name";
  Admin admin(*cluster_);
  const auto ends = env_.Run(admin.ListOffsets("orders", kLatestTimestamp, env_.loop.Now() + 10s));
  EXPECT_EQ((*ends)[0].offset.value(), 4u);
  for (const v1::Request& request : fakes_->requests) {
    if (!request.has_list_offsets()) continue;
    EXPECT_TRUE(request.list_offsets().topics(0).partitions(0).has_leader_epoch());
  }
}

TEST_F(ConsumerTest, BelowTheLogStartIsBelievedAtOnce) {
  ConsumerOptions options;
  options.auto_offset_reset = OffsetReset::kEarliest;
  Begin(options);
  Append(0, {"a", "b"});
  Append(0, {"c"});
  fakes_->topics["orders"].partitions[0].log_start = 2;
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 1}));
  const auto asked_metadata = [&] {
    return std::ranges::count_if(fakes_->requests, [](const auto& r) { return r.has_metadata(); });
  };
  const auto before = asked_metadata();
  EXPECT_EQ(Drain(), Values({"c"}));
  EXPECT_EQ(asked_metadata(), before);
}

TEST_F(ConsumerTest, SeekDropsWhatWasFetched) {
  Begin();
  Append(0, {"a", "b", "c"});
  Append(0, {"d"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  env_.RunFor(1s);
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 3})).has_value());
  EXPECT_EQ(Drain(), Values({"d"}));
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 1})).has_value());
  EXPECT_EQ(Drain(), Values({"b", "c", "d"}));
}

TEST_F(ConsumerTest, ARecreatedTopicIsAnotherTopic) {
  Begin();
  Append(0, {"a"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}).has_value());
  EXPECT_EQ(Drain(), Values({"a"}));
  fakes_->AddTopic("orders", 3, 77);
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(error_.code, v1::UNKNOWN_TOPIC_ID);
}

TEST_F(ConsumerTest, UnknownTopicsAndPartitionsAreRefused) {
  Begin();
  auto refused = env_.Run(consumer_->AssignAll("order", {Kind::kEnd}));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("did you mean"), std::string::npos);
  EXPECT_FALSE(Assign(3, {Kind::kEnd}).has_value());
  ASSERT_TRUE(Assign(0, {Kind::kEnd}).has_value());
  EXPECT_FALSE(Assign(0, {Kind::kEnd}).has_value()) << "twice";
}

TEST_F(ConsumerTest, AdminListsOffsetsAndAwaitsTopics) {
  Begin();
  Append(0, {"a", "b"});
  Admin admin(*cluster_);
  const MonoTime deadline = env_.loop.Now() + 30s;
  auto offsets = env_.Run(admin.ListOffsets("orders", -1, deadline));
  ASSERT_TRUE(offsets.has_value());
  ASSERT_EQ(offsets->size(), 3u);
  EXPECT_EQ((*offsets)[0].offset.value(), 2u);
  EXPECT_EQ((*offsets)[1].offset.value(), 0u);
  EXPECT_TRUE(env_.Run(admin.AwaitTopic("orders", false, deadline)).has_value());
  fakes_->topics["orders"].partitions[2].leader = -1;
  auto waited = env_.Run(admin.AwaitTopic("orders", false, env_.loop.Now() + 2s));
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().code, v1::REQUEST_TIMED_OUT);
  EXPECT_NE(waited.error().message.find("orders-2"), std::string::npos) << waited.error().message;
  fakes_->topics.erase("orders");
  EXPECT_TRUE(env_.Run(admin.AwaitTopic("orders", true, env_.loop.Now() + 2s)).has_value());
}

TEST_F(ConsumerTest, NeverGoesBackToAnOlderLeaderEpoch) {
  Begin();
  fakes_->topics["orders"].partitions[0].epoch = 5;
  ASSERT_TRUE(Assign(0, {Kind::kEnd}).has_value());
  fakes_->topics["orders"].partitions[0] = FakePartition{.leader = 3, .epoch = 4};
  ASSERT_TRUE(env_.Run(cluster_->Refresh("orders", env_.loop.Now() + 5s, {})).has_value());
  EXPECT_EQ(cluster_->Find("orders")->partitions[0].leader, 1);
  EXPECT_EQ(cluster_->Find("orders")->partitions[0].epoch, 5u);
  v1::LeaderHint hint;
  hint.set_leader(2);
  hint.set_leader_epoch(4);
  cluster_->ApplyHint("orders", 0, hint);
  EXPECT_EQ(cluster_->Find("orders")->partitions[0].leader, 1);
  hint.set_leader_epoch(6);
  cluster_->ApplyHint("orders", 0, hint);
  EXPECT_EQ(cluster_->Find("orders")->partitions[0].leader, 2);
}

}  // namespace
}  // namespace tidemark::testing
