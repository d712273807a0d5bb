// Scope: owns coroutines of one loop. Whoever owns a connection, partition or broker owns a Scope; closing it
// asks its children to stop and awaits them, so nothing outlives what it works on. Owner thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>

#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/async/wait.h"

namespace tidemark {

class Scope {
 public:
  Scope(EventLoop& loop, std::string name);
  // CHECKs that no child runs: Close() first.
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Starts `task` at once, on this stack, up to its first suspension. `name` must be a literal.
  // After RequestStop the task still runs (it sees the stopped token), so that what it owns is released.
  void Spawn(const char* name, Task<void> task);

  // Children pass this to every wait. One token per scope.
  std::stop_token stop_token() const { return stop_.get_token(); }
  bool stopping() const { return stop_.stop_requested(); }
  void RequestStop();

  // RequestStop, then waits until the last child has ended. Not from within a child.
  Task<void> Close();

  size_t running() const { return running_; }
  EventLoop& loop() const { return loop_; }
  const std::string& name() const { return name_; }
  // A handle that other threads may keep; only this loop's thread looks into it. Null once the scope has
  // gone.
  std::shared_ptr<Scope* const> handle() const { return self_; }

 private:
  struct Detached;
  Detached Run(const char* name, Task<void> task);

  EventLoop& loop_;
  std::string name_;
  std::stop_source stop_;
  size_t running_ = 0;
  Notifier ended_;
  const std::shared_ptr<Scope*> self_;
};

}  // namespace tidemark
