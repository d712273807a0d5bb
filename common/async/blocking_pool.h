// BlockingPool: threads for what really blocks (fsync, opening and recovering logs, deletion, cold reads).
// Page-cache appends and cached reads never come here: a hand-off costs more than they do. The real one is
// common/async/thread_pool.h; the simulated pool runs the work inline after a virtual delay.
#pragma once

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/async/wait.h"

namespace tidemark {

class BlockingPool {
 public:
  virtual ~BlockingPool() = default;
  // Runs `work` on some pool thread. Any thread. Work submitted is always run, also at shutdown.
  virtual void Submit(Callback work) = 0;
};

// Runs `fn` on the pool and returns its value on `loop`. Not cancellable: it waits for the disk however long
// that takes (the watchdog sees to the rest), so what `fn` refers to stays alive until it has returned.
// Should the waiting frame be destroyed all the same, the result is dropped; then `fn` must own what it uses.
template <typename F>
auto RunBlocking(BlockingPool& pool, EventLoop& loop, const char* name, F fn)
    -> Task<std::invoke_result_t<F&>> {
  using R = std::invoke_result_t<F&>;
  struct Shared {
    std::optional<R> value;    // the pool's until it posts, then the loop's
    Waiter* waiter = nullptr;  // the loop's; null when the waiting frame has gone
  };
  struct Registration {
    std::shared_ptr<Shared> shared;
    ~Registration() { shared->waiter = nullptr; }
  };
  Waiter waiter(loop, name);
  Registration registration{std::make_shared<Shared>()};
  registration.shared->waiter = &waiter;
  pool.Submit([shared = registration.shared, home = loop.handle(), fn = std::move(fn)]() mutable {
    {
      F body = std::move(fn);  // dies before the loop goes on: nothing of it is touched on two threads
      shared->value.emplace(body());
    }
    home->Post([shared = std::move(shared)] {
      if (shared->waiter != nullptr) shared->waiter->Wake();
    });
  });
  co_await waiter;
  co_return std::move(*registration.shared->value);
}

}  // namespace tidemark
