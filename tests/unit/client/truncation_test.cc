// A consumer of a log that lost records which it had read.
#include <gtest/gtest.h>

#include "broker/log/cleaner_batch.h"
#include "common/record/crc32c.h"
#include "tests/unit/client/consumer_fixture.h"

namespace tidemark::testing {
namespace {

class TruncationTest : public ConsumerTest {
 protected:
  FakePartition& log() { return fakes_->topics["orders"].partitions[0]; }
  // Another leader is elected, which has the first `batches` batches only.
  void LoseBehind(size_t batches) {
    FakePartition& partition = log();
    partition.batches.resize(batches);
    partition.bases.resize(batches);
    partition.sizes.resize(batches);
    partition.next = batches == 0 ? 0 : partition.bases.back() + partition.sizes.back();
    partition.leader = partition.leader % 3 + 1;
    ++partition.epoch;
  }
  // Compaction removes the first records of the last batch.
  void LoseHead(uint32_t count) {
    FakePartition& partition = log();
    v1::BatchBody body;
    BatchView batch;
    CHECK(ParseBatch(partition.batches.back(), &batch, nullptr, nullptr) == BatchParse::kOk);
    CHECK(body.ParseFromArray(batch.body.data(), static_cast<int>(batch.body.size())));
    v1::RecordSet records;
    CHECK(records.ParseFromString(body.records()));
    records.mutable_records()->DeleteSubrange(0, static_cast<int>(count));
    body.set_records(records.SerializeAsString());
    body.set_record_count(body.record_count() - count);
    if (body.records_size() != 0) body.set_records_size(static_cast<uint32_t>(body.records().size()));
    const std::string kept = body.SerializeAsString();
    const BatchPrefix prefix = StampBatch(kept, Crc32c(kept), partition.bases.back(), partition.epoch, 5,
                                          fakes_->topics["orders"].id, 0);
    partition.batches.back() = std::string(prefix.view()) + kept;
  }
  // One batch per value.
  void AppendEach(const Values& values) {
    for (const std::string& value : values) Append(0, {value});
  }
  void ReadFromBeginning(ConsumerOptions options = {}) {
    Begin(options);
    AppendEach({"a", "b", "c", "d"});
    ASSERT_TRUE(Assign(0, {Kind::kBeginning}));
    ASSERT_EQ(Drain(), Values({"a", "b", "c", "d"}));
  }
  std::optional<Offset> Position() const { return consumer_->Position("orders", 0); }
  std::optional<LeaderEpoch> LastEpoch() const { return consumer_->LastEpoch("orders", 0); }
  // What Drain ended with, and forgets it.
  ErrorCode Told() { return std::exchange(error_, Error{v1::NONE, ""}).code; }
};

TEST_F(TruncationTest, IsToldOnceAndWhatStandsThereNowIsRead) {
  ReadFromBeginning();
  LoseBehind(2);
  AppendEach({"C", "D", "E"});
  EXPECT_EQ(Drain(), Values()) << "first it is told";
  EXPECT_EQ(error_.code, v1::LOG_TRUNCATED);
  EXPECT_NE(error_.message.find("orders-0"), std::string::npos) << error_.message;
  EXPECT_NE(error_.message.find("from offset 2 to 3 (leader epoch 1)"), std::string::npos) << error_.message;
  EXPECT_NE(error_.message.find("goes on at 2"), std::string::npos) << error_.message;
  EXPECT_EQ(consumer_->failed(), (TopicPartition{"orders", 0}));
  EXPECT_EQ(Position(), 2u);
  EXPECT_EQ(LastEpoch(), 1u);
  Told();
  EXPECT_EQ(Drain(), Values({"C", "D", "E"}));
  EXPECT_EQ(Told(), v1::NONE);
  EXPECT_EQ(Position(), 5u);
  EXPECT_EQ(LastEpoch(), 2u);
}

TEST_F(TruncationTest, ALogThatIsShorterNowIsReadFromWhereItParts) {
  for (const OffsetReset reset : {OffsetReset::kEarliest, OffsetReset::kLatest}) {
    ConsumerOptions options;
    options.auto_offset_reset = reset;
    ReadFromBeginning(options);
    LoseBehind(1);
    AppendEach({"B"});
    EXPECT_EQ(Drain(), Values());
    EXPECT_EQ(Told(), v1::LOG_TRUNCATED);
    EXPECT_EQ(Drain(), Values({"B"})) << "neither from the beginning nor from the end";
    TearDown();
    fakes_.reset();
  }
  Begin();
}

TEST_F(TruncationTest, WithoutAResetPolicyTheApplicationDecides) {
  ConsumerOptions options;
  options.auto_offset_reset = OffsetReset::kNone;
  ReadFromBeginning(options);
  LoseBehind(2);
  AppendEach({"C", "D", "E"});
  EXPECT_EQ(Drain(), Values());
  EXPECT_NE(error_.message.find("seek to 2"), std::string::npos) << error_.message;
  EXPECT_EQ(Told(), v1::OFFSET_OUT_OF_RANGE);
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::NONE) << "once";
  EXPECT_EQ(Position(), 4u);
  EXPECT_EQ(LastEpoch(), 1u);
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 2})));
  EXPECT_EQ(Drain(), Values({"C", "D", "E"}));
}

