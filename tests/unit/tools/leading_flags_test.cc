// Flags before the noun.
#include "tools/leading_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/ranges.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;

std::string Moved(const std::vector<std::string>& words) {
  const auto moved = WithFlagsBehindCommand(words);
  return moved ? fmt::format("{}", fmt::join(*moved, " ")) : "error: " + moved.error().message;
}

TEST(LeadingFlags, GoBehindTheCommand) {
  EXPECT_EQ(Moved({"-b", "h:1", "cluster", "health"}), "cluster health --bootstrap-server h:1");
  EXPECT_EQ(Moved({"--brokers=h:1", "-o", "json", "topic", "list", "o.*"}),
            "topic list --bootstrap-server=h:1 --output json o.*");
  EXPECT_EQ(Moved({"--dry-run", "-y", "--zookeeper", "z:2", "topic", "delete", "a"}),
            "topic delete --dry-run --yes --zookeeper z:2 a");
  EXPECT_EQ(Moved({"-b", "h:1", "produce", "orders"}), "produce --bootstrap-server h:1 orders");
  EXPECT_EQ(Moved({"--bootstrap-server", "h:1", "topics", "--list"}), "topics --bootstrap-server h:1 --list");
}

TEST(LeadingFlags, LinesWithoutThemStayAsTheyAre) {
  EXPECT_EQ(Moved({"consume", "orders", "-o", "-10"}), "consume orders -o -10");
  EXPECT_EQ(Moved({"--help"}), "--help");
}

TEST(LeadingFlags, AWrongVerbOrNoneIsAnsweredAsWithoutThem) {
  EXPECT_EQ(Moved({"-b", "h:1", "cluster", "helth"}), "cluster helth --bootstrap-server h:1");
  EXPECT_EQ(Moved({"-b", "h:1", "cluster"}), "cluster");
  EXPECT_EQ(Moved({"-b", "h:1", "cluster", "--help"}), "cluster --help");
  EXPECT_EQ(Moved({"-b", "h:1", "--help"}), "--help");
}

TEST(LeadingFlags, WhatMayNotStandThereIsNamed) {
  EXPECT_THAT(Moved({"-p", "3", "topic", "create", "t"}), HasSubstr("'-p' stands before the command"));
  EXPECT_THAT(Moved({"-b", "h:1"}), HasSubstr("followed by no command"));
  EXPECT_THAT(Moved({"-b"}), HasSubstr("followed by no command"));
}

TEST(LeadingFlags, AreCountedWithTheirValues) {
  EXPECT_EQ(CountLeadingFlags({"-b", "h:1", "-y", "cluster", "-o", "json"}), 3u);
  EXPECT_EQ(CountLeadingFlags({"--output=json", "cluster"}), 1u);
  EXPECT_EQ(CountLeadingFlags({"-b"}), 1u);
  EXPECT_EQ(CountLeadingFlags({}), 0u);
}

}  // namespace
}  // namespace tidemark
