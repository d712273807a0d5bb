// Logs that move between log directories while they serve, with crashes at every change of the disk.
#include <gmock/gmock.h>

#include "broker/log/copy_pace.h"
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

  // The other broker does not answer for long.
  Task<void> RepairLate(std::optional<ErrorCode>* ended) {
    const auto done = co_await log().Repair(0, [this](Offset) { return AnswerLate(); });
    *ended = done ? v1::NONE : done.error().code;
  }
  Task<Result<std::string>> AnswerLate() {
    co_await Sleep(world_.process().main_loop(), 20s, "answer");
    co_return Fail(v1::REQUEST_TIMED_OUT, "no answer");
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

TEST_F(MoveTest, ItGoesOnAfterAKillAndAfterACleanStop) {
  for (const bool clean : {false, true}) {
    SCOPED_TRACE(clean ? "clean stop" : "kill");
    LogWorld world(3, {"/data1", "/data2"});
    Log* log = &world.Start();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(world.Append(*log, MakeBatch("x", 2, 100), 3));
    world.WaitForFlush(*log);
    const auto before = world.ReadAll(*log);
    const uint64_t size = log->size_bytes();
    const size_t to = 1 - log->directory_index();
    world.dirs().copy_pace().SetRate(size / 10);
    ASSERT_TRUE(world.Call([&] { return world.logs().MoveTo(world.key(), to); }));
    ASSERT_TRUE(world.world().RunUntil(
        [&] { return world.logs().MoveOf(world.key()).value_or(ShardLogs::MoveProgress{}).end > 120; }, 60s));
    if (clean) {
      EXPECT_TRUE(world.CloseCleanly());
    } else {
      world.Kill(false);
    }
    ASSERT_TRUE(world.StartDirs());
    auto opened = world.OpenLog();
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_EQ((*opened)->directory_index(), 1 - to);
    ASSERT_TRUE(world.Append(**opened, MakeBatch("y", 2, 100), 4));
    ASSERT_TRUE(world.world().RunUntil([&] { return !world.logs().MoveOf(world.key()); }, 60s));
    const auto counters = world.logs().move_counters();
    EXPECT_EQ(counters.finished, 1u);
    EXPECT_LT(counters.copied_bytes, size / 2) << "what was copied before is not copied again";
    log = world.logs().Find(world.key());
    EXPECT_EQ(log->directory_index(), to);
    EXPECT_EQ(log->end_offset(), 202u);
    auto after = world.ReadAll(*log);
    after.resize(before.size());
    EXPECT_EQ(after, before);
    world.Kill(true);
  }
}

TEST_F(MoveTest, OfACopyOnlyTheCommonHistoryIsKept) {
  world_.Start();
  Fill(100);
  const size_t to = Other();
  world_.dirs().copy_pace().SetRate(log().size_bytes() / 10);
  ASSERT_TRUE(Move(to));
  ASSERT_TRUE(world_.world().RunUntil([&] { return world_.logs().MoveOf(world_.key())->end > 120; }, 60s));
  world_.Kill(false);
  // A life without the directory of the copy, in which the log becomes another one from offset 80 on.
  world_.disk().Fail({.op = DiskOp::kLock, .path = fmt::format("/data{}/", to + 1)});
  ASSERT_TRUE(world_.StartDirs());
  ASSERT_TRUE(world_.OpenLog());
  EXPECT_FALSE(world_.logs().MoveOf(world_.key()));
  ASSERT_TRUE(world_.Truncate(log(), 80));
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(world_.Append(log(), MakeBatch("other", 2, 100), 5));
  world_.WaitForFlush(log());
  const auto before = world_.ReadAll(log());
  world_.Kill(true);
  world_.disk().ClearFailures();
  ASSERT_TRUE(world_.StartDirs());
  ASSERT_TRUE(world_.OpenLog());
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(world_.logs().move_counters().finished, 1u);
  EXPECT_EQ(log().directory_index(), to);
  EXPECT_EQ(world_.ReadAll(log()), before);
  EXPECT_LT(world_.logs().move_counters().copied_bytes, log().size_bytes()) << "80 offsets were kept";
}

TEST_F(MoveTest, WhatMayBeCompactedIsCopiedAnew) {
  world_.config().compaction.enabled = true;
  world_.Start();
  Fill(100);
  const size_t to = Other();
  world_.dirs().copy_pace().SetRate(log().size_bytes() / 10);
  ASSERT_TRUE(Move(to));
  ASSERT_TRUE(world_.world().RunUntil([&] { return world_.logs().MoveOf(world_.key())->end > 120; }, 60s));
  EXPECT_FALSE(log().DecideCleaning(1'000'000'000).due) << "not while it is copied";
  world_.Kill(false);
  world_.Start();
  const uint64_t size = log().size_bytes();
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(world_.logs().move_counters().finished, 1u);
  EXPECT_EQ(world_.logs().move_counters().copied_bytes, size);
}

TEST_F(MoveTest, ACancelledOneStaysCancelledAndADeletedReplicasCopyGoes) {
  world_.Start();
  Fill(100);
  const size_t here = log().directory_index();
  world_.dirs().copy_pace().SetRate(log().size_bytes() / 10);
  ASSERT_TRUE(Move(1 - here));
  world_.world().RunFor(3s);
  ASSERT_TRUE(Move(here));
  ASSERT_TRUE(WaitForEnd());
  world_.Kill(false);
  ASSERT_TRUE(world_.StartDirs());
  EXPECT_TRUE(world_.dirs().found_moves().empty());
  ASSERT_TRUE(world_.OpenLog());
  world_.dirs().copy_pace().SetRate(log().size_bytes() / 10);
  ASSERT_TRUE(Move(1 - here));
  world_.world().RunFor(3s);
  world_.Kill(false);
  ASSERT_TRUE(world_.StartDirs());
  EXPECT_EQ(world_.dirs().found_moves().size(), 1u);
  // Never opened in this life.
  ASSERT_TRUE(world_.process().Await([this] { return world_.logs().Delete(world_.key(), "orders"); }));
  world_.world().RunFor(1s);
  EXPECT_EQ(Count("orders-0"), 0u);
}

TEST_F(MoveTest, AFullDiskAtItsEndKeepsNobodyOut) {
  world_.Start();
  world_.dirs().SetSpaceLimits({.min_free = 1000, .reserve = 1000});
  size_t befores = 0, afters = 0;
  const size_t to = Other();
  LogDirectory& target = *world_.dirs().directories()[to];
  world_.Call([&] {
    world_.logs().SetSwitchObserver({.before =
                                         [&](const PartitionKey&) {
                                           if (++befores > 1) return;
                                           target.free_bytes = 0;
                                           const FinishedBatch batch = MakeBatch("last");
                                           const UnstampedBatch unstamped = Unstamped(batch);
                                           CHECK(log().AppendAsLeader(std::span(&unstamped, 1), 3, 5000));
                                         },
                                     .after = [&](const PartitionKey&, Log&) { ++afters; }});
    return true;
  });
  Fill(50);
  ASSERT_TRUE(Move(to));
  ASSERT_TRUE(world_.world().RunUntil([&] { return afters == 1; }, 60s));
  EXPECT_EQ(log().directory_index(), 1 - to);
  world_.world().RunFor(10s);
  EXPECT_EQ(afters, befores);
  ASSERT_TRUE(world_.Append(log(), MakeBatch("z"), 3)) << "it serves where it is";
  target.free_bytes = 1'000'000;
  ASSERT_TRUE(WaitForEnd());
  EXPECT_EQ(log().directory_index(), to);
  EXPECT_EQ(log().end_offset(), 102u);
}

// It may wait for another broker: nobody is kept out of the log for that.
TEST_F(MoveTest, ARepairIsNotWaitedForWithEverybodyKeptOut) {
  world_.Start();
  Fill(50);
  const auto before = world_.ReadAll(log());
  bool switched = false;
  bool in_time = false;
  std::optional<ErrorCode> ended;
  world_.Call([&] {
    world_.logs().SetSwitchObserver({.before =
                                         [&](const PartitionKey&) {
                                           in_time = ended.has_value();
                                           switched = true;
                                         },
                                     .after = [](const PartitionKey&, Log&) {}});
    return true;
  });
  const size_t to = Other();
  world_.dirs().copy_pace().SetRate(log().size_bytes() / 10);
  ASSERT_TRUE(Move(to));
  world_.world().RunFor(8s);
  ASSERT_FALSE(switched);
  // In what has been copied.
  const std::string path = log().directory() + "/00000000000000000000.log";
  ASSERT_TRUE(world_.disk().FlipBit(path, 100 * 8));
  ASSERT_FALSE(world_.Read(log(), 0));
  ASSERT_FALSE(log().damaged().empty());
  world_.process().Spawn("repair", [&] { return RepairLate(&ended); });
  ASSERT_TRUE(WaitForEnd());
  EXPECT_TRUE(switched);
  EXPECT_TRUE(in_time) << "the switch waits for it";
  EXPECT_EQ(log().directory_index(), to);
  EXPECT_EQ(world_.ReadAll(log()), before) << "the copy is whole";
}

TEST(CopyPace, IsSharedByAllWhoCopy) {
  CopyPace pace(1000);
  const MonoTime now{};
  EXPECT_EQ(pace.Take(500, now), now + 500ms);
  EXPECT_EQ(pace.Take(1000, now), now + 1500ms) << "after the other one's bytes";
  EXPECT_EQ(pace.Take(100, now + 10s), now + 10100ms) << "nothing is saved up";
  EXPECT_EQ(pace.ChunkBytes(1 << 20), 100u);
  EXPECT_EQ(CopyPace().Take(1 << 30, now), now);
  EXPECT_EQ(CopyPace().ChunkBytes(1 << 20), 1u << 20);
}

TEST(EpochTableAgreement, EndsWhereTheFirstRecordOfAnotherEpochIs) {
  const auto table = [](std::vector<EpochTable::Entry> entries) {
    EpochTable out;
    for (const auto& entry : entries) out.Begin(entry.epoch, entry.start);
    return out;
  };
  const EpochTable log = table({{1, 0}, {2, 10}, {5, 30}});
  EXPECT_EQ(log.AgreesUpTo(table({{1, 0}, {2, 10}, {5, 30}}), 0, 40), 40u);
  EXPECT_EQ(log.AgreesUpTo(table({{1, 0}, {2, 10}, {3, 20}}), 0, 40), 20u);
  EXPECT_EQ(log.AgreesUpTo(table({{1, 0}, {2, 10}}), 0, 40), 30u);
  EXPECT_EQ(log.AgreesUpTo(table({{1, 0}, {2, 10}}), 0, 25), 25u) << "what lies beyond is not asked for";
  EXPECT_EQ(log.AgreesUpTo(table({{2, 5}, {5, 30}}), 12, 40), 40u) << "what lies before is not asked for";
  EXPECT_EQ(log.AgreesUpTo(table({{3, 0}}), 0, 40), 0u);
  EXPECT_EQ(log.AgreesUpTo(EpochTable(), 0, 40), 0u);
}

class MoveCrash : public testing::TestWithParam<bool> {};

TEST_P(MoveCrash, LeavesExactlyOneWholeLogAtEveryChange) {
  const bool power_loss = GetParam();
  int states = 0;
  size_t moved = 0, went_on = 0;
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
    const bool goes_on = !world.dirs().found_moves().empty();
    auto opened = world.OpenLog();
    ASSERT_TRUE(opened) << ToString(opened.error());
    EXPECT_FALSE((*opened)->damage());
    EXPECT_EQ(world.ReadAll(**opened), before);
    EXPECT_EQ((*opened)->epochs().entries().size(), 3u);
    moved += (*opened)->directory_index() != from ? 1 : 0;
    went_on += goes_on ? 1 : 0;
    if (goes_on) {
      ASSERT_TRUE(world.world().RunUntil([&] { return world.logs().move_counters().finished == 1; }, 600s));
      world.world().RunFor(1s);
      opened = world.logs().Find(world.key());
      EXPECT_NE((*opened)->directory_index(), from);
      EXPECT_EQ(world.ReadAll(**opened), before);
      EXPECT_EQ((*opened)->epochs().entries().size(), 3u);
    }
    for (const std::string& path : world.disk().Paths()) {
      EXPECT_TRUE(path.find("-future") == std::string::npos && path.find("-moved") == std::string::npos)
          << path;
    }
    ASSERT_TRUE(world.Append(**opened, MakeBatch("y"), 5));
    world.WaitForFlush(**opened);
    world.Kill(true);
  }
  EXPECT_GT(states, 50);
  EXPECT_GT(went_on, 10u);
  EXPECT_GT(moved, 1u) << "some crashes come after the step that decides";
}

INSTANTIATE_TEST_SUITE_P(Kill, MoveCrash, testing::Bool());

}  // namespace
}  // namespace tidemark
