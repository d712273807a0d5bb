// Which flags go with which action of a command: what would do nothing is refused.
#include "tools/action_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/commands.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

Arguments Parsed(const Command& command, const std::vector<std::string>& words) {
  auto arguments = Arguments::Parse(words, command.flags, command.positionals);
  EXPECT_TRUE(arguments) << arguments.error().message;
  return *std::move(arguments);
}

const std::vector<ActionFlags> kTable = {
    {"list", {}}, {"read", {"from"}}, {"write", {"dry-run", "from"}}, {"end", {"dry-run", "from"}}};

Result<std::string> Action(const std::vector<std::string>& words) {
  const std::vector<FlagSpec> flags = {{"list", "", ""}, {"read", "", ""},    {"write", "", ""},
                                       {"end", "", ""},  {"dry-run", "", ""}, {"from", "N", ""},
                                       {"who", "X", ""}};
  return ActionOf(*Arguments::Parse(words, flags), kTable);
}

TEST(ActionFlags, OneActionIsNamed) {
  EXPECT_EQ(*Action({"--list"}), "list");
  EXPECT_EQ(Action({"--who", "me"}).error().message,
            "exactly one of --list, --read, --write and --end is required");
  EXPECT_EQ(Action({"--list", "--read"}).error().code, v1::INVALID_REQUEST);
}

TEST(ActionFlags, AFlagGoesWithTheActionsOfItsRowsOrWithAll) {
  EXPECT_EQ(*Action({"--write", "--dry-run", "--who", "me"}), "write");
  EXPECT_EQ(*Action({"--list", "--who", "me"}), "list");
  EXPECT_EQ(Action({"--read", "--dry-run"}).error().message,
            "--dry-run goes with --write and --end, not with --read");
  EXPECT_EQ(Action({"--list", "--from", "1"}).error().message,
            "--from goes with --read, --write and --end, not with --list");
}

// A wrong command line ends before any broker is asked.
std::string Refusal(const Command& command, const std::vector<std::string>& words) {
  testing::internal::CaptureStderr();
  const int status = command.run(Parsed(command, words));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(status, kExitUsage) << said;
  return said;
}

TEST(ActionFlags, ConsumerGroupsRefusesWhatItsActionsPassOver) {
  const Command command = ConsumerGroupsCommand();
  for (const char* flag : {"--execute", "--export", "--to-earliest", "--to-latest", "--all-topics"}) {
    for (const char* action : {"--list", "--describe", "--delete", "--delete-offsets"}) {
      EXPECT_THAT(Refusal(command, {action, flag}),
                  HasSubstr("goes with --reset-offsets, not with " + std::string(action)))
          << flag;
    }
  }
  EXPECT_THAT(
      Refusal(command, {"--list", "--dry-run"}),
      HasSubstr("--dry-run goes with --delete, --delete-offsets and --reset-offsets, not with --list"));
  EXPECT_THAT(Refusal(command, {"--delete", "--group", "g", "--topic", "t"}),
              HasSubstr("--topic goes with --delete-offsets"));
  EXPECT_THAT(Refusal(command, {"--reset-offsets", "--group", "g", "--verbose"}),
              HasSubstr("--verbose goes with --describe"));
}

TEST(ActionFlags, TopicsRefusesWhatItsActionsPassOver) {
  const Command command = TopicsCommand();
  EXPECT_THAT(Refusal(command, {"--delete", "--topic", "t", "--partitions", "3"}),
              HasSubstr("--partitions goes with --create and --alter, not with --delete"));
  EXPECT_THAT(Refusal(command, {"--delete", "--topic", "t", "--if-not-exists"}),
              HasSubstr("goes with --create, not"));
  EXPECT_THAT(Refusal(command, {"--list", "--under-replicated-partitions"}),
              HasSubstr("goes with --describe"));
  EXPECT_THAT(Refusal(command, {"--alter", "--topic", "t", "--partitions", "3", "--config", "a=b"}),
              HasSubstr("tidemark-configs --alter"));
}

TEST(ActionFlags, ConfigsAndLogDirsRefuseWhatTheirActionsPassOver) {
  EXPECT_THAT(Refusal(ConfigsCommand(), {"--describe", "--topic", "t", "--add-config", "a=b"}),
              HasSubstr("--add-config goes with --alter, not with --describe"));
  EXPECT_THAT(Refusal(ConfigsCommand(), {"--alter", "--topic", "t", "--all"}),
              HasSubstr("--all goes with --describe"));
  EXPECT_THAT(Refusal(LogDirsCommand(), {"--describe", "--to", "/data"}), HasSubstr("--to goes with --move"));
  EXPECT_THAT(Refusal(LogDirsCommand(), {"--describe", "--wait"}), HasSubstr("--wait goes with --move"));
}

}  // namespace
}  // namespace tidemark
