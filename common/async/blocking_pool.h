// BlockingPool: threads for what really blocks (fsync, opening and recovering logs, deletion, cold reads). Page-cache
// appends and cached reads never come here: a hand-off costs more than they do. The simulated pool runs the work
// inline after a virtual delay.
#pragma once

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

// Runs `fn` on the pool and returns its value on `loop`. Not cancellable: it waits for the disk however long that
// takes (the watchdog sees to the rest), so what `fn` refers to stays alive until it has returned.
template <typename F>
auto RunBlocking(BlockingPool& pool, EventLoop& loop, const char* name, F fn)
    -> Task<std::invoke_result_t<F&>> {
  using R = std::invoke_result_t<F&>;
  struct Shared {
    explicit Shared(EventLoop& l, const char* n) : waiter(l, n) {}
    Waiter waiter;
    std::optional<R> value;
  };
  Shared shared(loop, name);
  pool.Submit([&shared, &loop, fn = std::move(fn)]() mutable {
    shared.value.emplace(fn());
    loop.Post([&shared] { shared.waiter.Wake(); });
  });
  co_await shared.waiter;
  co_return std::move(*shared.value);
}

}  // namespace tidemark
