// LibeventLoop: the real EventLoop, over libevent (epoll). Owner: its LoopThread (or a test); the thread that
// calls Run() is its owner thread. Other threads call only Post() and Stop(), so libevent itself runs without
// locks.
//
// One turn: poll; the ready file descriptors; due timers; posts that had arrived; end-of-turn work (the
// transport's writes). After each callback what it deferred runs, to the end, before anything else. Timers
// live in a heap of our own behind one timerfd: libevent's are relative to a coarse clock that may run 4 ms
// behind and would fire early, and each costs an allocation. A post costs a system call only when the loop
// sleeps. Invariant: after End() no callback runs any more; those pending were destroyed on the loop's
// thread.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/timer_heap.h"
#include "common/async/wait.h"

struct event_base;
struct event;

namespace tidemark {

class LibeventLoop final : public EventLoop {
 public:
  // Belongs to the constructing thread until Run() is called.
  explicit LibeventLoop(std::string name);
  // Calls End(). On the loop's thread, or when that has gone.
  ~LibeventLoop() override;

  MonoTime Now() const override;
  void Post(Callback fn) override;
  void Defer(Callback fn) override;
  TimerId StartTimer(MonoTime when, Callback fn) override;
  void CancelTimer(TimerId id) override;
  bool InLoopThread() const override;
  std::string_view name() const override { return name_; }
  WaitRegistry& waits() override { return waits_; }

  // Runs until Stop(). May be called again after it returned, unless the loop has ended.
  void Run();
  // Makes Run() return after the current turn. Any thread.
  void Stop();
  // The loop will not run again: destroys posts, deferred work and timers. Idempotent. Owner thread.
  void End();

  // For the TCP transport only: the base its events hang on, what an event callback calls at its end, and
  // work to do once at the end of this turn, before polling again.
  event_base* base() { return base_; }
  void FinishCallback() { RunDeferred(); }
  void AtTurnEnd(Callback fn) { at_turn_end_.push_back(std::move(fn)); }

 private:
  void Turn();
  void Poll();
  void ArmTimer();
  void RunDeferred();
  void RunTimers();
  void RunPosts();
  void RunTurnEnd();
  bool Idle() const { return deferred_.empty() && at_turn_end_.empty(); }

  const std::string name_;
  std::atomic<std::thread::id> owner_;
  event_base* base_ = nullptr;
  int wake_fd_ = -1;
  int timer_fd_ = -1;
  event* wake_event_ = nullptr;
  event* timer_event_ = nullptr;

  std::mutex mutex_;  // guards the next three
  std::vector<Callback> posts_;
  bool sleeping_ = false;  // the loop polls (or is about to) and has not been woken by a post
  bool ended_ = false;
  std::atomic<bool> stop_ = false;

  std::vector<Callback> running_posts_;
  std::deque<Callback> deferred_;
  std::vector<Callback> at_turn_end_;
  TimerHeap timers_;
  MonoTime armed_for_ = kNoDeadline;
  WaitRegistry waits_;
};

}  // namespace tidemark
