#include "common/async/wait.h"

namespace tidemark {

std::vector<WaitRegistry::Entry> WaitRegistry::Snapshot() const {
  std::vector<Entry> entries;
  entries.reserve(waiters_.size());
  for (const Waiter* waiter : waiters_)
    entries.push_back({waiter->name(), waiter->since(), waiter->deadline()});
  return entries;
}

Waiter::Waiter(EventLoop& loop, const char* name, MonoTime deadline, std::stop_token stop)
    : loop_(loop), name_(name), since_(loop.Now()), deadline_(deadline), stop_(std::move(stop)) {}

Waiter::~Waiter() {
  on_stop_.reset();
  if (alive_) *alive_ = nullptr;
  loop_.CancelTimer(timer_);
  if (registered_) loop_.waits().waiters_.erase(position_);
}

void Waiter::await_suspend(std::coroutine_handle<> handle) {
  loop_.CheckOwner();
  handle_ = handle;
  position_ = loop_.waits().waiters_.insert(loop_.waits().waiters_.end(), this);
  registered_ = true;
  if (deadline_ != kNoDeadline) {
    timer_ = loop_.StartTimer(deadline_, [this] {
      timer_ = 0;
      End(WaitOutcome::kTimedOut);
    });
  }
  // Last, because a token already stopped calls back at once.
  if (stop_.stop_possible()) on_stop_.emplace(stop_, OnStop{this});
}

void Waiter::Wake() { End(WaitOutcome::kReady); }

void Waiter::End(WaitOutcome outcome) {
  if (outcome_) return;
  outcome_ = outcome;
  if (!handle_) return;
  alive_ = std::make_shared<Waiter*>(this);
  loop_.Defer([alive = alive_] {
    if (*alive != nullptr) (*alive)->handle_.resume();
  });
}

Notifier::~Notifier() {
  for (Place* place : places_) {
    CHECK(place->waiter.ended()) << "a Notifier died while '" << place->waiter.name() << "' waited";
    place->notifier = nullptr;
  }
}

Task<WaitOutcome> Notifier::Wait(const char* name, MonoTime deadline, std::stop_token stop) {
  Waiter waiter(loop_, name, deadline, std::move(stop));
  Place place(*this, waiter);
  co_return co_await waiter;
}

void Notifier::NotifyAll() {
  for (Place* place : places_) {
    place->notifier = nullptr;
    place->waiter.Wake();  // defers; nobody enters or leaves the list meanwhile
  }
  places_.clear();
}

Task<WaitOutcome> Sleep(EventLoop& loop, Duration delay, const char* name, std::stop_token stop) {
  Waiter waiter(loop, name, loop.Now() + delay, std::move(stop));
  co_return co_await waiter;
}

}  // namespace tidemark
