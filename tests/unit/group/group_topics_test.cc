// Subscriptions and their patterns: what they come to, and what they may cost.
#include "broker/group/group_topics.h"

#include <gtest/gtest.h>

#include "tests/unit/group/group_bench.h"

namespace tidemark {
namespace {

class Subscriptions : public testing::Test {
 protected:
  static v1::GroupSubscription Of(const std::string& regex) {
    v1::GroupSubscription subscription;
    subscription.set_regex(regex);
    return subscription;
  }
  void SetTopics(uint32_t count, size_t name_bytes) {
    auto topics = std::make_shared<GroupTopics>();
    for (uint32_t i = 0; i < count; ++i) {
      std::string name = fmt::format("topic-{}-", i);
      name.resize(name_bytes, 'x');
      std::array<uint8_t, TopicId::kSize> bytes{};
      for (size_t b = 0; b < 4; ++b) bytes[b] = static_cast<uint8_t>(i >> 8 * b);
      bytes[15] = 1;
      topics->Add(name, {TopicId(bytes), 1});
    }
    (void)resolver_.SetTopics(topics);
  }
  ErrorCode Validate(const std::string& regex) {
    const Result<> valid = resolver_.Validate(Of(regex));
    return valid ? v1::NONE : valid.error().code;
  }

  SubscriptionResolver resolver_;
};

TEST_F(Subscriptions, APatternThatIsTooComplexIsRefused) {
  SetTopics(10, 20);
  EXPECT_EQ(Validate(std::string(1024, 'a')), v1::NONE) << "plain text is never too complex";
  EXPECT_EQ(Validate("(?i)[a-z]+-(eu|us|ap)-(orders|payments)(-v[0-9]{1,3})?"), v1::NONE);
  EXPECT_EQ(Validate("(.?){500}"), v1::INVALID_REGULAR_EXPRESSION);
  std::string nested = "a";
  for (int i = 0; i < 10; ++i) nested = "(" + nested + "?){2}";
  EXPECT_EQ(Validate(nested), v1::INVALID_REGULAR_EXPRESSION);
}

TEST_F(Subscriptions, WhatIsTooComplexDependsOnHowManyTopicsThereAre) {
  const std::string regex = "(.?){100}";
  SetTopics(100, 100);
  EXPECT_EQ(Validate(regex), v1::NONE);
  SetTopics(10'000, 200);
  EXPECT_EQ(Validate(regex), v1::INVALID_REGULAR_EXPRESSION);
  EXPECT_EQ(Validate("topic-[0-9]+-.*"), v1::NONE);
  EXPECT_EQ(resolver_.Resolve(Of("topic-[0-9]+-.*")).size(), 10'000u);
}

TEST_F(Subscriptions, OnlySoManyPatternsAreKeptAndThoseInUseLongest) {
  SetTopics(10, 20);
  EXPECT_EQ(resolver_.Resolve(Of("topic-[12]-x*")).size(), 2u);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(Validate(fmt::format("junk-{}", i)), v1::NONE);
    EXPECT_LE(resolver_.patterns(), SubscriptionResolver::kMaxPatterns);
  }
  SetTopics(11, 20);
  EXPECT_EQ(resolver_.patterns(), 1u) << "the one that a subscription had";
  SetTopics(12, 20);
  EXPECT_EQ(resolver_.patterns(), 0u) << "and has no more";
  for (int i = 0; i < 1000; ++i) {
    (void)resolver_.Resolve(Of(fmt::format("topic-{}-x*", i)));
    EXPECT_LE(resolver_.patterns(), SubscriptionResolver::kMaxPatterns);
  }
}

}  // namespace
}  // namespace tidemark
