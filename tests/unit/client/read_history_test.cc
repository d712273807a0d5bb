#include "client/read_history.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "broker/replica/divergence.h"

namespace tidemark::internal {
namespace {

// Epoch 1 up to 5, epoch 3 up to 8; reading goes on at 9.
ReadHistory Read() {
  ReadHistory history;
  history.Begin(0, {});
  history.Add(1, 0);
  history.Add(1, 2);
  history.Add(3, 5);
  return history;
}

TEST(ReadHistory, NamesTheEpochOfTheRecordBefore) {
  ReadHistory history;
  EXPECT_FALSE(history.last_epoch());
  history.Begin(7, LeaderEpoch{4});
  EXPECT_EQ(history.last_epoch(), 4u);
  history.Add(6, 7);
  EXPECT_EQ(history.last_epoch(), 6u);
  history.CutTo(7);
  EXPECT_EQ(history.last_epoch(), 4u);
  history.CutTo(6);
  EXPECT_FALSE(history.last_epoch()) << "it is not known since when that epoch went";
  history.Begin(0, LeaderEpoch{4});
  EXPECT_FALSE(history.last_epoch()) << "there is no record before";
}

TEST(ReadHistory, WhatRecordsSayCountsMoreThanWhatACommitSaid) {
  ReadHistory history;
  history.Begin(7, LeaderEpoch{9});
  history.Add(5, 7);
  EXPECT_EQ(history.last_epoch(), 5u);
  EXPECT_FALSE(history.FirstAfter(5));
  history.Add(6, 6);  // a batch that begins before the place asked for
  EXPECT_EQ(history.last_epoch(), 6u);
  EXPECT_EQ(history.FirstAfter(5), 6u);
}

TEST(ReadHistory, ForgetsTheOldest) {
  ReadHistory history;
  history.Begin(0, {});
  for (LeaderEpoch epoch = 0; epoch < 1000; ++epoch) history.Add(epoch, epoch * 10);
  EXPECT_EQ(history.last_epoch(), 999u);
  EXPECT_EQ(history.FirstAfter(998), 9990u);
  EXPECT_GT(history.FirstAfter(0), 10u) << "an upper bound";
}

TEST(PartingPoint, IsWhereTheLeadersRecordsOfThatEpochEnd) {
  EXPECT_EQ(PartingPoint(Read(), 9, {3, 7}, 0), 7u);
  EXPECT_EQ(PartingPoint(Read(), 9, {1, 4}, 0), 4u);
}

TEST(PartingPoint, IsNotAboveWhereTheOwnRecordsOfThatEpochEnd) {
  EXPECT_EQ(PartingPoint(Read(), 9, {1, 7}, 0), 5u);
  EXPECT_EQ(PartingPoint(Read(), 9, {2, 100}, 0), 5u) << "the leader's end lies above the position";
  ReadHistory committed;
  committed.Begin(9, LeaderEpoch{3});
  EXPECT_EQ(PartingPoint(committed, 9, {1, 100}, 0), 8u) << "of one record it is certain";
  EXPECT_EQ(PartingPoint(committed, 9, {1, 4}, 0), 4u);
}

TEST(PartingPoint, IsNotBelowTheLogStart) {
  EXPECT_EQ(PartingPoint(Read(), 9, {1, 4}, 6), 6u);
  EXPECT_EQ(PartingPoint(Read(), 9, {0, 0}, 8), 8u);
}

TEST(PartingPoint, OfAnAnswerThatMakesNoSenseThereIsNone) {
  EXPECT_FALSE(PartingPoint(Read(), 9, {3, 9}, 0));
  EXPECT_FALSE(PartingPoint(Read(), 9, {4, 100}, 0));
  EXPECT_FALSE(PartingPoint(Read(), 9, {1, 4}, 9));
}

// A log as the epochs that wrote its records; at one offset, the same epoch is the same record.
using Records = std::vector<LeaderEpoch>;

EpochTable TableOf(const Records& log, Offset start) {
  EpochTable epochs;
  for (size_t i = 0; i < log.size(); ++i) epochs.Begin(log[i], i);
  epochs.AdvanceStart(start);
  return epochs;
}

struct Reader {
  ReadHistory history;
  Offset position = 0;
};

// Has read `log` from `from` to `to`; from a commit where `from` is not where it begins, perhaps.
Reader Reads(const Records& log, Offset from, Offset to, bool knows_before) {
  Reader reader{.position = to};
  reader.history.Begin(from, knows_before && from > 0 ? std::optional(log[from - 1]) : std::nullopt);
  for (Offset at = from; at < to; ++at) reader.history.Add(log[at], at);
  return reader;
}

// Asks until it agrees with the leader. How often it was told to go back.
int AskOn(Reader& reader, const Records& leader, Offset start) {
  EpochTable epochs = TableOf(leader, start);
  epochs.Begin(20, leader.size());
  for (int rounds = 0;; ++rounds) {
    EXPECT_LT(rounds, 20);
    const auto last = reader.history.last_epoch();
    if (!last || reader.position <= start) return rounds;
    const LeaderAnswer answer = AnswerFollowerFetch({start, leader.size(), &epochs}, {reader.position, last});
    if (answer.verdict == FetchVerdict::kAgree) return rounds;
    EXPECT_EQ(answer.verdict, FetchVerdict::kDiverging);
    const auto point = PartingPoint(reader.history, reader.position,
                                    {answer.diverging.epoch, answer.diverging.end_offset}, start);
    if (!point) {
      ADD_FAILURE() << "cuts nothing";
      return rounds;
    }
    reader.position = *point;
    reader.history.CutTo(*point);
  }
}

// Any two histories that grew from common beginnings, any stretch of one that was read, any log start.
TEST(PartingPoint, NothingCommonIsReadAgainAndNothingElseIsKept) {
  std::mt19937 random(11);
  int parted = 0;
  for (int round = 0; round < 50000; ++round) {
    Records leader, other;
    const auto grow = [&](Records& log, LeaderEpoch epoch) { log.insert(log.end(), random() % 4, epoch); };
    LeaderEpoch epoch = 1;
    for (; epoch < 4; ++epoch) grow(leader, epoch);
    other = leader;
    for (; epoch < 9; ++epoch) grow(random() % 2 == 0 ? leader : other, epoch);
    size_t common = 0;
    while (common < leader.size() && common < other.size() && leader[common] == other[common]) ++common;
    const Offset to = random() % (other.size() + 1);
    const Offset from = random() % 3 == 0 ? random() % (to + 1) : 0;
    const Offset start = random() % 2 == 0 ? 0 : random() % (leader.size() + 1);
    if (to < start) continue;  // it is told that, and nothing else
    Reader reader = Reads(other, from, to, random() % 2 == 0);
    const int rounds = AskOn(reader, leader, start);
    parted += rounds > 0 ? 1 : 0;
    if (common >= to) {
      EXPECT_EQ(rounds, 0) << "a false alarm";
    }
    EXPECT_GE(reader.position, std::min<Offset>(common, to)) << "a record is read twice";
    if (from <= common || reader.position == start) {
      EXPECT_EQ(reader.position, std::max<Offset>(start, std::min<Offset>(common, to))) << round;
    } else {
      EXPECT_LE(reader.position, std::max(from, start)) << "what it knows of is kept though it is gone";
    }
  }
  EXPECT_GT(parted, 5000);
}

}  // namespace
}  // namespace tidemark::internal
