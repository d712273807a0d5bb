// FaultSchedule: what happens to a cluster during a run, drawn from a seed. Faults are made of steps on a
// time line of their own, so they overlap: a broker is killed while it is paused or cut off, all lose power
// at once, one is started while others are down or dies in its recovery. Besides single faults it draws whole
// stories, the sequences that have cost logs of this kind their records.
//
// The run owns it. It acts from outside, between two events of the world. Invariants: a broker that is down
// has a start scheduled; every cut, pause and slow disk has its end scheduled; the same seed draws the same
// faults.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/server/sim_brokers.h"

namespace tidemark {

class FaultSchedule {
 public:
  // `topic` names whose leaders are hunted; hosts beside the brokers' take part in cuts.
  FaultSchedule(SimBrokers& brokers, int broker_count, std::string topic, uint32_t partitions,
                std::vector<std::string> others, uint64_t seed);

  // Starts every broker without waiting.
  void LaunchAll();
  // Draws `faults` faults, the next one before the last has ended, and runs the world through all of them.
  void Run(int faults);
  // Ends what is still under way: links heal, what is paused goes on, what is down is started.
  void Heal();
  // Runs the world while brokers that gave up are started again, as a supervisor does.
  void RunFor(Duration duration);

  using Step = std::function<void()>;
  // Has something of the run's own happen among the faults; Heal forgets what has not happened yet.
  void After(Duration delay, Step step);
  // For a while, like a fault.
  void CutLink(const std::string& a, const std::string& b, Duration length, bool one_way = false);
  void Pause(int id, Duration length);
  // Who leads one of the topic's partitions, drawn at random; any broker when it has no leader.
  int SomeLeader();

  // Of all lives of all brokers so far.
  ReplicaCounters counters() const;
  bool AllServing();
  // A number for the present life of a broker; 0 while it is down.
  int LifeOf(int id) { return Up(id) ? lives_.at(id) : 0; }

 private:
  // What a broker says of itself in one life; its process keeps it.
  struct Life {
    std::optional<Result<>> started;  // how Start ended
    std::optional<Error> fatal;       // it asked to be ended
    ReplicaCounters counters;         // of all shards, as of the last look (every 100 ms)
  };

  // Starts the broker and looks at its counters for as long as its process lives.
  static Task<void> Live(Broker* broker, SimProcess* process, Life* life);
  bool Up(int id) { return brokers_.broker(id) != nullptr; }

  Duration Between(Duration low, Duration high) { return random_.Between(low, high); }
  int Any() { return static_cast<int>(random_.Below(count_)); }
  int Next(int id, int by = 1) const { return (id + by) % count_; }
  std::string Host(int id) const { return "host" + std::to_string(id); }

  // Steps.
  void Crash(int id, bool power_loss, Duration down);
  void Launch(int id);
  void SlowDisk(int id, Duration most, Duration length);
  void ExpireSessionOf(int id);
  void SuperviseAll();

  // Faults: one, and the stories.
  void OneFault();
  void SingleFault();
  void PowerLossEverywhere();
  void LeaderAndFollowerLosePower();
  void LeaderDiesBehindACut();
  void FollowerThenLeader();
  void LeadersDieInARow();
  void CrashesInRecovery();
  void ZombieLeader();
  void ExpiryBesideAKill();
  void ZooKeeperTrouble();
  void CutOff(int id);

  SimBrokers& brokers_;
  SimWorld& world_;
  const int count_;
  const std::string topic_;
  const uint32_t partitions_;
  const std::vector<std::string> others_;
  SimRandom random_;
  std::multimap<MonoTime, Step> steps_;            // what is scheduled, in order
  std::map<int, std::shared_ptr<Life>> launched_;  // of those that are up
  std::map<int, int> lives_;
  std::map<int, Duration> slow_;  // the most that a call takes
  ReplicaCounters ended_;         // of the lives that have ended
};

}  // namespace tidemark
