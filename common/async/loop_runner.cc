#include "common/async/loop_runner.h"

#include <pthread.h>

#include <future>
#include <memory>

namespace tidemark {

LoopRunner::LoopRunner(std::string name) : loop_(name) {
  auto running = std::make_shared<std::promise<void>>();
  std::future<void> runs = running->get_future();
  loop_.Post([running = std::move(running)] { running->set_value(); });
  thread_ = std::thread([this, short_name = name.substr(0, 15)] {
    pthread_setname_np(pthread_self(), short_name.c_str());
    loop_.Run();
    loop_.End();
  });
  runs.wait();
}

LoopRunner::~LoopRunner() {
  CHECK(!loop_.InLoopThread()) << "loop '" << loop_.name() << "' cannot join itself";
  loop_.Stop();
  thread_.join();
}

}  // namespace tidemark
