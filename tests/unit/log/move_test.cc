// Logs that move between log directories while they serve, with crashes at every change of the disk.
#include <gmock/gmock.h>

#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

class MoveTest : public testing::TestWithParam<bool> {
 protected:
  explicit MoveTest(uint64_t seed = 1) : world_(seed, {"/data1", "/data2"}) {}

  Log& log() {
    Log* log = world_.logs().Find(world_.key());
    CHECK(log != nullptr);
    return *log;
  }
  void Fill(int batches) {
    for (int i = 0; i < batches; ++i) ASSERT_TRUE(world_.Append(log(), MakeBatch("x", 2, 100), 3));
    world_.WaitForFlush(log());
  }
  Result<> Move(size_t to) {
    return world_.Call([this, to] { return world_.logs().MoveTo(world_.key(), to); });
  }
  size_t Other() { return 1 - log().directory_index(); }
  bool Ended() {
    const auto& counters = world_.logs().move_counters();
    return counters.finished + counters.given_up == counters.begun;
  }
  bool WaitForEnd() {
    return world_.world().RunUntil([&] { return Ended(); }, 600s);
  }
  // Paths of the disk that have `part` in them.
  size_t Count(const std::string& part) {
    const auto paths = world_.disk().Paths();
    return static_cast<size_t>(std::ranges::count_if(
        paths, [&](const std::string& path) { return path.find(part) != std::string::npos; }));
  }

  LogWorld world_;
};

TEST_F(MoveTest, ALogIsTheSameAtItsNewPlaceAndAfterARestart) {
  world_.Start();
  Fill(100);
  const size_t to = Other();
  ASSERT_TRUE(world_.process().Await([this] { return log().BeginEpoch(7); }));
  const auto before = world_.ReadAll(log());
  const auto epochs = log().epochs().entries();
  ASSERT_TRUE(Move(to));
  EXPECT_EQ(world_.logs().MoveOf(world_.key())->directory, to);
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(world_.logs().move_counters().finished, 1u);
  EXPECT_EQ(log().directory_index(), to);
  EXPECT_EQ(world_.ReadAll(log()), before);
  EXPECT_EQ(log().flushed_end(), log().end_offset());
  EXPECT_EQ(log().epochs().entries(), epochs);
  ASSERT_TRUE(world_.Append(log(), MakeBatch("after"), 7));
  world_.world().RunFor(1s);
  EXPECT_EQ(Count(fmt::format("/data{}/orders-0", 2 - to)), 0u) << "nothing is left where it was";
  EXPECT_EQ(world_.dirs().directories()[to]->partitions, 1u);
  EXPECT_EQ(world_.dirs().directories()[1 - to]->partitions, 0u);
  world_.WaitForFlush(log());
  world_.Kill(true);
  world_.Start();
  EXPECT_EQ(log().directory_index(), to);
  EXPECT_EQ(world_.ReadAll(log()).size(), before.size() + 1);
}

TEST_F(MoveTest, WhatIsAppendedMeanwhileComesAlong) {
  world_.Start();
  bool switching = false;
  size_t switches = 0;
  world_.Call([&] {
    world_.logs().SetSwitchObserver({.before = [&](const PartitionKey&) { switching = true; },
                                     .after =
                                         [&](const PartitionKey&, Log& now) {
                                           switching = false;
                                           ++switches;
                                           EXPECT_EQ(now.failure(), std::nullopt);
                                         }});
    return true;
  });
  Fill(50);
  ASSERT_TRUE(Move(Other()));
  size_t appended = 50;
  while (!Ended()) {
    if (!switching && world_.Append(log(), MakeBatch("y", 2, 100), 3)) ++appended;
    world_.world().RunFor(1ms);
  }
  EXPECT_EQ(switches, 1u);
  EXPECT_EQ(world_.logs().move_counters().finished, 1u);
  EXPECT_GT(appended, 50u);
  EXPECT_EQ(world_.ReadAll(log()).size(), appended);
  EXPECT_EQ(log().end_offset(), 2 * appended);
}

TEST_F(MoveTest, ASourceThatIsCutOrDropsItsStartIsCopiedAsItIsThen) {
  world_.Start();
  Fill(50);
  ASSERT_TRUE(Move(Other()));
  ASSERT_TRUE(world_.Truncate(log(), 60));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(world_.Append(log(), MakeBatch("z", 2, 100), 4));
  world_.Call([this] {
    log().AdvanceStartTo(11);
    return true;
  });
  const auto batches = world_.ReadAll(log());
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(world_.logs().move_counters().finished, 1u);
  EXPECT_EQ(log().start_offset(), 11u);
  EXPECT_EQ(log().end_offset(), 80u);
  EXPECT_EQ(world_.ReadAll(log()), batches);
}

