// Each anomaly is planted into a good history and must be seen by the checker that is there for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulation/cluster/checkers.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

LoggedBatch Batch(Offset base, LeaderEpoch epoch, std::vector<std::string> values) {
  LoggedBatch batch{.base_offset = base, .last_offset = base + values.size() - 1, .epoch = epoch};
  for (size_t i = 0; i < values.size(); ++i) {
    batch.records.push_back({base + i, values[i]});
    batch.bytes += std::to_string(base + i) + "/" + std::to_string(epoch) + "=" + values[i] + ";";
  }
  return batch;
}

struct History {
  std::vector<DiskLog> logs;
  std::vector<AckedRecord> acked;
  std::vector<LeaderClaim> claims;
  std::vector<SeenHighWatermark> seen;
};

History Good() {
  History history;
  for (BrokerId broker = 1; broker <= 3; ++broker) {
    history.logs.push_back({.broker = broker,
                            .topic = "t",
                            .high_watermark = broker == 3 ? 3u : 4u,  // one lags behind in knowing it
                            .batches = {Batch(0, 1, {"a", "b"}), Batch(2, 2, {"c"}), Batch(3, 2, {"d"})}});
  }
  history.logs[0].batches.push_back(Batch(4, 2, {"not replicated"}));
  history.logs[2].in_sync = false;
  history.acked = {{"t", 0, 0, "a"}, {"t", 0, 1, "b"}, {"t", 0, 3, "d"}};
  history.claims = {{"t", 0, 1, 1}, {"t", 0, 2, 2}, {"t", 0, 2, 2}};
  history.seen = {{1, "t", 0, 1}, {1, "t", 0, 3}, {2, "t", 0, 2}, {1, "t", 0, 3}};
  return history;
}

TEST(Checkers, AGoodHistoryHasNoViolation) {
  const History good = Good();
  EXPECT_THAT(CheckNothingLost(good.acked, good.logs), IsEmpty());
  EXPECT_THAT(CheckAckedOnce(good.acked), IsEmpty());
  EXPECT_THAT(CheckReplicasAgree(good.logs), IsEmpty());
  EXPECT_THAT(CheckOneLeaderPerEpoch(good.logs, good.claims), IsEmpty());
  EXPECT_THAT(CheckContiguous(good.logs), IsEmpty());
  EXPECT_THAT(CheckHighWatermarks(good.seen), IsEmpty());
  EXPECT_THAT(CheckCounts({1, 1, 1, 1, 1}), IsEmpty());
}

TEST(Checkers, ALostAcknowledgedRecordIsSeen) {
  History history = Good();
  history.logs[1].batches.pop_back();
  EXPECT_THAT(CheckNothingLost(history.acked, history.logs),
              ElementsAre(HasSubstr("acknowledged offset 3 is lost")));
}

TEST(Checkers, AnAcknowledgedRecordAboveTheHighWatermarkIsSeen) {
  History history = Good();
  history.acked.push_back({"t", 0, 4, "not replicated"});
  EXPECT_EQ(CheckNothingLost(history.acked, history.logs).size(), 2u);
}

TEST(Checkers, AnotherRecordAtAnAcknowledgedOffsetIsSeen) {
  History history = Good();
  history.logs[0].batches[1] = Batch(2, 2, {"c"});
  history.acked.push_back({"t", 0, 2, "C"});
  EXPECT_THAT(CheckNothingLost(history.acked, history.logs),
              testing::Each(HasSubstr("holds another record")));
  EXPECT_EQ(CheckNothingLost(history.acked, history.logs).size(), 2u);
}

TEST(Checkers, APartitionWithoutAReplicaInSyncIsSeen) {
  History history = Good();
  for (DiskLog& log : history.logs) log.in_sync = false;
  EXPECT_EQ(CheckNothingLost(history.acked, history.logs).size(), 3u);
  EXPECT_EQ(CheckNothingLost(history.acked, {}).size(), 3u);
}

TEST(Checkers, DeletedRecordsAreNotLost) {
  History history = Good();
  for (DiskLog& log : history.logs) {
    log.batches.erase(log.batches.begin());
    log.start = 2;
  }
  EXPECT_THAT(CheckNothingLost(history.acked, history.logs), IsEmpty());
}

