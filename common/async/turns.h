// Turns: so many coroutines of a loop at a time, in order of asking; whoever waits may give up. Loop-affine.
//
// Invariant: somebody waits only while every turn is taken; a turn given back goes to whoever waits longest.
#pragma once

#include <list>
#include <optional>
#include <stop_token>
#include <utility>

#include "common/async/wait.h"

namespace tidemark {

class Turns {
 public:
  class Turn {
   public:
    explicit Turn(Turns* turns) : turns_(turns) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (turns_ != nullptr) turns_->GiveBack();
    }

   private:
    Turns* turns_;
  };

  Turns(EventLoop& loop, size_t at_once) : loop_(loop), free_(at_once) { CHECK_GT(at_once, 0u); }
  ~Turns() { CHECK(queue_.empty()) << "somebody still waits for a turn"; }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Nothing: the deadline or the stop came first. `name` is a literal.
  Task<std::optional<Turn>> Take(const char* name, MonoTime deadline, std::stop_token stop) {
    if (free_ > 0) {
      --free_;
      co_return Turn(this);
    }
    Waiter waiter(loop_, name, deadline, std::move(stop));
    Place place(*this, waiter);
    if (co_await waiter != WaitOutcome::kReady) co_return std::nullopt;
    co_return place.Claim();
  }
  size_t waiting() const { return queue_.size(); }

 private:
  // In the queue until it is given a turn or its frame ends.
  struct Place {
    Place(Turns& t, Waiter& w) : turns(t), waiter(w), position(t.queue_.insert(t.queue_.end(), this)) {}
    ~Place() {
      if (queued) turns.queue_.erase(position);
      if (given) turns.GiveBack();  // its frame ended before it went on
    }
    Turn Claim() {
      given = false;
      return Turn(&turns);
    }
    Turns& turns;
    Waiter& waiter;
    std::list<Place*>::iterator position;
    bool queued = true;
    bool given = false;
  };

  void GiveBack() {
    while (!queue_.empty()) {
      Place& first = *queue_.front();
      queue_.pop_front();
      first.queued = false;
      // Who has given up and is yet to be resumed is passed over.
      if (first.waiter.ended()) continue;
      first.given = true;
      first.waiter.Wake();
      return;
    }
    ++free_;
  }

  EventLoop& loop_;
  size_t free_;
  std::list<Place*> queue_;
};

}  // namespace tidemark
