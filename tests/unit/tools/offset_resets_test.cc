#include "tools/offset_resets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/text_table.h"

namespace tidemark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(OffsetResetsTest, TimesAreReadAsKafkaWritesThem) {
  EXPECT_EQ(ParseDateTime("1970-01-01T00:00:00.000").value(), 0);
  EXPECT_EQ(ParseDateTime("1970-01-02T00:00:01.5").value(), 86'401'500);
  EXPECT_EQ(ParseDateTime("2026-01-02T03:04:05.678Z").value(), 1'767'323'045'678);
  EXPECT_EQ(ParseDateTime("2026-01-02T05:04:05.678+02:00").value(), 1'767'323'045'678);
  EXPECT_EQ(ParseDateTime("2026-01-02T01:04:05.678-0200").value(), 1'767'323'045'678);
  EXPECT_EQ(ParseDateTime("2026-01-02T03:04").value(), 1'767'323'040'000);
  EXPECT_EQ(ParseDateTime("1969-12-31T23:59:59").value(), -1000);
  for (const char* wrong : {"", "2026", "2026-02-30T00:00:00", "2026-01-02T25:00:00", "2026-01-02T03:04:05.",
                            "2026-01-02T03:04:05+2", "2026-01-02T03:04:05 x", "26-01-02T03:04:05"}) {
    EXPECT_FALSE(ParseDateTime(wrong)) << wrong;
  }
}

TEST(OffsetResetsTest, DurationsAreIso8601) {
  EXPECT_EQ(ParseIsoDuration("P7D").value(), 168h);
  EXPECT_EQ(ParseIsoDuration("PT1H30M").value(), 90min);
  EXPECT_EQ(ParseIsoDuration("P1DT0.5S").value(), 24h + 500ms);
  EXPECT_EQ(ParseIsoDuration("P1W").value(), 168h);
  EXPECT_EQ(ParseIsoDuration("PT0S").value(), 0ns);
  for (const char* wrong : {"", "P", "PT", "1D", "P1H", "PT1D", "P1DT", "PT1M1H", "PT1S1S", "PT1.5H", "P-1D",
                            "PT1X", "PT1S1M", "P99999999D"}) {
    EXPECT_FALSE(ParseIsoDuration(wrong)) << wrong;
  }
}

TEST(OffsetResetsTest, TopicsComeWithOrWithoutPartitions) {
  EXPECT_EQ(ParseTopicChoice("orders")->topic, "orders");
  EXPECT_TRUE(ParseTopicChoice("orders")->partitions.empty());
  EXPECT_THAT(ParseTopicChoice("orders:0,2")->partitions, ElementsAre(0, 2));
  for (const char* wrong : {"orders:", "orders:x", "orders:-1", ":0", "a b"})
    EXPECT_FALSE(ParseTopicChoice(wrong)) << wrong;
}

TEST(OffsetResetsTest, FilesAreReadAsTheyAreExported) {
  const auto one = ParseResetFile("orders,0,5\r\norders,1,6\n\n", "g");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->at("g").at({"orders", 1}), 6u);
  const auto several = ParseResetFile("group,topic,partition,offset\na,orders,0,5\nb,orders,0,7\n", "");
  ASSERT_TRUE(several);
  EXPECT_EQ(several->at("b").at({"orders", 0}), 7u);
  const auto wrong = ParseResetFile("orders,0,5\n", "");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("line 1"));
  EXPECT_FALSE(ParseResetFile("a,orders,0,-5\n", ""));
  EXPECT_FALSE(ParseResetFile("orders,x,5\n", "g"));
}

TEST(OffsetResetsTest, AnOffsetAboveTheLargestIsRefusedAndNotReadAsANegativeOne) {
  const auto largest = ParseResetFile("orders,0,9223372036854775807\n", "g");
  ASSERT_TRUE(largest);
  EXPECT_EQ(largest->at("g").at({"orders", 0}), 9223372036854775807u);
  for (const char* text : {"9223372036854775808", "18446744073709551615", "18446744073709551616"}) {
    const auto refused = ParseResetFile(fmt::format("orders,0,5\norders,1,{}\n", text), "g");
    ASSERT_FALSE(refused) << text;
    EXPECT_THAT(refused.error().message, HasSubstr("line 2"));
    EXPECT_THAT(refused.error().message, HasSubstr(text));
  }
}

