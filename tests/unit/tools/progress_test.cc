// Progress bars: what they say in how much room, when they are drawn, and that nothing of them is left over.
#include "tools/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

ProgressState Half() {
  return {.what = "sending",
          .unit = ProgressUnit::kRecords,
          .done = 500,
          .total = 1000,
          .per_second = 100,
          .elapsed_ms = 5000};
}

TEST(ProgressLine, SaysShareCountsRateAndWhatIsLeft) {
  EXPECT_EQ(ProgressLine(Half(), 100),
            "sending  [###############---------------]   50%  500 of 1000 records  100/s  5s left");
}

TEST(ProgressLine, ShrinksItsBarThenLeavesOutWhatIsNeededLeast) {
  EXPECT_EQ(ProgressLine(Half(), 62), "sending  [####----]   50%  500 of 1000 records  100/s  5s left");
  EXPECT_THAT(ProgressLine(Half(), 61), AllOf(HasSubstr("500 of 1000"), Not(HasSubstr("100/s"))));
  EXPECT_THAT(ProgressLine(Half(), 50),
              AllOf(Not(HasSubstr("500 of 1000")), HasSubstr("#"), HasSubstr("5s left")));
  EXPECT_EQ(ProgressLine(Half(), 21), " 50%  5s left");
  EXPECT_EQ(ProgressLine(Half(), 5), " 50%");
  EXPECT_EQ(ProgressLine(Half(), 1), "");
}

TEST(ProgressLine, IsNeverWiderThanItMayBe) {
  ProgressState unknown = Half();
  unknown.total = 0;
  for (size_t columns = 0; columns < 150; ++columns) {
    EXPECT_THAT(ProgressLine(Half(), columns), SizeIs(Le(columns)));
    EXPECT_THAT(ProgressLine(unknown, columns), SizeIs(Le(columns)));
  }
}

TEST(ProgressLine, WithoutATotalCountsAndSaysHowLongItTakes) {
  ProgressState state = Half();
  state.total = 0;
  EXPECT_EQ(ProgressLine(state, 100), "sending  500 records  100/s  5s");
}

TEST(ProgressLine, GivesNoEstimateWithoutARate) {
  ProgressState state = Half();
  state.per_second = 0;
  EXPECT_EQ(ProgressLine(state, 100),
            "sending  [###############---------------]   50%  500 of 1000 records  5s");
}

TEST(ProgressLine, MoreThanAllIsAll) {
  ProgressState state = Half();
  state.done = 2000;
  EXPECT_THAT(ProgressLine(state, 100), HasSubstr("[##############################]  100%"));
}

TEST(ProgressLine, BytesHaveUnits) {
  const ProgressState state{.what = "reading",
                            .unit = ProgressUnit::kBytes,
                            .done = 3 << 20,
                            .total = 3ull << 30,
                            .per_second = 1536,
                            .elapsed_ms = 0};
  EXPECT_THAT(ProgressLine(state, 100), HasSubstr("3.0 MiB of 3.0 GiB  1.5 KiB/s  24d"));
}

TEST(ProgressLine, DurationsAreShort) {
  EXPECT_EQ(ShortDuration(9), "9s");
  EXPECT_EQ(ShortDuration(185), "3m05s");
  EXPECT_EQ(ShortDuration(7620), "2h07m");
  EXPECT_EQ(ShortDuration(4 * 86400 + 3 * 3600), "4d03h");
}

TEST(ProgressRate, FollowsWhatIsDoneOfLate) {
  ProgressRate rate;
  uint64_t done = 0, now = 0;
  rate.Note(done, now);
  for (int i = 0; i < 100; ++i) rate.Note(done += 100, now += 100);
  EXPECT_DOUBLE_EQ(rate.per_second(), 1000);
  for (int i = 0; i < 10; ++i) rate.Note(done, now += 1000);
  EXPECT_LT(rate.per_second(), 100) << "it has stalled for ten seconds";
}

class FakeScreen final : public ProgressScreen {
 public:
  std::optional<size_t> Columns() override { return columns; }
  void Write(std::string_view text) override {
    ++writes;
    written += text;
    // What a terminal does.
    for (const char c : text) {
      if (c == '\r') {
        column = 0;
        continue;
      }
      if (line.size() <= column) line.resize(column + 1, ' ');
      line[column++] = c;
    }
  }
  std::string Shown() const { return line.substr(0, line.find_last_not_of(' ') + 1); }

  std::optional<size_t> columns = 80;
  int writes = 0;
  std::string written, line;
  size_t column = 0;
};