TEST(Checkers, AnOffsetAcknowledgedTwiceIsSeen) {
  History history = Good();
  history.acked.push_back({"t", 0, 3, "other"});
  EXPECT_THAT(CheckAckedOnce(history.acked), ElementsAre(HasSubstr("offset 3")));
}

TEST(Checkers, ReplicasThatDifferBelowTheHighWatermarkAreSeen) {
  History history = Good();
  history.logs[1].batches[0] = Batch(0, 1, {"a", "B"});
  EXPECT_EQ(CheckReplicasAgree(history.logs).size(), 2u);
}

TEST(Checkers, AMissingBatchBelowTheHighWatermarkIsSeen) {
  History history = Good();
  history.logs[1].batches.erase(history.logs[1].batches.begin() + 1);
  EXPECT_THAT(CheckReplicasAgree(history.logs), testing::Each(HasSubstr("no batch at offset 2")));
  EXPECT_FALSE(CheckReplicasAgree(history.logs).empty());
}

TEST(Checkers, TheSameRecordsInOtherBatchesAreSeen) {
  History history = Good();
  history.logs[1].batches = {Batch(0, 1, {"a"}), Batch(1, 1, {"b"}), Batch(2, 2, {"c"}), Batch(3, 2, {"d"})};
  EXPECT_FALSE(CheckReplicasAgree(history.logs).empty());
}

TEST(Checkers, TwoLeadersOfOneEpochAreSeenInClaimsAndInLogs) {
  History history = Good();
  history.claims.push_back({"t", 0, 2, 3});
  EXPECT_THAT(CheckOneLeaderPerEpoch(history.logs, history.claims),
              ElementsAre(HasSubstr("brokers 2 and 3 both led")));
  history = Good();
  history.logs[2].batches.push_back(Batch(4, 2, {"another, never replicated"}));
  EXPECT_THAT(CheckOneLeaderPerEpoch(history.logs, history.claims),
              ElementsAre(HasSubstr("different batches of epoch 2 at offset 4")));
}

TEST(Checkers, HolesOverlapsAndFallingEpochsAreSeen) {
  History history = Good();
  history.logs[0].batches[1].base_offset = 1;
  EXPECT_FALSE(CheckContiguous(history.logs).empty());
  history = Good();
  history.logs[0].batches.push_back(Batch(6, 2, {"after a hole"}));
  EXPECT_THAT(CheckContiguous(history.logs), ElementsAre(HasSubstr("offset 6 follows 4")));
  history = Good();
  history.logs[0].batches.push_back(Batch(5, 1, {"old epoch"}));
  EXPECT_THAT(CheckContiguous(history.logs), ElementsAre(HasSubstr("epoch falls from 2 to 1")));
  history = Good();
  history.logs[0].batches[0].records.pop_back();
  EXPECT_THAT(CheckContiguous(history.logs), ElementsAre(HasSubstr("holds 1 records")));
}

TEST(Checkers, ALogThatEndsBelowItsHighWatermarkIsSeen) {
  History history = Good();
  history.logs[1].high_watermark = 9;
  EXPECT_THAT(CheckContiguous(history.logs), ElementsAre(HasSubstr("below high watermark 9")));
}

TEST(Checkers, AFallingHighWatermarkIsSeen) {
  History history = Good();
  history.seen.push_back({1, "t", 0, 2});
  EXPECT_THAT(CheckHighWatermarks(history.seen), ElementsAre(HasSubstr("fell from 3 to 2")));
  EXPECT_THAT(CheckHighWatermarks({{1, "t", 0, 5}, {1, "t", 1, 2}, {3, "t", 0, 1}}), IsEmpty());
}

TEST(Checkers, ARunWithoutEventsIsSeen) {
  EXPECT_THAT(CheckCounts({.acknowledged = 5, .elections = 1, .truncations = 0, .expiries = 1, .fenced = 0}),
              ElementsAre(HasSubstr("truncation"), HasSubstr("fenced")));
}

}  // namespace
}  // namespace tidemark
