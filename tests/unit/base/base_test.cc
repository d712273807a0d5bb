#include <set>

#include <gtest/gtest.h>

#include "common/error.h"
#include "common/nearest_name.h"
#include "common/types.h"
#include "common/utf8.h"

namespace tidemark {
namespace {

TEST(ErrorTable, EveryCodeOfTheContractHasAClassAndAMeaning) {
  const auto* codes = v1::ErrorCode_descriptor();
  for (int i = 0; i < codes->value_count(); ++i) {
    const auto code = static_cast<ErrorCode>(codes->value(i)->number());
    EXPECT_NE(ErrorMeaning(code), "an error this version does not know") << codes->value(i)->name();
    EXPECT_EQ(ErrorName(code), codes->value(i)->name());
    EXPECT_EQ(ClassOf(code) == v1::ERROR_CLASS_NONE, code == v1::NONE) << codes->value(i)->name();
  }
}

TEST(ErrorTable, AnUnknownNumberIsFatalAndNamedByIt) {
  const auto unknown = static_cast<ErrorCode>(4711);
  EXPECT_EQ(ErrorName(unknown), "ERROR_4711");
  EXPECT_EQ(ClassOf(unknown), v1::ERROR_CLASS_FATAL);
  EXPECT_FALSE(IsRetriable(unknown));
}

TEST(ErrorTable, TheClassTravelsWithTheError) {
  const v1::Error wire = ToProto(Error{v1::NOT_LEADER_OR_FOLLOWER, "orders-0 is led by 2"});
  EXPECT_EQ(wire.error_class(), v1::ERROR_CLASS_REFRESH_METADATA);
  EXPECT_EQ(ToString(FromProto(wire)), "orders-0 is led by 2 (NOT_LEADER_OR_FOLLOWER)");
}

TEST(ErrorTable, AnEmptyMessageShowsTheMeaning) {
  EXPECT_EQ(ToString(Error{v1::NOT_CONTROLLER, ""}), "this broker is not the controller (NOT_CONTROLLER)");
}

TopicId SampleId(uint8_t first, uint8_t step) {
  std::array<uint8_t, TopicId::kSize> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(first + step * i);
  return TopicId(bytes);
}

TEST(TopicIdText, SurvivesBase64InBothDirections) {
  for (int first = 0; first < 256; first += 5) {
    for (int step = 0; step < 256; step += 51) {
      const TopicId id = SampleId(static_cast<uint8_t>(first), static_cast<uint8_t>(step));
      const std::string text = id.ToBase64();
      EXPECT_EQ(text.size(), 22u);
      const Result<TopicId> back = TopicId::FromBase64(text);
      ASSERT_TRUE(back) << text;
      EXPECT_EQ(*back, id);
    }
  }
}

TEST(TopicIdText, IsTheUrlSafeAlphabet) {
  EXPECT_EQ(SampleId(0xff, 0).ToBase64(), "_____________________w");
  EXPECT_EQ(SampleId(0, 0).ToBase64(), "AAAAAAAAAAAAAAAAAAAAAA");
  EXPECT_EQ(SampleId(0xfb, 0).ToBase64().substr(0, 4), "-_v7");
}

TEST(TopicIdText, RefusesWhatIsNotAnId) {
  EXPECT_FALSE(TopicId::FromBase64(""));
  EXPECT_FALSE(TopicId::FromBase64("AAAAAAAAAAAAAAAAAAAAA"));
  EXPECT_FALSE(TopicId::FromBase64("AAAAAAAAAAAAAAAAAAAAAAA"));
  EXPECT_FALSE(TopicId::FromBase64("AAAAAAAAAAAAAAAAAAAAA+"));
  EXPECT_FALSE(TopicId::FromBase64("AAAAAAAAAAAAAAAAAAAAAB")) << "the last digit has 4 bits that must be 0";
}

TEST(TopicIdBytes, AreExactlySixteen) {
  const TopicId id = SampleId(1, 3);
  const Result<TopicId> back = TopicId::FromBytes(id.ToBytes());
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, id);
  EXPECT_EQ(TopicId::FromBytes("short").error().code, v1::INVALID_REQUEST);
}

TEST(StableHash, SpreadsThePartitionsOfATopicOverFewShards) {
  std::array<int, 3> shards{};
  for (PartitionIndex p = 0; p < 300; ++p) ++shards[StableHash({SampleId(9, 7), p}) % shards.size()];
  for (int count : shards) EXPECT_GT(count, 60);
}

TEST(TopicName, LegalNamesPass) {
  for (const char* name : {"a", "orders", "Orders.eu-west_1", "...", "__consumer_offsets", "0"}) {
    EXPECT_TRUE(ValidateTopicName(name)) << name;
  }
  EXPECT_TRUE(ValidateTopicName(std::string(249, 'x')));
}

TEST(TopicName, IllegalNamesAreRefusedWithTheReason) {
  for (const char* name : {"", ".", "..", "a b", "a/b", "\xc3\xa4", "a:b"}) {
    const Result<> result = ValidateTopicName(name);
    ASSERT_FALSE(result) << name;
    EXPECT_EQ(result.error().code, v1::INVALID_TOPIC_EXCEPTION);
    EXPECT_FALSE(result.error().message.empty());
  }
  EXPECT_NE(ValidateTopicName(std::string(250, 'x')).error().message.find("249"), std::string::npos);
}

TEST(NearestName, SuggestsWhatWasMeant) {
  const std::vector<std::string> names = {"log.dirs", "log.retention.ms", "num.partitions"};
  EXPECT_EQ(NearestName("log.dir", names), "log.dirs");
  EXPECT_EQ(NearestName("NUM.PARTITION", names), "num.partitions");
  EXPECT_EQ(NearestName("something.else.entirely", names), "");
}

TEST(Utf8, WhatIsNoTextIsWrittenAsItsBytes) {
  EXPECT_EQ(ToUtf8("тема 1"), "тема 1");
  EXPECT_EQ(ToUtf8("a\xff"
                   "b\xd1"),
            "a\\xffb\\xd1");
  EXPECT_EQ(ToUtf8("\xc0\x80 \xed\xa0\x80"), "\\xc0\\x80 \\xed\\xa0\\x80") << "overlong, surrogate";
  EXPECT_TRUE(IsValidUtf8(std::string_view("\0тема😀", 13)));
  EXPECT_FALSE(IsValidUtf8("\xf5\x80\x80\x80"));
  EXPECT_FALSE(IsValidUtf8("тема\xd0"));
  EXPECT_EQ(Utf8Prefix("тема", 5), "те");
  EXPECT_EQ(Utf8Prefix("тема", 8), "тема");
}

TEST(Utf8, WhatIsShownOnATerminalHasNoControlCharacters) {
  EXPECT_EQ(Printable("тема 1 \\x"), "тема 1 \\x");
  EXPECT_EQ(Printable(std::string_view("\0a\x1b[31m\r\n\t\x1f \x7f~", 14)),
            "\\x00a\\x1b[31m\\x0d\\x0a\\x09\\x1f \\x7f~");
  EXPECT_EQ(Printable("\xc2\x80\xc2\x9f\xc2\xa0\xc3\x80"), "\\xc2\\x80\\xc2\\x9f\xc2\xa0\xc3\x80");
  EXPECT_EQ(Printable("\x9b"), "\\x9b") << "the start of a sequence to terminals that know no UTF-8";
}

TEST(ErrorTable, EveryMessageCanBeSent) {
  const v1::Error wire = ToProto(Error{v1::INVALID_REQUEST, "group 'a\xffz'"});
  EXPECT_EQ(wire.message(), "group 'a\\xffz'");
  EXPECT_TRUE(v1::Error().ParseFromString(wire.SerializeAsString()));
}

TEST(TopicName, OfABadCharacterAllBytesAreNamed) {
  EXPECT_EQ(ValidateTopicName("тема").error().message,
            "topic name 'тема' has the character 'т'; legal are a-z A-Z 0-9 . _ -");
  EXPECT_NE(ValidateTopicName("a\xff").error().message.find("character '\\xff'"), std::string::npos);
}

}  // namespace
}  // namespace tidemark
