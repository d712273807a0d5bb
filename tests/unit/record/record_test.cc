// Builder, reader and validation against each other and against generated code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/record/reader.h"
#include "common/record/validate.h"
#include "common/record/wire.h"
#include "tests/unit/record/sample.h"

namespace tidemark::testing {
namespace {

// The same batch as objects of generated code, decompressed.
v1::RecordSet ParseRecords(const v1::BatchBody& body) {
  ScratchBuffer scratch;
  auto records = Decompress(body.compression(), body.records(), body.records_size(), scratch);
  EXPECT_TRUE(records.has_value()) << records.error().message;
  v1::RecordSet set;
  EXPECT_TRUE(set.ParseFromArray(records->data(), static_cast<int>(records->size())));
  return set;
}

class EveryCodec : public ::testing::TestWithParam<v1::Compression> {};
INSTANTIATE_TEST_SUITE_P(Record, EveryCodec, ::testing::ValuesIn(kAllCodecs),
                         [](const auto& info) { return std::string(CompressionName(info.param)); });

TEST_P(EveryCodec, BuiltBatchIsReadByGeneratedCode) {
  const FinishedBatch batch = SampleBatch(GetParam());
  v1::BatchBody body;
  ASSERT_TRUE(body.ParseFromString(batch.body));
  EXPECT_EQ(body.compression(), GetParam());
  EXPECT_EQ(body.record_count(), 8u);
  EXPECT_EQ(body.last_offset_delta(), 7u);
  EXPECT_EQ(body.max_timestamp(), 1'700'000'000'006);
  const v1::RecordSet set = ParseRecords(body);
  ASSERT_EQ(set.records_size(), 8);
  EXPECT_FALSE(set.records(0).has_key());
  EXPECT_TRUE(set.records(0).has_value());
  EXPECT_EQ(set.records(0).value(), "");
  EXPECT_EQ(set.records(1).key(), "key-1");
  EXPECT_FALSE(set.records(1).has_value());
  EXPECT_EQ(set.records(5).timestamp_delta(), -5);
  EXPECT_EQ(set.records(5).offset_delta(), 5u);
  ASSERT_EQ(set.records(2).headers_size(), 3);
  EXPECT_EQ(set.records(2).headers(0).value(), "1234");
  EXPECT_TRUE(set.records(2).headers(1).has_value());
  EXPECT_FALSE(set.records(2).headers(2).has_value());
}

TEST_P(EveryCodec, BuiltBatchIsValidAndReadBack) {
  const FinishedBatch batch = SampleBatch(GetParam());
  ScratchBuffer scratch;
  auto info = ValidateProducerBatch(batch.body, batch.body_crc, {}, scratch);
  ASSERT_TRUE(info.has_value()) << ToString(info.error());

  const std::string bytes = Stamped(batch, 500);
  BatchView view;
  ASSERT_EQ(ParseBatch(bytes, &view, nullptr, nullptr), BatchParse::kOk);
  auto reader = RecordReader::Open(view, scratch);
  ASSERT_TRUE(reader.has_value());
  RecordView record;
  uint64_t expected = 500;
  while (reader->Next(&record)) {
    const uint64_t i = record.offset - 500;
    EXPECT_EQ(record.offset, expected++);
    EXPECT_EQ(record.key.has_value(), i % 3 != 0);
    EXPECT_EQ(record.value.has_value(), i % 4 != 1);
    if (record.value) {
      EXPECT_EQ(record.value->size(), i * 40);
    }
    std::vector<std::string> names;
    HeaderView header;
    for (HeaderCursor cursor = record.headers(); cursor.Next(&header);) names.emplace_back(header.key);
    EXPECT_EQ(names, i % 2 == 0 ? std::vector<std::string>({"trace", "empty", "absent"})
                                : std::vector<std::string>());
  }
  EXPECT_FALSE(reader->error().has_value());
  EXPECT_EQ(expected, 508u);
}

TEST_P(EveryCodec, EveryFlippedBitOfABodyIsRefused) {
  const FinishedBatch batch = SampleBatch(GetParam(), 4);
  ScratchBuffer scratch;
  for (size_t position = 0; position < batch.body.size(); ++position) {
    std::string body = batch.body;
    body[position] = static_cast<char>(body[position] ^ 0x10);
    auto info = ValidateProducerBatch(body, batch.body_crc, {}, scratch);
    ASSERT_FALSE(info.has_value());
    EXPECT_EQ(info.error().code, v1::CORRUPT_MESSAGE);
    // Also with a checksum that fits, nothing is read past its end; what passes reads without an error.
    if (ValidateProducerBatch(body, Crc32c(body), {}, scratch)) {
      auto parsed = ParseBody(body);
      ASSERT_TRUE(parsed.has_value());
      auto records = Decompress(parsed->compression, parsed->records, parsed->records_size, scratch);
      ASSERT_TRUE(records.has_value());
      RecordReader reader(*records, *parsed, 0, 0);
      RecordView record;
      while (reader.Next(&record)) {
      }
      EXPECT_FALSE(reader.error().has_value()) << position;
    }
  }
}

TEST_P(EveryCodec, EveryTruncationOfABodyIsRefused) {
  const FinishedBatch batch = SampleBatch(GetParam(), 4);
  ScratchBuffer scratch;
  for (size_t size = 0; size < batch.body.size(); ++size) {
    const std::string body(batch.body, 0, size);
    EXPECT_FALSE(ValidateProducerBatch(body, Crc32c(body), {}, scratch).has_value()) << size;
  }
}

TEST_P(EveryCodec, GeneratedEncodingInAnyFieldOrderIsReadByUs) {
  v1::RecordSet set;
  for (uint32_t i = 0; i < 3; ++i) {
    v1::Record* record = set.add_records();
    record->set_offset_delta(i);
    record->set_timestamp_delta(static_cast<int64_t>(i) - 1);
    record->set_value("v" + std::to_string(i));
    v1::RecordHeader* header = record->add_headers();
    header->set_key("héader");
  }
  // The last record again with its fields in reverse: protobuf allows any order.
  std::string records = set.SerializeAsString();
  records += std::string("\x0a\x06\x20\x03\x18\x00\x12\x00", 8);
  v1::BatchBody body;
  body.set_compression(GetParam());
  body.set_base_timestamp(1000);
  body.set_max_timestamp(1001);
  body.set_last_offset_delta(3);
  body.set_record_count(4);
  body.set_records_size(static_cast<uint32_t>(records.size()));
  ASSERT_TRUE(Compress(GetParam(), records, body.mutable_records()).has_value());
  const std::string encoded = body.SerializeAsString();
  ScratchBuffer scratch;
  auto info = ValidateProducerBatch(encoded, Crc32c(encoded), {}, scratch);
  ASSERT_TRUE(info.has_value()) << ToString(info.error());
}

// A valid body as an object, for tests that spoil one field each.
v1::BatchBody ValidBody() {
  v1::BatchBody body;
  EXPECT_TRUE(body.ParseFromString(SampleBatch().body));
  return body;
}

void ExpectRefused(const v1::BatchBody& body, ErrorCode code, const std::string& names) {
  const std::string encoded = body.SerializeAsString();
  ScratchBuffer scratch;
  auto info = ValidateProducerBatch(encoded, Crc32c(encoded), {}, scratch);
  ASSERT_FALSE(info.has_value()) << names;
  EXPECT_EQ(info.error().code, code) << ToString(info.error());
  EXPECT_NE(info.error().message.find(names), std::string::npos) << ToString(info.error());
}

TEST(Validate, NamesTheFieldThatIsWrong) {
  v1::BatchBody body = ValidBody();
  body.set_record_count(9);
  ExpectRefused(body, v1::INVALID_RECORD, "last_offset_delta is 7 with record_count 9");
  body.set_last_offset_delta(8);
  ExpectRefused(body, v1::INVALID_RECORD, "record_count is 9; records holds 8");
  body = ValidBody();
  body.set_record_count(0);
  ExpectRefused(body, v1::INVALID_RECORD, "record_count is 0");
  body = ValidBody();
  body.set_compression(static_cast<v1::Compression>(9));
  ExpectRefused(body, v1::UNSUPPORTED_COMPRESSION_TYPE, "compression is 9");
  body = ValidBody();
  body.set_records_size(body.records_size() + 1);
  ExpectRefused(body, v1::INVALID_RECORD, "records_size");
  body = ValidBody();
  body.set_max_timestamp(body.max_timestamp() + 1);
  ExpectRefused(body, v1::INVALID_TIMESTAMP, "max_timestamp");
  body = ValidBody();
  body.set_base_timestamp(-2);
  ExpectRefused(body, v1::INVALID_TIMESTAMP, "base_timestamp is -2");
  body = ValidBody();
  body.set_base_timestamp(INT64_MAX);
  ExpectRefused(body, v1::INVALID_TIMESTAMP, "timestamp_delta");
  body = ValidBody();
  body.set_timestamp_type(v1::TIMESTAMP_TYPE_LOG_APPEND_TIME);
  ExpectRefused(body, v1::INVALID_TIMESTAMP, "timestamp_type is 1");
}

TEST(Validate, RefusesWhatIsReserved) {
  v1::BatchBody body = ValidBody();
  body.set_transactional(true);
  ExpectRefused(body, v1::INVALID_RECORD, "transactional");
  body = ValidBody();
  body.set_control(true);
  ExpectRefused(body, v1::INVALID_RECORD, "control");
  body = ValidBody();
  body.set_delete_horizon(1);
  ExpectRefused(body, v1::INVALID_RECORD, "delete_horizon is 1");
  body = ValidBody();
  body.set_key_id("");
  ExpectRefused(body, v1::INVALID_RECORD, "key_id");
  body = ValidBody();
  body.set_payload_encoding(static_cast<v1::PayloadEncoding>(2));
  ExpectRefused(body, v1::INVALID_RECORD, "payload_encoding is 2");
  body = ValidBody();
  body.set_producer_id(5);
  ExpectRefused(body, v1::INVALID_RECORD, "1 of 3");
}

TEST(Validate, RefusesOffsetDeltasThatAreNotSequential) {
  v1::BatchBody body = ValidBody();
  v1::RecordSet set = ParseRecords(body);
  set.mutable_records(4)->set_offset_delta(5);
  body.set_records(set.SerializeAsString());
  ExpectRefused(body, v1::INVALID_RECORD, "record 4: offset_delta is 5");
}

TEST(Validate, NamesTheRecordWithoutAKeyWhereKeysAreRequired) {
  ScratchBuffer scratch;
  for (const v1::Compression codec : testing::kAllCodecs) {
    for (const bool headers : {false, true}) {  // with headers the general scan decides
      const std::vector<HeaderView> some = {{"h", "1"}};
      const auto given = headers ? std::span<const HeaderView>(some) : std::span<const HeaderView>();
      BatchBuilder builder;
      ASSERT_TRUE(builder.Append("a", "1", 1, given));
      ASSERT_TRUE(builder.Append("", "2", 1, given));  // empty is a key
      ASSERT_TRUE(builder.Append(std::nullopt, "3", 1, given));
      const auto batch = builder.Finish(codec);
      ASSERT_TRUE(batch);
      EXPECT_TRUE(ValidateProducerBatch(batch->body, batch->body_crc, {}, scratch));
      const auto info = ValidateProducerBatch(batch->body, batch->body_crc, {.require_keys = true}, scratch);
      ASSERT_FALSE(info);
      EXPECT_EQ(info.error().code, v1::INVALID_RECORD);
      EXPECT_THAT(info.error().message, ::testing::HasSubstr("record 2: it has no key"));
    }
  }
}

TEST(Validate, RefusesHeaderKeysThatGeneratedCodeCouldNotRead) {
  v1::BatchBody body = ValidBody();
  std::string records = body.records();
  records.replace(records.find("trace"), 5, "tra\xff\xff");
  body.set_records(records);
  ExpectRefused(body, v1::INVALID_RECORD, "record 0");
}

TEST(Validate, RefusesARecordHiddenBehindATagInALongerForm) {
  v1::BatchBody body = ValidBody();
  body.set_records(body.records() + std::string("\x8a\x00\x02\x20\x08", 5));
  body.set_records_size(static_cast<uint32_t>(body.records().size()));
  ASSERT_EQ(ParseRecords(body).records_size(), 9) << "generated code sees it";
  ExpectRefused(body, v1::INVALID_RECORD, "record 8");
}

TEST(Validate, RefusesABatchOverTheLimitBeforeAnythingElse) {
  const FinishedBatch batch = SampleBatch();
  ScratchBuffer scratch;
  const size_t stored = Stamped(batch, 0).size();
  EXPECT_TRUE(ValidateProducerBatch(batch.body, batch.body_crc, {stored}, scratch).has_value());
  auto info = ValidateProducerBatch(batch.body, batch.body_crc, {stored - 1}, scratch);
  ASSERT_FALSE(info.has_value());
  EXPECT_EQ(info.error().code, v1::MESSAGE_TOO_LARGE);
}

TEST(Validate, DecompressionBombsAreBoundedByRecordsSize) {
  for (v1::Compression codec : kAllCodecs) {
    if (codec == v1::COMPRESSION_NONE) continue;
    v1::BatchBody body;
    body.set_compression(codec);
    body.set_record_count(1);
    body.set_records_size(100);
    ASSERT_TRUE(Compress(codec, std::string(8 << 20, 'x'), body.mutable_records()).has_value());
    const std::string encoded = body.SerializeAsString();
    ScratchBuffer scratch;
    auto info = ValidateProducerBatch(encoded, Crc32c(encoded), {}, scratch);
    ASSERT_FALSE(info.has_value());
    EXPECT_EQ(info.error().code, v1::CORRUPT_MESSAGE) << CompressionName(codec);
    EXPECT_LE(scratch.capacity(), 100u);
    body.set_records_size(kMaxRecordsBytes + 1);
    ExpectRefused(body, v1::MESSAGE_TOO_LARGE, "records_size");
  }
}

TEST(Reader, StopsAtDamageWithAnErrorThatSaysWhere) {
  v1::BatchBody body = ValidBody();
  v1::RecordSet set = ParseRecords(body);
  set.mutable_records(3)->set_offset_delta(2);
  body.set_records(set.SerializeAsString());
  const std::string encoded = body.SerializeAsString();
  auto info = ParseBody(encoded);
  ASSERT_TRUE(info.has_value());
  RecordReader reader(info->records, *info, 100, 0);
  RecordView record;
  int read = 0;
  while (reader.Next(&record)) ++read;
  EXPECT_EQ(read, 3);
  ASSERT_TRUE(reader.error().has_value());
  EXPECT_NE(reader.error()->message.find("offset 100, record 3"), std::string::npos)
      << reader.error()->message;
  EXPECT_FALSE(reader.Next(&record)) << "an error is final";
}

TEST(Reader, CompactedBatchesHaveGaps) {
  v1::BatchBody body = ValidBody();
  v1::RecordSet set = ParseRecords(body);
  set.mutable_records()->DeleteSubrange(1, 5);
  body.set_records(set.SerializeAsString());
  body.set_record_count(3);
  const std::string encoded = body.SerializeAsString();
  auto info = ParseBody(encoded);
  RecordReader reader(info->records, *info, 100, 0);
  RecordView record;
  std::vector<Offset> offsets;
  while (reader.Next(&record)) offsets.push_back(record.offset);
  EXPECT_FALSE(reader.error().has_value());
  EXPECT_EQ(offsets, std::vector<Offset>({100, 106, 107}));
}

TEST(Reader, LogAppendTimeIsTheBatchs) {
  v1::BatchBody body = ValidBody();
  body.set_timestamp_type(v1::TIMESTAMP_TYPE_LOG_APPEND_TIME);
  const std::string encoded = body.SerializeAsString();
  auto info = ParseBody(encoded);
  RecordReader reader(info->records, *info, 0, 4711);
  RecordView record;
  ASSERT_TRUE(reader.Next(&record));
  EXPECT_EQ(record.timestamp, 4711);
}

TEST(Builder, RefusesWhatWouldPassTheLimit) {
  BatchBuilder builder;
  const std::string half(kMaxRecordsBytes / 2, 'x');
  EXPECT_TRUE(builder.Append(std::nullopt, half, 1));
  EXPECT_FALSE(builder.Append(std::nullopt, half, 1));
  EXPECT_EQ(builder.record_count(), 1u);
  auto batch = builder.Finish(v1::COMPRESSION_NONE);
  ASSERT_TRUE(batch.has_value());
  EXPECT_TRUE(builder.empty());
  ScratchBuffer scratch;
  EXPECT_TRUE(ValidateProducerBatch(batch->body, batch->body_crc, {kMaxBatchBytes}, scratch).has_value());
}

TEST(Builder, RecordsWithoutTimestampsAreValid) {
  BatchBuilder builder;
  EXPECT_TRUE(builder.Append("k", "v", -1));
  EXPECT_TRUE(builder.Append("k", "v", 5));
  auto batch = builder.Finish(v1::COMPRESSION_NONE);
  ScratchBuffer scratch;
  EXPECT_TRUE(ValidateProducerBatch(batch->body, batch->body_crc, {}, scratch).has_value());
}

TEST(Wire, Utf8) {
  EXPECT_TRUE(wire::IsUtf8("plain"));
  EXPECT_TRUE(wire::IsUtf8("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a"));
  EXPECT_FALSE(wire::IsUtf8("\xc0\x80")) << "overlong";
  EXPECT_FALSE(wire::IsUtf8("\xed\xa0\x80")) << "surrogate";
  EXPECT_FALSE(wire::IsUtf8("\xf4\x90\x80\x80")) << "beyond Unicode";
  EXPECT_FALSE(wire::IsUtf8("\xe2\x82")) << "cut";
}

TEST(Wire, VarintsBeyond64BitsAreRefused) {
  uint64_t value = 0;
  const std::string most("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
  EXPECT_NE(wire::ReadVarint(most.data(), most.data() + most.size(), &value), nullptr);
  EXPECT_EQ(value, UINT64_MAX);
  const std::string over("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
  EXPECT_EQ(wire::ReadVarint(over.data(), over.data() + over.size(), &value), nullptr);
}

}  // namespace
}  // namespace tidemark::testing