TEST(OffsetResetsTest, FieldsMayStandInQuotesAsKafkasExporterWritesThem) {
  const auto one = ParseResetFile("\"a-topic-with-a-name-that-is-long\",0,5\n", "g");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->at("g").at({"a-topic-with-a-name-that-is-long", 0}), 5u);
  const std::string group = "a, \"b\"";
  const auto quoted = ParseResetFile(ResetFileField(group) + " , orders, 1 ,6\n", "");
  ASSERT_TRUE(quoted) << quoted.error().message;
  EXPECT_EQ(quoted->at(group).at({"orders", 1}), 6u);
  EXPECT_EQ(ResetFileField("orders"), "orders");
  for (const char* wrong : {"\"orders,0,5\n", "\"orders\"x,0,5\n", "orders,,0,5\n"})
    EXPECT_FALSE(ParseResetFile(wrong, "g")) << wrong;
}

TEST(OffsetResetsTest, WhatIsExportedIsReadBackWhateverTheGroupsAreCalled) {
  const std::vector<std::string> groups = {"plain",       "a\nb", "c\r\n", "\n",
                                           "d,\"e\n\"\n", " f ",  "\"",    "g\"h"};
  std::string text;
  for (size_t i = 0; i < groups.size(); ++i)
    text += fmt::format("{},orders,{},{}\n", ResetFileField(groups[i]), i, i + 10);
  const auto file = ParseResetFile(text, "");
  ASSERT_TRUE(file) << file.error().message << "\n" << text;
  EXPECT_EQ(file->size(), groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    ASSERT_TRUE(file->contains(groups[i])) << groups[i];
    EXPECT_EQ(file->at(groups[i]).at({"orders", static_cast<PartitionIndex>(i)}), i + 10);
  }
  const auto wrong = ParseResetFile("\"a\nb\",orders,0,5\norders\n", "");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("line 3"));
}

TEST(OffsetResetsTest, APartitionThatIsNamedTwiceIsRefusedWithBothLines) {
  const auto twice = ParseResetFile("orders,0,5\norders,1,5\norders,0,6\n", "g");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "lines 1 and 3 both name orders-0 of group 'g'; leave one out");
  EXPECT_FALSE(ParseResetFile("orders,0,5\ng,orders,0,5\n", "g"));
  EXPECT_TRUE(ParseResetFile("a\"\"b,orders,0,5\nc\"d,orders,0,6\n", "")) << "no quotes around a field";
  EXPECT_TRUE(ParseResetFile("a,orders,0,5\nb,orders,0,6\n", ""));
}

Offset Of(ResetPlan plan, ResetBounds bounds, std::string* note) {
  return ResetOffset(plan, {"orders", 3}, bounds, note).value();
}

TEST(OffsetResetsTest, NewOffsetsStayWithinTheLog) {
  const ResetBounds bounds{.earliest = 10, .latest = 100, .committed = 50, .at_time = 70};
  std::string note;
  EXPECT_EQ(Of({ResetKind::kEarliest}, bounds, &note), 10u);
  EXPECT_EQ(Of({ResetKind::kLatest}, bounds, &note), 100u);
  EXPECT_EQ(Of({ResetKind::kCurrent}, bounds, &note), 50u);
  EXPECT_EQ(Of({ResetKind::kOffset, 60}, bounds, &note), 60u);
  EXPECT_EQ(Of({ResetKind::kShift, -10}, bounds, &note), 40u);
  EXPECT_EQ(Of({ResetKind::kTime, 1}, bounds, &note), 70u);
  EXPECT_EQ(note, "");
  EXPECT_EQ(Of({ResetKind::kShift, -60}, bounds, &note), 10u);
  EXPECT_THAT(note, HasSubstr("orders-3: offset -10 is not in the log, which has 10 to 100"));
  EXPECT_EQ(Of({ResetKind::kOffset, 1000}, bounds, &note), 100u);
  const ResetBounds nothing{.earliest = 10, .latest = 100};
  EXPECT_EQ(Of({ResetKind::kCurrent}, nothing, &note), 100u);
  EXPECT_EQ(Of({ResetKind::kTime, 1}, nothing, &note), 100u) << "no record is that young";
  EXPECT_FALSE(ResetOffset({ResetKind::kShift, 1}, {"orders", 3}, nothing, &note));
}

