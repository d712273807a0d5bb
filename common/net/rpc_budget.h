// RpcBudget: the memory one kind of traffic may hold on one loop, and the connections that wait for room in
// it. Owner: the RpcServer, shared with the calls that hold bytes of it and may outlive the server. One
// loop's thread.
//
// Only bytes that will be given back without the help of the connection's peer's next bytes may stop reading:
// requests held and answers unsent. Parts of frames under way count towards the sum, but when nothing else is
// held nobody waits, or a set of half-sent frames would stop all of them for good. Invariants: held_ +
// partial_ is what the server's connections hold; a connection waits at most once.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

namespace tidemark {

class BudgetWaiter {
 public:
  virtual ~BudgetWaiter() = default;
  // There is room again. Called from inside Release: must not process requests at once. False: not wanted any
  // more; the next one is asked. True: calls WakeNext() when it has had its turn.
  virtual bool OnRoom() = 0;
};

class RpcBudget {
 public:
  explicit RpcBudget(size_t limit) : limit_(limit) {}

  void Hold(size_t bytes) { held_ += bytes; }
  void Release(size_t bytes);
  void HoldPartial(size_t bytes) { partial_ += bytes; }
  void ReleasePartial(size_t bytes) { partial_ -= bytes; }
  bool full() const { return held_ > 0 && held_ + partial_ >= limit_; }
  size_t used() const { return held_ + partial_; }
  size_t limit() const { return limit_; }
  // Offers the room, if there is any, to who waits longest.
  void WakeNext();
  // To be told once when there is room; first come, first served.
  void WaitForRoom(std::weak_ptr<BudgetWaiter> waiter) { waiting_.push_back(std::move(waiter)); }

 private:
  const size_t limit_;
  size_t held_ = 0;
  size_t partial_ = 0;
  std::deque<std::weak_ptr<BudgetWaiter>> waiting_;
};

}  // namespace tidemark
