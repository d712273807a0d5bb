// The hints after errors of the cluster.
#include "tools/next_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(NextStep, AMessageThatAsksIsItsOwnHint) {
  EXPECT_THAT(NextStep({v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic 'oders'; did you mean 'orders'?"}),
              IsEmpty());
  EXPECT_THAT(NextStep({v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic 'x'"}), HasSubstr("topic list"));
}

}  // namespace
}  // namespace tidemark
