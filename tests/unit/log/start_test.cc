// What a start does and leaves for later: after a clean stop it does not grow with the number of segments;
// logs are recovered in an order, a few at once, and how far that is can be told.
#include "broker/log/recovery.h"
#include "tests/unit/log/log_fixture.h"

namespace tidemark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

uint64_t Touches(LogWorld& world) {
  uint64_t all = 0;
  for (const DiskOp op : {DiskOp::kOpen, DiskOp::kRead, DiskOp::kWrite, DiskOp::kSync, DiskOp::kList}) {
    all += world.disk().count(op);
  }
  return all;
}

// Disk operations of opening a log with so many batches after a clean stop.
uint64_t TouchesOfACleanOpen(int batches, size_t* segments) {
  LogWorld world;
  world.config().segment_bytes = 1024;
  Log& log = world.Start();
  for (int i = 0; i < batches; ++i) CHECK(world.Append(log, MakeBatch("b", 1, 400)));
  world.WaitForFlush(log);
  *segments = log.segment_count();
  CHECK(world.CloseCleanly());
  CHECK(world.StartDirs());
  const uint64_t before = Touches(world);
  const auto opened = world.OpenLog();
  CHECK(opened && (*opened)->end_offset() == static_cast<Offset>(batches));
  return Touches(world) - before;
}

TEST(CleanStart, DoesNotGrowWithTheNumberOfSegments) {
  size_t few = 0, many = 0;
  const uint64_t of_few = TouchesOfACleanOpen(10, &few);
  const uint64_t of_many = TouchesOfACleanOpen(600, &many);
  ASSERT_GT(many, 20 * few);
  EXPECT_EQ(of_many, of_few);
}

TEST(CleanStart, SizesAreFoundOutInTheBackground) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, 400, 1000 + i)));
  world.WaitForFlush(log);
  const uint64_t size = log.size_bytes();
  const auto before = world.ReadAll(log);
  ASSERT_TRUE(world.CloseCleanly());
  Log& again = world.Start();
  EXPECT_FALSE(again.surveyed());
  EXPECT_LT(again.size_bytes(), size);
  ASSERT_TRUE(world.world().RunUntil([&] { return again.surveyed(); }, 60s));
  EXPECT_EQ(again.size_bytes(), size);
  EXPECT_EQ(world.ReadAll(again), before);
  ASSERT_TRUE(world.CloseCleanly());
}

TEST(CleanStart, NobodyHasToWaitForTheBackground) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, 400, 1000 + i)));
  world.WaitForFlush(log);
  const auto before = world.ReadAll(log);
  ASSERT_TRUE(world.CloseCleanly());
  {
    Log& again = world.Start();
    ASSERT_FALSE(again.surveyed());
    EXPECT_EQ(ParseBatches(world.Read(again, 100)->bytes).at(0), before.at(100));
    world.Kill(false);
  }
  world.Start();  // an unclean one, to be closed cleanly
  ASSERT_TRUE(world.CloseCleanly());
  {
    Log& again = world.Start();
    const auto found = world.process().Await([&] { return again.FindTimestamp(1042, again.end_offset()); });
    ASSERT_TRUE(found);
    EXPECT_EQ((*found)->offset, 42u);
    ASSERT_TRUE(world.CloseCleanly());
  }
  Log& again = world.Start();
  ASSERT_TRUE(world.Truncate(again, 50));
  EXPECT_EQ(world.ReadAll(again), std::vector(before.begin(), before.begin() + 50));
  ASSERT_TRUE(world.Append(again, MakeBatch("next"), 3));
  ASSERT_TRUE(world.CloseCleanly());
  EXPECT_EQ(world.ReadAll(world.Start()).size(), 51u);
}

TEST(CleanStart, ALogMayBeClosedDeletedOrRestartedWhileItIsSurveyed) {
  for (const int what : {0, 1, 2}) {
    LogWorld world;
    Log& log = world.Start();
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, 400)));
    world.WaitForFlush(log);
    ASSERT_TRUE(world.CloseCleanly());
    Log& again = world.Start();
    ASSERT_FALSE(again.surveyed());
    if (what == 0) ASSERT_TRUE(world.CloseCleanly());
    if (what == 1) {
      ASSERT_TRUE(world.process().Await([&] { return world.logs().Delete(world.key(), "orders"); }));
      EXPECT_EQ((*world.OpenLog())->end_offset(), 0u);
    }
    if (what == 2) {
      ASSERT_TRUE(world.process().Await([&] { return again.RestartAt(1000); }));
      EXPECT_TRUE(again.surveyed());
      EXPECT_EQ(again.size_bytes(), 0u);
    }
    if (what != 0) ASSERT_TRUE(world.CloseCleanly());
  }
}

// --- The order

struct Turns {
  explicit Turns(LogWorld& world, size_t at_once) : world(world) {
    world.Call([&] {
      queue = std::make_unique<RecoveryQueue>(world.process().main_loop(), at_once);
      return true;
    });
  }
  ~Turns() {
    world.Call([&] {
      queue.reset();
      return true;
    });
  }
  void Ask(std::string name, bool urgent) {
    world.process().Spawn("turn", [this, name, urgent] { return Take(this, name, urgent); });
  }
  static Task<void> Take(Turns* turns, std::string name, bool urgent) {
    const auto turn = co_await turns->queue->Acquire(urgent);
    if (!turn) {
      turns->refused.push_back(name);
      co_return;
    }
    turns->order.push_back(name);
    turns->most = std::max(turns->most, ++turns->now);
    co_await Sleep(turns->world.process().main_loop(), 1s, "recovery", {});
    --turns->now;
  }
  LogWorld& world;
  std::unique_ptr<RecoveryQueue> queue;
  std::vector<std::string> order;
  std::vector<std::string> refused;
  int now = 0;
  int most = 0;
};

