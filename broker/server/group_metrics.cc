#include "broker/server/group_metrics.h"

namespace tidemark {

void AddGroups(const ShardReport& report, ShardReport* sum) {
  sum->groups += report.groups;
  sum->group_gauges.partitions += report.group_gauges.partitions;
  sum->group_gauges.loading += report.group_gauges.loading;
  for (const auto& [state, count] : report.group_gauges.groups) sum->group_gauges.groups[state] += count;
  sum->group_gauges.members += report.group_gauges.members;
  sum->group_gauges.offsets += report.group_gauges.offsets;
  sum->group_gauges.bytes += report.group_gauges.bytes;
  sum->group_gauges.bytes_limit += report.group_gauges.bytes_limit;
  sum->group_gauges.serving.insert(report.group_gauges.serving.begin(), report.group_gauges.serving.end());
}

void AddGroupMetrics(const ShardReport& sum, Exposition* out) {
  const std::pair<v1::GroupState, const char*> states[] = {{v1::GROUP_STATE_EMPTY, "empty"},
                                                           {v1::GROUP_STATE_ASSIGNING, "assigning"},
                                                           {v1::GROUP_STATE_RECONCILING, "reconciling"},
                                                           {v1::GROUP_STATE_STABLE, "stable"}};
  for (const auto& [state, name] : states) {
    const auto found = sum.group_gauges.groups.find(state);
    const size_t count = found == sum.group_gauges.groups.end() ? 0 : found->second;
    out->Gauge("tidemark_groups", static_cast<double>(count), {{"state", name}});
  }
  out->Gauge("tidemark_group_members", static_cast<double>(sum.group_gauges.members));
  out->Gauge("tidemark_group_offsets", static_cast<double>(sum.group_gauges.offsets));
  out->Gauge("tidemark_group_memory_bytes", static_cast<double>(sum.group_gauges.bytes));
  out->Gauge("tidemark_group_memory_limit_bytes", static_cast<double>(sum.group_gauges.bytes_limit));
  out->Counter("tidemark_group_refused_for_memory_total", sum.groups.refused_for_memory);
  out->Gauge("tidemark_group_partitions", static_cast<double>(sum.group_gauges.partitions));
  out->Gauge("tidemark_group_partitions_loading", static_cast<double>(sum.group_gauges.loading));
  out->Counter("tidemark_group_loads_total", sum.groups.loads);
  out->Counter("tidemark_group_loaded_records_total", sum.groups.loaded_records);
  out->Counter("tidemark_group_bad_records_total", sum.groups.bad_records);
  out->Counter("tidemark_group_heartbeats_total", sum.groups.heartbeats);
  for (size_t cause = 1; cause < sum.groups.rebalances.size(); ++cause) {
    out->Counter("tidemark_group_rebalances_total", sum.groups.rebalances[cause],
                 {{"cause", CauseLabel(static_cast<v1::RebalanceCause>(cause))}});
  }
  out->Counter("tidemark_group_fenced_members_total", sum.groups.fenced_members);
  out->Counter("tidemark_group_committed_offsets_total", sum.groups.committed_offsets);
  out->Counter("tidemark_group_refused_offsets_total", sum.groups.refused_offsets);
  out->Counter("tidemark_group_expired_offsets_total", sum.groups.expired_offsets);
}

}  // namespace tidemark
