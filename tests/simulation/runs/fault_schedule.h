// FaultSchedule: what goes wrong in a run. Draws one fault after another from the world's generator; each
// begins at once and ends by itself some time later, so that they overlap: brokers are killed while others
// are down, paused or cut off, and power fails for several at once. Driven from outside the world.
//
// Invariant: after Heal every broker runs and nothing is cut, slow, paused or stopped.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/cluster/checkers.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {

class FaultSchedule {
 public:
  // `topic` names whose leaders are hunted; hosts beside the brokers' take part in cuts.
  FaultSchedule(SimBrokers& brokers, int count, std::string topic, uint32_t partitions,
                std::vector<std::string> others);

  // Runs the world for a while and begins a fault. `faults` times.
  void Run(int faults);
  void Heal();

  // Starts a broker without waiting for it to serve.
  void Launch(int id);
  // Raised by each start of a broker: what one process said must not be compared with another's words.
  uint64_t life(int id) const { return lives_.at(id); }
  // Truncations and fenced requests of all processes so far, as last sampled before each one's end.
  RunCounts Counted();
  const Violations& troubles() const { return troubles_; }

 private:
  struct Sample {
    uint64_t truncations = 0;
    uint64_t fenced = 0;
  };

  static std::string HostOf(int id) { return "host" + std::to_string(id); }
  bool up(int id) { return brokers_.broker(id) != nullptr; }
  SimWorld& world() { return brokers_.world(); }
  void After(Duration delay, std::function<void()> what);
  // Runs the world, and what is due in it, for so long.
  void Pass(Duration duration);
  int AnyBroker();
  // By the partition's state znode; any broker when there is none.
  int LeaderOfAny();

  // Starts the broker and samples its counters for as long as its process lives.
  Task<void> Live(int id, SimProcess* process, std::shared_ptr<Broker> broker,
                  std::shared_ptr<Sample> sample);

  void Kill(int id, bool power_loss, Duration down);
  void KillLeader();
  void KillMany(bool all);
  void FollowerThenLeader();
  void TwoLeadersInARow();
  void Pause();
  void CutOff();
  void CutPair();
  void SlowDisks();
  void Expire();
  void ZooKeeperAway();
  void BeginOne();

  SimBrokers& brokers_;
  const int count_;
  const std::string topic_;
  const uint32_t partitions_;
  const std::vector<std::string> others_;
  std::multimap<MonoTime, std::function<void()>> due_;
  std::map<int, uint64_t> lives_;
  std::map<int, std::shared_ptr<Sample>> samples_;
  RunCounts ended_;
  Violations troubles_;
};

}  // namespace tidemark
