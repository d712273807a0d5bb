#include "tests/simulation/runs/fault_schedule.h"

#include <glog/logging.h>

#include "common/async/wait.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_network.h"

namespace tidemark {

FaultSchedule::FaultSchedule(SimBrokers& brokers, int broker_count, std::string topic, uint32_t partitions,
                             std::vector<std::string> others, uint64_t seed)
    : brokers_(brokers),
      world_(brokers.world()),
      count_(broker_count),
      topic_(std::move(topic)),
      partitions_(partitions),
      others_(std::move(others)),
      random_(seed ^ 0xfa017fa017ULL) {}

void FaultSchedule::LaunchAll() {
  for (int id = 0; id < count_; ++id) Launch(id);
}

void FaultSchedule::After(Duration delay, Step step) {
  steps_.emplace(world_.Now() + delay, std::move(step));
}

void FaultSchedule::RunFor(Duration duration) {
  const MonoTime end = world_.Now() + duration;
  for (;;) {
    SuperviseAll();
    const MonoTime look = std::min(end, world_.Now() + 200ms);
    const MonoTime next = steps_.empty() ? look : std::min(look, steps_.begin()->first);
    if (next > world_.Now()) world_.RunFor(next - world_.Now());
    while (!steps_.empty() && steps_.begin()->first <= world_.Now()) {
      const Step step = std::move(steps_.begin()->second);
      steps_.erase(steps_.begin());
      step();
    }
    if (world_.Now() >= end) return;
  }
}

void FaultSchedule::Run(int faults) {
  for (int i = 0; i < faults; ++i) {
    // Often close together, now and then with time to recover in between.
    RunFor(random_.Chance(0.3) ? Between(2s, 6s) : Between(50ms, 2s));
    OneFault();
  }
  RunFor(Between(100ms, 3s));
}

void FaultSchedule::Heal() {
  steps_.clear();
  slow_.clear();
  world_.network().HealAll();
  world_.zookeeper().Resume();
  world_.zookeeper().Start();
  for (int id = 0; id < count_; ++id) {
    if (!Up(id)) {
      Launch(id);
      continue;
    }
    brokers_.process(id).Resume();
    brokers_.process(id).pool().SetDelay(50us, 3ms);
  }
}

ReplicaCounters FaultSchedule::counters() const {
  ReplicaCounters sum = ended_;
  for (const auto& [id, launched] : launched_) sum += launched->counters;
  return sum;
}

bool FaultSchedule::AllServing() {
  for (int id = 0; id < count_; ++id) {
    if (!Up(id) || !launched_.at(id)->started || !*launched_.at(id)->started) return false;
  }
  return true;
}

int FaultSchedule::SomeLeader() {
  const auto partition = static_cast<PartitionIndex>(random_.Below(partitions_));
  const int otherwise = Any();
  const auto node = world_.zookeeper().Peek(zkpath::PartitionState(topic_, partition));
  if (!node) return otherwise;
  const auto state = DecodePartitionState(node->data);
  return state && state->leader() >= 0 ? state->leader() : otherwise;
}

// ---- steps

void FaultSchedule::Crash(int id, bool power_loss, Duration down) {
  if (!Up(id)) return;  // its start is scheduled
  brokers_.Kill(id, power_loss);
  ended_ += launched_.at(id)->counters;
  launched_.erase(id);
  After(down, [this, id] { Launch(id); });
}

void FaultSchedule::Launch(int id) {
  if (Up(id)) return;
  const auto life = std::make_shared<Life>();
  auto [process, broker] =
      brokers_.Launch(id, {.on_fatal = [life = life.get()](const Error& error) { life->fatal = error; }});
  process->Keep(life);
  process->Spawn("life", [broker = broker.get(), process = process, life = life.get()] {
    return Live(broker, process, life);
  });
  launched_[id] = life;
  ++lives_[id];
  if (slow_.contains(id)) process->pool().SetDelay(slow_[id] / 4, slow_[id]);
}

Task<void> FaultSchedule::Live(Broker* broker, SimProcess* process, Life* life) {
  life->started = co_await broker->Start();
  if (!*life->started) co_return;
  for (;;) {
    ReplicaCounters sum;
    for (const ShardReport& report : co_await broker->Reports()) sum += report.replicas;
    life->counters = sum;
    (void)co_await Sleep(process->main_loop(), 100ms, "look at the counters");
  }
}

// A broker that gave up (it could not start, or asked to be ended) is a process that ended.
void FaultSchedule::SuperviseAll() {
  for (int id = 0; id < count_; ++id) {
    if (!Up(id)) continue;
    const Life& launched = *launched_.at(id);
    if (launched.fatal || (launched.started && !*launched.started)) {
      LOG(WARNING) << "broker " << id
                   << " gave up: " << (launched.fatal ? *launched.fatal : launched.started->error()).message;
      Crash(id, false, 1s);
    }
  }
}

void FaultSchedule::Pause(int id, Duration length) {
  if (!Up(id)) return;
  brokers_.process(id).Pause();
  After(length, [this, id] {
    if (Up(id)) brokers_.process(id).Resume();
  });
}

void FaultSchedule::CutLink(const std::string& a, const std::string& b, Duration length, bool one_way) {
  if (one_way) {
    world_.network().CutOneWay(a, b);
  } else {
    world_.network().Cut(a, b);
  }
  After(length, [this, a, b] { world_.network().Heal(a, b); });
}

// From the other brokers, and from any of the rest of the world: ZooKeeper and clients may still see it.
void FaultSchedule::CutOff(int id) {
  const Duration length = Between(200ms, 9s);
  for (int other = 0; other < count_; ++other) {
    if (other != id) CutLink(Host(id), Host(other), length);
  }
  for (const std::string& other : others_) {
    if (random_.Chance(0.5)) CutLink(Host(id), other, length);
  }
}

void FaultSchedule::SlowDisk(int id, Duration most, Duration length) {
  slow_[id] = most;
  if (Up(id)) brokers_.process(id).pool().SetDelay(most / 4, most);
  After(length, [this, id] {
    slow_.erase(id);
    if (Up(id)) brokers_.process(id).pool().SetDelay(50us, 3ms);
  });
}

void FaultSchedule::ExpireSessionOf(int id) {
  const auto node = world_.zookeeper().Peek(zkpath::Broker(id));
  if (node) world_.zookeeper().Expire(node->stat.ephemeral_owner);
}

// ---- faults

void FaultSchedule::OneFault() {
  switch (random_.Below(17)) {
    case 0:
    case 1:
      return PowerLossEverywhere();
    case 2:
      return LeaderAndFollowerLosePower();
    case 3:
    case 4:
      return LeaderDiesBehindACut();
    case 5:
      return LeadersDieInARow();
    case 6:
      return CrashesInRecovery();
    case 7:
      return ZombieLeader();
    case 8:
      return ExpiryBesideAKill();
    case 9:
      return ZooKeeperTrouble();
    case 10:
      return FollowerThenLeader();
    default:
      return SingleFault();
  }
}

void FaultSchedule::SingleFault() {
  const int victim = random_.Chance(0.5) ? SomeLeader() : Any();
  const Duration length = Between(200ms, 9s);
  switch (random_.Below(6)) {
    case 0:
      return Crash(victim, random_.Chance(0.5), length);
    case 1:
      return Pause(victim, length);
    case 2:
      return CutOff(victim);
    case 3:
      return CutLink(Host(victim), Host(Next(victim)), length, random_.Chance(0.5));
    case 4:
      return SlowDisk(victim, Between(20ms, 700ms), length);
    default:
      return ExpireSessionOf(victim);
  }
}

// Nobody keeps what nobody has synced. Slow disks widen the time between a write and its sync.
void FaultSchedule::PowerLossEverywhere() {
  const bool slow = random_.Chance(0.7);
  const Duration most = Between(10ms, 300ms);
  for (int id = 0; slow && id < count_; ++id) SlowDisk(id, most, Between(2s, 5s));
  const Duration at = Between(100ms, 1500ms);
  for (int id = 0; id < count_; ++id) {
    const Duration down = Between(50ms, 4s);
    const Duration late = random_.Chance(0.7) ? 0ms : Between(0ms, 30ms);
    After(at + late, [this, id, down] { Crash(id, true, down); });
  }
}

void FaultSchedule::LeaderAndFollowerLosePower() {
  const int leader = SomeLeader();
  const int follower = Next(leader, 1 + static_cast<int>(random_.Below(count_ - 1)));
  if (random_.Chance(0.5)) SlowDisk(leader, 80ms, Between(1s, 3s));
  if (random_.Chance(0.5)) SlowDisk(follower, 80ms, Between(1s, 3s));
  const Duration apart = Between(0ms, 40ms);
  const Duration leader_down = Between(50ms, 5s), follower_down = Between(50ms, 5s);
  After(300ms, [this, leader, leader_down] { Crash(leader, true, leader_down); });
  After(300ms + apart, [this, follower, follower_down] { Crash(follower, true, follower_down); });
}

// The leader is cut off from its followers while ZooKeeper sees it, has a tail of its own and then dies;
// followers may have come back meanwhile with the high watermark of their last checkpoint.
void FaultSchedule::LeaderDiesBehindACut() {
  const int leader = SomeLeader();
  const Duration length = Between(500ms, 6s);
  const bool one_way = random_.Chance(0.2);
  const bool bounce = random_.Chance(0.6);
  for (int by = 1; by < count_; ++by) {
    const int follower = Next(leader, by);
    CutLink(Host(leader), Host(follower), length, one_way);
    if (!bounce) continue;
    const Duration at = Between(0ms, 100ms), down = Between(20ms, 400ms);
    const bool power_loss = random_.Chance(0.3);
    After(at, [this, follower, power_loss, down] { Crash(follower, power_loss, down); });
  }
  const bool power_loss = random_.Chance(0.3);
  const Duration down = random_.Chance(0.6) ? Between(50ms, 600ms) : Between(1s, 9s);
  After(Between(300ms, 3500ms), [this, leader, power_loss, down] { Crash(leader, power_loss, down); });
}

// A follower is restarted at once, and the leader dies while the follower takes up its work again (KIP-101).
void FaultSchedule::FollowerThenLeader() {
  const int leader = SomeLeader();
  const int follower = Next(leader, 1 + static_cast<int>(random_.Below(count_ - 1)));
  Crash(follower, random_.Chance(0.5), Between(5ms, 200ms));
  const bool power_loss = random_.Chance(0.5);
  const Duration down = Between(500ms, 6s);
  After(Between(50ms, 1200ms), [this, leader, power_loss, down] { Crash(leader, power_loss, down); });
}

// Elections in quick succession, of brokers whose predecessors are still down or just back; the link between
// two of them may be cut, so that the one that follows cannot catch up.
void FaultSchedule::LeadersDieInARow() {
  const int rounds = 2 + static_cast<int>(random_.Below(3));
  if (random_.Chance(0.5)) {
    const int a = Any();
    CutLink(Host(a), Host(Next(a)), Between(1s, 4s));
  }
  Duration at{};
  for (int round = 0; round < rounds; ++round) {
    const Duration down = Between(20ms, 2s);
    const bool power_loss = random_.Chance(0.4);
    After(at, [this, down, power_loss] { Crash(SomeLeader(), power_loss, down); });
    at += Between(50ms, 1500ms);
  }
}

void FaultSchedule::CrashesInRecovery() {
  const int victim = SomeLeader();
  Crash(victim, random_.Chance(0.7), 100ms);
  Duration at = 100ms;
  for (int again = 1 + static_cast<int>(random_.Below(3)); again > 0; --again) {
    at += Between(1ms, 250ms);
    const bool power_loss = random_.Chance(0.7);
    After(at, [this, victim, power_loss] { Crash(victim, power_loss, 100ms); });
    at += 100ms;
  }
}

// A leader that does not know that it was replaced: paused, or cut off from ZooKeeper or the controller's
// broker; it may die before it learns.
void FaultSchedule::ZombieLeader() {
  const int leader = SomeLeader();
  const Duration length = Between(500ms, 9s);
  if (random_.Chance(0.5)) {
    Pause(leader, length);
  } else {
    CutLink(Host(leader), SimZooKeeper::kHost, length);
    if (random_.Chance(0.5)) CutLink(Host(leader), Host(Next(leader, 1 + random_.Chance(0.5))), length);
  }
  if (random_.Chance(0.5)) After(Between(10ms, 500ms), [this, leader] { ExpireSessionOf(leader); });
  if (random_.Chance(0.4)) {
    const bool power_loss = random_.Chance(0.5);
    const Duration down = Between(50ms, 3s);
    After(Between(100ms, length), [this, leader, power_loss, down] { Crash(leader, power_loss, down); });
  }
}

void FaultSchedule::ExpiryBesideAKill() {
  const int victim = SomeLeader();
  const int other =
      random_.Chance(0.3) ? victim : Next(victim, 1 + static_cast<int>(random_.Below(count_ - 1)));
  const bool power_loss = random_.Chance(0.5);
  const Duration down = Between(50ms, 3s);
  After(Between(0ms, 300ms), [this, victim] { ExpireSessionOf(victim); });
  After(Between(0ms, 300ms), [this, other, power_loss, down] { Crash(other, power_loss, down); });
}

// The ensemble is gone for a while, stands still until sessions have expired, or breaks all connections.
void FaultSchedule::ZooKeeperTrouble() {
  SimZooKeeper& zookeeper = world_.zookeeper();
  const Duration length = Between(500ms, 9s);
  switch (random_.Below(3)) {
    case 0:
      zookeeper.Stop();
      return After(length, [&zookeeper] { zookeeper.Start(); });
    case 1:
      zookeeper.Pause();
      return After(length, [&zookeeper] { zookeeper.Resume(); });
    default:
      zookeeper.DropConnections();
  }
}

}  // namespace tidemark
