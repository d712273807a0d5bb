// The hints after errors of the cluster.
#include "tools/next_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/commands.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(NextStep, EveryCodeHasARow) {
  const auto* codes = v1::ErrorCode_descriptor();
  for (int i = 0; i < codes->value_count(); ++i) {
    const auto code = static_cast<ErrorCode>(codes->value(i)->number());
    EXPECT_TRUE(NextStepAfter(code).has_value()) << codes->value(i)->name();
  }
}

TEST(NextStep, ATopicThatExistsIsShownOrAccepted) {
  const Error error{v1::TOPIC_ALREADY_EXISTS, "topic 'orders' exists"};
  EXPECT_THAT(NextStep(error), HasSubstr("describe shows"));
  EXPECT_THAT(NextStep(error), HasSubstr("--if-not-exists accepts"));
}

TEST(NextStep, WhatMayHaveBeenDoneIsLookedAtFirst) {
  EXPECT_THAT(NextStep({v1::BROKER_NOT_READY, "the controller has no connection"}), HasSubstr("try again"));
  EXPECT_THAT(NextStep({v1::BROKER_NOT_READY, "the controller has no connection", true}),
              HasSubstr("it may have been done, or may be yet: look"));
}

TEST(NextStep, OfWhatOnlyReadsNothingMayHaveBeenDone) {
  for (const Error& error : {Error{v1::REQUEST_TIMED_OUT, "no answer within 60000 ms", true},
                             Error{v1::REQUEST_TIMED_OUT, "no answer within 60000 ms"},
                             Error{v1::NETWORK_EXCEPTION, "the connection was closed", true}}) {
    EXPECT_THAT(NextStep(error, true), HasSubstr("try again"));
    EXPECT_THAT(NextStep(error, true), testing::Not(HasSubstr("may have been done")));
    EXPECT_THAT(NextStep(error, false), HasSubstr("may have been done"));
  }
}

bool Reads(const Command& command, const std::vector<std::string>& words) {
  return OnlyReads(command, *Arguments::Parse(words, command.flags, command.positionals));
}

TEST(OnlyReads, IsWhatCannotChangeTheCluster) {
  EXPECT_TRUE(Reads(ConfigsCommand(), {"--describe", "--broker", "2"}));
  EXPECT_FALSE(Reads(ConfigsCommand(), {"--alter", "--broker", "2"}));
  EXPECT_TRUE(Reads(ConfigsCommand(), {"--alter", "--dry-run"}));
  EXPECT_TRUE(Reads(ConsumerGroupsCommand(), {"--list"}));
  EXPECT_FALSE(Reads(ConsumerGroupsCommand(), {"--delete", "--group", "g"}));
  EXPECT_TRUE(Reads(GetOffsetsCommand(), {}));
  for (const Command& verb : VerbCommands()) {
    if (verb.name == "config get") EXPECT_TRUE(Reads(verb, {"broker/2"}));
    if (verb.name == "config diff") EXPECT_TRUE(Reads(verb, {"broker/2"}));
    if (verb.name == "config set") EXPECT_FALSE(Reads(verb, {"broker/2", "a=1"}));
    if (verb.name == "topic delete") EXPECT_FALSE(Reads(verb, {"orders"}));
  }
}

TEST(StatusAfter, WhatIsWorthTryingAgainIsTold) {
  for (const ErrorCode code : {v1::BROKER_NOT_READY, v1::REQUEST_TIMED_OUT, v1::NETWORK_EXCEPTION})
    EXPECT_EQ(StatusAfter(code), kExitUnreachable);
  EXPECT_EQ(StatusAfter(v1::UNKNOWN_TOPIC_OR_PARTITION), kExitNotFound);
  EXPECT_EQ(StatusAfter(v1::INVALID_CONFIG), kExitFailed);
}

TEST(NextStep, AMessageThatAsksIsItsOwnHint) {
  EXPECT_THAT(NextStep({v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic 'oders'; did you mean 'orders'?"}),
              IsEmpty());
  EXPECT_THAT(NextStep({v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic 'x'"}), HasSubstr("topic list"));
}

}  // namespace
}  // namespace tidemark
