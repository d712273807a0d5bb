#include "controller/topic_request.h"

#include <algorithm>

#include "common/config/topic_configs.h"
#include "controller/partition_plan.h"

namespace tidemark {
namespace {

Result<std::vector<std::vector<BrokerId>>> ByHand(const v1::CreateTopicsRequest::Topic& wish,
                                                  const std::vector<PlacementBroker>& brokers) {
  const size_t count = wish.assignments_size();
  std::vector<std::vector<BrokerId>> out(count);
  for (const auto& assignment : wish.assignments()) {
    const uint32_t partition = assignment.partition();
    if (partition >= count) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "{} partitions are assigned, and one of them is {}", count,
                  partition);
    }
    if (!out[partition].empty())
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} is given twice", partition);
    TM_ASSIGN_OR_RETURN(out[partition], ReplicasByHand(assignment, brokers));
    if (assignment.replicas_size() != wish.assignments(0).replicas_size()) {
      return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "partition {} has {} replicas, another one has {}",
                  partition, assignment.replicas_size(), wish.assignments(0).replicas_size());
    }
  }
  return out;
}

}  // namespace

Result<TopicPlan> PlanTopic(const v1::CreateTopicsRequest::Topic& wish,
                            const std::vector<PlacementBroker>& brokers, const TopicDefaults& defaults,
                            uint64_t start, uint64_t shift) {
  TM_RETURN_IF_ERROR(ValidateTopicName(wish.name()));
  TopicPlan plan;
  for (const auto& [name, value] : wish.configs()) plan.configs[name] = value;
  TM_RETURN_IF_ERROR(ValidateTopicOverrides(plan.configs));
  if (wish.assignments_size() > static_cast<int>(kMaxPartitionsPerTopic) ||
      wish.partitions() > kMaxPartitionsPerTopic) {
    return Fail(v1::INVALID_PARTITIONS, "a topic has at most {} partitions", kMaxPartitionsPerTopic);
  }
  if (!wish.assignments().empty()) {
    if (wish.partitions() != 0 || wish.replication_factor() != 0) {
      return Fail(v1::INVALID_REQUEST, "with assignments given, partitions and replication_factor must be 0");
    }
    TM_ASSIGN_OR_RETURN(plan.replicas, ByHand(wish, brokers));
  } else {
    if (brokers.empty()) return Fail(v1::INVALID_REPLICATION_FACTOR, "there are no live brokers; start some");
    PlacementWish placement{.start = start, .shift = shift};
    placement.partitions = wish.partitions() != 0 ? wish.partitions() : defaults.partitions;
    placement.replication_factor =
        wish.replication_factor() != 0 ? wish.replication_factor() : defaults.replication_factor;
    if (placement.replication_factor == 0) {
      placement.replication_factor = static_cast<uint32_t>(std::min<size_t>(3, brokers.size()));
    }
    TM_ASSIGN_OR_RETURN(plan.replicas, PlaceReplicas(brokers, placement));
  }
  plan.replication_factor = static_cast<uint32_t>(plan.replicas.front().size());
  return plan;
}

v1::TopicZnode MakeTopicZnode(const TopicPlan& plan, const TopicId& id) {
  v1::TopicZnode node;
  node.set_topic_id(id.ToBytes());
  for (size_t partition = 0; partition < plan.replicas.size(); ++partition) {
    v1::ReplicaList& list = (*node.mutable_partitions())[static_cast<uint32_t>(partition)];
    list.mutable_replicas()->Assign(plan.replicas[partition].begin(), plan.replicas[partition].end());
  }
  return node;
}

bool NamesCollide(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b,
                            [](char x, char y) { return (x == '.' ? '_' : x) == (y == '.' ? '_' : y); });
}

}  // namespace tidemark
