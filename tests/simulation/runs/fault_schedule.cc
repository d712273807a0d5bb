#include "tests/simulation/runs/fault_schedule.h"

#include <fmt/format.h>

#include <utility>

#include "common/async/wait.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"

namespace tidemark {

FaultSchedule::FaultSchedule(SimBrokers& brokers, int count, std::string topic, uint32_t partitions,
                             std::vector<std::string> others)
    : brokers_(brokers),
      count_(count),
      topic_(std::move(topic)),
      partitions_(partitions),
      others_(std::move(others)) {
  for (int id = 0; id < count_; ++id) lives_[id] = 0;
}

void FaultSchedule::After(Duration delay, std::function<void()> what) {
  due_.emplace(world().Now() + delay, std::move(what));
}

void FaultSchedule::Pass(Duration duration) {
  const MonoTime end = world().Now() + duration;
  while (!due_.empty() && due_.begin()->first <= end) {
    const auto next = due_.begin();
    const auto what = std::move(next->second);
    if (next->first > world().Now()) world().RunFor(next->first - world().Now());
    due_.erase(next);
    what();
  }
  if (end > world().Now()) world().RunFor(end - world().Now());
}

void FaultSchedule::Run(int faults) {
  for (int i = 0; i < faults; ++i) {
    // Often before the last one is over, now and then after all has settled.
    SimRandom& random = world().random();
    Pass(random.Chance(0.2) ? random.Between(2s, 9s) : random.Between(20ms, 1500ms));
    BeginOne();
  }
}

void FaultSchedule::Heal() {
  Pass(0ms);
  while (!due_.empty()) Pass(1s);
  world().network().HealAll();
  for (int id = 0; id < count_; ++id) {
    if (!up(id)) Launch(id);
    brokers_.process(id).pool().SetDelay(50us, 3ms);
  }
}

void FaultSchedule::Launch(int id) {
  if (up(id)) return;
  ++lives_[id];
  const auto sample = std::make_shared<Sample>();
  samples_[id] = sample;
  auto [process, broker] = brokers_.Launch(id);
  process->Spawn("life", [this, id, process, broker, sample] { return Live(id, process, broker, sample); });
}

Task<void> FaultSchedule::Live(int id, SimProcess* process, std::shared_ptr<Broker> broker,
                               std::shared_ptr<Sample> sample) {
  const Result<> started = co_await broker->Start();
  if (!started) {
    troubles_.push_back(fmt::format("broker {} did not start: {}", id, started.error().message));
    co_return;
  }
  while (true) {
    Sample now;
    for (const ShardReport& report : co_await broker->Reports()) {
      now.truncations += report.replicas.truncations;
      now.fenced += report.replicas.fenced_requests;
    }
    *sample = now;
    co_await Sleep(process->main_loop(), 100ms, "sample");
  }
}

RunCounts FaultSchedule::Counted() {
  RunCounts counts = ended_;
  for (const auto& [id, sample] : samples_) {
    counts.truncations += sample->truncations;
    counts.fenced += sample->fenced;
  }
  return counts;
}

int FaultSchedule::AnyBroker() { return static_cast<int>(world().random().Below(count_)); }

int FaultSchedule::LeaderOfAny() {
  const auto partition = static_cast<PartitionIndex>(world().random().Below(partitions_));
  const auto node = world().zookeeper().Peek(zkpath::PartitionState(topic_, partition));
  const auto state = node ? DecodePartitionState(node->data) : Fail(v1::NOT_FOUND, "none");
  return state && state->leader() >= 0 ? state->leader() : AnyBroker();
}

void FaultSchedule::Kill(int id, bool power_loss, Duration down) {
  if (!up(id)) return;
  if (const auto sample = samples_.extract(id)) {
    ended_.truncations += sample.mapped()->truncations;
    ended_.fenced += sample.mapped()->fenced;
  }
  brokers_.Kill(id, power_loss);
  After(down, [this, id] { Launch(id); });
}

void FaultSchedule::KillLeader() {
  SimRandom& random = world().random();
  Kill(LeaderOfAny(), random.Chance(0.5), random.Between(50ms, 8s));
}

// Power fails for several hosts in one instant; they come back in any order.
void FaultSchedule::KillMany(bool all) {
  SimRandom& random = world().random();
  const bool power_loss = random.Chance(0.8);
  const int spared = all ? -1 : AnyBroker();
  for (int id = 0; id < count_; ++id) {
    if (id != spared) Kill(id, power_loss, random.Between(50ms, 5s));
  }
}

// A follower is restarted at once, and the leader dies while the follower takes up its work again (KIP-101).
void FaultSchedule::FollowerThenLeader() {
  SimRandom& random = world().random();
  const int leader = LeaderOfAny();
  const int follower = static_cast<int>((leader + 1 + random.Below(count_ - 1)) % count_);
  Kill(follower, random.Chance(0.5), random.Between(5ms, 200ms));
  After(random.Between(50ms, 1200ms), [this, leader, power_loss = random.Chance(0.5)] {
    Kill(leader, power_loss, world().random().Between(500ms, 6s));
  });
}

void FaultSchedule::TwoLeadersInARow() {
  SimRandom& random = world().random();
  Kill(LeaderOfAny(), random.Chance(0.5), random.Between(5ms, 2s));
  After(random.Between(20ms, 900ms), [this] { KillLeader(); });
}

void FaultSchedule::Pause() {
  const int id = AnyBroker();
  if (!up(id) || brokers_.process(id).paused()) return;
  brokers_.process(id).Pause();
  After(world().random().Between(200ms, 9s), [this, id, life = lives_[id]] {
    if (up(id) && lives_[id] == life) brokers_.process(id).Resume();
  });
}

// From the other brokers, and from any of the rest of the world: ZooKeeper and clients may still see it.
void FaultSchedule::CutOff() {
  SimRandom& random = world().random();
  const std::string host = HostOf(random.Chance(0.5) ? LeaderOfAny() : AnyBroker());
  std::vector<std::string> from;
  for (int id = 0; id < count_; ++id) {
    if (HostOf(id) != host) from.push_back(HostOf(id));
  }
  for (const std::string& other : others_) {
    if (random.Chance(0.5)) from.push_back(other);
  }
  for (const std::string& other : from) world().network().Cut(host, other);
  After(random.Between(200ms, 10s), [this, host, from] {
    for (const std::string& other : from) world().network().Heal(host, other);
  });
}

void FaultSchedule::CutPair() {
  SimRandom& random = world().random();
  const int id = AnyBroker();
  const std::string host = HostOf(id);
  const std::string other = HostOf(static_cast<int>((id + 1 + random.Below(count_ - 1)) % count_));
  if (random.Chance(0.5)) {
    world().network().CutOneWay(host, other);
  } else {
    world().network().Cut(host, other);
  }
  After(random.Between(200ms, 9s), [this, host, other] { world().network().Heal(host, other); });
}

// What blocks takes long: syncs are late, so that more is unsynced when power fails.
void FaultSchedule::SlowDisks() {
  const Duration most = world().random().Between(20ms, 700ms);
  for (int id = 0; id < count_; ++id) {
    if (!up(id) || world().random().Chance(0.2)) continue;
    brokers_.process(id).pool().SetDelay(most / 4, most);
  }
  After(world().random().Between(1s, 5s), [this] {
    for (int id = 0; id < count_; ++id) {
      if (up(id)) brokers_.process(id).pool().SetDelay(50us, 3ms);
    }
  });
  if (world().random().Chance(0.6)) {
    After(world().random().Between(200ms, 2s), [this] { KillMany(world().random().Chance(0.7)); });
  }
}

void FaultSchedule::Expire() {
  const std::vector<int64_t> sessions = world().zookeeper().sessions();
  const bool all = world().random().Chance(0.1);
  if (sessions.empty()) return;
  const size_t chosen = world().random().Below(sessions.size());
  for (size_t i = 0; i < sessions.size(); ++i) {
    if (all || i == chosen) world().zookeeper().Expire(sessions[i]);
  }
  // The owner may die with it.
  if (world().random().Chance(0.2)) KillLeader();
}

void FaultSchedule::ZooKeeperAway() {
  world().zookeeper().DropConnections();
  if (world().random().Chance(0.5)) return;
  world().zookeeper().Pause();
  After(world().random().Between(100ms, 8s), [this] { world().zookeeper().Resume(); });
}

void FaultSchedule::BeginOne() {
  switch (world().random().Below(16)) {
    case 0:
    case 1:
    case 2:
      return KillLeader();
    case 3:
      return KillMany(false);
    case 4:
      return KillMany(true);
    case 5:
    case 6:
      return FollowerThenLeader();
    case 7:
      return TwoLeadersInARow();
    case 8:
      return Pause();
    case 9:
    case 10:
      return CutOff();
    case 11:
      return CutPair();
    case 12:
    case 13:
      return SlowDisks();
    case 14:
      return Expire();
    default:
      return ZooKeeperAway();
  }
}

}  // namespace tidemark
