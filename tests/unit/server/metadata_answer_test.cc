// What Metadata tells of topics, and how much of it is built.
#include "broker/server/metadata_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

TopicId NumberedId(uint8_t n) {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes[3] = n;
  return TopicId(bytes);
}

// Topics t0, t1, ... of so many partitions each.
ClusterSnapshot::Ptr Topics(int topics, uint32_t partitions) {
  v1::UpdateMetadataRequest update;
  update.set_full(true);
  for (int t = 0; t < topics; ++t) {
    v1::TopicState* topic = update.add_topics();
    topic->set_name("t" + std::to_string(t));
    topic->set_id(NumberedId(static_cast<uint8_t>(t)).ToBytes());
    for (uint32_t p = 0; p < partitions; ++p) {
      topic->add_partitions()->set_partition(p);
      topic->mutable_partitions()->rbegin()->add_replicas(1);
    }
  }
  return ClusterSnapshot::Apply(*ClusterSnapshot::Empty(), update);
}

void Ask(v1::MetadataRequest* request, const std::string& name, const std::string& id) {
  v1::MetadataRequest::Topic* topic = request->add_topics();
  topic->set_name(name);
  topic->set_id(id);
}

constexpr size_t kPlenty = 1u << 20;

TEST(MetadataAnswer, ATopicIsToldOnceUnderWhateverNamesAndIds) {
  const auto snapshot = Topics(2, 3);
  v1::MetadataRequest request;
  for (int i = 0; i < 10; ++i) Ask(&request, "any" + std::to_string(i), NumberedId(1).ToBytes());
  Ask(&request, "t1", "");
  Ask(&request, "t0", "");
  Ask(&request, "t0", NumberedId(0).ToBytes());
  v1::MetadataResponse answer;
  ASSERT_TRUE(FillMetadata(*snapshot, request, kPlenty, &answer));
  ASSERT_THAT(answer.topics(), SizeIs(2));
  EXPECT_EQ(answer.topics(0).name(), "t1");
  EXPECT_THAT(answer.topics(0).partitions(), SizeIs(3));
  EXPECT_EQ(answer.topics(1).name(), "t0");
}

TEST(MetadataAnswer, WhatIsNotThereIsToldOnce) {
  const auto snapshot = Topics(1, 1);
  v1::MetadataRequest request;
  for (int i = 0; i < 3; ++i) {
    Ask(&request, "x" + std::to_string(i), NumberedId(9).ToBytes());
    Ask(&request, "nobody", "");
    Ask(&request, "y" + std::to_string(i), "no id");
  }
  v1::MetadataResponse answer;
  ASSERT_TRUE(FillMetadata(*snapshot, request, kPlenty, &answer));
  ASSERT_THAT(answer.topics(), SizeIs(3));
  EXPECT_EQ(answer.topics(0).id(), NumberedId(9).ToBytes());
  EXPECT_EQ(answer.topics(0).error().code(), v1::UNKNOWN_TOPIC_ID);
  EXPECT_EQ(answer.topics(1).name(), "nobody");
  EXPECT_EQ(answer.topics(1).error().code(), v1::UNKNOWN_TOPIC_OR_PARTITION);
  EXPECT_EQ(answer.topics(2).id(), "no id");
  EXPECT_NE(answer.topics(2).error().code(), v1::NONE);
}

TEST(MetadataAnswer, NoMoreIsBuiltThanCanBeSent) {
  const auto snapshot = Topics(20, 100);
  v1::MetadataRequest all;
  all.set_all_topics(true);
  v1::MetadataRequest named;
  for (int t = 0; t < 20; ++t) Ask(&named, "t" + std::to_string(t), "");
  for (const v1::MetadataRequest& request : {all, named}) {
    v1::MetadataResponse whole;
    ASSERT_TRUE(FillMetadata(*snapshot, request, kPlenty, &whole));
    ASSERT_THAT(whole.topics(), SizeIs(20));
    const size_t three = 3 * whole.topics(0).ByteSizeLong() + 10;
    v1::MetadataResponse part;
    const Result<> refused = FillMetadata(*snapshot, request, three, &part);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, v1::MESSAGE_TOO_LARGE);
    EXPECT_THAT(refused.error().message, HasSubstr(std::to_string(three)));
    EXPECT_THAT(part.topics(), SizeIs(4));
  }
}

}  // namespace
}  // namespace tidemark
