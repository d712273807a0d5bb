// The syntax of properties files.
#include "common/config/properties.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

Properties Parse(std::string_view text) {
  Result<Properties> parsed = ParseProperties(text);
  EXPECT_TRUE(parsed) << (parsed ? "" : ToString(parsed.error()));
  return parsed ? *parsed : Properties{};
}

TEST(Properties, TakesEveryFormOfSeparator) {
  const Properties expected = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", ""}};
  EXPECT_EQ(Parse("a=1\nb: 2\nc 3\nd\n"), expected);
  EXPECT_EQ(Parse("a = 1\r\n  b\t:\t2  \r\nc   3\r\nd ="), expected);
}

TEST(Properties, IgnoresCommentsAndEmptyLines) {
  EXPECT_EQ(Parse("# a=1\n\n   ! b=2\n  #c \\\nd=4\n"), (Properties{{"d", "4"}}));
}

TEST(Properties, JoinsContinuedLinesWithoutTheirIndent) {
  EXPECT_EQ(Parse("servers=one,\\\n   two,\\\n\tthree\nnext=1"),
            (Properties{{"servers", "one,two,three"}, {"next", "1"}}));
  EXPECT_EQ(Parse("a=back\\\\\nb=1"), (Properties{{"a", "back\\"}, {"b", "1"}}));
}

TEST(Properties, LastValueOfANameWins) { EXPECT_EQ(Parse("a=1\na=2"), (Properties{{"a", "2"}})); }

TEST(Properties, ReadsEscapes) {
  EXPECT_EQ(Parse("a\\ b=x\\ty\\u00e9\\:"), (Properties{{"a b", "x\ty\u00e9:"}}));
}

TEST(Properties, TrimsBlanksThatPeoplePaste) {
  EXPECT_EQ(Parse("\ufeff\u00a0listeners\u00a0=\u2003PLAINTEXT://:9092\u00a0"),
            (Properties{{"listeners", "PLAINTEXT://:9092"}}));
}

TEST(Properties, AValueMayHoldSeparators) {
  EXPECT_EQ(Parse("listeners=A://h:1,B://h:2=x"), (Properties{{"listeners", "A://h:1,B://h:2=x"}}));
}

TEST(Properties, NamesTheLineOfAnError) {
  EXPECT_NE(ParseProperties("a=1\nb=\\u12").error().message.find("line 2"), std::string::npos);
  EXPECT_NE(ParseProperties("a=1\n\n=2").error().message.find("line 3"), std::string::npos);
  EXPECT_EQ(ParseProperties(std::string_view("\0binary", 7)).error().code, v1::INVALID_CONFIG);
}

TEST(Properties, ParsesAssignments) {
  EXPECT_EQ(*ParseAssignment(" a.b = c=d "), (std::pair<std::string, std::string>("a.b", "c=d")));
  EXPECT_FALSE(ParseAssignment("a.b"));
  EXPECT_FALSE(ParseAssignment("=1"));
}

}  // namespace
}  // namespace tidemark
