// StopVerdict: may this broker be stopped now? A pure decision over what the broker knows of the partitions
// that it holds; /restartz answers it. Values, used by the control loop.
//
// Counted is who is in sync and would still be there: members of the ISR other than this broker that are live
// and whose disk works. A broker outside a partition's ISR takes nothing from it by stopping.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/types.h"

namespace tidemark {

// One partition with a replica on this broker.
struct HeldPartition {
  std::string topic;
  PartitionIndex partition = 0;
  std::vector<BrokerId> replicas;
  std::vector<BrokerId> isr;
  std::vector<BrokerId> offline;  // on live brokers, but out of service there
  uint32_t min_insync_replicas = 1;
};

enum class StopRisk {
  kOnlyReplica,  // nobody else has the data
  kLastInSync,   // nobody else who is live has all of it
  kBelowMinIsr,  // writes with acks=all would be refused
};
const char* ToString(StopRisk risk);

struct PartitionAtRisk {
  HeldPartition partition;
  StopRisk risk = StopRisk::kBelowMinIsr;
  uint32_t remaining = 0;  // live members in sync without this broker
  uint32_t required = 0;   // min.insync.replicas, at most the number of replicas
  // Everybody else is in sync already: waiting does not help.
  bool unavoidable = false;
};
// "orders-3: 1 in sync would remain of 2 required (ISR 0,1)".
std::string ToString(const PartitionAtRisk& at_risk);

struct StopVerdict {
  // Why the question cannot be answered yes, whatever the partitions: the broker does not know, or nobody
  // could take over from it.
  std::vector<std::string> reasons;
  std::vector<PartitionAtRisk> partitions;  // the first kMostPartitions
  size_t at_risk = 0;                       // all
  size_t unavoidable = 0;                   // of these
  size_t held = 0;                          // partitions looked at

  static constexpr size_t kMostPartitions = 100;
  // `forgive`: what is at risk by the way it was set up does not count, since no waiting changes it.
  bool safe(bool forgive) const { return reasons.empty() && (forgive ? unavoidable : 0) == at_risk; }
};

// Adds what stopping `self` would do to one partition.
void JudgePartition(BrokerId self, const std::set<BrokerId>& live, HeldPartition partition,
                    StopVerdict* verdict);

}  // namespace tidemark
