// SlowCall: tells, if that is wanted (ClientOptions::on_slow_call), of a call that takes long. Lives as long
// as the call, on the client's loop.
#pragma once

#include "client/cluster.h"

namespace tidemark::internal {

// After which an application is told that a call, or a record, is still waited for.
inline constexpr Duration kSlow = 5s;

class SlowCall {
 public:
  // `notes` outlive it. Nothing is told of a call without a deadline, nor of one that ends by then.
  SlowCall(Cluster& cluster, const Cluster::CallNotes& notes, MonoTime deadline) : loop_(cluster.loop()) {
    const bool ends = deadline != kNoDeadline && deadline - loop_.Now() > kSlow;
    if (cluster.options().on_slow_call && ends) Arm(cluster, notes, deadline, true);
  }
  SlowCall(const SlowCall&) = delete;
  SlowCall& operator=(const SlowCall&) = delete;
  ~SlowCall() { loop_.CancelTimer(timer_); }

 private:
  // Once, and once more if it is known only later why.
  void Arm(Cluster& cluster, const Cluster::CallNotes& notes, MonoTime deadline, bool first) {
    timer_ = loop_.StartTimerAfter(kSlow, [this, &cluster, &notes, deadline, first] {
      timer_ = 0;
      if (first || notes.last) cluster.options().on_slow_call(notes.last, deadline - loop_.Now());
      if (!notes.last) Arm(cluster, notes, deadline, false);
    });
  }

  EventLoop& loop_;
  TimerId timer_ = 0;
};

}  // namespace tidemark::internal
