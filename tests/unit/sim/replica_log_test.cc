#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/builder.h"
#include "tests/simulation/cluster/checkers.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {
namespace {

std::string Stored(std::vector<std::string> values, Offset base, const TopicId& topic) {
  BatchBuilder builder;
  for (const std::string& value : values) EXPECT_TRUE(builder.Append(std::nullopt, value, 1));
  const FinishedBatch batch = *builder.Finish(v1::COMPRESSION_LZ4);
  return std::string(StampBatch(batch.body, batch.body_crc, base, 4, 1, topic, 0).view()) + batch.body;
}

class ReplicaLogTest : public testing::Test {
 protected:
  void Put(const std::string& path, const std::string& content) {
    ASSERT_TRUE(process_.files().CreateDirectories("/logs/t-0"));
    ASSERT_TRUE(WriteFileDurably(process_.files(), path, content));
  }
  DiskLog Read(Offset high_watermark) {
    return ReadDiskLog(world_.disk("a"), "/logs/t-0", 1, "t", topic_, 0, high_watermark, &violations_);
  }

  SimWorld world_{1};
  SimProcess& process_ = world_.StartProcess("a");
  const TopicId topic_{{1, 2, 3}};
  Violations violations_;
};

TEST_F(ReplicaLogTest, SegmentsAreReadInOrder) {
  Put("/logs/t-0/00000000000000000005.log", Stored({"a", "b"}, 5, topic_));
  Put("/logs/t-0/00000000000000000007.log", Stored({"c"}, 7, topic_) + std::string(100, '\0'));
  Put("/logs/t-0/00000000000000000005.index", "not a segment");
  const DiskLog log = Read(8);
  EXPECT_THAT(violations_, testing::IsEmpty());
  EXPECT_EQ(log.start, 5u);
  EXPECT_EQ(log.end(), 8u);
  ASSERT_EQ(log.batches.size(), 2u);
  EXPECT_EQ(log.batches[0].records[1].value, "b");
  EXPECT_EQ(log.batches[1].epoch, 4u);
  EXPECT_THAT(CheckContiguous({log}), testing::IsEmpty());
  EXPECT_THAT(CheckNothingLost({{"t", 0, 6, "b"}, {"t", 0, 7, "c"}}, {log}), testing::IsEmpty());
}

TEST_F(ReplicaLogTest, DamageIsAViolationOnlyBelowTheHighWatermark) {
  std::string torn = Stored({"a"}, 0, topic_) + Stored({"b"}, 1, topic_);
  torn.resize(torn.size() - 3);
  Put("/logs/t-0/00000000000000000000.log", torn);
  EXPECT_EQ(Read(1).end(), 1u);
  EXPECT_THAT(violations_, testing::IsEmpty());
  EXPECT_EQ(Read(2).end(), 1u);
  EXPECT_THAT(violations_, testing::ElementsAre(testing::HasSubstr("unreadable at offset 1")));
}

TEST_F(ReplicaLogTest, ABatchOfAnotherPartitionIsDamage) {
  Put("/logs/t-0/00000000000000000000.log", Stored({"a"}, 0, TopicId({9})));
  EXPECT_TRUE(Read(1).batches.empty());
  EXPECT_EQ(violations_.size(), 1u);
}

}  // namespace
}  // namespace tidemark
