// RealEnvironment: the Environment of a real process: system clock, kernel randomness, POSIX files, TCP,
// ZooKeeper, pool and loop threads. Owner: main; it outlives everything made through it, all LoopThreads
// included.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "common/async/thread_pool.h"
#include "common/env/environment.h"
#include "common/net/tcp_transport.h"

namespace tidemark {

// SplitMix64 from a seed of the kernel. Any thread.
class SystemRandom final : public Random {
 public:
  SystemRandom();
  uint64_t Next() override;

 private:
  std::atomic<uint64_t> state_;
};

class SystemClock final : public Clock {
 public:
  WallMillis WallNow() const override;
};

class RealEnvironment final : public Environment {
 public:
  struct Options {
    // What really blocks: fsync, recovery, resolver. More than disks can use, so that one that hangs stops no
    // other.
    size_t blocking_threads = 16;
  };
  // Makes the process ignore SIGPIPE.
  RealEnvironment() : RealEnvironment(Options{}) {}
  explicit RealEnvironment(Options options);

  Clock& clock() override { return clock_; }
  Random& random() override { return random_; }
  FileSystem& files() override { return *files_; }
  Transport& transport() override { return transport_; }
  Coordination& coordination() override { return *coordination_; }
  BlockingPool& blocking_pool() override { return pool_; }
  // The thread has the first 15 characters of `name`.
  std::unique_ptr<LoopThread> StartLoop(std::string name) override;

 private:
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<Coordination> coordination_;
  ThreadPool pool_;
  TcpTransport transport_;
};

}  // namespace tidemark
