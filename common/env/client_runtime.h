// ClientRuntime: a loop thread of its own for programs that think in calls, such as the tools. The main
// thread calls Run; everything of the client lives on the loop.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/async/scope.h"
#include "common/env/environment.h"

namespace tidemark {

class ClientRuntime {
 public:
  // Uses `env` for everything outside; the environment outlives the runtime.
  explicit ClientRuntime(Environment& env);
  ~ClientRuntime();

  Environment& env() { return env_; }
  EventLoop& loop() { return thread_->loop(); }

  // Calls `make` (returning Task<R>) on the loop and waits here for its value. Not from the loop's own
  // thread.
  template <typename F>
  auto Run(F make) {
    using TaskType = std::invoke_result_t<F&>;
    return RunTask(std::move(make), static_cast<TaskType*>(nullptr));
  }

 private:
  struct Done {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    void Set();
    void Wait();
  };

  template <typename F, typename R>
  R RunTask(F make, Task<R>*) {
    Done done;
    if constexpr (std::is_void_v<R>) {
      loop().Post([&] { scope_->Spawn("client call", Finish(make, done)); });
      done.Wait();
    } else {
      std::optional<R> value;
      loop().Post([&] { scope_->Spawn("client call", Finish(make, value, done)); });
      done.Wait();
      return std::move(*value);
    }
  }
  template <typename F>
  static Task<void> Finish(F& make, Done& done) {
    co_await make();
    done.Set();
  }
  template <typename F, typename R>
  static Task<void> Finish(F& make, std::optional<R>& value, Done& done) {
    value.emplace(co_await make());
    done.Set();
  }

  Environment& env_;
  std::unique_ptr<LoopThread> thread_;
  std::unique_ptr<Scope> scope_;
};

}  // namespace tidemark
