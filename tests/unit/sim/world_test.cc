#include <gtest/gtest.h>

#include "common/async/call_on.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {
namespace {

Task<void> Chatter(SimProcess* process, int rounds, uint64_t* sum) {
  for (int i = 0; i < rounds; ++i) {
    (void)co_await Sleep(process->main_loop(), Duration(1 + process->random().Below(1000000)), "chatter");
    *sum += co_await RunBlocking(process->blocking_pool(), process->main_loop(), "work",
                                 [process] { return process->random().Next() & 0xff; });
  }
}

uint64_t RunChatter(uint64_t seed) {
  SimWorld world(seed);
  uint64_t sum = 0;
  for (const char* host : {"a", "b", "c"}) {
    SimProcess& process = world.StartProcess(host);
    process.Spawn("chatter", [&process, &sum] { return Chatter(&process, 50, &sum); });
  }
  world.RunFor(10s);
  return world.trace_hash() ^ sum;
}

TEST(SimWorld, TheSameSeedGivesTheSameRun) {
  EXPECT_EQ(RunChatter(7), RunChatter(7));
  EXPECT_NE(RunChatter(7), RunChatter(8));
}

TEST(SimWorld, VirtualTimePassesWithoutWaiting) {
  SimWorld world(1);
  SimProcess& process = world.StartProcess("a");
  const MonoTime before = world.Now();
  process.Await([&]() -> Task<void> { (void)co_await Sleep(process.main_loop(), 24h, "a day"); }, 48h);
  EXPECT_GE(world.Now() - before, Duration(24h));
  EXPECT_LT(world.Now() - before, Duration(24h + 1s));
}

TEST(SimLoop, PostsOfOneSourceKeepTheirOrder) {
  SimWorld world(3);
  SimProcess& process = world.StartProcess("a");
  std::vector<int> seen;
  for (int i = 0; i < 200; ++i) process.main_loop().Post([&seen, i] { seen.push_back(i); });
  world.RunFor(1s);
  ASSERT_EQ(seen.size(), 200u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(SimLoop, OnlyTheLoopThatRunsIsTheCurrentOne) {
  SimWorld world(3);
  SimProcess& process = world.StartProcess("a");
  auto other = process.StartLoop("other");
  EXPECT_FALSE(process.main_loop().InLoopThread());
  int checked = 0;
  other->loop().Post([&] {
    EXPECT_TRUE(other->loop().InLoopThread());
    EXPECT_FALSE(process.main_loop().InLoopThread());
    ++checked;
  });
  process.blocking_pool().Submit([&] {
    EXPECT_FALSE(other->loop().InLoopThread());
    ++checked;
  });
  world.RunFor(1s);
  EXPECT_EQ(checked, 2);
}

TEST(SimLoop, ATimerCancelledAfterAPauseDoesNotFire) {
  SimWorld world(3);
  SimProcess& process = world.StartProcess("a");
  bool fired = false;
  process.main_loop().Post([&] {
    SimLoop& loop = process.main_loop();
    auto late = std::make_shared<TimerId>(0);
    loop.StartTimerAfter(10ms, [&loop, late] { loop.CancelTimer(*late); });
    *late = loop.StartTimerAfter(20ms, [&fired] { fired = true; });
  });
  world.RunFor(5ms);
  process.Pause();
  world.RunFor(1s);  // both have come due and are held back
  process.Resume();
  world.RunFor(1s);
  EXPECT_FALSE(fired);
}

TEST(SimProcess, NothingOfAKilledProcessRunsAnyMore) {
  SimWorld world(4);
  SimProcess& process = world.StartProcess("a");
  auto count = std::make_shared<int>(0);
  process.Keep(count);
  process.Spawn("ticker", [&process, count]() -> Task<void> {
    for (;;) {
      (void)co_await Sleep(process.main_loop(), 1ms, "tick");
      ++*count;
    }
  });
  world.RunFor(100ms);
  EXPECT_GT(*count, 50);
  process.Kill();
  const int at_death = *count;
  world.RunFor(1s);
  EXPECT_EQ(*count, at_death);
}

TEST(SimProcess, OneThatKillsItselfHasNoEffectFromThatInstant) {
  SimWorld world(4);
  SimProcess& process = world.StartProcess("a");
  bool deferred = false;
  process.main_loop().Post([&] {
    ASSERT_TRUE(process.files().Open("/before", OpenMode::kCreateNew));
    process.main_loop().Defer([&] { deferred = true; });
    process.Kill();
    EXPECT_TRUE(process.files().Open("/after", OpenMode::kCreateNew)) << "on a copy that nobody sees";
    process.main_loop().Post([&] { deferred = true; });
  });
  world.RunFor(1s);
  EXPECT_FALSE(deferred);
  EXPECT_EQ(world.disk("a").Paths(), std::vector<std::string>{"/before"});
}

TEST(SimProcess, APausedOneCatchesUpWhenResumed) {
  SimWorld world(5);
  SimProcess& process = world.StartProcess("a");
  MonoTime ran{};
  process.main_loop().Post([&] { process.main_loop().StartTimerAfter(10ms, [&] { ran = world.Now(); }); });
  world.RunFor(5ms);
  process.Pause();
  world.RunFor(10s);
  EXPECT_EQ(ran, MonoTime{});
  process.Resume();
  world.RunFor(1ms);
  EXPECT_NE(ran, MonoTime{});
}

TEST(SimProcess, AnOrderlyExitDestroysWhatItKept) {
  SimWorld world(6);
  SimProcess& process = world.StartProcess("a");
  auto object = std::make_shared<int>(1);
  std::weak_ptr<int> weak = object;
  process.Keep(std::move(object));
  process.Exit();
  EXPECT_TRUE(weak.expired());
}

TEST(SimBlockingPool, AHungDiskHoldsItsWorkUntilItAnswers) {
  SimWorld world(6);
  SimProcess& process = world.StartProcess("a");
  bool done = false;
  process.pool().SetHung(true);
  process.blocking_pool().Submit([&] { done = true; });
  world.RunFor(3600s);
  EXPECT_FALSE(done);
  process.pool().SetHung(false);
  world.RunFor(1s);
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace tidemark
