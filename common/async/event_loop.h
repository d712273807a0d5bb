// EventLoop: one thread's loop of callbacks, timers and posts; the thing that owns everything.
//
// A loop belongs to one thread. Every connection, partition, group and timer belongs to exactly one loop and
// is touched from no other thread. Only Post() may be called from anywhere. The real loop is libevent
// (common/async/libevent_loop.h); the simulated one runs all loops of all brokers in one thread on virtual
// time.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <glog/logging.h>

#include "common/time.h"

namespace tidemark {

using Callback = std::move_only_function<void()>;
// Names a pending timer; 0 names none. Never reused within a loop.
using TimerId = uint64_t;

class WaitRegistry;
class EventLoop;

// Posts to a loop that may be gone by then: what a thread keeps when it owes a loop an answer. Any thread.
class LoopHandle {
 public:
  explicit LoopHandle(EventLoop* loop) : loop_(loop) {}
  // As EventLoop::Post; destroys `fn` when the loop has gone.
  void Post(Callback fn);

 private:
  friend class EventLoop;
  std::mutex mutex_;
  EventLoop* loop_;  // null once the loop is being destroyed
};

class EventLoop {
 public:
  virtual ~EventLoop() { EndHandle(); }
  EventLoop() : handle_(std::make_shared<LoopHandle>(this)) {}
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Monotonic time, fresh enough for deadlines (the real loop reads the clock at each call).
  virtual MonoTime Now() const = 0;

  // Runs `fn` on the loop soon, after what was posted before from the same thread. Any thread. Posts to a
  // loop that has ended are destroyed without running. Wake-ups are batched.
  virtual void Post(Callback fn) = 0;

  // Runs `fn` on this loop after the current callback returns, in order. Owner thread only; cheaper than
  // Post.
  virtual void Defer(Callback fn) = 0;

  // Runs `fn` once, not before `when`. Owner thread only.
  virtual TimerId StartTimer(MonoTime when, Callback fn) = 0;
  // No-op when the timer has fired or the id is 0. Owner thread only. After it returns, fn will not run.
  virtual void CancelTimer(TimerId id) = 0;

  virtual bool InLoopThread() const = 0;
  virtual std::string_view name() const = 0;

  // All waits of this loop's coroutines with owner, name and age, for /state.
  virtual WaitRegistry& waits() = 0;

  TimerId StartTimerAfter(Duration delay, Callback fn) { return StartTimer(Now() + delay, std::move(fn)); }
  void CheckOwner() const {
    CHECK(InLoopThread()) << "loop '" << name() << "' used from a stranger's thread";
  }
  // Any thread, while the loop lives; the handle may outlive it.
  std::shared_ptr<LoopHandle> handle() const { return handle_; }

 protected:
  // First thing in the destructor of a loop that other threads post to: no handle reaches it afterwards.
  void EndHandle() {
    std::lock_guard lock(handle_->mutex_);
    handle_->loop_ = nullptr;
  }

 private:
  const std::shared_ptr<LoopHandle> handle_;
};

inline void LoopHandle::Post(Callback fn) {
  std::unique_lock lock(mutex_);
  if (loop_ == nullptr) {
    lock.unlock();  // fn dies on return, without the lock: its destructor may post, too
    return;
  }
  loop_->Post(std::move(fn));
}

}  // namespace tidemark