class FakeClock final : public Clock {
 public:
  WallMillis WallNow() const override { return now; }
  WallMillis now = 1'700'000'000'000;
};

TEST(Progress, ShortWorkShowsNothing) {
  FakeClock clock;
  FakeScreen screen;
  {
    Progress bar(clock, "sending", ProgressUnit::kRecords, 1000, &screen);
    for (int i = 0; i < 49; ++i) {
      clock.now += 10;
      bar.Add(20);
    }
  }
  EXPECT_EQ(screen.written, "");
}

TEST(Progress, IsDrawnAtMostTenTimesASecond) {
  FakeClock clock;
  FakeScreen screen;
  Progress bar(clock, "sending", ProgressUnit::kRecords, 100000, &screen);
  clock.now += 1000;
  for (int i = 0; i < 1000; ++i) {
    clock.now += 1;
    bar.Add(1);
  }
  EXPECT_THAT(screen.writes, testing::AllOf(testing::Ge(9), testing::Le(11)));
}

TEST(Progress, ATickDrawsThoughNothingWasDone) {
  FakeClock clock;
  FakeScreen screen;
  Progress bar(clock, "deleting", ProgressUnit::kTopics, 3, &screen);
  clock.now += 2000;
  bar.Tick();
  EXPECT_THAT(screen.Shown(), AllOf(StartsWith("deleting  ["), HasSubstr("0 of 3 topics"), HasSubstr("2s")));
}

TEST(Progress, IsTakenAwayBeforeAnythingElseIsPrintedAndAtTheEnd) {
  FakeClock clock;
  FakeScreen screen;
  {
    Progress bar(clock, "sending", ProgressUnit::kRecords, 1000, &screen);
    clock.now += 1000;
    bar.Set(500);
    EXPECT_THAT(screen.Shown(), Not(IsEmpty()));
    bar.Clear();
    EXPECT_THAT(screen.Shown(), IsEmpty());
    EXPECT_EQ(screen.column, 0u);
    const int writes = screen.writes;
    bar.Clear();
    EXPECT_EQ(screen.writes, writes) << "there was nothing to take away";
    clock.now += 1000;
    bar.Set(900);
    EXPECT_THAT(screen.Shown(), HasSubstr("90%"));
  }
  EXPECT_THAT(screen.Shown(), IsEmpty());
  EXPECT_EQ(screen.column, 0u);
}

TEST(Progress, ALineThatBecomesShorterLeavesNothingOfTheOneBefore) {
  FakeClock clock;
  FakeScreen screen;
  Progress bar(clock, "sending", ProgressUnit::kRecords, 1000, &screen);
  clock.now += 1000;
  bar.Set(1);
  clock.now += 1000;
  screen.columns = 30;
  bar.Set(2);
  EXPECT_THAT(screen.line.substr(0, 29), Not(HasSubstr("records")));
}

TEST(Progress, StaysOutOfTheLastColumnAndWritesNothingButTheLine) {
  FakeClock clock;
  FakeScreen screen;
  Progress bar(clock, "sending", ProgressUnit::kRecords, 1000, &screen);
  for (size_t columns = 0; columns < 120; ++columns) {
    screen.columns = columns;
    screen.line.clear();
    clock.now += 1000;
    bar.Set(columns);
    EXPECT_THAT(screen.line, SizeIs(Le(columns < 2 ? 0 : columns - 1)));
  }
  for (const char c : screen.written) EXPECT_TRUE(c == '\r' || (c >= ' ' && c < 127)) << int{c};
}

TEST(Progress, WritesNothingInTheBackgroundOrWithoutATerminal) {
  FakeClock clock;
  FakeScreen screen;
  screen.columns = std::nullopt;
  Progress behind(clock, "sending", ProgressUnit::kRecords, 1000, &screen);
  Progress nowhere(clock, "sending", ProgressUnit::kRecords, 1000, nullptr);
  clock.now += 5000;
  behind.Set(1);
  nowhere.Set(1);
  EXPECT_EQ(screen.written, "");
  EXPECT_FALSE(nowhere.shown());
}

TEST(Progress, AClockThatIsSetBackStopsNothing) {
  FakeClock clock;
  FakeScreen screen;
  Progress bar(clock, "sending", ProgressUnit::kRecords, 1000, &screen);
  clock.now += 1000;
  bar.Set(1);
  clock.now -= 3'600'000;
  bar.Set(2);
  clock.now += 1000;
  bar.Set(3);
  EXPECT_THAT(screen.Shown(), HasSubstr("3 of 1000"));
}

}  // namespace
}  // namespace tidemark
