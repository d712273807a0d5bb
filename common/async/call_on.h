// CallOn: runs a coroutine on another loop and brings its result home.
//
// The answer returns through a weak handle that only the home loop opens, never to a bare pointer: when the
// caller has gone (its scope stopped, its deadline passed) the handle no longer opens and the answer is
// dropped. Loops and scopes are held by handles as well: either side may have ended when the other one comes
// round to it. Work that was never begun, because the target ended first, is answered CANCELLED.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "common/async/event_loop.h"
#include "common/async/scope.h"
#include "common/async/task.h"
#include "common/async/wait.h"

namespace tidemark {

namespace internal {

// The way home of one CallOn. Delivers once; dying undelivered delivers "nothing".
template <typename R>
class CallReply {
 public:
  using Slot = OneShot<std::optional<R>>;
  CallReply(std::shared_ptr<LoopHandle> home, std::weak_ptr<Slot> slot)
      : home_(std::move(home)), slot_(std::move(slot)) {}
  CallReply(CallReply&& other) noexcept = default;
  CallReply& operator=(CallReply&&) = delete;
  ~CallReply() {
    if (home_) Deliver(std::nullopt);
  }
  void Deliver(std::optional<R> result) {
    std::exchange(home_, nullptr)->Post([slot = std::move(slot_), result = std::move(result)]() mutable {
      if (auto open = slot.lock()) open->Set(std::move(result));
    });
  }

 private:
  std::shared_ptr<LoopHandle> home_;
  std::weak_ptr<Slot> slot_;
};

// The body is destroyed before the answer leaves: nothing of it is touched on two threads.
template <typename R, typename F>
Task<void> RunForCaller(F work, CallReply<R> reply) {
  std::optional<R> result;
  {
    F body = std::move(work);
    result.emplace(co_await body());
  }
  reply.Deliver(std::move(result));
}

template <typename R, typename F>
Task<void> RunHere(F work, std::weak_ptr<OneShot<std::optional<R>>> slot) {
  R result = co_await work();
  if (auto open = slot.lock()) open->Set(std::move(result));
}

}  // namespace internal

// `work` is called on `target`'s thread and returns Task<R>; its coroutine is a child of `target_scope`
// (which lives on that loop). Returns R, or CANCELLED / REQUEST_TIMED_OUT as OneShot::Wait does. When both
// loops are the same the work still runs as a child of target_scope, without a hop. `target` and
// `target_scope` must exist when the call begins, not longer. `name` is a literal. R must be movable across
// threads. `work` owns everything it needs.
template <typename R, typename F>
Task<Result<R>> CallOn(EventLoop& home, EventLoop& target, Scope& target_scope, const char* name, F work,
                       MonoTime deadline = kNoDeadline, std::stop_token stop = {}) {
  using Slot = OneShot<std::optional<R>>;
  auto slot = std::make_shared<Slot>(home);
  if (&home == &target) {
    target_scope.Spawn(name, internal::RunHere<R>(std::move(work), std::weak_ptr<Slot>(slot)));
  } else {
    target.Post([scope = target_scope.handle(), name, work = std::move(work),
                 reply = internal::CallReply<R>(home.handle(), slot)]() mutable {
      if (*scope == nullptr) return;
      (*scope)->Spawn(name, internal::RunForCaller<R>(std::move(work), std::move(reply)));
    });
  }
  Result<std::optional<R>> answer = co_await slot->Wait(name, deadline, std::move(stop));
  if (!answer) co_return std::unexpected(std::move(answer).error());
  if (!*answer) co_return Fail(v1::CANCELLED, "the loop that {} was sent to has ended", name);
  co_return std::move(**answer);
}

}  // namespace tidemark