TEST_F(MoveTest, ItIsCancelledByNamingThePresentPlace) {
  world_.Start();
  Fill(50);
  const size_t here = log().directory_index();
  ASSERT_TRUE(Move(Other()));
  world_.world().RunFor(2ms);
  ASSERT_TRUE(Move(here));
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(world_.logs().move_counters().given_up, 1u);
  EXPECT_EQ(log().directory_index(), here);
  EXPECT_EQ(world_.ReadAll(log()).size(), 50u);
  world_.world().RunFor(1s);
  EXPECT_EQ(Count("-future"), 0u);
  EXPECT_EQ(world_.dirs().directories()[1 - here]->promised_bytes, 0);
}

TEST_F(MoveTest, ATargetThatFailsLeavesTheLogWhereItIs) {
  world_.Start();
  Fill(50);
  const size_t here = log().directory_index();
  ASSERT_TRUE(Move(Other()));
  world_.disk().Fail({.op = DiskOp::kSync, .path = fmt::format("/data{}/", 2 - here)});
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(log().directory_index(), here);
  EXPECT_FALSE(log().failure());
  EXPECT_TRUE(world_.dirs().directories()[1 - here]->failed);
  ASSERT_TRUE(world_.Append(log(), MakeBatch("x"), 3));
  EXPECT_EQ(Move(1 - here).error().code, v1::KAFKA_STORAGE_ERROR);
}

TEST_F(MoveTest, DeletionEndsIt) {
  world_.Start();
  Fill(50);
  ASSERT_TRUE(Move(Other()));
  world_.world().RunFor(2ms);
  ASSERT_TRUE(world_.process().Await([this] { return world_.logs().Delete(world_.key(), "orders"); }));
  ASSERT_TRUE(WaitForEnd());
  world_.world().RunFor(1s);
  EXPECT_EQ(Count("orders-0"), 0u);
}

TEST_F(MoveTest, ACopyThatWouldNotFitIsRefused) {
  world_.Start();
  Fill(50);
  world_.Call([this] {
    world_.dirs().directories()[Other()]->free_bytes = 100;
    return true;
  });
  const auto refused = Move(Other());
  EXPECT_EQ(refused.error().code, v1::DISK_FULL);
  EXPECT_THAT(refused.error().message, HasSubstr("100 bytes free"));
}

class MoveCrash : public testing::TestWithParam<bool> {};

TEST_P(MoveCrash, LeavesExactlyOneWholeLogAtEveryChange) {
  const bool power_loss = GetParam();
  int states = 0;
  size_t moved = 0;
  for (bool finished = false; !finished;) {
    ++states;
    SCOPED_TRACE(fmt::format("killed at change {}", states));
    LogWorld world(static_cast<uint64_t>(states), {"/data1", "/data2"});
    world.config().segment_bytes = 1500;
    Log* log = &world.Start();
    for (int i = 0; i < 30; ++i) ASSERT_TRUE(world.Append(*log, MakeBatch("x", 1, 100), i / 10));
    world.WaitForFlush(*log);
    const auto before = world.ReadAll(*log);
    const size_t from = log->directory_index();
    auto left = std::make_shared<int>(states);
    world.disk().SetHook([&world, left, power_loss](DiskOp, const std::string&) {
      if (--*left == 0) world.process().Kill(power_loss);
    });
    finished = world.RunOrDie([&]() -> Task<void> {
      CHECK(world.logs().MoveTo(world.key(), 1 - from));
      while (world.logs().MoveOf(world.key()))
        co_await Sleep(world.process().main_loop(), 10ms, "end of the move");
      co_await Sleep(world.process().main_loop(), 1s, "removal of the former log");
    });
    world.disk().SetHook({});
    world.Kill(power_loss);
    ASSERT_TRUE(world.StartDirs());
    ASSERT_EQ(world.dirs().found().size(), 1u);
    const auto opened = world.OpenLog();
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_FALSE((*opened)->damage());
    EXPECT_EQ(world.ReadAll(**opened), before);
    EXPECT_EQ((*opened)->epochs().entries().size(), 3u);
    moved += (*opened)->directory_index() != from ? 1 : 0;
    for (const std::string& path : world.disk().Paths()) {
      EXPECT_TRUE(path.find("-future") == std::string::npos && path.find("-moved") == std::string::npos)
          << path;
    }
    ASSERT_TRUE(world.Append(**opened, MakeBatch("y"), 5));
    world.WaitForFlush(**opened);
    world.Kill(true);
  }
  EXPECT_GT(states, 50);
  EXPECT_GT(moved, 1u) << "some crashes come after the step that decides";
}

INSTANTIATE_TEST_SUITE_P(Kill, MoveCrash, testing::Bool());

}  // namespace
}  // namespace tidemark
