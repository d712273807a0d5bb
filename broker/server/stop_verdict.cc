#include "broker/server/stop_verdict.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tidemark {

const char* ToString(StopRisk risk) {
  switch (risk) {
    case StopRisk::kOnlyReplica:
      return "only_replica";
    case StopRisk::kLastInSync:
      return "last_in_sync";
    case StopRisk::kBelowMinIsr:
      return "below_min_isr";
  }
  return "unknown";
}

std::string ToString(const PartitionAtRisk& at_risk) {
  const HeldPartition& held = at_risk.partition;
  const std::string name = fmt::format("{}-{}", held.topic, held.partition);
  switch (at_risk.risk) {
    case StopRisk::kOnlyReplica:
      return fmt::format("{}: its only replica is here", name);
    case StopRisk::kLastInSync:
      return fmt::format("{}: no other live replica is in sync (replicas {}, ISR {})", name,
                         fmt::join(held.replicas, ","), fmt::join(held.isr, ","));
    case StopRisk::kBelowMinIsr:
      break;
  }
  return fmt::format("{}: {} in sync would remain of {} required (replicas {}, ISR {})", name,
                     at_risk.remaining, at_risk.required, fmt::join(held.replicas, ","),
                     fmt::join(held.isr, ","));
}

void JudgePartition(BrokerId self, const std::set<BrokerId>& live, HeldPartition partition,
                    StopVerdict* verdict) {
  ++verdict->held;
  if (std::ranges::find(partition.isr, self) == partition.isr.end()) return;
  // On a failed disk it serves nobody already: stopping takes nothing away, and a restart may be the remedy.
  if (std::ranges::find(partition.offline, self) != partition.offline.end()) return;
  PartitionAtRisk out;
  for (const BrokerId member : partition.isr) {
    const bool works = std::ranges::find(partition.offline, member) == partition.offline.end();
    if (member != self && live.contains(member) && works) ++out.remaining;
  }
  const auto replicas = static_cast<uint32_t>(partition.replicas.size());
  out.required = std::max(1u, std::min(partition.min_insync_replicas, replicas));
  if (out.remaining >= out.required) return;
  out.risk = replicas <= 1        ? StopRisk::kOnlyReplica
             : out.remaining == 0 ? StopRisk::kLastInSync
                                  : StopRisk::kBelowMinIsr;
  out.unavoidable = out.remaining + 1 >= replicas;
  ++verdict->at_risk;
  if (out.unavoidable) ++verdict->unavoidable;
  if (verdict->partitions.size() >= StopVerdict::kMostPartitions) return;
  out.partition = std::move(partition);
  verdict->partitions.push_back(std::move(out));
}

}  // namespace tidemark
