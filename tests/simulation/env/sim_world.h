// SimWorld: a simulated outside world. Everything happens in one thread, on virtual time, and follows from
// one seed: one event queue ordered by (time, order of scheduling), one generator, and around them the
// network, the disks of the hosts, the ZooKeeper ensemble and the processes. Callbacks take no virtual time.
//
// Invariants: time never goes back; at most one loop is current; an event of a process runs only while that
// process is alive and not paused; the same seed and the same calls give the same trace hash.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/async/event_loop.h"
#include "common/random.h"
#include "common/time.h"

namespace tidemark {

class SimDisk;
class SimLoop;
class SimNetwork;
class SimProcess;
class SimZooKeeper;

// splitmix64: small, seedable, good enough for schedules.
class SimRandom final : public Random {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next() override;
  // Uniform in [low, high].
  Duration Between(Duration low, Duration high);
  // True with probability `chance` of 1.
  bool Chance(double chance);

 private:
  uint64_t state_;
};

// Names a scheduled event: its time and its place among those of the same time.
using SimEventId = std::pair<MonoTime, uint64_t>;
inline constexpr SimEventId kNoSimEvent{MonoTime{}, 0};

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed);
  // Kills what still runs; its objects move to the graveyard (see SimProcess::Kill).
  ~SimWorld();
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  MonoTime Now() const { return now_; }
  WallMillis WallNow() const;
  // Of the world itself: schedules and faults. Processes draw from generators of their own.
  SimRandom& random() { return random_; }
  SimNetwork& network() { return *network_; }
  SimZooKeeper& zookeeper() { return *zookeeper_; }
  // The disk of a host; made when first asked for; survives the host's processes.
  SimDisk& disk(const std::string& host);
  // Starts a process (again) on a host. The world owns it until its own end. The host is up from now on.
  SimProcess& StartProcess(const std::string& host);

  // Runs the next event; false when there is none.
  bool Step();
  void RunFor(Duration duration);
  // Runs until `done` (asked after every event) or until `limit` of virtual time has passed; says whether it
  // is done.
  bool RunUntil(const std::function<bool()>& done, Duration limit);

  // A digest of every event run and of everything traced: equal for equal runs.
  uint64_t trace_hash() const { return trace_hash_; }
  uint64_t events_run() const { return events_run_; }
  void Trace(std::string_view text);

  // The rest is for the parts of the world.

  // Schedules a callback: of a loop, of a process (its kernel threads), or of nobody (the outside).
  SimEventId At(MonoTime when, Callback fn) { return Schedule(when, nullptr, nullptr, std::move(fn)); }
  SimEventId After(Duration delay, Callback fn) { return At(now_ + delay, std::move(fn)); }
  SimEventId Schedule(MonoTime when, SimProcess* process, SimLoop* loop, Callback fn);
  void Cancel(SimEventId id);
  // Takes the events of a process or loop out of the queue, in order, without destroying their callbacks.
  std::vector<Callback> TakeEvents(const SimProcess* process, const SimLoop* loop);

  // Whether an event is being run.
  bool running() const { return running_; }
  SimLoop* current_loop() const { return current_loop_; }
  SimProcess* current_process() const { return current_process_; }
  // What is being run now; part of the key that keeps posts from one source in order. 0: the outside.
  uint64_t current_source() const { return current_source_; }
  uint64_t NewSource() { return ++last_source_; }
  // Runs `fn` as `process` and `loop` (either may be null).
  void RunAs(SimProcess* process, SimLoop* loop, uint64_t source, Callback fn);

 private:
  struct Event {
    SimProcess* process;
    SimLoop* loop;
    Callback fn;
  };

  MonoTime now_;
  SimRandom random_;
  std::map<SimEventId, Event> queue_;
  uint64_t last_sequence_ = 0;
  uint64_t last_source_ = 0;
  uint64_t events_run_ = 0;
  uint64_t trace_hash_ = 0xcbf29ce484222325ULL;
  SimLoop* current_loop_ = nullptr;
  SimProcess* current_process_ = nullptr;
  uint64_t current_source_ = 0;
  bool running_ = false;
  std::unique_ptr<SimNetwork> network_;
  std::unique_ptr<SimZooKeeper> zookeeper_;
  std::map<std::string, std::unique_ptr<SimDisk>> disks_;
  std::vector<std::shared_ptr<SimProcess>> processes_;
};

}  // namespace tidemark
