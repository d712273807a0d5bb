#include "common/record/batch.h"

#include <gtest/gtest.h>

#include "common/record/reader.h"
#include "tests/unit/record/sample.h"

namespace tidemark::testing {
namespace {

TEST(Batch, StampedBatchIsReadByGeneratedCode) {
  const FinishedBatch batch = SampleBatch();
  const std::string segment = Stamped(batch, 1000) + Stamped(batch, 1008, 4);
  v1::LogSegment parsed;
  ASSERT_TRUE(parsed.ParseFromString(segment));
  ASSERT_EQ(parsed.batches_size(), 2);
  EXPECT_EQ(parsed.batches(0).magic(), kBatchMagic);
  EXPECT_EQ(parsed.batches(0).base_offset(), 1000u);
  EXPECT_EQ(parsed.batches(0).append_time(), 1'700'000'001'000);
  EXPECT_EQ(parsed.batches(1).leader_epoch(), 4u);
  EXPECT_EQ(parsed.batches(1).body(), batch.body);
  EXPECT_EQ(parsed.batches(1).body_crc(), batch.body_crc);
  EXPECT_EQ(parsed.SerializeAsString(), segment) << "the stamp is the canonical encoding";
}

TEST(Batch, ParsesWhatWasStamped) {
  const FinishedBatch batch = SampleBatch();
  const std::string bytes = Stamped(batch, 1000, 9) + "rest";
  BatchView view;
  ASSERT_EQ(ParseBatch(bytes, &view, nullptr, nullptr), BatchParse::kOk);
  EXPECT_EQ(view.base_offset, 1000u);
  EXPECT_EQ(view.leader_epoch, 9u);
  EXPECT_EQ(view.append_time, 1'700'000'001'000);
  EXPECT_EQ(view.body, batch.body);
  EXPECT_EQ(view.bytes, std::string_view(bytes).substr(0, bytes.size() - 4));
  EXPECT_EQ(view.prefix_bytes, BatchPrefixBytes(batch.body.size()));
  EXPECT_TRUE(VerifyBatch(view, SampleTopic(), 2).has_value());
}

TEST(Batch, IsTiedToItsTopicAndPartition) {
  const std::string bytes = Stamped(SampleBatch(), 0);
  BatchView view;
  ASSERT_EQ(ParseBatch(bytes, &view, nullptr, nullptr), BatchParse::kOk);
  EXPECT_TRUE(VerifyHeaderCrc(view, SampleTopic(), 2));
  EXPECT_FALSE(VerifyHeaderCrc(view, SampleTopic(), 3));
  EXPECT_FALSE(VerifyHeaderCrc(view, SampleTopic(8), 2));
}

TEST(Batch, EveryTruncationAsksForMore) {
  const std::string bytes = Stamped(SampleBatch(), 5);
  BatchView view;
  EXPECT_EQ(ParseBatch("", &view, nullptr, nullptr), BatchParse::kEnd);
  for (size_t size = 1; size < bytes.size(); ++size) {
    const std::string cut(bytes, 0, size);  // an own buffer, so that a sanitizer sees reads past it
    size_t needed = 0;
    ASSERT_EQ(ParseBatch(cut, &view, &needed, nullptr), BatchParse::kNeedMore) << size;
    EXPECT_GT(needed, size);
    EXPECT_LE(needed, bytes.size()) << size;
  }
}

TEST(Batch, EveryFlippedBitIsSeen) {
  const std::string good = Stamped(SampleBatch(), 77);
  for (size_t position = 0; position < good.size(); ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[position] = static_cast<char>(bytes[position] ^ (1 << bit));
      BatchView view;
      std::string why;
      if (ParseBatch(bytes, &view, nullptr, &why) != BatchParse::kOk) continue;
      EXPECT_FALSE(VerifyBatch(view, SampleTopic(), 2).has_value()) << "byte " << position << " bit " << bit;
    }
  }
}

TEST(Batch, DamagedLengthsAreRefusedWithoutWaitingForBytes) {
  std::string bytes = Stamped(SampleBatch(), 0);
  BatchView view;
  std::string why;
  bytes.replace(1, 2, std::string("\xff\xff\xff\xff\x0f", 5));
  EXPECT_EQ(ParseBatch(bytes, &view, nullptr, &why), BatchParse::kCorrupt);
  EXPECT_NE(why.find("4294967295 bytes"), std::string::npos) << why;
}

TEST(Batch, TailsAreTold) {
  v1::LogSegment segment;
  segment.set_padding(std::string(300, '\0'));
  const std::string padding = segment.SerializeAsString();
  BatchView view;
  size_t needed = 0;
  EXPECT_EQ(ParseBatch(padding, &view, &needed, nullptr), BatchParse::kPadding);
  EXPECT_EQ(needed, padding.size());
  EXPECT_EQ(ParseBatch(std::string(4, '\0'), &view, nullptr, nullptr), BatchParse::kZeros);
}

TEST(Batch, ReaderThatLostItsPlaceFindsTheNextBatch) {
  const std::string first = Stamped(SampleBatch(), 0);
  const std::string stranger = Stamped(SampleBatch(), 8, 3, SampleTopic(99));
  const std::string second = Stamped(SampleBatch(v1::COMPRESSION_NONE, 200), 16);
  const std::string magic_alone("\x0a\x10\x0d\x31\x4b\x4d\x54", 7);
  const std::string buffer = "rot" + first + magic_alone + stranger + second;
  EXPECT_EQ(FindNextBatch(buffer, 0, SampleTopic(), 2), 3u);
  const size_t at_second = buffer.size() - second.size();
  EXPECT_EQ(FindNextBatch(buffer, 4, SampleTopic(), 2), at_second) << "a foreign batch is no batch of ours";
  EXPECT_EQ(FindNextBatch(buffer, at_second + 1, SampleTopic(), 2), std::nullopt);
  EXPECT_EQ(FindNextBatch(std::string_view(buffer).substr(0, at_second + kMaxBatchPrefixBytes), 4,
                          SampleTopic(), 2),
            at_second)
      << "the body need not be there";
}

TEST(Batch, BodyFieldsAreThoseOfGeneratedCode) {
  v1::BatchBody body;
  body.set_compression(v1::COMPRESSION_LZ4);
  body.set_timestamp_type(v1::TIMESTAMP_TYPE_LOG_APPEND_TIME);
  body.set_last_offset_delta(41);
  body.set_base_timestamp(-1);
  body.set_max_timestamp(1'700'000'000'000);
  body.set_producer_id(1ULL << 63);
  body.set_producer_epoch(3);
  body.set_base_sequence(4'000'000'000);
  body.set_record_count(42);
  body.set_transactional(true);
  body.set_records_size(1 << 20);
  body.set_delete_horizon(12);
  body.set_records("abc");
  body.set_key_id("k");
  std::string encoded = body.SerializeAsString();
  encoded += std::string("\xc2\x3e\x03new", 6);  // field 1000, of some later version
  auto info = ParseBody(encoded);
  ASSERT_TRUE(info.has_value()) << info.error().message;
  EXPECT_EQ(info->compression, v1::COMPRESSION_LZ4);
  EXPECT_EQ(info->timestamp_type, v1::TIMESTAMP_TYPE_LOG_APPEND_TIME);
  EXPECT_EQ(info->last_offset_delta, 41u);
  EXPECT_EQ(info->base_timestamp, -1);
  EXPECT_EQ(info->max_timestamp, 1'700'000'000'000);
  EXPECT_EQ(info->producer_id, 1ULL << 63);
  EXPECT_EQ(info->producer_epoch, 3u);
  EXPECT_EQ(info->base_sequence, 4'000'000'000u);
  EXPECT_EQ(info->record_count, 42u);
  EXPECT_TRUE(info->transactional);
  EXPECT_FALSE(info->control);
  EXPECT_EQ(info->records_size, 1u << 20);
  EXPECT_EQ(info->delete_horizon, 12);
  EXPECT_EQ(info->records, "abc");
  EXPECT_EQ(info->key_id, "k");
}

TEST(Batch, CutBodiesAreRefused) {
  const std::string body = SampleBatch().body;
  for (size_t size = 1; size < body.size(); ++size) {
    const std::string cut(body, 0, size);
    auto info = ParseBody(cut);
    EXPECT_TRUE(!info || info->records.empty()) << size;
  }
}

}  // namespace
}  // namespace tidemark::testing
