// How far groups are behind, as a decision over what is committed and what leaders answered.
#include "broker/group/group_lag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TopicId Topic(char fill) { return *TopicId::FromBytes(std::string(16, fill)); }

CommittedPosition At(const std::string& group, PartitionIndex partition, Offset offset, char topic = 'a') {
  return {.group = group, .topic = "orders", .at = {Topic(topic), partition}, .offset = offset};
}
LagRound RoundOf(std::vector<CommittedPosition> positions, const LagRound::AppendTimes& known = {}) {
  return LagRound({{.positions = std::move(positions), .left_out = 0}}, known);
}

// Answers every question: each partition ends at `end`, the record at an offset was appended at 1000 *
// offset.
v1::ListOffsetsResponse Answered(const v1::ListOffsetsRequest& asked, Offset end) {
  v1::ListOffsetsResponse out;
  for (const auto& topic : asked.topics()) {
    auto* answer = out.add_topics();
    answer->set_id(topic.id());
    for (const auto& partition : topic.partitions()) {
      auto* one = answer->add_partitions();
      one->set_partition(partition.partition());
      one->set_offset(end);
      if (partition.append_time_of() < end)
        one->set_append_time(static_cast<int64_t>(1000 * partition.append_time_of()));
    }
  }
  return out;
}
BrokerId ByPartition(const PartitionKey& key) { return static_cast<BrokerId>(key.partition % 3); }
void AnswerAll(LagRound& round, Offset end) {
  for (const auto& [broker, requests] : round.Questions(ByPartition)) {
    for (const auto& request : requests) round.Answer(request, Answered(request, end));
  }
}

TEST(GroupLag, IsWhatIsCommittedBelowTheEndAndHowLongThatHasWaited) {
  LagRound round = RoundOf({At("a", 0, 7), At("a", 1, 10)});
  AnswerAll(round, 10);
  const GroupLagTable table = round.Tell(60'000);
  ASSERT_THAT(table.lags, SizeIs(2));
  EXPECT_EQ(table.lags[0].position.at.partition, 0u);
  EXPECT_EQ(table.lags[0].records, 3u);
  EXPECT_EQ(table.lags[0].age, Duration(53s));
  EXPECT_EQ(table.lags[1].records, 0u);
  EXPECT_EQ(table.lags[1].age, Duration{}) << "who has read all waits for nothing";
  EXPECT_EQ(table.unknown, 0u);
}

TEST(GroupLag, EachLeaderIsAskedForItsPartitionsAtOnce) {
  const LagRound round =
      RoundOf({At("a", 0, 1), At("b", 0, 2), At("a", 1, 1), At("a", 3, 1), At("a", 0, 1, 'b')});
  const auto questions = round.Questions(ByPartition);
  ASSERT_THAT(questions, SizeIs(2));
  ASSERT_THAT(questions.at(0), SizeIs(1));
  EXPECT_EQ(questions.at(0)[0].topics_size(), 2);
  EXPECT_EQ(questions.at(0)[0].topics(0).partitions_size(), 3) << "two groups' offsets of 0, and 3";
  EXPECT_EQ(questions.at(1)[0].topics(0).partitions_size(), 1);
}

TEST(GroupLag, WhatCannotBeKnownIsNotTold) {
  LagRound round = RoundOf({At("a", 0, 1), At("a", 1, 1), At("a", 2, 11)});
  const auto questions = round.Questions(
      [](const PartitionKey& key) { return key.partition == 0 ? kNoBroker : ByPartition(key); });
  EXPECT_FALSE(questions.contains(kNoBroker));
  auto refused = Answered(questions.at(1)[0], 10);
  refused.mutable_topics(0)->mutable_partitions(0)->mutable_error()->set_code(v1::NOT_LEADER_OR_FOLLOWER);
  round.Answer(questions.at(1)[0], refused);
  round.Answer(questions.at(2)[0], Answered(questions.at(2)[0], 10));
  const GroupLagTable table = round.Tell(0);
  EXPECT_THAT(table.lags, IsEmpty()) << "no leader, a refusal, and a commit above the end";
  EXPECT_EQ(table.unknown, 3u);
}

TEST(GroupLag, AnAnswerThatDoesNotFitItsQuestionIsNone) {
  LagRound round = RoundOf({At("a", 0, 1)});
  const auto questions = round.Questions(ByPartition);
  const v1::ListOffsetsRequest& asked = questions.at(0)[0];
  round.Answer(asked, v1::ListOffsetsResponse());
  auto other = Answered(asked, 10);
  other.mutable_topics(0)->mutable_partitions(0)->set_partition(5);
  round.Answer(asked, other);
  EXPECT_EQ(round.Tell(0).unknown, 1u);
}

TEST(GroupLag, ATimeThatIsNotKnownLeavesTheRecords) {
  LagRound round = RoundOf({At("a", 0, 1)});
  const auto questions = round.Questions(ByPartition);
  auto answer = Answered(questions.at(0)[0], 10);
  answer.mutable_topics(0)->mutable_partitions(0)->clear_append_time();
  round.Answer(questions.at(0)[0], answer);
  ASSERT_THAT(round.Tell(0).lags, SizeIs(1));
  EXPECT_EQ(round.Tell(0).lags[0].records, 9u);
  EXPECT_EQ(round.Tell(0).lags[0].age, std::nullopt);
}

TEST(GroupLag, TimesAreAskedForOncePerCommit) {
  LagRound first = RoundOf({At("a", 0, 1)});
  AnswerAll(first, 10);
  LagRound second = RoundOf({At("a", 0, 1)}, first.append_times());
  EXPECT_FALSE(second.Questions(ByPartition).at(0)[0].topics(0).partitions(0).has_append_time_of());
  AnswerAll(second, 20);
  EXPECT_EQ(second.Tell(31'000).lags[0].age, Duration(30s));
  const LagRound third = RoundOf({At("a", 0, 2)}, second.append_times());
  EXPECT_TRUE(third.Questions(ByPartition).at(0)[0].topics(0).partitions(0).has_append_time_of());
}

TEST(GroupLag, ManyAreAskedInPiecesAndThoseThatLagMostAreTold) {
  std::vector<CommittedPosition> positions;
  for (Offset i = 0; i < kMostLagsFollowed + 5; ++i)
    positions.push_back(At("a", 3 * static_cast<PartitionIndex>(i), i));
  LagRound round = RoundOf(std::move(positions));
  const auto questions = round.Questions(ByPartition);
  ASSERT_THAT(questions.at(0), SizeIs(kMostLagsFollowed / kLagsPerQuestion));
  AnswerAll(round, kMostLagsFollowed);
  const GroupLagTable table = round.Tell(0);
  ASSERT_THAT(table.lags, SizeIs(kMostLagsTold));
  EXPECT_EQ(table.lags.front().records, kMostLagsFollowed);
  EXPECT_EQ(table.left_out, kMostLagsFollowed + 5 - kMostLagsTold);
}

}  // namespace
}  // namespace tidemark
