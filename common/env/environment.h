// Environment: the outside world, handed in. main passes the real one (common/env/real_environment.h),
// simulations one where time is virtual and everything follows from a seed. Outside common/ nobody opens a
// file, a socket, a thread or a clock in any other way.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/async/blocking_pool.h"
#include "common/async/event_loop.h"
#include "common/io/file_system.h"
#include "common/net/transport.h"
#include "common/random.h"
#include "common/time.h"
#include "common/zk/coordination.h"

namespace tidemark {

// A loop and its thread. Destroying it ends the loop: pending posts are dropped, the thread is joined.
class LoopThread {
 public:
  virtual ~LoopThread() = default;
  virtual EventLoop& loop() = 0;
};

class Environment {
 public:
  virtual ~Environment() = default;
  virtual Clock& clock() = 0;
  virtual Random& random() = 0;
  virtual FileSystem& files() = 0;
  virtual Transport& transport() = 0;
  virtual Coordination& coordination() = 0;
  virtual BlockingPool& blocking_pool() = 0;
  virtual std::unique_ptr<LoopThread> StartLoop(std::string name) = 0;
};

}  // namespace tidemark
