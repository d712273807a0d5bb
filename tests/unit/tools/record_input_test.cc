// Lines of the console producer as headers, key and value.
#include "tools/record_input.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

RecordInput Input(std::map<std::string, std::string> properties) {
  auto input = RecordInput::FromProperties(properties);
  EXPECT_TRUE(input.has_value()) << input.error().message;
  return *input;
}

TEST(RecordInput, HeadersStandBeforeKeyAndValue) {
  const auto input = Input({{"parse.headers", "true"}, {"parse.key", "true"}});
  const auto parsed = input.Parse("trace:7,empty:\tk\tv:w");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  ASSERT_EQ(parsed->headers.size(), 2u);
  EXPECT_EQ(parsed->headers[0].key, "trace");
  EXPECT_EQ(parsed->headers[0].value, "7");
  EXPECT_EQ(parsed->headers[1].value, "");
  EXPECT_EQ(parsed->key, "k");
  EXPECT_EQ(parsed->value, "v:w");
  EXPECT_TRUE(input.Parse("\tk\tv")->headers.empty());
}

TEST(RecordInput, SeparatorsAreOnesOwn) {
  const auto input = Input({{"parse.headers", "true"},
                            {"headers.delimiter", "|"},
                            {"headers.separator", ";"},
                            {"headers.key.separator", "="},
                            {"null.marker", "NULL"}});
  const auto parsed = input.Parse("a=1;b=NULL|NULL");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->headers[0].value, "1");
  EXPECT_FALSE(parsed->headers[1].value.has_value());
  EXPECT_FALSE(parsed->value.has_value());
  EXPECT_TRUE(input.Parse("NULL|v")->headers.empty());
  EXPECT_FALSE(input.Parse("NULL=1|v").has_value());
}

TEST(RecordInput, AMissingSeparatorIsToldOrIgnored) {
  EXPECT_FALSE(Input({{"parse.headers", "true"}}).Parse("a:1 v").has_value());
  EXPECT_FALSE(Input({{"parse.headers", "true"}}).Parse("a\tv").has_value());
  const auto lenient = Input({{"parse.headers", "true"}, {"parse.key", "true"}, {"ignore.error", "true"}});
  EXPECT_EQ(lenient.Parse("just this")->value, "just this");
  EXPECT_FALSE(lenient.Parse("just this")->key.has_value());
}

TEST(RecordInput, ALineThatStopsItIsToldWithWhatBecameOfTheOthers) {
  EXPECT_EQ(AfterBadLine("line 3", 3, 2),
            "of 2 lines before it 2 were sent; line 3 and what follows were not");
  EXPECT_EQ(AfterBadLine("b.csv, line 1", 2, 1),
            "of 1 line before it 1 was sent; b.csv, line 1 and what follows were not");
  EXPECT_EQ(AfterBadLine("line 1", 1, 0), "nothing was sent, and what follows was not read");
  EXPECT_EQ(AfterBadLine("line 3", 3, std::nullopt), "what follows line 3 was not checked");
  EXPECT_EQ(Counted(0, "line") + Counted(1, "line") + Counted(2, "line"), "0 lines1 line2 lines");
}

TEST(RecordInput, AnUnknownPropertyNamesTheNearest) {
  const auto wrong = RecordInput::FromProperties({{"headers.delimeter", "x"}});
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message.find("headers.delimiter"), std::string::npos);
  EXPECT_FALSE(
      RecordInput::FromProperties({{"parse.headers", "true"}, {"headers.separator", ":"}}).has_value());
}

}  // namespace
}  // namespace tidemark
