#include <atomic>
#include <thread>
#include <vector>

#include "common/async/loop_runner.h"
#include "common/async/timer_heap.h"
#include "tests/unit/async/async_fixture.h"

namespace tidemark {
namespace {

using Names = std::vector<std::string>;

TEST_F(LoopTest, PostsRunInTheOrderOfTheirThread) {
  std::vector<int> order;
  for (int i = 0; i < 5; ++i) loop_.Post([&order, i] { order.push_back(i); });
  Settle();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(LoopTest, DeferredWorkRunsBeforeTheNextPost) {
  Names order;
  loop_.Post([&] {
    loop_.Defer([&] {
      order.push_back("deferred by the first");
      loop_.Defer([&] { order.push_back("deferred by the deferred"); });
    });
    order.push_back("first");
  });
  loop_.Post([&] { order.push_back("second"); });
  Settle();
  EXPECT_EQ(order, (Names{"first", "deferred by the first", "deferred by the deferred", "second"}));
}

TEST_F(LoopTest, TimersFireInTimeOrderAndNeverEarly) {
  Names order;
  const MonoTime start = loop_.Now();
  loop_.StartTimer(start + 20ms, [&] {
    EXPECT_GE(loop_.Now(), start + 20ms);
    order.push_back("20");
    loop_.Stop();
  });
  loop_.StartTimer(start + 5ms, [&] {
    EXPECT_GE(loop_.Now(), start + 5ms);
    order.push_back("5");
  });
  loop_.StartTimer(start - 1s, [&] { order.push_back("past"); });
  loop_.StartTimer(start + 5ms, [&] { order.push_back("5 again"); });
  loop_.Run();
  EXPECT_EQ(order, (Names{"past", "5", "5 again", "20"}));
}

TEST_F(LoopTest, ACancelledTimerDoesNotFireAndASecondCancelIsHarmless) {
  const MonoTime start = loop_.Now();
  bool fired = false;
  const TimerId cancelled = loop_.StartTimer(start + 1ms, [&] { fired = true; });
  TimerId last = 0;
  last = loop_.StartTimer(start + 3ms, [&] {
    loop_.CancelTimer(last);  // itself, fired
    loop_.Stop();
  });
  loop_.CancelTimer(cancelled);
  loop_.CancelTimer(cancelled);
  loop_.CancelTimer(0);
  loop_.Run();
  EXPECT_FALSE(fired);
}

TEST_F(LoopTest, ATimerCanCancelAnotherThatIsDueInTheSameTurn) {
  const MonoTime start = loop_.Now();
  bool fired = false;
  TimerId victim = 0;
  loop_.StartTimer(start, [&] {
    loop_.CancelTimer(victim);
    loop_.Stop();
  });
  victim = loop_.StartTimer(start, [&] { fired = true; });
  loop_.Run();
  EXPECT_FALSE(fired);
}

TEST(TimerHeapOrder, IsByTimeWhateverIsAddedAndCancelled) {
  TimerHeap heap;
  std::vector<TimerId> ids;
  uint64_t seed = 1;
  auto next = [&seed] { return seed = seed * 6364136223846793005ULL + 1442695040888963407ULL; };
  int64_t fired_at = -1;
  size_t fired = 0;
  for (int i = 0; i < 5000; ++i) {
    const int64_t at = static_cast<int64_t>(next() >> 40);
    ids.push_back(heap.Add(MonoTime(Duration(at)), [&fired_at, &fired, at] {
      EXPECT_GE(at, fired_at);
      fired_at = at;
      ++fired;
    }));
  }
  size_t cancelled = 0;
  for (size_t i = 0; i < ids.size(); i += 3) cancelled += heap.Cancel(ids[i]) ? 1 : 0;
  EXPECT_EQ(cancelled, (ids.size() + 2) / 3);
  while (auto fn = heap.PopDue(kNoDeadline)) (*fn)();
  EXPECT_EQ(fired, ids.size() - cancelled);
  for (TimerId id : ids) EXPECT_FALSE(heap.Cancel(id)) << "an id is never reused";
}

TEST(LoopThreads, PostsOfManyThreadsAllRunOnTheLoopsThread) {
  LoopRunner runner("posts");
  std::atomic<int> ran = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        runner.loop().Post([&] {
          EXPECT_TRUE(runner.loop().InLoopThread());
          ++ran;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (ran < 4000) std::this_thread::yield();
  EXPECT_FALSE(runner.loop().InLoopThread());
}

TEST(LoopThreads, AnEndingLoopDestroysWhatIsPendingOnItsOwnThread) {
  auto died_on = std::make_shared<std::atomic<std::thread::id>>();
  std::thread::id loop_thread;
  struct Witness {
    std::shared_ptr<std::atomic<std::thread::id>> died_on;
    ~Witness() {
      if (died_on) *died_on = std::this_thread::get_id();
    }
  };
  {
    LoopRunner runner("ending");
    std::atomic<bool> ready = false;
    runner.loop().Post([&] {
      loop_thread = std::this_thread::get_id();
      auto witness = std::make_shared<Witness>(died_on);
      runner.loop().StartTimerAfter(1h, [witness] { FAIL() << "ran after the end"; });
      ready = true;
    });
    while (!ready) std::this_thread::yield();
  }
  EXPECT_EQ(died_on->load(), loop_thread);
}

TEST(LoopThreads, AHandleOutlivesItsLoop) {
  std::shared_ptr<LoopHandle> handle;
  auto token = std::make_shared<int>(1);
  {
    LibeventLoop loop("short");
    handle = loop.handle();
    handle->Post([token] {});
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
  handle->Post([token] { FAIL() << "ran on a loop that has gone"; });
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace tidemark
