#include "common/env/client_runtime.h"

namespace tidemark {

ClientRuntime::ClientRuntime(Environment& env) : env_(env), thread_(env.StartLoop("client")) {
  Done done;
  loop().Post([&] {
    scope_ = std::make_unique<Scope>(loop(), "client");
    done.Set();
  });
  done.Wait();
}

ClientRuntime::~ClientRuntime() {
  Done done;
  loop().Post([&] {
    // Every call has returned, so no child runs.
    scope_.reset();
    done.Set();
  });
  done.Wait();
}

void ClientRuntime::Done::Set() {
  std::lock_guard lock(mutex);
  done = true;
  changed.notify_all();  // under the lock: the waiter may destroy this object as soon as it sees `done`
}

void ClientRuntime::Done::Wait() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return done; });
}

}  // namespace tidemark
