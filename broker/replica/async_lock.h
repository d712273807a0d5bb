// AsyncLock: one coroutine of a loop at a time, in order of asking. Loop-affine. Guards a partition's
// transitions (role changes, truncation, setting the log aside), which suspend in the middle.
#pragma once

#include <list>
#include <utility>

#include "common/async/wait.h"

namespace tidemark {

class AsyncLock {
 public:
  class Guard {
   public:
    explicit Guard(AsyncLock* lock) : lock_(lock) {}
    Guard(Guard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (lock_ != nullptr) lock_->Release();
    }

   private:
    AsyncLock* lock_;
  };

  explicit AsyncLock(EventLoop& loop) : loop_(loop) {}
  ~AsyncLock() { CHECK(!held_ && queue_.empty()) << "an AsyncLock died in use"; }
  AsyncLock(const AsyncLock&) = delete;
  AsyncLock& operator=(const AsyncLock&) = delete;

  // `name` is a literal. Not cancellable: holders are bounded by the disk.
  Task<Guard> Acquire(const char* name) {
    if (held_) {
      Waiter waiter(loop_, name);
      queue_.push_back(&waiter);
      co_await waiter;  // ownership was handed over
    } else {
      held_ = true;
    }
    co_return Guard(this);
  }
  bool held() const { return held_; }

 private:
  void Release() {
    if (queue_.empty()) {
      held_ = false;
      return;
    }
    Waiter* next = queue_.front();
    queue_.pop_front();
    next->Wake();
  }

  EventLoop& loop_;
  bool held_ = false;
  std::list<Waiter*> queue_;
};

}  // namespace tidemark
