#include "broker/server/request_amounts.h"

#include <algorithm>
#include <unordered_set>

#include "common/request_limits.h"

namespace tidemark {
namespace {

Result<> AtMost(size_t most, size_t asked, const char* what) {
  if (asked <= most) return {};
  return Fail(v1::INVALID_REQUEST, "{} {} in one request, {} are allowed: ask in several", asked, what, most);
}

// Of topics with partitions; a topic without any counts as one.
template <typename Topics>
size_t PartitionsOf(const Topics& topics) {
  size_t count = 0;
  for (const auto& topic : topics) count += std::max<size_t>(1, topic.partitions().size());
  return count;
}

// Of topics to be made or grown. What has to be counted to be refused is counted here; a topic by itself has
// a limit of its own.
template <typename Topics>
Result<> CheckMade(const Topics& topics) {
  TM_RETURN_IF_ERROR(AtMost(kMaxEntitiesAsked, topics.size(), "topics"));
  size_t count = 0;
  size_t replicas = 0;
  for (const auto& topic : topics) {
    count += std::max<size_t>({1, topic.partitions(), static_cast<size_t>(topic.assignments_size())});
    for (const auto& assignment : topic.assignments()) replicas += assignment.replicas().size();
  }
  TM_RETURN_IF_ERROR(AtMost(kMaxPartitionsMade, count, "partitions"));
  return AtMost(kMaxReplicasMade, replicas, "replicas");
}

Result<> CheckCreated(const v1::CreateTopicsRequest& request) {
  TM_RETURN_IF_ERROR(CheckMade(request.topics()));
  size_t configs = 0;
  for (const auto& topic : request.topics()) configs += topic.configs().size();
  return AtMost(kMaxConfigsAltered, configs, "configs");
}

Result<> CheckAltered(const v1::AlterConfigsRequest& request) {
  TM_RETURN_IF_ERROR(AtMost(kMaxEntitiesAsked, request.changes_size(), "entities"));
  size_t configs = 0;
  for (const auto& change : request.changes()) configs += change.set().size() + change.remove().size();
  return AtMost(kMaxConfigsAltered, configs, "configs");
}

Result<> CheckEntities(const v1::DescribeConfigsRequest& request) {
  TM_RETURN_IF_ERROR(AtMost(kMaxEntitiesAsked, request.entities_size(), "entities"));
  std::unordered_set<int> types;
  for (const int type : request.all_of()) {
    if (!types.insert(type).second)
      return Fail(v1::INVALID_REQUEST, "all entities of type {} are asked for twice", type);
  }
  return {};
}

}  // namespace

Result<> CheckAmountAsked(const v1::Request& request) {
  switch (request.body_case()) {
    case v1::Request::kMetadata:
      return AtMost(kMaxTopicsAsked, request.metadata().topics_size(), "topics");
    case v1::Request::kProduce:
      return AtMost(kMaxPartitionsProduced, PartitionsOf(request.produce().topics()), "partitions");
    case v1::Request::kListOffsets:
      return AtMost(kMaxPartitionsListed, PartitionsOf(request.list_offsets().topics()), "partitions");
    case v1::Request::kDeleteRecords:
      return AtMost(kMaxPartitionsListed, PartitionsOf(request.delete_records().topics()), "partitions");
    case v1::Request::kCreateTopics:
      return CheckCreated(request.create_topics());
    case v1::Request::kCreatePartitions:
      return CheckMade(request.create_partitions().topics());
    case v1::Request::kDeleteTopics:
      return AtMost(kMaxTopicsAsked, request.delete_topics().names_size(), "topics");
    case v1::Request::kDescribeTopics:
      return AtMost(kMaxTopicsAsked, request.describe_topics().names_size(), "topics");
    case v1::Request::kDescribeConfigs:
      return CheckEntities(request.describe_configs());
    case v1::Request::kAlterConfigs:
      return CheckAltered(request.alter_configs());
    case v1::Request::kDescribeReplicas:
      return AtMost(kMaxTopicsAsked, request.describe_replicas().topic_ids_size(), "topics");
    case v1::Request::kDescribeLogDirs:
      return AtMost(kMaxTopicsAsked, request.describe_log_dirs().topic_ids_size(), "topics");
    case v1::Request::kAlterReplicaLogDirs:
      return AtMost(kMaxPartitionsListed, request.alter_replica_log_dirs().moves_size(), "replicas");
    case v1::Request::kListGroups:
      return AtMost(kMaxStatesAsked, request.list_groups().states_size(), "states");
    default:
      return {};
  }
}

}  // namespace tidemark
