#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/log/damage_list.h"

namespace tidemark {
namespace {

DamagedRange Range(Offset first, Offset last, Offset segment = 0) {
  return {.first = first, .last = last, .segment = segment, .begin = first * 10, .end = last * 10 + 10};
}

TEST(DamageList, KnowsWhichOffsetsItHolds) {
  DamageList list;
  EXPECT_TRUE(list.Add(Range(10, 19)));
  EXPECT_TRUE(list.Add(Range(50, 50, 40)));
  EXPECT_EQ(list.Find(9), nullptr);
  ASSERT_NE(list.Find(10), nullptr);
  EXPECT_EQ(list.Find(19)->first, 10u);
  EXPECT_EQ(list.Find(20), nullptr);
  EXPECT_EQ(list.Find(50)->last, 50u);
  EXPECT_EQ(list.LimitFrom(0, 100), 10u);
  EXPECT_EQ(list.LimitFrom(20, 100), 50u);
  EXPECT_EQ(list.LimitFrom(20, 30), 30u);
  EXPECT_EQ(list.LimitFrom(51, 100), 100u);
  EXPECT_EQ(list.FirstFrom(0)->first, 10u);
  EXPECT_EQ(list.FirstFrom(19)->first, 10u) << "a part of it is left";
  EXPECT_EQ(list.FirstFrom(20)->first, 50u);
  EXPECT_EQ(list.FirstFrom(51), nullptr);
  EXPECT_EQ(list.CountFrom(19), 2u);
  EXPECT_EQ(list.CountFrom(20), 1u);
}

TEST(DamageList, WhatOverlapsIsOneRangeAndWhatIsKnownIsNoNews) {
  DamageList list;
  EXPECT_TRUE(list.Add(Range(10, 19)));
  EXPECT_FALSE(list.Add(Range(12, 14)));
  EXPECT_TRUE(list.Add(Range(15, 29)));
  EXPECT_TRUE(list.Add(Range(40, 49)));
  ASSERT_EQ(list.ranges().size(), 2u);
  EXPECT_EQ(list.ranges()[0].first, 10u);
  EXPECT_EQ(list.ranges()[0].last, 29u);
  EXPECT_EQ(list.ranges()[0].begin, 100u);
  EXPECT_EQ(list.ranges()[0].end, 300u);
  EXPECT_TRUE(list.Add(Range(0, 60)));
  EXPECT_EQ(list.ranges().size(), 1u);
}

TEST(DamageList, WhatASegmentThatIsNoMoreHadGivesWay) {
  DamageList list;
  list.Add(Range(10, 19, 10));
  list.Add(Range(30, 39, 30));
  EXPECT_TRUE(list.Add(Range(12, 35, 0)));
  ASSERT_EQ(list.ranges().size(), 1u);
  EXPECT_EQ(list.ranges()[0].first, 12u);
  EXPECT_EQ(list.ranges()[0].last, 35u);
}

// A rotten disk: one that takes quadratic time would not end.
TEST(DamageList, ManyRangesAreNotedAgainAndAgain) {
  DamageList list;
  constexpr Offset kRanges = 300'000;
  for (Offset i = 0; i < kRanges; ++i) EXPECT_TRUE(list.Add(Range(2 * i, 2 * i)));
  for (Offset i = 0; i < kRanges; ++i) EXPECT_FALSE(list.Add(Range(2 * i, 2 * i)));
  EXPECT_EQ(list.ranges().size(), kRanges);
  EXPECT_EQ(list.LastBelow(2 * kRanges)->first, 2 * kRanges - 2);
  EXPECT_EQ(list.LastBelow(0), nullptr);
}

TEST(DamageList, GoesWithWhatTheLogDrops) {
  DamageList list;
  list.Add(Range(10, 19));
  list.Add(Range(30, 39, 30));
  list.Add(Range(45, 49, 30));
  list.DropSegment(0);
  EXPECT_EQ(list.ranges().size(), 2u);
  list.TruncateTo(35);
  ASSERT_EQ(list.ranges().size(), 1u);
  EXPECT_EQ(list.ranges()[0].last, 34u);
  list.DropSegment(30);
  EXPECT_TRUE(list.empty());
}

}  // namespace
}  // namespace tidemark
