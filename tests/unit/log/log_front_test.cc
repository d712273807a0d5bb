#include "broker/log/log_front.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

FrontWitnesses Witnesses() {
  return {.first_base = 100,
          .checkpoint = 100,
          .table_readable = true,
          .table_begin = 100,
          .recovery_point = 200};
}

TEST(MissingFront, NothingIsMissedWhereTheFirstSegmentHoldsTheStart) {
  EXPECT_FALSE(MissingFront(Witnesses()));
  auto inside = Witnesses();
  inside.checkpoint = inside.table_begin = 150;
  EXPECT_FALSE(MissingFront(inside));
}

TEST(MissingFront, TheLaterOfTwoWitnessesIsRight) {
  auto witnesses = Witnesses();
  witnesses.checkpoint = 40;
  EXPECT_FALSE(MissingFront(witnesses)) << "the checkpoint is only late";
  witnesses.table_begin = 60;
  EXPECT_EQ(MissingFront(witnesses), 60u);
}

TEST(MissingFront, OneWitnessIsEnough) {
  auto witnesses = Witnesses();
  witnesses.checkpoint = 40;
  witnesses.table_readable = false;
  witnesses.table_begin.reset();
  EXPECT_EQ(MissingFront(witnesses), 40u);
  witnesses = Witnesses();
  witnesses.checkpoint.reset();
  witnesses.table_begin = 60;
  EXPECT_EQ(MissingFront(witnesses), 60u);
  witnesses.table_readable = false;
  witnesses.table_begin.reset();
  EXPECT_FALSE(MissingFront(witnesses)) << "nobody says where it began";
}

TEST(MissingFront, WhatWasNeverPromisedIsNotMissed) {
  auto witnesses = Witnesses();
  witnesses.checkpoint = witnesses.table_begin = 40;
  witnesses.recovery_point = 40;
  EXPECT_FALSE(MissingFront(witnesses));
  witnesses.recovery_point = 41;
  EXPECT_EQ(MissingFront(witnesses), 40u) << "of what was on disk some is gone";
  witnesses.recovery_point.reset();
  EXPECT_EQ(MissingFront(witnesses), 40u);
}

TEST(MissingFront, ALogThatWasRestartedHasAnEmptyTable) {
  auto witnesses = Witnesses();
  witnesses.checkpoint = 0;
  witnesses.table_begin.reset();
  witnesses.recovery_point.reset();
  EXPECT_FALSE(MissingFront(witnesses));
}

TEST(MissingFront, FilesThatWereTakenAwayExplainIt) {
  auto witnesses = Witnesses();
  witnesses.checkpoint = witnesses.table_begin = 40;
  witnesses.taken_away = true;
  EXPECT_FALSE(MissingFront(witnesses));
}

}  // namespace
}  // namespace tidemark
