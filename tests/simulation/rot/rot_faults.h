// RotFaults: rot on the disks of a simulated cluster, drawn from a seed. A strike flips a bit, overwrites a
// range, cuts a segment file or removes it, on one replica, whose broker runs or is down.
//
// The fault budget: a partition has one damaged replica at a time, until its disk is whole again; in some
// runs two, at different offsets. What is damaged lies whole and synced on the disk of another member of the
// ISR, which is not damaged itself. It is below the recovery point that is checkpointed: above it rot cannot
// be told from what a crash has torn.
//
// The run owns it. It acts from outside, between two events of the world.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/cluster/checkers.h"
#include "tests/simulation/rot/rot_counts.h"
#include "tests/simulation/rot/stored_replica.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {

struct RotTopic {
  std::string name;
  TopicId id;
  uint32_t partitions = 1;
  bool compacted = false;
};

class RotFaults {
 public:
  RotFaults(SimBrokers& brokers, int broker_count, std::vector<RotTopic> topics, uint64_t seed);

  // Damages something, if what was drawn is within the budget.
  void Strike();
  // Damage that is still on a disk, in words.
  Violations Unrepaired();
  const RotRunCounts& counts() const { return counts_; }

 private:
  enum class Kind { kFlip, kOverwrite, kCut, kRemove };
  struct Damage {
    BrokerId broker = kNoBroker;
    std::string topic;
    PartitionKey key;
    Offset first = 0;
    Offset last = 0;
    std::string what;
  };
  struct Place {
    const RotTopic* topic = nullptr;
    PartitionIndex partition = 0;
    BrokerId broker = kNoBroker;
  };

  SimDisk& DiskOf(BrokerId broker);
  bool Up(BrokerId broker) { return brokers_.broker(broker) != nullptr; }
  bool IsWhole(const Damage& damage);
  // Forgets what is whole again.
  void Look();
  std::optional<Place> DrawPlace();
  BrokerId DrawBroker(BrokerId leader);
  Kind DrawKind();
  // Another member of the ISR is not damaged and holds this part of the replica, synced; the same batches
  // where nothing is compacted.
  bool HeldElsewhere(const Place& place, const StoredReplica& replica, Offset first, Offset last);
  bool IsDamaged(const PartitionKey& key, BrokerId broker) const;
  // No other replica is damaged at these offsets, and there are not too many that are.
  bool WithinBudget(const Damage& damage) const;
  // What a strike at this batch damages.
  Damage Plan(const Place& place, const StoredReplica& replica, Kind kind, size_t batch, size_t below);
  void Apply(const StoredReplica& replica, Kind kind, size_t batch, Damage* damage);
  void Overwrite(SimDisk& disk, const std::string& path, uint64_t position, uint64_t length);

  SimBrokers& brokers_;
  SimWorld& world_;
  const int count_;
  const std::vector<RotTopic> topics_;
  SimRandom random_;
  size_t most_replicas_;                              // of a partition that are damaged at a time
  std::map<PartitionKey, std::vector<Damage>> open_;  // none empty
  RotRunCounts counts_;
};

}  // namespace tidemark
