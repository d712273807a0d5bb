// ThreadPool: the real BlockingPool. Threads start when there is work and none is idle, up to a bound, and
// stay. Owner: the Environment. Any thread may submit. Invariant: whatever was submitted runs, also during
// destruction.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/async/blocking_pool.h"

namespace tidemark {

class ThreadPool final : public BlockingPool {
 public:
  ThreadPool(std::string name, size_t max_threads);
  // Waits until all work has run.
  ~ThreadPool() override;
  void Submit(Callback work) override;

 private:
  void RunThread(size_t number);

  const std::string name_;
  const size_t max_threads_;
  std::mutex mutex_;  // guards all below
  std::condition_variable work_arrived_;
  std::deque<Callback> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool closing_ = false;
};

}  // namespace tidemark
