#include "common/async/libevent_loop.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <chrono>
#include <utility>

namespace tidemark {
namespace {

// Empties an eventfd or timerfd, so that it is not ready any more.
void Drain(evutil_socket_t fd, short, void*) {
  uint64_t count;
  [[maybe_unused]] const ssize_t n = read(fd, &count, sizeof count);
}

event_base* NewBase() {
  event_config* config = event_config_new();
  CHECK(config != nullptr);
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_base* base = event_base_new_with_config(config);
  event_config_free(config);
  CHECK(base != nullptr) << "libevent offers no event loop";
  return base;
}

event* NewReadEvent(event_base* base, int fd) {
  event* watched = event_new(base, fd, EV_READ | EV_PERSIST, Drain, nullptr);
  CHECK(watched != nullptr);
  CHECK_EQ(event_add(watched, nullptr), 0);
  return watched;
}

}  // namespace

LibeventLoop::LibeventLoop(std::string name) : name_(std::move(name)), owner_(std::this_thread::get_id()) {
  base_ = NewBase();
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  PCHECK(wake_fd_ >= 0) << "eventfd of loop " << name_;
  timer_fd_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  PCHECK(timer_fd_ >= 0) << "timerfd of loop " << name_;
  wake_event_ = NewReadEvent(base_, wake_fd_);
  timer_event_ = NewReadEvent(base_, timer_fd_);
}

LibeventLoop::~LibeventLoop() {
  EndHandle();
  End();
  event_free(wake_event_);
  event_free(timer_event_);
  event_base_free(base_);
  close(wake_fd_);
  close(timer_fd_);
}

MonoTime LibeventLoop::Now() const { return MonoTime(std::chrono::steady_clock::now().time_since_epoch()); }

void LibeventLoop::Post(Callback fn) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (!ended_) {
      posts_.push_back(std::move(fn));
      wake = std::exchange(sleeping_, false);
    }
  }
  if (wake) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
  }
}  // after the end `fn` dies here, outside the lock

void LibeventLoop::Defer(Callback fn) {
  CheckOwner();
  deferred_.push_back(std::move(fn));
}

TimerId LibeventLoop::StartTimer(MonoTime when, Callback fn) {
  CheckOwner();
  return timers_.Add(when, std::move(fn));
}

void LibeventLoop::CancelTimer(TimerId id) {
  if (id == 0) return;
  CheckOwner();
  timers_.Cancel(id);
}

bool LibeventLoop::InLoopThread() const {
  return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

void LibeventLoop::Run() {
  owner_ = std::this_thread::get_id();
  while (!stop_.exchange(false)) Turn();
}

void LibeventLoop::Stop() {
  stop_ = true;
  Post([] {});  // ends a sleep
}

void LibeventLoop::Turn() {
  RunDeferred();
  RunTurnEnd();
  Poll();
  RunTimers();
  RunPosts();
  RunTurnEnd();
}

void LibeventLoop::Poll() {
  ArmTimer();
  bool sleep = Idle() && timers_.Earliest() > Now();
  if (sleep) {
    std::lock_guard lock(mutex_);
    sleep = posts_.empty();
    sleeping_ = sleep;
  }
  event_base_loop(base_, sleep ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
  if (sleep) {
    std::lock_guard lock(mutex_);
    sleeping_ = false;
  }
}

void LibeventLoop::ArmTimer() {
  const MonoTime earliest = timers_.Earliest();
  // Armed too early is left as it is: the loop wakes once for nothing. This spares a system call per
  // cancelled timer.
  if (earliest >= armed_for_ && armed_for_ > Now()) return;
  if (earliest == kNoDeadline || earliest <= Now()) {
    armed_for_ = kNoDeadline;
    return;
  }
  const Duration since_boot = earliest.time_since_epoch();
  itimerspec at{};
  at.it_value.tv_sec = since_boot / 1s;
  at.it_value.tv_nsec = (since_boot % 1s).count();
  PCHECK(timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &at, nullptr) == 0);
  armed_for_ = earliest;
}

void LibeventLoop::RunDeferred() {
  while (!deferred_.empty()) {
    Callback fn = std::move(deferred_.front());
    deferred_.pop_front();
    fn();
  }
}

void LibeventLoop::RunTimers() {
  if (timers_.size() == 0) return;
  const MonoTime now = Now();  // once: a timer that starts a timer for now does not starve the rest
  while (auto fn = timers_.PopDue(now)) {
    (*fn)();
    fn.reset();
    RunDeferred();
  }
}

void LibeventLoop::RunPosts() {
  {
    std::lock_guard lock(mutex_);
    running_posts_.swap(posts_);
  }
  for (Callback& fn : running_posts_) {
    fn();
    fn = nullptr;
    RunDeferred();
  }
  running_posts_.clear();
}

void LibeventLoop::RunTurnEnd() {
  while (!at_turn_end_.empty()) {
    std::vector<Callback> work;
    work.swap(at_turn_end_);
    for (Callback& fn : work) {
      fn();
      RunDeferred();
    }
  }
}

void LibeventLoop::End() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    running_posts_.swap(posts_);
  }
  // What dies here may cancel timers, defer or post once more: posts die at once, the rest is taken until
  // none is left.
  running_posts_.clear();
  while (!deferred_.empty() || !at_turn_end_.empty() || timers_.size() > 0) {
    std::deque<Callback> deferred = std::exchange(deferred_, {});
    std::vector<Callback> turn_end = std::exchange(at_turn_end_, {});
    while (auto fn = timers_.PopDue(kNoDeadline)) fn.reset();
  }
}

}  // namespace tidemark
