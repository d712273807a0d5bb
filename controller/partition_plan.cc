#include "controller/partition_plan.h"

#include <algorithm>
#include <iterator>
#include <set>

#include <glog/logging.h>

#include "controller/topic_request.h"

namespace tidemark {
namespace {

using Replicas = std::vector<std::vector<BrokerId>>;

Result<Replicas> NewByHand(const v1::CreatePartitionsRequest::Topic& wish, const Replicas& present,
                           const std::vector<PlacementBroker>& brokers) {
  const size_t count = wish.partitions() - present.size();
  if (static_cast<size_t>(wish.assignments_size()) != count) {
    return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "{} partitions are new, and {} are assigned", count,
                wish.assignments_size());
  }
  Replicas added(count);
  for (const auto& assignment : wish.assignments()) {
    const uint32_t partition = assignment.partition();
    if (partition < present.size() || partition >= wish.partitions()) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "the new partitions are {} to {}, and one assigned is {}",
                  present.size(), wish.partitions() - 1, partition);
    }
    std::vector<BrokerId>& replicas = added[partition - present.size()];
    if (!replicas.empty())
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} is given twice", partition);
    TM_ASSIGN_OR_RETURN(replicas, ReplicasByHand(assignment, brokers));
    if (replicas.size() != present[0].size()) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} has {} replicas, partition 0 has {}",
                  partition, replicas.size(), present[0].size());
    }
  }
  return added;
}

}  // namespace

Result<std::vector<BrokerId>> ReplicasByHand(const v1::CreateTopicsRequest::Assignment& assignment,
                                             const std::vector<PlacementBroker>& brokers) {
  if (assignment.replicas().empty()) {
    return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} has no replicas", assignment.partition());
  }
  std::set<BrokerId> seen;
  for (const BrokerId id : assignment.replicas()) {
    if (!seen.insert(id).second) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} names broker {} twice",
                  assignment.partition(), id);
    }
    if (std::ranges::find(brokers, id, &PlacementBroker::id) == brokers.end()) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} names broker {}, which is not live",
                  assignment.partition(), id);
    }
  }
  return std::vector<BrokerId>(assignment.replicas().begin(), assignment.replicas().end());
}

Result<Replicas> PlanMorePartitions(const v1::CreatePartitionsRequest::Topic& wish, const Replicas& present,
                                    const std::vector<PlacementBroker>& brokers) {
  CHECK(!present.empty() && !present[0].empty()) << "a topic has partitions, and they have replicas";
  if (wish.partitions() <= present.size()) {
    return Fail(v1::INVALID_PARTITIONS, "topic '{}' has {} partitions, and their number can only grow",
                wish.name(), present.size());
  }
  if (wish.partitions() > kMaxPartitionsPerTopic) {
    return Fail(v1::INVALID_PARTITIONS, "a topic has at most {} partitions", kMaxPartitionsPerTopic);
  }
  if (!wish.assignments().empty()) return NewByHand(wish, present, brokers);
  std::vector<BrokerId> ids;
  for (const PlacementBroker& broker : brokers) ids.push_back(broker.id);
  std::ranges::sort(ids);
  const uint64_t start =
      static_cast<uint64_t>(std::distance(ids.begin(), std::ranges::lower_bound(ids, present[0][0])));
  TM_ASSIGN_OR_RETURN(Replicas all,
                      PlaceReplicas(brokers, {.partitions = wish.partitions(),
                                              .replication_factor = static_cast<uint32_t>(present[0].size()),
                                              .start = start,
                                              .shift = start}));
  all.erase(all.begin(), all.begin() + static_cast<ptrdiff_t>(present.size()));
  return all;
}

}  // namespace tidemark
