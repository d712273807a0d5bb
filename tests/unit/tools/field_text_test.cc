#include "tools/field_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/group/group_record.h"
#include "tools/record_output.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

std::string Shown(FieldType type, std::string_view bytes) {
  std::string out;
  const Result<> appended = AppendField(type, bytes, &out);
  return appended ? out : "error: " + appended.error().message;
}

TEST(FieldText, KafkasDeserializersAreKnownByTheirLastName) {
  EXPECT_EQ(*FieldTypeOf("org.apache.kafka.common.serialization.LongDeserializer"), FieldType::kLong);
  EXPECT_EQ(*FieldTypeOf("StringDeserializer"), FieldType::kText);
  const auto unknown = FieldTypeOf("org.apache.kafka.common.serialization.LongDeserialiser");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("LongDeserializer?"));
  EXPECT_THAT(FieldTypeOf("io.confluent.Avro").error().message, HasSubstr("known are"));
}

TEST(FieldText, NumbersAreBigEndianAndOfOneSize) {
  EXPECT_EQ(Shown(FieldType::kLong, std::string_view("\xff\xff\xff\xff\xff\xff\xff\xfe", 8)), "-2");
  EXPECT_EQ(Shown(FieldType::kInteger, std::string_view("\0\0\1\0", 4)), "256");
  EXPECT_EQ(Shown(FieldType::kShort, std::string_view("\x80\0", 2)), "-32768");
  EXPECT_EQ(Shown(FieldType::kDouble, std::string_view("\x3f\xf8\0\0\0\0\0\0", 8)), "1.5");
  EXPECT_EQ(Shown(FieldType::kBoolean, std::string_view("\1", 1)), "true");
  EXPECT_EQ(Shown(FieldType::kBoolean, "7"), "error: 55 is neither true nor false");
  EXPECT_EQ(Shown(FieldType::kLong, "abc"), "error: 3 bytes where 8 were expected");
  EXPECT_EQ(Shown(FieldType::kText, "abc"), "abc");
}

TEST(FieldText, GroupRecordsAreShownAsJson) {
  GroupRecord record{.kind = GroupRecordKind::kOffset, .group = "readers", .partition = {TopicId(), 3}};
  v1::OffsetCommitValue value;
  value.set_offset(42);
  value.set_topic("orders");
  record.value = value;
  const std::string key = EncodeGroupKey(record);
  auto text = DescribeGroupRecord(key, EncodeGroupValue(record));
  ASSERT_TRUE(text && *text);
  EXPECT_TRUE((*text)->offset);
  EXPECT_THAT((*text)->key, HasSubstr(R"("type":"offset","group":"readers","topic":"orders")"));
  EXPECT_THAT((*text)->key, HasSubstr(R"("partition":3)"));
  EXPECT_THAT((*text)->value, HasSubstr(R"("offset":"42")"));
  text = DescribeGroupRecord(key, std::nullopt);
  ASSERT_TRUE(text && *text);
  EXPECT_EQ((*text)->value, "null");
  EXPECT_FALSE(DescribeGroupRecord("no such key", "x").value_or(std::nullopt));
}

TEST(RecordOutput, FormattersGoByKafkasNames) {
  RecordOutput output;
  EXPECT_TRUE(output.SetFormatter("kafka.tools.DefaultMessageFormatter"));
  EXPECT_TRUE(output.SetFormatter("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter"));
  EXPECT_TRUE(output.SetFormatter("org.apache.kafka.tools.consumer.NoOpMessageFormatter"));
  EXPECT_THAT(output.SetFormatter("kafka.tools.DefaultMesageFormatter").error().message,
              HasSubstr("did you mean DefaultMessageFormatter?"));
}

TEST(RecordOutput, ARecordThatIsNotOfItsTypeAddsNothingAndSaysWhere) {
  RecordOutput output;
  output.SetTypes(FieldType::kText, FieldType::kLong);
  ConsumedRecord record;
  record.view.value = "abc";
  record.view.offset = 7;
  record.partition = 2;
  const Result<> added = output.Add(record);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().message, "partition 2, offset 7: 3 bytes where 8 were expected");
}

}  // namespace
}  // namespace tidemark