TEST_F(TruncationTest, WhatWasFetchedAheadIsNotGivenAndNothingIsTold) {
  for (const OffsetReset reset : {OffsetReset::kLatest, OffsetReset::kNone}) {
    ConsumerOptions options;
    options.auto_offset_reset = reset;
    Begin(options);
    AppendEach({"a", "b", "c", "d"});
    ASSERT_TRUE(Assign(0, {Kind::kBeginning}));
    ASSERT_EQ(env_.Run(consumer_->Poll(env_.loop.Now() + 1s))->records.size(), 1u);
    env_.RunFor(1s);
    LoseBehind(2);
    AppendEach({"C", "D", "E"});
    env_.RunFor(5s);
    EXPECT_EQ(Drain(), Values({"b", "C", "D", "E"}));
    EXPECT_EQ(Told(), v1::NONE) << "nothing of what was lost had been given";
    TearDown();
    fakes_.reset();
  }
  Begin();
}

// Who takes the partition over begins at the position, with its epoch: only so somebody is told for sure.
TEST_F(TruncationTest, ThePositionMovesWhenItIsToldAndNotBefore) {
  ReadFromBeginning();
  LoseBehind(2);
  AppendEach({"C", "D", "E"});
  env_.RunFor(5s);
  EXPECT_EQ(Position(), 4u);
  EXPECT_EQ(LastEpoch(), 1u);
  EXPECT_FALSE(env_.Run(consumer_->Poll(env_.loop.Now() + 1s)));
  EXPECT_EQ(Position(), 2u);
}

TEST_F(TruncationTest, WhatWasCommittedInAnEpochIsComparedToo) {
  Begin();
  AppendEach({"a", "b", "c", "d"});
  LoseBehind(2);
  AppendEach({"C", "D", "E"});
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 4, LeaderEpoch{1}}));
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::LOG_TRUNCATED);
  EXPECT_EQ(Drain(), Values({"C", "D", "E"}));
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 4})));
  EXPECT_EQ(Drain(), Values({"E"})) << "of an offset alone nothing can be said";
  EXPECT_EQ(Told(), v1::NONE);
}

// As a group's member does that has stood still: nothing of the batch has been given, the records before it
// have.
TEST_F(TruncationTest, WhoGoesBackToABatchFindsOutWhatWasLostBeforeIt) {
  Begin();
  AppendEach({"a", "b"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}));
  const auto first = env_.Run(consumer_->Poll(env_.loop.Now() + 1s));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->epoch_before, std::nullopt);
  const auto second = env_.Run(consumer_->Poll(env_.loop.Now() + 1s));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->epoch_before, 1u);
  LoseBehind(0);
  AppendEach({"A", "B", "C"});
  EXPECT_EQ(second->position_before, 1u);
  ASSERT_TRUE(consumer_->Restart("orders", 0, {Kind::kOffset, 1, second->epoch_before}));
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::LOG_TRUNCATED);
  EXPECT_EQ(Drain(), Values({"A", "B", "C"}));
}

// The records at the head of an epoch's first batch were compacted away: between the position and the first
// record there are none, of which the epoch before would not be that of the record before.
TEST_F(TruncationTest, WhoGoesBackToABatchWithoutItsFirstRecordsIsToldNothing) {
  ReadFromBeginning();
  FakePartition& partition = log();
  ++partition.epoch;
  Append(0, {"gone", "gone too", "stays"});
  LoseHead(2);
  const auto batch = env_.Run(consumer_->Poll(env_.loop.Now() + 1s));
  ASSERT_TRUE(batch) << batch.error().message;
  ASSERT_EQ(batch->records.size(), 1u);
  EXPECT_EQ(batch->records[0].view.offset, 6u);
  EXPECT_EQ(batch->position_before, 4u);
  EXPECT_EQ(batch->epoch_before, 1u);
  ASSERT_TRUE(consumer_->Restart(
      "orders", 0, {Kind::kOffset, static_cast<int64_t>(batch->position_before), batch->epoch_before}));
  EXPECT_EQ(Drain(), Values({"stays"}));
  EXPECT_EQ(Told(), v1::NONE);
}

