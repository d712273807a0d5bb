// TestLoop: an EventLoop on virtual time, driven by the test's own thread.
#pragma once

#include <deque>
#include <map>
#include <string_view>
#include <utility>

#include "common/async/scope.h"
#include "common/async/wait.h"

namespace tidemark {

class TestLoop final : public EventLoop {
 public:
  MonoTime Now() const override { return now_; }
  void Post(Callback fn) override { ready_.push_back(std::move(fn)); }
  void Defer(Callback fn) override { ready_.push_back(std::move(fn)); }
  TimerId StartTimer(MonoTime when, Callback fn) override {
    timers_.emplace(std::pair(when, ++last_timer_), std::move(fn));
    when_[last_timer_] = when;
    return last_timer_;
  }
  void CancelTimer(TimerId id) override {
    auto found = when_.find(id);
    if (found == when_.end()) return;
    timers_.erase({found->second, id});
    when_.erase(found);
  }
  bool InLoopThread() const override { return true; }
  std::string_view name() const override { return "test"; }
  WaitRegistry& waits() override { return waits_; }

  // Runs what is ready, without moving time.
  void Settle() {
    while (!ready_.empty()) {
      Callback fn = std::move(ready_.front());
      ready_.pop_front();
      fn();
    }
  }
  // Moves time on by `delay`, running everything that comes due.
  void Advance(Duration delay) {
    const MonoTime until = now_ + delay;
    Settle();
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      auto node = timers_.extract(timers_.begin());
      when_.erase(node.key().second);
      now_ = std::max(now_, node.key().first);
      node.mapped()();
      Settle();
    }
    now_ = until;
  }
  // Time passes without anybody running, as in a paused process.
  void Stall(Duration delay) { now_ += delay; }

  // Runs a task to its end, moving time on as far as it needs, at most a minute.
  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result;
    Scope scope(*this, "run");
    scope.Spawn("run", Keep(std::move(task), &result));
    for (int i = 0; i < 6000 && !result; ++i) Advance(10ms);
    CHECK(result) << "the task did not end";
    Settle();
    return std::move(*result);
  }
  void Run(Task<void> task) { Run(Wrap(std::move(task))); }

 private:
  template <typename T>
  static Task<void> Keep(Task<T> task, std::optional<T>* result) {
    result->emplace(co_await std::move(task));
  }
  static Task<bool> Wrap(Task<void> task) {
    co_await std::move(task);
    co_return true;
  }

  MonoTime now_ = MonoTime{} + 1000s;
  std::deque<Callback> ready_;
  std::map<std::pair<MonoTime, TimerId>, Callback> timers_;
  std::map<TimerId, MonoTime> when_;
  TimerId last_timer_ = 0;
  WaitRegistry waits_;
};

}  // namespace tidemark
