#include "broker/server/group_topic.h"

#include "broker/server/shard.h"

namespace tidemark {
namespace {

GroupCoordinatorOptions OptionsOf(const BrokerConfig::Groups& config) {
  GroupCoordinatorOptions out;
  out.commit_timeout = config.commit_timeout;
  out.retention_check_interval = config.retention_check_interval;
  out.groups.heartbeat_interval = config.heartbeat_interval;
  out.groups.session_timeout = config.session_timeout;
  out.groups.min_session_timeout = config.min_session_timeout;
  out.groups.max_session_timeout = config.max_session_timeout;
  out.groups.initial_rebalance_delay = config.initial_rebalance_delay;
  out.groups.max_size = config.max_size;
  out.groups.max_bytes = config.max_memory_bytes;
  out.groups.max_metadata_bytes = config.max_metadata_bytes;
  out.groups.offsets_retention = config.retention;
  return out;
}

}  // namespace

std::unique_ptr<GroupCoordinator> MakeGroupCoordinator(Shard& shard) {
  return std::make_unique<GroupCoordinator>(shard.loop(), shard.context().env.clock(), *shard.table(),
                                            OptionsOf(shard.context().config.groups),
                                            [&shard] { return TopicsOfCluster(shard.snapshot()); });
}

std::shared_ptr<const GroupTopics> TopicsOfCluster(const ClusterSnapshot& snapshot) {
  if (snapshot.version() == 0) return nullptr;
  auto out = std::make_shared<GroupTopics>();
  out->incomplete = snapshot.unreadable_topics();
  for (const std::string& name : snapshot.TopicNames()) {
    const TopicInfo* topic = snapshot.Topic(name);
    if (topic == nullptr) continue;
    if (topic->deleting) {
      out->deleting.push_back(topic->id);
      continue;
    }
    if (topic->partitions.empty()) {
      // It is there, and cannot be read.
      out->incomplete = true;
      continue;
    }
    out->Add(name, {topic->id, static_cast<uint32_t>(topic->partitions.size())});
  }
  return out;
}

Result<PartitionKey> PlaceOfGroup(const ClusterSnapshot& snapshot, const std::string& group) {
  TM_RETURN_IF_ERROR(ValidateGroupId(group));
  const TopicInfo* topic = snapshot.Topic(kOffsetsTopic);
  if (topic == nullptr || topic->partitions.empty()) {
    return Fail(v1::COORDINATOR_NOT_AVAILABLE, "{} is not there yet; FindCoordinator creates it",
                kOffsetsTopic);
  }
  return PartitionKey{topic->id, PartitionOfGroup(group, static_cast<uint32_t>(topic->partitions.size()))};
}

Result<v1::CreateTopicsRequest> RequestForOffsetsTopic(const BrokerConfig::Groups& config,
                                                       size_t live_brokers) {
  if (live_brokers < config.topic_replication_factor) {
    return Fail(v1::COORDINATOR_NOT_AVAILABLE,
                "{} is created when offsets.topic.replication.factor={} brokers are registered, and {} are",
                kOffsetsTopic, config.topic_replication_factor, live_brokers);
  }
  v1::CreateTopicsRequest request;
  request.set_timeout_ms(5000);
  request.set_internal(true);
  v1::CreateTopicsRequest::Topic* topic = request.add_topics();
  topic->set_name(std::string(kOffsetsTopic));
  topic->set_partitions(config.topic_partitions);
  topic->set_replication_factor(config.topic_replication_factor);
  (*topic->mutable_configs())["cleanup.policy"] = "compact";
  (*topic->mutable_configs())["compression.type"] = "producer";
  (*topic->mutable_configs())["segment.bytes"] = std::to_string(config.topic_segment_bytes);
  return request;
}

}  // namespace tidemark
