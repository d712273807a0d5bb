#include "common/async/thread_pool.h"

#include <pthread.h>

#include <utility>

#include <fmt/format.h>
#include <glog/logging.h>

namespace tidemark {

ThreadPool::ThreadPool(std::string name, size_t max_threads)
    : name_(std::move(name)), max_threads_(max_threads) {
  CHECK_GT(max_threads, 0u);
}

ThreadPool::~ThreadPool() {
  std::vector<std::thread> threads;
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      closing_ = true;
      threads.swap(threads_);
    }
    work_arrived_.notify_all();
    // Work that runs now may submit more and start threads for it: until none is left.
    if (threads.empty()) break;
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }
  CHECK(queue_.empty());
}

void ThreadPool::Submit(Callback work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (queue_.size() > idle_ && threads_.size() < max_threads_) {
      threads_.emplace_back([this, number = threads_.size()] { RunThread(number); });
    }
  }
  work_arrived_.notify_one();
}

void ThreadPool::RunThread(size_t number) {
  pthread_setname_np(pthread_self(), fmt::format("{}-{}", name_, number).substr(0, 15).c_str());
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    work_arrived_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;  // closing, and nothing left
    Callback work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
}

}  // namespace tidemark
