// Runs coroutines on a real loop in the test's own thread.
#pragma once

#include <optional>

#include <gtest/gtest.h>

#include "common/async/libevent_loop.h"
#include "common/async/scope.h"

namespace tidemark {

class LoopTest : public ::testing::Test {
 protected:
  // Runs the loop until `task` has ended, and gives its value.
  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> value;
    scope_.Spawn("test", Keep(std::move(task), &value, &loop_));
    loop_.Run();
    return std::move(*value);
  }
  void Run(Task<void> task) {
    scope_.Spawn("test", StopAfter(std::move(task), &loop_));
    loop_.Run();
  }
  // Runs everything that is ready now.
  void Settle() {
    loop_.Post([this] { loop_.Post([this] { loop_.Stop(); }); });
    loop_.Run();
  }

  LibeventLoop loop_{"test"};
  Scope scope_{loop_, "test"};

 private:
  template <typename T>
  static Task<void> Keep(Task<T> task, std::optional<T>* value, LibeventLoop* loop) {
    value->emplace(co_await std::move(task));
    loop->Stop();
  }
  static Task<void> StopAfter(Task<void> task, LibeventLoop* loop) {
    co_await std::move(task);
    loop->Stop();
  }
};

}  // namespace tidemark
