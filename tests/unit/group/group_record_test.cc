// The records of __consumer_offsets: frozen keys, values that come back, and bytes that mean nothing.
#include "broker/group/group_record.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace tidemark {
namespace {

std::string Hex(const std::string& bytes) {
  std::string out;
  for (const uint8_t byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

TEST(GroupRecords, KeysAreFrozen) {
  std::array<uint8_t, 16> id{};
  id.fill(0xab);
  EXPECT_EQ(
      Hex(EncodeGroupKey({.kind = GroupRecordKind::kOffset, .group = "g", .partition = {TopicId(id), 7}})),
      "0001000167abababababababababababababababab00000007");
  EXPECT_EQ(Hex(EncodeGroupKey({.kind = GroupRecordKind::kGroup, .group = "ab"})), "000300026162");
  EXPECT_EQ(Hex(EncodeGroupKey({.kind = GroupRecordKind::kMember, .group = "g", .member = "m"})),
            "00050001670001"
            "6d");
  EXPECT_EQ(Hex(EncodeGroupKey({.kind = GroupRecordKind::kTarget, .group = "g", .member = "m"})),
            "000700016700016d");
  EXPECT_EQ(Hex(EncodeGroupKey({.kind = GroupRecordKind::kCurrent, .group = "g", .member = "m"})),
            "000800016700016d");
}

TEST(GroupRecords, ComeBackAsTheyWere) {
  GroupRecord record{.kind = GroupRecordKind::kMember, .group = "g", .member = "m"};
  record.value.emplace<v1::GroupMemberValue>().set_client_host("here");
  const auto back = DecodeGroupRecord(EncodeGroupKey(record), EncodeGroupValue(record));
  ASSERT_TRUE(back && *back);
  EXPECT_EQ((*back)->member, "m");
  EXPECT_EQ((*back)->As<v1::GroupMemberValue>()->client_host(), "here");
  const auto tombstone = DecodeGroupRecord(EncodeGroupKey(record), std::nullopt);
  ASSERT_TRUE(tombstone && *tombstone);
  EXPECT_TRUE((*tombstone)->tombstone());
}

TEST(GroupRecords, UnknownKindsAreSkippedAndBrokenOnesNamed) {
  EXPECT_FALSE(*DecodeGroupRecord(std::string_view("\0\x63xyz", 5), "v"));
  EXPECT_FALSE(DecodeGroupRecord(std::nullopt, "v"));
  const std::string whole = EncodeGroupKey({.kind = GroupRecordKind::kOffset, .group = "group"});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(DecodeGroupRecord(whole.substr(0, size), std::nullopt)) << size;
  }
  EXPECT_FALSE(DecodeGroupRecord(whole + "x", std::nullopt));
  EXPECT_EQ(DecodeGroupRecord(whole, "\xff\xff").error().code, v1::CORRUPT_MESSAGE);
}

TEST(GroupRecords, AGroupsPartitionIsJavasHash) {
  // What java.lang.String.hashCode gives: "hello" 99162322, "polygenelubricants" -2^31, "" 0.
  EXPECT_EQ(PartitionOfGroup("hello", 50), 99162322u % 50);
  EXPECT_EQ(PartitionOfGroup("polygenelubricants", 50), 0u);
  EXPECT_EQ(PartitionOfGroup("hello", 1), 0u);
  // "é" is U+00E9, and the clef takes two units: 0xd834 * 31 + 0xdd1e.
  EXPECT_EQ(PartitionOfGroup("\xc3\xa9", 1000), 0xe9u);
  EXPECT_EQ(PartitionOfGroup("\xf0\x9d\x84\x9e", 1'000'000'000), 0xd834u * 31 + 0xdd1e);
  // console-consumer-12345: negative hashes count by their magnitude.
  EXPECT_LT(PartitionOfGroup("console-consumer-12345", 50), 50u);
}

TEST(GroupRecords, GroupIdsAreChecked) {
  EXPECT_TRUE(ValidateGroupId("with blanks, dots. and /slashes/"));
  EXPECT_FALSE(ValidateGroupId(""));
  EXPECT_FALSE(ValidateGroupId(std::string(256, 'x')));
}

}  // namespace
}  // namespace tidemark
