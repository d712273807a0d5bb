// Gather: starts work on several loops and collects the results on the home loop. As CallOn, for many:
// results come back through a weak handle that only the home loop opens, so a caller that has gone is never
// touched.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/async/event_loop.h"
#include "common/async/scope.h"
#include "common/async/task.h"
#include "common/async/wait.h"

namespace tidemark {

template <typename R>
class Gather {
 public:
  Gather(EventLoop& home, size_t expected) : state_(std::make_shared<State>(home, expected)) {}

  // `body` is called on `target`'s thread and returns Task<R>; it owns what it needs. Works begun in one
  // order on one target begin there in that order, each up to its first suspension before the next (at once
  // where home is target).
  template <typename F>
  void Start(size_t index, EventLoop& target, Scope& target_scope, const char* name, F body) {
    std::weak_ptr<State> handle = state_;
    EventLoop& home = state_->loop;
    if (&home == &target) {
      target_scope.Spawn(name, RunHere(std::move(body), std::move(handle), index));
      return;
    }
    target.Post(
        [&home, &target_scope, name, body = std::move(body), handle = std::move(handle), index]() mutable {
          target_scope.Spawn(name, RunThere(&home, std::move(body), std::move(handle), index));
        });
  }

  // Called on the home loop with the index of each result as it comes. Before the first Start.
  void SetListener(std::function<void(size_t index)> listener) { state_->listener = std::move(listener); }

  // Until every result is there (kReady), or the deadline, or the stop. Once.
  Task<WaitOutcome> Wait(const char* name, MonoTime deadline, std::stop_token stop) {
    std::shared_ptr<State> state = state_;
    if (state->missing == 0) co_return WaitOutcome::kReady;
    Waiter waiter(state->loop, name, deadline, std::move(stop));
    state->waiter = &waiter;
    const WaitOutcome outcome = co_await waiter;
    state->waiter = nullptr;
    co_return state->missing == 0 ? WaitOutcome::kReady : outcome;
  }

  // Results that are there, by index.
  std::vector<std::optional<R>>& results() { return state_->results; }

 private:
  struct State {
    State(EventLoop& l, size_t expected) : loop(l), results(expected), missing(expected) {}
    EventLoop& loop;
    std::vector<std::optional<R>> results;
    size_t missing;
    Waiter* waiter = nullptr;
    std::function<void(size_t)> listener;
  };

  static void Deliver(const std::weak_ptr<State>& handle, size_t index, R result) {
    const std::shared_ptr<State> state = handle.lock();
    if (!state) return;
    CHECK(!state->results[index]) << "a result came twice";
    state->results[index].emplace(std::move(result));
    if (state->listener) state->listener(index);
    if (--state->missing == 0 && state->waiter != nullptr) state->waiter->Wake();
  }

  template <typename F>
  static Task<void> RunHere(F body, std::weak_ptr<State> handle, size_t index) {
    R result = co_await body();
    Deliver(handle, index, std::move(result));
  }
  template <typename F>
  static Task<void> RunThere(EventLoop* home, F body, std::weak_ptr<State> handle, size_t index) {
    R result = co_await body();
    home->Post([handle = std::move(handle), index, result = std::move(result)]() mutable {
      Deliver(handle, index, std::move(result));
    });
  }

  std::shared_ptr<State> state_;
};

}  // namespace tidemark
