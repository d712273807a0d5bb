// LoopRunner: a LibeventLoop and the thread that runs it. Destroying it ends the loop and joins the thread;
// what is pending is destroyed on that thread. Owner: the real Environment's loop threads, and tests.
#pragma once

#include <string>
#include <thread>

#include "common/async/libevent_loop.h"

namespace tidemark {

class LoopRunner {
 public:
  // Returns when the loop runs. The thread has the first 15 characters of `name`.
  explicit LoopRunner(std::string name);
  // Not on the loop's own thread.
  ~LoopRunner();
  LibeventLoop& loop() { return loop_; }

 private:
  LibeventLoop loop_;
  std::thread thread_;
};

}  // namespace tidemark
