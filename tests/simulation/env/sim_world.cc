#include "tests/simulation/env/sim_world.h"

#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {
namespace {

constexpr WallMillis kWallStart = 1'700'000'000'000;
constexpr MonoTime kMonoStart{std::chrono::hours(1)};

uint64_t Mix(uint64_t hash, uint64_t word) {
  for (int i = 0; i < 8; ++i) {
    hash = (hash ^ (word & 0xff)) * 0x100000001b3ULL;
    word >>= 8;
  }
  return hash;
}

}  // namespace

uint64_t SimRandom::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

Duration SimRandom::Between(Duration low, Duration high) {
  CHECK(low <= high);
  return low + Duration(Below(static_cast<uint64_t>((high - low).count()) + 1));
}

bool SimRandom::Chance(double chance) { return static_cast<double>(Next() >> 11) * 0x1p-53 < chance; }

SimWorld::SimWorld(uint64_t seed)
    : now_(kMonoStart),
      random_(seed),
      network_(std::make_unique<SimNetwork>(*this)),
      zookeeper_(std::make_unique<SimZooKeeper>(*this)) {}

SimWorld::~SimWorld() {
  CHECK(!running_) << "a world cannot end while it runs";
  for (auto& process : processes_) {
    if (process->alive()) process->Kill();
    SimProcess::Bury(process);
  }
}

WallMillis SimWorld::WallNow() const { return kWallStart + ToMillis(now_ - kMonoStart); }

SimDisk& SimWorld::disk(const std::string& host) {
  auto& disk = disks_[host];
  if (!disk) disk = std::make_unique<SimDisk>(*this, host);
  return *disk;
}

SimProcess& SimWorld::StartProcess(const std::string& host) {
  network_->AddHost(host);
  network_->SetHostUp(host, true);
  const int pid = 1000 + static_cast<int>(processes_.size());
  processes_.push_back(std::make_shared<SimProcess>(*this, host, pid));
  return *processes_.back();
}

SimEventId SimWorld::Schedule(MonoTime when, SimProcess* process, SimLoop* loop, Callback fn) {
  const SimEventId id{std::max(when, now_), ++last_sequence_};
  queue_.emplace(id, Event{process, loop, std::move(fn)});
  return id;
}

void SimWorld::Cancel(SimEventId id) {
  if (auto node = queue_.extract(id);
      !node.empty() && node.mapped().process != nullptr && !node.mapped().process->alive()) {
    SimProcess::Bury(std::move(node.mapped().fn));
  }
}

std::vector<Callback> SimWorld::TakeEvents(const SimProcess* process, const SimLoop* loop) {
  std::vector<Callback> taken;
  for (auto it = queue_.begin(); it != queue_.end();) {
    const bool fits = loop != nullptr ? it->second.loop == loop : it->second.process == process;
    if (!fits) {
      ++it;
      continue;
    }
    taken.push_back(std::move(it->second.fn));
    it = queue_.erase(it);
  }
  return taken;
}

void SimWorld::RunAs(SimProcess* process, SimLoop* loop, uint64_t source, Callback fn) {
  CHECK(!running_) << "two things run at once";
  running_ = true;
  current_process_ = process;
  current_loop_ = loop;
  current_source_ = source;
  fn();
  if (process != nullptr && !process->alive()) {
    SimProcess::Bury(std::move(fn));
  } else {
    fn = nullptr;  // what it held is released in its own context
    if (loop != nullptr) loop->RunDeferred();
  }
  current_process_ = nullptr;
  current_loop_ = nullptr;
  current_source_ = 0;
  running_ = false;
}

bool SimWorld::Step() {
  if (queue_.empty() || queue_.begin()->first.first == kNoDeadline) return false;
  auto node = queue_.extract(queue_.begin());
  CHECK(node.key().first >= now_) << "time goes back";
  now_ = node.key().first;
  Event& event = node.mapped();
  ++events_run_;
  trace_hash_ =
      Mix(Mix(trace_hash_, static_cast<uint64_t>(now_.time_since_epoch().count())), node.key().second);
  if (event.process != nullptr) {
    CHECK(event.process->alive()) << "an event of a dead process";
    trace_hash_ = Mix(trace_hash_, static_cast<uint64_t>(event.process->pid()));
    if (event.process->paused() || (event.loop != nullptr && event.loop->still())) {
      event.process->Hold(event.loop, std::move(event.fn));
      return true;
    }
  }
  uint64_t source = 0;
  if (event.loop != nullptr) {
    source = event.loop->source();
  } else if (event.process != nullptr) {
    source = NewSource();
  }
  RunAs(event.process, event.loop, source, std::move(event.fn));
  return true;
}

void SimWorld::RunFor(Duration duration) {
  const MonoTime end = now_ + duration;
  while (!queue_.empty() && queue_.begin()->first.first <= end) Step();
  now_ = end;
}

bool SimWorld::RunUntil(const std::function<bool()>& done, Duration limit) {
  const MonoTime end = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.begin()->first.first > end) {
      now_ = end;
      return done();
    }
    Step();
  }
  return true;
}

void SimWorld::Trace(std::string_view text) {
  for (const char c : text) trace_hash_ = (trace_hash_ ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
}

}  // namespace tidemark
