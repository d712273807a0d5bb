#include <atomic>
#include <thread>

#include "common/async/call_on.h"
#include "common/async/loop_runner.h"
#include "common/async/thread_pool.h"
#include "tests/unit/async/async_fixture.h"

namespace tidemark {
namespace {

// A scope that lives on another loop's thread.
struct RemoteScope {
  explicit RemoteScope(LoopRunner& r) : runner(r), scope(r.loop(), "remote") {}
  void Close() {
    std::atomic<bool> closed = false;
    runner.loop().Post([&] { closer.Spawn("close", CloseIt(&scope, &closed)); });
    while (!closed) std::this_thread::yield();
    closed = false;  // the closing coroutine itself is still ending: let its turn pass
    runner.loop().Post([&] { closed = true; });
    while (!closed) std::this_thread::yield();
  }
  static Task<void> CloseIt(Scope* scope, std::atomic<bool>* closed) {
    co_await scope->Close();
    *closed = true;
  }
  LoopRunner& runner;
  Scope scope;
  Scope closer{runner.loop(), "closer"};
};

TEST_F(LoopTest, CallOnRunsThereAndAnswersHere) {
  LoopRunner runner("remote");
  RemoteScope remote(runner);
  LibeventLoop* there = &runner.loop();
  auto call = CallOn<int>(loop_, runner.loop(), remote.scope, "answer", [there]() -> Task<int> {
    CHECK(there->InLoopThread());
    (void)co_await Sleep(*there, 1ms, "work");
    co_return 42;
  });
  const Result<int> answer = Run(std::move(call));
  EXPECT_EQ(*answer, 42);
  remote.Close();
}

TEST_F(LoopTest, CallOnTheSameLoopNeedsNoHop) {
  Scope target(loop_, "target");
  auto call = CallOn<int>(loop_, loop_, target, "answer", []() -> Task<int> { co_return 5; });
  EXPECT_EQ(*Run(std::move(call)), 5);
  Run(target.Close());
}

TEST_F(LoopTest, ManyCallsBetweenTwoLoopsAllComeHome) {
  LoopRunner runner("remote");
  RemoteScope remote(runner);
  int sum = 0;
  auto all = [](LibeventLoop* home, RemoteScope* target, int* total) -> Task<void> {
    for (int i = 0; i < 500; ++i) {
      auto work = [i]() -> Task<int> { co_return i; };
      *total += *co_await CallOn<int>(*home, target->runner.loop(), target->scope, "add", work);
    }
  };
  Run(all(&loop_, &remote, &sum));
  EXPECT_EQ(sum, 499 * 500 / 2);
  remote.Close();
}

TEST_F(LoopTest, ACallerThatGaveUpDoesNotMissTheAnswer) {
  LoopRunner runner("remote");
  RemoteScope remote(runner);
  LibeventLoop* there = &runner.loop();
  const auto token = remote.scope.stop_token();
  auto call = CallOn<int>(
      loop_, runner.loop(), remote.scope, "slow",
      [there, token]() -> Task<int> {
        (void)co_await Sleep(*there, 1h, "slow work", token);
        co_return 1;
      },
      loop_.Now() + 5ms);
  EXPECT_EQ(Run(std::move(call)).error().code, v1::REQUEST_TIMED_OUT);
  remote.Close();  // the answer comes now, and nobody opens it
  Settle();
}

TEST_F(LoopTest, ACallToAScopeThatHasGoneIsCancelled) {
  LoopRunner runner("remote");
  auto remote = std::make_unique<RemoteScope>(runner);
  std::atomic<bool> blocked = false, release = false;
  runner.loop().Post([&] {
    blocked = true;
    while (!release) std::this_thread::yield();
  });
  while (!blocked) std::this_thread::yield();
  std::optional<Result<int>> answer;
  auto ask = [](LibeventLoop* home, LibeventLoop* target, Scope* scope,
                std::optional<Result<int>>* out) -> Task<void> {
    out->emplace(co_await CallOn<int>(*home, *target, *scope, "late", []() -> Task<int> { co_return 1; }));
  };
  scope_.Spawn("ask", ask(&loop_, &runner.loop(), &remote->scope, &answer));
  remote.reset();  // the loop is blocked: nobody uses it at this moment
  release = true;
  while (!answer) Settle();
  EXPECT_EQ(answer->error().code, v1::CANCELLED);
}

TEST_F(LoopTest, ACallToALoopThatEndsIsCancelled) {
  auto target = std::make_unique<LibeventLoop>("never run");
  Scope target_scope(*target, "target");
  std::optional<Result<int>> answer;
  auto ask = [](LibeventLoop* home, LibeventLoop* there, Scope* scope,
                std::optional<Result<int>>* out) -> Task<void> {
    out->emplace(co_await CallOn<int>(*home, *there, *scope, "never", []() -> Task<int> { co_return 1; }));
  };
  scope_.Spawn("ask", ask(&loop_, target.get(), &target_scope, &answer));
  target->End();
  while (!answer) Settle();
  EXPECT_EQ(answer->error().code, v1::CANCELLED);
}

TEST_F(LoopTest, BlockingWorkRunsElsewhereAndItsValueComesHome) {
  ThreadPool pool("test", 2);
  const auto here = std::this_thread::get_id();
  const auto there = Run(RunBlocking(pool, loop_, "blocking", [] { return std::this_thread::get_id(); }));
  EXPECT_NE(here, there);
}

TEST_F(LoopTest, ManyBlockingCallsShareFewThreads) {
  ThreadPool pool("test", 3);
  std::atomic<int> running = 0, most = 0, done = 0;
  auto one = [](ThreadPool* p, EventLoop* loop, std::atomic<int>* now, std::atomic<int>* peak,
                std::atomic<int>* finished) -> Task<void> {
    (void)co_await RunBlocking(*p, *loop, "many", [now, peak] {
      int level = ++*now;
      int seen = peak->load();
      while (seen < level && !peak->compare_exchange_weak(seen, level)) {
      }
      --*now;
      return 0;
    });
    ++*finished;
  };
  for (int i = 0; i < 200; ++i) scope_.Spawn("one", one(&pool, &loop_, &running, &most, &done));
  while (done < 200) Settle();
  EXPECT_LE(most, 3);
}

TEST_F(LoopTest, AFrameThatDiesWhileItsWorkBlocksIsLeftAlone) {
  std::atomic<bool> release = false;
  {
    ThreadPool pool("test", 1);
    struct Holder {
      struct promise_type {
        Holder get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
      };
      std::coroutine_handle<promise_type> handle;
    };
    auto hold = [](ThreadPool* p, EventLoop* loop, std::atomic<bool>* go) -> Holder {
      (void)co_await RunBlocking(*p, *loop, "dying", [go] {
        while (!*go) std::this_thread::yield();
        return 1;
      });
    };
    Holder holder = hold(&pool, &loop_, &release);
    holder.handle.destroy();
    release = true;
  }
  Settle();
}

TEST(ThreadPoolEnd, RunsEverythingThatWasSubmittedAlsoFromWithin) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool("test", 2);
    for (int i = 0; i < 100; ++i) {
      pool.Submit([&pool, &ran] {
        ++ran;
        pool.Submit([&ran] { ++ran; });
      });
    }
  }
  EXPECT_EQ(ran, 200);
}

}  // namespace
}  // namespace tidemark