TEST(RecoveryQueue, UrgentOnesFirstThenInTheOrderOfAskingAndFewAtOnce) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  Turns turns(world, 2);
  for (const char* name : {"a", "b", "c", "d"}) turns.Ask(name, false);
  turns.Ask("__offsets", true);
  world.world().RunFor(10s);
  EXPECT_THAT(turns.order, ElementsAre("a", "b", "__offsets", "c", "d"));
  EXPECT_EQ(turns.most, 2);
}

TEST(RecoveryQueue, OnceClosedNobodyWaitsAndNobodyGetsATurn) {
  LogWorld world;
  ASSERT_TRUE(world.StartDirs());
  Turns turns(world, 1);
  for (const char* name : {"a", "b"}) turns.Ask(name, false);
  turns.Ask("__offsets", true);
  world.world().RunFor(100ms);
  world.Call([&] {
    turns.queue->Close();
    return true;
  });
  turns.Ask("late", true);
  world.world().RunFor(100ms);
  EXPECT_THAT(turns.order, ElementsAre("a"));
  EXPECT_THAT(turns.refused, testing::UnorderedElementsAre("b", "__offsets", "late"));
  world.world().RunFor(10s);
  EXPECT_THAT(turns.order, ElementsAre("a"));
}

TEST(RecoveryStop, AStoppedRecoveryLeavesTheLogAsItWas) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, 400)));
  world.WaitForFlush(log);
  const auto before = world.ReadAll(log);
  world.Kill(true);
  ASSERT_TRUE(world.StartDirs());
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = RecoverLog(
      world.process().files(),
      {.folder = "/data/orders-0", .key = world.key(), .recovery_point = 0, .stop = stop.get_token()});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, v1::CANCELLED);
  EXPECT_EQ(world.ReadAll(**world.OpenLog()), before);
}

TEST(RecoveryStop, ABrokerThatStopsMeanwhileLeavesNoCleanMark) {
  LogWorld world;
  Log& log = world.Start();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(world.Append(log, MakeBatch("b", 1, 400)));
  world.WaitForFlush(log);
  world.Kill(false);
  for (const bool recovers : {false, true}) {
    SCOPED_TRACE(recovers);
    ASSERT_TRUE(world.StartDirs());
    EXPECT_FALSE(world.dirs().last_stop_was_clean());
    if (recovers) ASSERT_TRUE(world.OpenLog());
    world.Call([&] {
      world.logs().BeginClose();
      return true;
    });
    if (!recovers) EXPECT_EQ(world.OpenLog().error().code, v1::KAFKA_STORAGE_ERROR);
    EXPECT_TRUE(world.process().Await([&] { return world.logs().CloseCleanly(); }));
    const auto marked = world.process().Await([&] { return world.dirs().CloseCleanly(); });
    EXPECT_EQ(marked.has_value(), recovers);
    EXPECT_EQ(world.disk().Content("/data/clean-shutdown").has_value(), recovers);
    world.process().Exit();
    world.Kill(false);
  }
  ASSERT_TRUE(world.StartDirs());
  EXPECT_TRUE(world.dirs().last_stop_was_clean());
  // What was clean stays so, whether it was opened or not.
  EXPECT_TRUE(world.CloseCleanly());
  ASSERT_TRUE(world.StartDirs());
  EXPECT_TRUE(world.dirs().last_stop_was_clean());
}

TEST(RecoveryProgress, TellsWhatIsDoneAndEstimatesTheRest) {
  RecoveryProgress progress;
  const MonoTime start = MonoTime(100s);
  for (int i = 0; i < 10; ++i) progress.Ask(start);
  EXPECT_TRUE(progress.At(start).under_way());
  EXPECT_FALSE(progress.At(start).left);
  progress.Finish(5'000'000);
  progress.Finish(3'000'000);
  const auto figures = progress.At(start + 4s);
  EXPECT_EQ(figures.done, 2u);
  EXPECT_EQ(*figures.left, 16s);
  EXPECT_EQ(ToString(figures), "2 of 10 logs recovered, 8 MB scanned, about 16 s left");
  for (int i = 0; i < 8; ++i) progress.Finish(0);
  EXPECT_FALSE(progress.At(start + 9s).under_way());
  // Later ones are estimated by themselves.
  progress.Ask(start + 1000s);
  progress.Ask(start + 1000s);
  progress.Finish(0);
  EXPECT_EQ(*progress.At(start + 1001s).left, 1s);
}

TEST(RecoveryProgress, CountsTheLogsThatWereThereAndNoNewOnes) {
  LogWorld world;
  world.Start();
  EXPECT_EQ(world.dirs().recovery_progress().At({}).asked, 0u);
  ASSERT_TRUE(world.Append(*world.logs().Find(world.key()), MakeBatch("x", 1, 900)));
  world.Kill(false);
  Log& log = world.Start();
  const auto figures = world.dirs().recovery_progress().At({});
  EXPECT_EQ(figures.asked, 1u);
  EXPECT_EQ(figures.done, 1u);
  EXPECT_EQ(figures.scanned_bytes, log.size_bytes());
  ASSERT_TRUE(world.OpenLog());
  EXPECT_EQ(world.dirs().recovery_progress().At({}).asked, 1u);
}

}  // namespace
}  // namespace tidemark
