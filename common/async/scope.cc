#include "common/async/scope.h"

#include <exception>
#include <utility>

namespace tidemark {

// A coroutine that owns itself: starts at once and frees its frame when it ends.
struct Scope::Detached {
  struct promise_type {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }
  };
};

Scope::Scope(EventLoop& loop, std::string name)
    : loop_(loop), name_(std::move(name)), ended_(loop), self_(std::make_shared<Scope*>(this)) {}

Scope::~Scope() {
  CHECK_EQ(running_, 0u) << "scope '" << name_ << "' destroyed before its children ended";
  *self_ = nullptr;
}

Scope::Detached Scope::Run(const char* /*name*/, Task<void> task) {
  ++running_;
  {
    Task<void> owned = std::move(task);
    co_await std::move(owned);
  }
  if (--running_ == 0) ended_.NotifyAll();
}

void Scope::Spawn(const char* name, Task<void> task) {
  loop_.CheckOwner();
  Run(name, std::move(task));
}

void Scope::RequestStop() { stop_.request_stop(); }

Task<void> Scope::Close() {
  RequestStop();
  while (running_ > 0) co_await ended_.Wait("scope close");
}

}  // namespace tidemark
