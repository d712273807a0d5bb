#include "tests/simulation/runs/cluster_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"

namespace tidemark {

std::optional<v1::PartitionStateZnode> PartitionStateOf(SimWorld& world, const std::string& topic,
                                                        PartitionIndex partition) {
  const auto node = world.zookeeper().Peek(zkpath::PartitionState(topic, partition));
  if (!node) return std::nullopt;
  auto state = DecodePartitionState(node->data);
  if (!state) return std::nullopt;
  return *state;
}

std::vector<LeaderClaim> LeaderClaimsOf(SimWorld& world, const std::string& topic, uint32_t partitions,
                                        uint64_t* elections) {
  std::vector<LeaderClaim> claims;
  std::set<std::pair<PartitionIndex, LeaderEpoch>> seen;
  for (const SimZkRecord& record : world.zookeeper().history()) {
    for (PartitionIndex p = 0; p < partitions; ++p) {
      if (record.path != zkpath::PartitionState(topic, p)) continue;
      auto state = DecodePartitionState(record.data);
      if (!state || state->leader() < 0) continue;
      claims.push_back({topic, p, state->leader_epoch(), state->leader()});
      if (seen.insert({p, state->leader_epoch()}).second && state->leader_epoch() > 0) ++*elections;
    }
  }
  return claims;
}

ReplicaViews DescribeReplicas(SimBrokers& brokers, int count, const TopicId& topic) {
  ReplicaViews found;
  for (int id = 0; id < count; ++id) {
    if (brokers.broker(id) == nullptr) continue;
    v1::Request request;
    request.mutable_describe_replicas()->add_topic_ids(topic.ToBytes());
    const Result<v1::Response> response = brokers.Call(id, request);
    if (!response) continue;
    for (const auto& replica : response->describe_replicas().replicas())
      found[{id, replica.partition()}] = replica;
  }
  return found;
}

TopicOnDisks ReadTopic(SimBrokers& brokers, int count, const std::string& topic, const TopicId& id,
                       uint32_t partitions, Violations* violations, Violations* stuck) {
  const ReplicaViews views = DescribeReplicas(brokers, count, id);
  for (const auto& [place, replica] : views) {
    if (!replica.has_offline()) continue;
    stuck->push_back(fmt::format("{}-{} is offline on broker {}: {}", topic, place.second, place.first,
                                 replica.offline().message()));
  }
  TopicOnDisks out;
  for (PartitionIndex p = 0; p < partitions; ++p) {
    const auto state = PartitionStateOf(brokers.world(), topic, p);
    for (int broker = 0; broker < count; ++broker) {
      const auto view = views.find({broker, p});
      const bool in_sync = state && std::ranges::count(state->isr(), broker) > 0;
      if (view == views.end() && in_sync)
        stuck->push_back(
            fmt::format("broker {} does not tell the high watermark of {}-{}", broker, topic, p));
      const Offset end = view == views.end() ? 0 : view->second.high_watermark();
      if (state && state->leader() == broker) out.ends[p] = end;
      out.logs.push_back(ReadDiskLog(brokers.world().disk(fmt::format("host{}", broker)),
                                     fmt::format("/data/{}-{}", topic, p), broker, topic, id, p, end,
                                     violations));
      out.logs.back().in_sync = in_sync;
      if (view == views.end()) continue;
      // What is below the log start is nobody's any more: a repair leaves batches without records there.
      // Empty files say nothing of a start that retention has moved.
      DiskLog& log = out.logs.back();
      const Offset start = view->second.log_start_offset();
      std::erase_if(log.batches, [start](const LoggedBatch& batch) { return batch.last_offset < start; });
      log.start = log.batches.empty() ? start : log.batches.front().base_offset;
    }
  }
  return out;
}

}  // namespace tidemark
