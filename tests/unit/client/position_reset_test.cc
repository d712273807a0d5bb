// That a consumer's position was moved by auto.offset.reset is told, once, with what was missed.
#include <gtest/gtest.h>

#include "client/consumer.h"
#include "common/record/builder.h"
#include "tests/unit/client/fake_brokers.h"

namespace tidemark::testing {
namespace {

class PositionResetTest : public ::testing::Test {
 protected:
  void Begin(OffsetReset policy) {
    fakes_.AddTopic("orders", 2);
    for (int i = 0; i < 10; ++i) Append(fakes_.topics["orders"]);
    ConsumerOptions options;
    options.client.bootstrap = fakes_.bootstrap();
    options.auto_offset_reset = policy;
    options.on_reset = [this](const PositionReset& reset) { told_.push_back(ToString(reset)); };
    cluster_.emplace(env_, env_.loop, options.client);
    consumer_.emplace(*cluster_, options);
  }
  ~PositionResetTest() override {
    env_.Run(consumer_->Close());
    env_.Run(cluster_->Close());
  }
  static void Append(FakeTopic& topic) {
    FakePartition& partition = topic.partitions[0];
    BatchBuilder builder;
    builder.Append("key", "value", 1000);
    const FinishedBatch batch = *builder.Finish(v1::COMPRESSION_NONE);
    const BatchPrefix prefix =
        StampBatch(batch.body, batch.body_crc, partition.next, partition.epoch, 5, topic.id, 0);
    partition.batches.push_back(std::string(prefix.view()) + batch.body);
    partition.bases.push_back(partition.next);
    partition.sizes.push_back(1);
    partition.next += 1;
  }
  // Offsets of what Poll gives until nothing comes any more.
  std::vector<Offset> ReadFrom(int64_t offset) {
    EXPECT_TRUE(env_.Run(consumer_->Assign("orders", 0, {StartPosition::Kind::kOffset, offset})));
    std::vector<Offset> offsets;
    while (true) {
      auto batch = env_.Run(consumer_->Poll(env_.loop.Now() + 2s));
      EXPECT_TRUE(batch) << batch.error().message;
      if (!batch || batch->records.empty()) return offsets;
      for (const ConsumedRecord& record : batch->records) offsets.push_back(record.view.offset);
    }
  }

  MemoryEnvironment env_;
  FakeBrokers fakes_{env_, 3};
  std::optional<Cluster> cluster_;
  std::optional<Consumer> consumer_;
  std::vector<std::string> told_;
};

using Told = std::vector<std::string>;

TEST_F(PositionResetTest, WhatRetentionHasDeletedIsToldOnce) {
  Begin(OffsetReset::kEarliest);
  fakes_.topics["orders"].partitions[0].log_start = 7;
  EXPECT_EQ(ReadFrom(2), (std::vector<Offset>{7, 8, 9}));
  EXPECT_EQ(told_,
            Told({"orders-0: offset 2 is gone, the log begins at 7: 5 offsets were deleted before they were "
                  "read; reading goes on at 7 (auto.offset.reset=earliest)"}));
}

TEST_F(PositionResetTest, WhatIsPassedOverIsToldToo) {
  Begin(OffsetReset::kLatest);
  fakes_.topics["orders"].partitions[0].log_start = 7;
  EXPECT_EQ(ReadFrom(2), (std::vector<Offset>{}));
  EXPECT_EQ(told_,
            Told({"orders-0: offset 2 is gone, the log begins at 7: 5 offsets were deleted before they were "
                  "read; reading goes on at 10 (auto.offset.reset=latest), and 3 offsets that are there are "
                  "passed over"}));
}

TEST_F(PositionResetTest, AnOffsetAboveTheEndIsTold) {
  Begin(OffsetReset::kEarliest);
  EXPECT_EQ(ReadFrom(500).size(), 10u);
  EXPECT_EQ(told_, Told({"orders-0: offset 500 is not in the log, which begins at 0; reading goes on at 0 "
                         "(auto.offset.reset=earliest)"}));
}

TEST_F(PositionResetTest, AStartThatIsThereIsNothingToTell) {
  Begin(OffsetReset::kEarliest);
  EXPECT_EQ(ReadFrom(8).size(), 2u);
  EXPECT_EQ(told_, Told());
}

}  // namespace
}  // namespace tidemark::testing