// The leader of epoch 2 lacked b and c, that of epoch 3 what was written in epoch 2, that of epoch 7 is that
// of epoch 2 again.
TEST_F(TruncationTest, SeveralRoundsAreToldOnce) {
  Begin();
  AppendEach({"a", "b", "c"});
  FakePartition third = log();
  LoseBehind(1);
  AppendEach({"B", "C", "D", "E"});
  FakePartition seventh = log();
  third.leader = 3;
  third.epoch = 3;
  log() = third;
  AppendEach({"d"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}));
  ASSERT_EQ(Drain(), Values({"a", "b", "c", "d"}));
  seventh.leader = 1;
  seventh.epoch = 7;
  log() = seventh;
  AppendEach({"F"});
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::LOG_TRUNCATED);
  EXPECT_EQ(Position(), 1u);
  EXPECT_EQ(Drain(), Values({"B", "C", "D", "E", "F"}));
  EXPECT_EQ(Told(), v1::NONE);
}

// What was fetched of the first new history, and not given, does not count as read.
TEST_F(TruncationTest, TwoTruncationsBeforeItIsToldAreOneToWhereBothPart) {
  for (const OffsetReset reset : {OffsetReset::kLatest, OffsetReset::kNone}) {
    ConsumerOptions options;
    options.auto_offset_reset = reset;
    ReadFromBeginning(options);
    LoseBehind(2);
    AppendEach({"C", "D", "E", "F"});
    if (reset == OffsetReset::kLatest) env_.RunFor(5s);
    LoseBehind(4);
    AppendEach({"x", "y"});
    env_.RunFor(5s);
    EXPECT_EQ(Drain(), Values());
    EXPECT_EQ(Told(), reset == OffsetReset::kNone ? v1::OFFSET_OUT_OF_RANGE : v1::LOG_TRUNCATED);
    EXPECT_EQ(Position(), reset == OffsetReset::kNone ? 4u : 2u);
    if (reset == OffsetReset::kLatest) {
      EXPECT_EQ(Drain(), Values({"C", "D", "x", "y"}));
    }
    EXPECT_EQ(Told(), v1::NONE);
    TearDown();
    fakes_.reset();
  }
  Begin();
}

TEST_F(TruncationTest, NothingIsReadBelowTheLogStart) {
  ReadFromBeginning();
  LoseBehind(1);
  AppendEach({"B", "C", "D", "E"});
  log().log_start = 3;
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::LOG_TRUNCATED);
  EXPECT_EQ(Position(), 3u);
  EXPECT_EQ(Drain(), Values({"D", "E"}));
}

TEST_F(TruncationTest, LeadersComeAndGoAndNothingIsToldWhileNothingIsLost) {
  Begin();
  AppendEach({"a", "b"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}));
  EXPECT_EQ(Drain(), Values({"a", "b"}));
  LoseBehind(2);  // nothing, that is
  EXPECT_EQ(Drain(), Values());
  LoseBehind(2);  // and an epoch without a record
  AppendEach({"c"});
  LoseBehind(3);
  EXPECT_EQ(Drain(), Values({"c"}));
  EXPECT_EQ(LastEpoch(), 3u);
  log().log_start = 3;  // retention takes all that was read
  log().batches.clear();
  log().bases.clear();
  log().sizes.clear();
  AppendEach({"d"});
  EXPECT_EQ(Drain(), Values({"d"}));
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 3, LeaderEpoch{3}})));
  EXPECT_EQ(Drain(), Values({"d"}));
  EXPECT_EQ(Told(), v1::NONE);
}

// A batch whose records were all compacted away, the only one of its epoch.
TEST_F(TruncationTest, ThePositionBehindABatchWithoutRecordsIsInItsEpoch) {
  ReadFromBeginning();
  FakePartition& partition = log();
  const std::string body = EmptyBody(1);
  const BatchPrefix prefix =
      StampBatch(body, Crc32c(body), partition.next, ++partition.epoch, 5, fakes_->topics["orders"].id, 0);
  partition.batches.push_back(std::string(prefix.view()) + body);
  partition.bases.push_back(partition.next);
  partition.sizes.push_back(2);
  partition.next += 2;
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Position(), 6u);
  EXPECT_EQ(LastEpoch(), 2u);
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 6, LastEpoch()})));
  AppendEach({"g"});
  EXPECT_EQ(Drain(), Values({"g"}));
  EXPECT_EQ(Told(), v1::NONE);
}

