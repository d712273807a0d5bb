#include "tests/simulation/env/sim_process.h"

#include <algorithm>

#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {
namespace {

// A run of callbacks without end, each deferring the next, would stop virtual time.
constexpr int kMaxDeferredInARow = 1'000'000;

}  // namespace

SimLoop::SimLoop(SimProcess& process, std::string name)
    : process_(process), name_(std::move(name)), source_(process.world().NewSource()) {
  process_.loops_.push_back(this);
}

SimLoop::~SimLoop() {
  End();
  std::erase(process_.loops_, this);
}

MonoTime SimLoop::Now() const { return process_.world().Now(); }

bool SimLoop::InLoopThread() const {
  const SimWorld& world = process_.world();
  return world.current_loop() == this || (driven_from_outside_ && !world.running());
}

SimEventId SimLoop::Schedule(MonoTime when, Callback fn) {
  if (!process_.alive()) {
    SimProcess::Bury(std::move(fn));
    return kNoSimEvent;
  }
  if (ended_) return kNoSimEvent;
  return process_.world().Schedule(when, &process_, this, std::move(fn));
}

void SimLoop::Post(Callback fn) {
  SimWorld& world = process_.world();
  const Duration delay =
      world.random().Chance(0.02) ? world.random().Between(20us, 2ms) : world.random().Between(1us, 20us);
  if (last_post_.size() > 64)
    std::erase_if(last_post_, [&](const auto& e) { return e.second < world.Now(); });
  MonoTime& last = last_post_[world.current_source()];
  last = std::max(last, world.Now() + delay);
  Schedule(last, std::move(fn));
}

void SimLoop::Defer(Callback fn) {
  if (!process_.alive()) return SimProcess::Bury(std::move(fn));
  CheckOwner();
  if (process_.world().current_loop() == this) {
    deferred_.push_back(std::move(fn));
  } else {
    Schedule(Now(), std::move(fn));  // driven from outside: there is no callback to wait for
  }
}

TimerId SimLoop::StartTimer(MonoTime when, Callback fn) {
  if (process_.alive()) CheckOwner();
  const TimerId id = ++last_timer_;
  timers_[id] = Schedule(when, [this, id, fn = std::move(fn)]() mutable {
    // A timer held back while its process was paused may have been cancelled since.
    if (timers_.erase(id) != 0) fn();
  });
  return id;
}

void SimLoop::CancelTimer(TimerId id) {
  auto it = timers_.find(id);
  if (it == timers_.end()) return;
  const SimEventId event = it->second;
  timers_.erase(it);
  process_.world().Cancel(event);
}

void SimLoop::SetStill(bool still) {
  still_ = still;
  if (still_ || !process_.alive()) return;
  std::vector<Callback> mine;
  std::erase_if(process_.held_, [&](auto& held) {
    if (held.first != this) return false;
    mine.push_back(std::move(held.second));
    return true;
  });
  for (Callback& fn : mine) Schedule(Now(), std::move(fn));  // held again where the process is paused
}

void SimLoop::RunDeferred() {
  int count = 0;
  while (!deferred_.empty() && process_.alive()) {
    CHECK_LT(++count, kMaxDeferredInARow) << "loop '" << name_ << "' defers for ever";
    Callback fn = std::move(deferred_.front());
    deferred_.pop_front();
    fn();
    if (!process_.alive()) SimProcess::Bury(std::move(fn));
  }
}

void SimLoop::End() {
  if (ended_) return;
  CHECK(process_.world().current_loop() != this) << "loop '" << name_ << "' ended from within";
  ended_ = true;
  std::vector<Callback> dropped = process_.world().TakeEvents(nullptr, this);
  std::erase_if(process_.held_, [&](auto& held) {
    if (held.first != this) return false;
    dropped.push_back(std::move(held.second));
    return true;
  });
  std::move(deferred_.begin(), deferred_.end(), std::back_inserter(dropped));
  deferred_.clear();
  if (!process_.alive()) {
    for (Callback& fn : dropped) SimProcess::Bury(std::move(fn));
  }
}

void SimBlockingPool::Submit(Callback work) {
  if (!process_.alive()) return SimProcess::Bury(std::move(work));
  ++waiting_;
  SimWorld& world = process_.world();
  world.Schedule(world.Now() + world.random().Between(low_, high_), &process_, nullptr,
                 [this, work = std::move(work)]() mutable { Run(std::move(work)); });
}

