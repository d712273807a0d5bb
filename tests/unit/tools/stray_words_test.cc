// Command lines as people paste them: blanks where none belong, and commands glued together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/arguments.h"
#include "tools/commands.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

Result<Arguments> Configs(std::vector<std::string> words) {
  return Arguments::Parse(words, ConfigsCommand().flags);
}

std::string Refusal(std::vector<std::string> words) {
  const Result<Arguments> arguments = Configs(std::move(words));
  return arguments ? "accepted" : arguments.error().message;
}

TEST(StrayWords, BlanksAroundTheEqualsSignAreShownTogether) {
  EXPECT_THAT(Refusal({"--add-config", "min.insync.replicas", "=", "2", "--alter"}),
              HasSubstr("--add-config min.insync.replicas=2"));
  EXPECT_THAT(Refusal({"--add-config", "min.insync.replicas=", "2"}),
              HasSubstr("--add-config min.insync.replicas=2"));
  EXPECT_THAT(Refusal({"--add-config", "min.insync.replicas", "=2"}),
              HasSubstr("--add-config min.insync.replicas=2"));
  EXPECT_THAT(Refusal({"--add-config=min.insync.replicas", "=", "2"}),
              HasSubstr("--add-config min.insync.replicas=2"));
}

TEST(StrayWords, AGluedCommandIsShownApart) {
  EXPECT_THAT(Refusal({"--alter", "--add-config", "retention.ms=1000", "sleep", "3"}),
              HasSubstr("--add-config retention.ms=1000; sleep 3"));
}

TEST(StrayWords, AFlagWithoutItsDashesIsNamed) {
  EXPECT_THAT(Refusal({"--alter", "describe"}), HasSubstr("did you mean --describe?"));
}

TEST(StrayWords, OnlyAfterDeleteConfigAnAssignmentIsPassedOver) {
  const auto arguments = Configs({"--delete-config", "min.insync.replicas", "=", "2", "--alter"});
  ASSERT_TRUE(arguments.has_value()) << arguments.error().message;
  EXPECT_EQ(arguments->All("delete-config"), std::vector<std::string>{"min.insync.replicas"});
  EXPECT_TRUE(arguments->Has("alter"));
  EXPECT_TRUE(Configs({"--delete-config", "a", "=", "--alter"})->Has("alter"));
  EXPECT_NE(Refusal({"--delete-config", "min.insync.replicas", "2"}), "accepted");
  EXPECT_NE(Refusal({"--delete-config", "a", "=", "2", "3"}), "accepted");
  EXPECT_NE(Refusal({"--entity-name", "a", "=", "2"}), "accepted");
}

TEST(StrayWords, UnicodeBlanksAroundValuesAreTrimmed) {
  const auto arguments = Configs({"--bootstrap-server", "localhost:9092\u00a0", "--topic", "\u2003t\u3000"});
  ASSERT_TRUE(arguments.has_value()) << arguments.error().message;
  EXPECT_EQ(arguments->Get("bootstrap-server"), "localhost:9092");
  EXPECT_EQ(arguments->Get("topic"), "t");
}

}  // namespace
}  // namespace tidemark