// What was committed next would be compared, and found to be of another history.
TEST_F(TruncationTest, AfterAResetNoEpochOfTheRecordsBeforeIsNamed) {
  ConsumerOptions options;
  options.auto_offset_reset = OffsetReset::kLatest;
  ReadFromBeginning(options);
  AppendEach({"e", "f"});
  ++log().epoch;
  AppendEach({"g"});
  log().log_start = 6;
  ASSERT_TRUE(env_.Run(consumer_->Seek("orders", 0, {Kind::kOffset, 4, LeaderEpoch{1}})));
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Position(), 7u);
  EXPECT_FALSE(LastEpoch());
  AppendEach({"h"});
  EXPECT_EQ(Drain(), Values({"h"}));
  EXPECT_EQ(LastEpoch(), 2u);
}

TEST_F(TruncationTest, AfterAResetWhatWasFetchedBeforeIsStillGiven) {
  ConsumerOptions options;
  options.auto_offset_reset = OffsetReset::kEarliest;
  Begin(options);
  AppendEach({"a", "b"});
  Append(0, {"c", "d"});
  AppendEach({"e"});
  ASSERT_TRUE(Assign(0, {Kind::kBeginning}));
  ASSERT_EQ(env_.Run(consumer_->Poll(env_.loop.Now() + 1s))->records.size(), 1u);
  log().log_start = 7;
  log().next = 7;
  log().batches.clear();
  log().bases.clear();
  log().sizes.clear();
  AppendEach({"z"});
  env_.RunFor(5s);
  EXPECT_EQ(Drain(), Values({"b", "c", "d", "e", "z"}));
  EXPECT_EQ(Position(), 8u);
  EXPECT_EQ(Told(), v1::NONE);
}

TEST_F(TruncationTest, APausedPartitionIsToldWhenItGoesOn) {
  ReadFromBeginning();
  ASSERT_TRUE(consumer_->Pause("orders", 0));
  LoseBehind(2);
  AppendEach({"C", "D", "E"});
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::NONE);
  EXPECT_EQ(Position(), 4u);
  ASSERT_TRUE(consumer_->Resume("orders", 0));
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Told(), v1::LOG_TRUNCATED);
  EXPECT_EQ(Drain(), Values({"C", "D", "E"}));
}

TEST_F(TruncationTest, ALeaderThatWasReplacedIsNotBelieved) {
  // Epoch 2 was led by broker 2 without c and d; broker 1, which has them, leads again in epoch 3.
  Begin();
  AppendEach({"a", "b", "c", "d"});
  const FakePartition whole = log();
  LoseBehind(2);
  fakes_->former[2] = fakes_->topics;
  EXPECT_EQ(log().leader, 2);
  EXPECT_TRUE(env_.Run(cluster_->Refresh("orders", env_.loop.Now() + 5s, {})));
  log() = whole;
  log().epoch = 3;
  AppendEach({"e"});
  ASSERT_TRUE(Assign(0, {Kind::kOffset, 4, LeaderEpoch{1}}));
  EXPECT_EQ(Drain(), Values({"e"}));
  EXPECT_EQ(Told(), v1::NONE);
  const auto asked_it = std::ranges::count_if(fakes_->requests, [](const v1::Request& request) {
    return request.has_fetch() && request.fetch().topics(0).partitions(0).leader_epoch() == 2;
  });
  EXPECT_GT(asked_it, 0) << "it was asked, and said that the histories part";
}

TEST_F(TruncationTest, ABrokerThatTellsOfItWithoutReasonIsNotObeyed) {
  ReadFromBeginning();
  fakes_->on_answer = [](v1::FetchResponse::Partition* answer) {
    answer->mutable_diverging()->set_epoch(1);
    answer->mutable_diverging()->set_end_offset(4);
  };
  EXPECT_EQ(Drain(), Values());
  EXPECT_EQ(Position(), 4u);
  fakes_->on_answer = nullptr;
  AppendEach({"e"});
  EXPECT_EQ(Drain(), Values({"e"}));
  EXPECT_EQ(Told(), v1::NONE);
}

}  // namespace
}  // namespace tidemark::testing
