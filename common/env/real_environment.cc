#include "common/env/real_environment.h"

#include <chrono>
#include <csignal>
#include <random>

#include "common/async/loop_runner.h"
#include "common/io/posix_file_system.h"
#include "common/zk/zk_client.h"

namespace tidemark {
namespace {

class RealLoopThread final : public LoopThread {
 public:
  explicit RealLoopThread(std::string name) : runner_(std::move(name)) {}
  EventLoop& loop() override { return runner_.loop(); }

 private:
  LoopRunner runner_;
};

}  // namespace

SystemRandom::SystemRandom() {
  std::random_device device;
  state_ = uint64_t{device()} << 32 | device();
}

uint64_t SystemRandom::Next() {
  uint64_t z = state_.fetch_add(0x9e3779b97f4a7c15ULL, std::memory_order_relaxed) + 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

WallMillis SystemClock::WallNow() const {
  return ToMillis(std::chrono::system_clock::now().time_since_epoch());
}

RealEnvironment::RealEnvironment(Options options)
    : files_(MakePosixFileSystem()),
      coordination_(MakeZooKeeperCoordination()),
      pool_("blocking", options.blocking_threads),
      transport_(pool_) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that has gone is an error of the write, not the end of the process
}

std::unique_ptr<LoopThread> RealEnvironment::StartLoop(std::string name) {
  return std::make_unique<RealLoopThread>(std::move(name));
}

}  // namespace tidemark