TEST(OffsetResetsTest, AShiftBeyondAllOffsetsEndsAtTheLogsEnd) {
  const ResetBounds bounds{.earliest = 10, .latest = 100, .committed = uint64_t{INT64_MAX}};
  std::string note;
  EXPECT_EQ(Of({ResetKind::kShift, 5}, bounds, &note), 100u);
  EXPECT_THAT(note, HasSubstr("offset 9223372036854775807 is not in the log"));
  EXPECT_EQ(Of({ResetKind::kShift, INT64_MIN / 2}, {.earliest = 10, .latest = 100, .committed = 0}, &note),
            10u);
  // A leader that is wrong, or no broker at all, may say what it likes.
  EXPECT_EQ(Of({ResetKind::kCurrent}, {.earliest = 10, .latest = 100, .committed = UINT64_MAX}, &note), 100u);
  EXPECT_EQ(Of({ResetKind::kOffset, 50}, {.earliest = 100, .latest = 10}, &note), 100u);
}

TEST(OffsetResetsTest, ExactlyOneWayIsAskedFor) {
  const std::vector<FlagSpec> flags = {
      {"to-earliest", "", ""}, {"to-offset", "N", ""}, {"shift-by", "N", ""}, {"by-duration", "D", ""}};
  const auto plan = [&](std::vector<std::string> words) {
    return ResetPlanOf(*Arguments::Parse(words, flags), 10'000'000);
  };
  EXPECT_FALSE(plan({}));
  EXPECT_FALSE(plan({"--to-earliest", "--to-offset", "5"}));
  EXPECT_EQ(plan({"--shift-by", "-5"})->value, -5);
  EXPECT_EQ(plan({"--by-duration", "PT1H"})->value, 6'400'000);
  EXPECT_EQ(plan({"--by-duration", "P7D"})->value, 0) << "not before 1970";
}

TEST(OffsetResetsTest, AFlagsValueMayBeLeftOut) {
  const std::vector<FlagSpec> flags = {{.name = "state", .value = "S", .help = "", .value_optional = true},
                                       {"list", "", ""}};
  EXPECT_EQ(Arguments::Parse({"--state", "--list"}, flags)->GetOr("state", "?"), "");
  EXPECT_EQ(Arguments::Parse({"--list", "--state"}, flags)->GetOr("state", "?"), "");
  EXPECT_EQ(Arguments::Parse({"--state", "Empty", "--list"}, flags)->GetOr("state", "?"), "Empty");
}

TEST(TextTable, ColumnsAreAsWideAsKafkas) {
  TextTable offsets(
      {{"GROUP", 6}, {"LAG", 4, ColumnWidth::kFixed}, {"CLIENT-ID", 0, ColumnWidth::kUnpadded}});
  offsets.Add({"readers-of-orders", "12345", "c"});
  offsets.Add({"g", "1", "client"});
  EXPECT_EQ(offsets.Text(),
            "GROUP             LAG  CLIENT-ID\n"
            "readers-of-orders 12345 c\n"
            "g                 1    client\n");
  TextTable padded({{"TOPIC", 8, ColumnWidth::kFixed}, {"STATUS", 8, ColumnWidth::kFixed}});
  EXPECT_EQ(padded.Text(), "TOPIC    STATUS  \n");
}

TEST(TextTable, ControlCharactersOfNamesAreShownAndNotSent) {
  TextTable table({{"GROUP", 3}, {"CLIENT-ID", 0, ColumnWidth::kUnpadded}});
  table.Add({"g\x1b[2J", "a\nb\x7f"});
  EXPECT_EQ(table.Text(), "GROUP    CLIENT-ID\ng\\x1b[2J a\\x0ab\\x7f\n");
}

TEST(TextTable, WhatIsAddedToKafkasColumnsComesBehindThem) {
  TextTable table({{"A", 3}, {"B", 0, ColumnWidth::kUnpadded}, {"OWN", 0, ColumnWidth::kUnpadded}});
  table.Add({"1", "long", "x"});
  EXPECT_EQ(table.Text(), "A   B    OWN\n1   long x\n");
}

}  // namespace
}  // namespace tidemark