void SimBlockingPool::Run(Callback work) {
  if (hung_) {
    held_.push_back(std::move(work));
    return;
  }
  working_ = true;
  bool hangs = false;
  try {
    work();
  } catch (const SimHungCall&) {
    hangs = true;
  }
  working_ = false;
  if (!hangs) --waiting_;
  if (hangs || !process_.alive()) SimProcess::Bury(std::move(work));
}

void SimBlockingPool::SetHung(bool hung) {
  hung_ = hung;
  if (hung_ || !process_.alive()) return;
  waiting_ -= held_.size();
  for (Callback& work : std::exchange(held_, {})) Submit(std::move(work));
}

class SimProcess::WallClock final : public Clock {
 public:
  explicit WallClock(const SimProcess& process) : process_(process) {}
  WallMillis WallNow() const override { return process_.world_.WallNow() + ToMillis(process_.wall_offset_); }

 private:
  const SimProcess& process_;
};

class SimProcess::Thread final : public LoopThread {
 public:
  Thread(SimProcess& process, std::string name) : loop_(process, std::move(name)) {}
  EventLoop& loop() override { return loop_; }

 private:
  SimLoop loop_;
};

SimProcess::SimProcess(SimWorld& world, std::string host, int pid)
    : world_(world),
      host_(std::move(host)),
      pid_(pid),
      random_(world.random().Next()),
      pool_(*this),
      clock_(std::make_unique<WallClock>(*this)),
      files_(std::make_unique<SimFileSystem>(world.disk(host_), *this)),
      transport_(std::make_unique<SimTransport>(*this)),
      coordination_(std::make_unique<SimCoordination>(*this)),
      main_loop_(std::make_unique<SimLoop>(*this, "main")),
      main_scope_(std::make_unique<Scope>(*main_loop_, "main")) {}

SimProcess::~SimProcess() = default;

Clock& SimProcess::clock() { return *clock_; }
FileSystem& SimProcess::files() { return *files_; }
Transport& SimProcess::transport() { return *transport_; }
Coordination& SimProcess::coordination() { return *coordination_; }

std::unique_ptr<LoopThread> SimProcess::StartLoop(std::string name) {
  return std::make_unique<Thread>(*this, std::move(name));
}

void SimProcess::Spawn(const char* name, std::function<Task<void>()> body) {
  auto run = [](std::function<Task<void>()> fn) -> Task<void> { co_await fn(); };
  main_loop_->Post([this, name, run, body = std::move(body)]() mutable {
    main_scope_->Spawn(name, run(std::move(body)));
  });
}

void SimProcess::Bury(Callback fn) {
  static auto* graveyard = new std::vector<Callback>;  // reachable for ever, never destroyed
  graveyard->push_back(std::move(fn));
}

void SimProcess::Bury(std::shared_ptr<void> object) {
  static auto* graveyard = new std::vector<std::shared_ptr<void>>;
  graveyard->push_back(std::move(object));
}

void SimProcess::Kill(bool power_loss) {
  if (!alive_) return;
  const bool running = world_.current_process() == this;
  alive_ = false;
  for (Callback& fn : world_.TakeEvents(this, nullptr)) Bury(std::move(fn));
  // What loops had deferred, what was held back and what was kept stays in this object, which is never
  // destroyed.
  world_.network().CloseProcess(this, !power_loss);
  world_.disk(host_).ProcessGone(pid_, running);
  if (power_loss) {
    world_.network().SetHostUp(host_, false);
    world_.disk(host_).PowerLoss();
  }
}

void SimProcess::Exit() {
  CHECK(alive_ && world_.current_process() == nullptr);
  while (!kept_.empty()) kept_.pop_back();
  main_scope_.reset();
  main_loop_.reset();
  CHECK(loops_.empty()) << "loop '" << loops_.front()->name() << "' outlived its process";
  world_.TakeEvents(this, nullptr);
  alive_ = false;
  world_.network().CloseProcess(this, true);
  world_.disk(host_).ProcessGone(pid_, false);
}

SimLoop& SimProcess::LoopNamed(std::string_view name) {
  const auto it = std::ranges::find(loops_, name, &SimLoop::name);
  CHECK(it != loops_.end()) << "no loop '" << name << "'";
  return **it;
}

void SimProcess::Pause() { paused_ = true; }

void SimProcess::Resume() {
  if (!paused_) return;
  paused_ = false;
  if (!alive_) return;
  for (auto& [loop, fn] : std::exchange(held_, {})) world_.Schedule(world_.Now(), this, loop, std::move(fn));
}

}  // namespace tidemark
