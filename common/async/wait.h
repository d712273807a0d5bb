// Waits: the only places where a coroutine suspends. Every wait has a name, a deadline (possibly none) and a
// stop token, is listed in its loop's WaitRegistry, and ends in exactly one of three ways. Resumption is
// always deferred (never inside the call that woke it), so nobody's state changes under the feet of the one
// who notifies. All classes here are loop-affine: owner thread only.
#pragma once

#include <coroutine>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/result.h"

namespace tidemark {

enum class WaitOutcome { kReady, kTimedOut, kStopped };

class Waiter;

// The waits of one loop, oldest first.
class WaitRegistry {
 public:
  struct Entry {
    const char* name;
    MonoTime since;
    MonoTime deadline;
  };
  std::vector<Entry> Snapshot() const;
  size_t size() const { return waiters_.size(); }

 private:
  friend class Waiter;
  std::list<Waiter*> waiters_;
};

// One suspension. Lives in the awaiting coroutine's frame: `Waiter w(loop, "name", deadline, stop); ...
// co_await w`. Someone else calls Wake() once; a wake before the await makes it return at once.
class Waiter {
 public:
  // `name` must outlive the wait (a literal).
  Waiter(EventLoop& loop, const char* name, MonoTime deadline = kNoDeadline, std::stop_token stop = {});
  ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // Ends the wait with kReady, unless it has ended. Idempotent.
  void Wake();

  bool await_ready() const noexcept { return outcome_.has_value(); }
  void await_suspend(std::coroutine_handle<> handle);
  WaitOutcome await_resume() noexcept { return *outcome_; }

  // Ended, though its coroutine may not have been resumed yet.
  bool ended() const { return outcome_.has_value(); }
  const char* name() const { return name_; }
  MonoTime since() const { return since_; }
  MonoTime deadline() const { return deadline_; }

 private:
  struct OnStop {
    Waiter* waiter;
    void operator()() const { waiter->End(WaitOutcome::kStopped); }
  };
  void End(WaitOutcome outcome);

  EventLoop& loop_;
  const char* name_;
  MonoTime since_;
  MonoTime deadline_;
  std::stop_token stop_;
  std::optional<WaitOutcome> outcome_;
  std::coroutine_handle<> handle_;
  TimerId timer_ = 0;
  std::list<Waiter*>::iterator position_;
  bool registered_ = false;
  std::optional<std::stop_callback<OnStop>> on_stop_;
  // Resumption is deferred through this guard, so that a frame destroyed meanwhile is not resumed.
  std::shared_ptr<Waiter*> alive_;
};

// A condition that several coroutines may wait for. NotifyAll wakes those waiting now; nothing is remembered.
class Notifier {
 public:
  explicit Notifier(EventLoop& loop) : loop_(loop) {}
  // CHECKs that nobody waits any more. Those already woken may still be on their way.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;
  Task<WaitOutcome> Wait(const char* name, MonoTime deadline = kNoDeadline, std::stop_token stop = {});
  void NotifyAll();

 private:
  // A waiter's place in the list; it leaves the list when it is notified or its frame ends, whichever is
  // first.
  struct Place {
    explicit Place(Notifier& n, Waiter& w)
        : notifier(&n), waiter(w), position(n.places_.insert(n.places_.end(), this)) {}
    ~Place() {
      if (notifier != nullptr) notifier->places_.erase(position);
    }
    Notifier* notifier;
    Waiter& waiter;
    std::list<Place*>::iterator position;
  };

  EventLoop& loop_;
  std::list<Place*> places_;
};

// One value from a producer to one waiting coroutine; both on the same loop. The producer side may outlive
// the consumer and the other way round.
template <typename T>
class OneShot {
 public:
  explicit OneShot(EventLoop& loop) : state_(std::make_shared<State>(loop)) {}

  // Delivers the value; only the first counts. Returns false if one was delivered before.
  bool Set(T value) {
    if (state_->value) return false;
    state_->value.emplace(std::move(value));
    if (state_->waiter != nullptr) state_->waiter->Wake();
    return true;
  }
  bool is_set() const { return state_->value.has_value(); }

  // The value; REQUEST_TIMED_OUT at the deadline, CANCELLED when stopped. At most one waiter at a time.
  Task<Result<T>> Wait(const char* name, MonoTime deadline = kNoDeadline, std::stop_token stop = {}) {
    std::shared_ptr<State> state = state_;
    if (!state->value) {
      CHECK(state->waiter == nullptr) << "two coroutines wait for " << name;
      Waiter waiter(state->loop, name, deadline, std::move(stop));
      Registration registration(*state, waiter);
      const WaitOutcome outcome = co_await waiter;
      if (!state->value) {
        if (outcome == WaitOutcome::kTimedOut) co_return Fail(v1::REQUEST_TIMED_OUT, "waiting for {}", name);
        co_return Fail(v1::CANCELLED, "stopped waiting for {}", name);
      }
    }
    co_return std::move(*state->value);
  }

 private:
  struct State {
    explicit State(EventLoop& l) : loop(l) {}
    EventLoop& loop;
    std::optional<T> value;
    Waiter* waiter = nullptr;
  };
  // Takes the waiter's address back also when the waiting frame is destroyed.
  struct Registration {
    Registration(State& s, Waiter& w) : state(s) { state.waiter = &w; }
    ~Registration() { state.waiter = nullptr; }
    State& state;
  };
  std::shared_ptr<State> state_;
};

// Waits out `delay`. kTimedOut is the ordinary end here; kStopped when stopped first.
Task<WaitOutcome> Sleep(EventLoop& loop, Duration delay, const char* name, std::stop_token stop = {});

}  // namespace tidemark
