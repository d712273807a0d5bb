#include <vector>

#include "tests/unit/async/async_fixture.h"

namespace tidemark {
namespace {

Task<int> One() { co_return 1; }

Task<int> SumOf(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await One();
  co_return sum;
}

TEST_F(LoopTest, AMillionTasksThatEndAtOnceNeedNoStack) { EXPECT_EQ(Run(SumOf(1'000'000)), 1'000'000); }

Task<int> Nested(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await Nested(depth - 1);
}

TEST_F(LoopTest, TasksNestDeeply) { EXPECT_EQ(Run(Nested(1000)), 1000); }

struct Waiting {
  explicit Waiting(EventLoop& l) : loop(l) {}
  EventLoop& loop;
  Waiter* waiter = nullptr;
  std::vector<WaitOutcome> outcomes;
};

Task<void> WaitOnce(Waiting* waiting, MonoTime deadline, std::stop_token stop) {
  Waiter waiter(waiting->loop, "test wait", deadline, std::move(stop));
  waiting->waiter = &waiter;
  waiting->outcomes.push_back(co_await waiter);
  waiting->waiter = nullptr;
}

using Outcomes = std::vector<WaitOutcome>;

TEST_F(LoopTest, AWokenWaitResumesLaterNotInsideTheWake) {
  Waiting waiting(loop_);
  scope_.Spawn("wait", WaitOnce(&waiting, kNoDeadline, {}));
  EXPECT_EQ(loop_.waits().size(), 1u);
  EXPECT_STREQ(loop_.waits().Snapshot()[0].name, "test wait");
  waiting.waiter->Wake();
  waiting.waiter->Wake();
  EXPECT_TRUE(waiting.outcomes.empty());
  Settle();
  EXPECT_EQ(waiting.outcomes, Outcomes{WaitOutcome::kReady});
  EXPECT_EQ(loop_.waits().size(), 0u);
}

TEST_F(LoopTest, AWaitEndsAtItsDeadline) {
  Waiting waiting(loop_);
  Run(WaitOnce(&waiting, loop_.Now() + 2ms, {}));
  EXPECT_EQ(waiting.outcomes, Outcomes{WaitOutcome::kTimedOut});
}

TEST_F(LoopTest, AStopEndsAWaitAlsoWhenItCameFirst) {
  std::stop_source stop;
  Waiting early(loop_), late(loop_);
  scope_.Spawn("wait", WaitOnce(&early, kNoDeadline, stop.get_token()));
  stop.request_stop();
  scope_.Spawn("wait", WaitOnce(&late, kNoDeadline, stop.get_token()));
  EXPECT_TRUE(early.outcomes.empty());
  EXPECT_TRUE(late.outcomes.empty());
  Settle();
  EXPECT_EQ(early.outcomes, Outcomes{WaitOutcome::kStopped});
  EXPECT_EQ(late.outcomes, Outcomes{WaitOutcome::kStopped});
}

TEST_F(LoopTest, OfWakeStopAndDeadlineInOneTurnTheFirstCounts) {
  std::stop_source stop;
  Waiting waiting(loop_);
  scope_.Spawn("wait", WaitOnce(&waiting, loop_.Now() - 1s, stop.get_token()));
  waiting.waiter->Wake();
  stop.request_stop();
  Settle();
  EXPECT_EQ(waiting.outcomes, Outcomes{WaitOutcome::kReady});
}

TEST_F(LoopTest, AFrameDestroyedAfterItsWakeIsNotResumed) {
  Waiting waiting(loop_);
  auto starter = [](Task<void> task) -> Task<void> { co_await std::move(task); };
  {
    // Suspended inside a chain that nobody will finish: destroyed as a whole.
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
    auto hold = [](Task<void> task) -> Holder { co_await std::move(task); };
    Holder holder = hold(starter(WaitOnce(&waiting, loop_.Now() + 1h, {})));
    waiting.waiter->Wake();
    holder.handle.destroy();
  }
  Settle();
  EXPECT_TRUE(waiting.outcomes.empty());
  EXPECT_EQ(loop_.waits().size(), 0u);
}

Task<WaitOutcome> WaitFor(Notifier* notifier, MonoTime deadline) {
  co_return co_await notifier->Wait("n", deadline);
}

Task<void> Count(Notifier* notifier, MonoTime deadline, int* ready, int* timed_out) {
  const WaitOutcome outcome = co_await WaitFor(notifier, deadline);
  ++(outcome == WaitOutcome::kReady ? *ready : *timed_out);
}

TEST_F(LoopTest, NotifyAllWakesThoseThatWaitNowAndNoOthers) {
  int ready = 0, timed_out = 0;
  {
    Notifier notifier(loop_);
    notifier.NotifyAll();  // nothing is remembered
    for (int i = 0; i < 3; ++i) scope_.Spawn("count", Count(&notifier, kNoDeadline, &ready, &timed_out));
    notifier.NotifyAll();
  }  // may go before the woken ones have run
  Settle();
  EXPECT_EQ(ready, 3);
  Notifier notifier(loop_);
  Run(Count(&notifier, loop_.Now() + 1ms, &ready, &timed_out));
  EXPECT_EQ(timed_out, 1);
}

TEST_F(LoopTest, AOneShotDeliversTheFirstValueOnly) {
  OneShot<int> slot(loop_);
  EXPECT_TRUE(slot.Set(7));
  EXPECT_FALSE(slot.Set(8));
  EXPECT_EQ(*Run(slot.Wait("slot")), 7);
}

TEST_F(LoopTest, AOneShotEndsByDeadlineOrStopWithAnError) {
  OneShot<int> slot(loop_);
  EXPECT_EQ(Run(slot.Wait("slot", loop_.Now() + 1ms)).error().code, v1::REQUEST_TIMED_OUT);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Run(slot.Wait("slot", kNoDeadline, stop.get_token())).error().code, v1::CANCELLED);
  EXPECT_TRUE(slot.Set(1)) << "a waiter that has gone is not touched";
}

TEST_F(LoopTest, TheProducerOfAOneShotMayOutliveItsConsumer) {
  std::optional<OneShot<int>> consumer(loop_);
  OneShot<int> producer = *consumer;
  scope_.Spawn("drop", [](OneShot<int> slot) -> Task<void> { (void)co_await slot.Wait("slot"); }(*consumer));
  consumer.reset();
  producer.Set(3);
  Settle();
  EXPECT_EQ(scope_.running(), 0u);
}

Task<void> UntilStopped(EventLoop* loop, std::stop_token stop, int* ended) {
  (void)co_await Sleep(*loop, 1h, "long sleep", std::move(stop));
  ++*ended;
}

TEST_F(LoopTest, ClosingAScopeStopsItsChildrenAndAwaitsThem) {
  Scope scope(loop_, "closing");
  int ended = 0;
  for (int i = 0; i < 3; ++i) scope.Spawn("child", UntilStopped(&loop_, scope.stop_token(), &ended));
  EXPECT_EQ(scope.running(), 3u);
  Run(scope.Close());
  EXPECT_EQ(ended, 3);
  EXPECT_EQ(scope.running(), 0u);
  scope.Spawn("late", UntilStopped(&loop_, scope.stop_token(), &ended));
  Settle();
  EXPECT_EQ(ended, 4) << "a child of a stopped scope sees the stopped token and ends";
}

}  // namespace
}  // namespace tidemark
