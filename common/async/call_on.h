// CallOn: runs a coroutine on another loop and brings its result home.
//
// The answer returns through a weak handle that only the home loop opens, never to a bare pointer: when the caller
// has gone (its scope stopped, its deadline passed) the handle no longer opens and the answer is dropped.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "common/async/event_loop.h"
#include "common/async/scope.h"
#include "common/async/task.h"
#include "common/async/wait.h"

namespace tidemark {

// `work` is called on `target`'s thread and returns Task<R>; its coroutine is a child of `target_scope` (which lives
// on that loop). Returns R, or CANCELLED / REQUEST_TIMED_OUT as OneShot::Wait does. When both loops are the same the
// work still runs as a child of target_scope, without a hop.
// R must be movable across threads. `work` owns everything it needs.
template <typename R, typename F>
Task<Result<R>> CallOn(EventLoop& home, EventLoop& target, Scope& target_scope, const char* name, F work,
                       MonoTime deadline = kNoDeadline, std::stop_token stop = {}) {
  auto slot = std::make_shared<OneShot<R>>(home);
  std::weak_ptr<OneShot<R>> handle = slot;
  auto run = [](EventLoop* home_loop, bool same, F body, std::weak_ptr<OneShot<R>> reply) -> Task<void> {
    R result = co_await body();
    if (same) {
      if (auto target_slot = reply.lock()) target_slot->Set(std::move(result));
    } else {
      home_loop->Post([reply = std::move(reply), result = std::move(result)]() mutable {
        if (auto target_slot = reply.lock()) target_slot->Set(std::move(result));
      });
    }
  };
  if (&home == &target) {
    target_scope.Spawn(name, run(&home, true, std::move(work), std::move(handle)));
  } else {
    target.Post([&home, &target_scope, name, run, work = std::move(work), handle = std::move(handle)]() mutable {
      target_scope.Spawn(name, run(&home, false, std::move(work), std::move(handle)));
    });
  }
  co_return co_await slot->Wait(name, deadline, std::move(stop));
}

}  // namespace tidemark
