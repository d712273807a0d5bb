// SimProcess: one simulated process of one host, as an Environment. It can be killed and paused at any event,
// also from within its own callbacks: what is left on the stack then runs on without effect on anyone.
//
// The objects of a killed process cannot be destroyed cleanly (their coroutines are suspended for ever), so
// they are never destroyed: whatever was handed to Keep(), the loops and all callbacks not run yet go to a
// graveyard that stays reachable until the end of the program.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/async/scope.h"
#include "common/env/environment.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

class SimTransport;
class SimFileSystem;
class SimCoordination;

// A loop on virtual time. Posts arrive after a small random delay, those from one source in order.
class SimLoop final : public EventLoop {
 public:
  SimLoop(SimProcess& process, std::string name);
  ~SimLoop() override;

  MonoTime Now() const override;
  void Post(Callback fn) override;
  void Defer(Callback fn) override;
  TimerId StartTimer(MonoTime when, Callback fn) override;
  void CancelTimer(TimerId id) override;
  bool InLoopThread() const override;
  std::string_view name() const override { return name_; }
  WaitRegistry& waits() override { return waits_; }

  SimProcess& process() const { return process_; }
  uint64_t source() const { return source_; }
  // Ends the loop: what was posted is destroyed without running, later posts too.
  void End();
  bool ended() const { return ended_; }
  // The code that drives the world counts as this loop's thread while the world itself runs nothing: for
  // tests that call loop-affine things directly.
  void SetDrivenFromOutside() { driven_from_outside_ = true; }
  // While it stands still nothing of it runs: a thread that waits for a disk.
  void SetStill(bool still);
  bool still() const { return still_; }
  // Runs what was deferred, until nothing is left.
  void RunDeferred();
  // Schedules `fn` on this loop: the kernel telling it something.
  SimEventId Schedule(MonoTime when, Callback fn);

 private:
  friend class SimProcess;
  SimProcess& process_;
  std::string name_;
  uint64_t source_;
  bool ended_ = false;
  bool driven_from_outside_ = false;
  bool still_ = false;
  TimerId last_timer_ = 0;
  std::map<TimerId, SimEventId> timers_;
  std::map<uint64_t, MonoTime> last_post_;  // by source
  std::deque<Callback> deferred_;
  WaitRegistry waits_;
};

// Thrown through work of a blocking pool whose disk call never returns. Nothing but the pool catches it.
class SimHungCall {};

// Runs work inline after a random delay; nothing is promised about order.
class SimBlockingPool final : public BlockingPool {
 public:
  explicit SimBlockingPool(SimProcess& process) : process_(process) {}
  void Submit(Callback work) override;
  // While hung, nothing of the pool proceeds: a disk that does not answer.
  void SetHung(bool hung);
  size_t waiting() const { return waiting_; }
  // Whether one of its threads is what runs now.
  bool working() const { return working_; }
  void SetDelay(Duration low, Duration high) { low_ = low, high_ = high; }

 private:
  void Run(Callback work);
  SimProcess& process_;
  bool hung_ = false;
  bool working_ = false;
  size_t waiting_ = 0;
  Duration low_ = 50us;
  Duration high_ = 3ms;
  std::vector<Callback> held_;
};

class SimProcess final : public Environment {
 public:
  SimProcess(SimWorld& world, std::string host, int pid);
  ~SimProcess() override;

  Clock& clock() override;
  Random& random() override { return random_; }
  FileSystem& files() override;
  Transport& transport() override;
  Coordination& coordination() override;
  BlockingPool& blocking_pool() override { return pool_; }
  std::unique_ptr<LoopThread> StartLoop(std::string name) override;

  SimBlockingPool& pool() { return pool_; }
  SimFileSystem& sim_files() { return *files_; }
  // The loop of main(); lives as long as the process.
  SimLoop& main_loop() { return *main_loop_; }
  // The loop of this name; CHECKs that there is one.
  SimLoop& LoopNamed(std::string_view name);
  // Starts a coroutine on the main loop.
  void Spawn(const char* name, std::function<Task<void>()> body);
  // Starts `body` on the main loop and runs the world until it has ended; CHECKs that it does within `limit`.
  template <typename F>
  auto Await(F body, Duration limit = 600s) {
    return AwaitTask(std::move(body), limit, static_cast<std::invoke_result_t<F&>*>(nullptr));
  }

  // The object belongs to the process: destroyed by Exit(), never after Kill().
  void Keep(std::shared_ptr<void> object) { kept_.push_back(std::move(object)); }

  // From this instant nothing of the process runs, its connections are cut (peers are told where the network
  // allows), its locks are free, its ZooKeeper session is left to expire. Everything written survives; with
  // `power_loss` the whole host goes down: peers hear nothing, unsynced data is lost at random.
  void Kill(bool power_loss = false);
  // The orderly end: destroys what was kept, last first. All loops but the main one must have ended by then.
  void Exit();
  // SIGSTOP and SIGCONT.
  void Pause();
  void Resume();

  bool alive() const { return alive_; }
  bool paused() const { return paused_; }
  int pid() const { return pid_; }
  const std::string& host() const { return host_; }
  SimWorld& world() const { return world_; }
  void SetWallOffset(Duration offset) { wall_offset_ = offset; }
  // Holds an event of a paused process or of a loop that stands still back until it goes on.
  void Hold(SimLoop* loop, Callback fn) { held_.emplace_back(loop, std::move(fn)); }
  // Keeps a callback that nobody may run or destroy any more.
  static void Bury(Callback fn);
  static void Bury(std::shared_ptr<void> object);

 private:
  friend class SimLoop;
  class WallClock;
  class Thread;

  template <typename F>
  static Task<void> Call(F* body, bool* done) {
    co_await (*body)();
    *done = true;
  }
  template <typename F, typename T>
  static Task<void> Fetch(F* body, std::optional<T>* out) {
    out->emplace(co_await (*body)());
  }
  template <typename F, typename T>
  T AwaitTask(F body, Duration limit, Task<T>*) {
    // Shared, so that a process killed meanwhile leaves nothing dangling.
    auto fn = std::make_shared<F>(std::move(body));
    Keep(fn);
    if constexpr (std::is_void_v<T>) {
      auto done = std::make_shared<bool>(false);
      Keep(done);
      Spawn("await", [fn, done] { return Call(fn.get(), done.get()); });
      CHECK(world_.RunUntil([&] { return *done; }, limit)) << "not done after " << ToMillis(limit) << " ms";
    } else {
      auto out = std::make_shared<std::optional<T>>();
      Keep(out);
      Spawn("await", [fn, out] { return Fetch(fn.get(), out.get()); });
      CHECK(world_.RunUntil([&] { return out->has_value(); }, limit))
          << "not done after " << ToMillis(limit) << " ms";
      return std::move(**out);
    }
  }

  SimWorld& world_;
  const std::string host_;
  const int pid_;
  bool alive_ = true;
  bool paused_ = false;
  Duration wall_offset_{};
  SimRandom random_;
  SimBlockingPool pool_;
  std::unique_ptr<Clock> clock_;
  std::unique_ptr<SimFileSystem> files_;
  std::unique_ptr<SimTransport> transport_;
  std::unique_ptr<SimCoordination> coordination_;
  std::vector<SimLoop*> loops_;
  std::unique_ptr<SimLoop> main_loop_;
  std::unique_ptr<Scope> main_scope_;
  std::vector<std::shared_ptr<void>> kept_;
  std::vector<std::pair<SimLoop*, Callback>> held_;
};

}  // namespace tidemark
