// __consumer_offsets as a broker sees it: where a group lives, who leads that, and the topic's making; and
// the parts of a shard that serve groups. Shard's loop.
#pragma once

#include <memory>
#include <string>

#include "broker/group/group_coordinator.h"
#include "broker/server/cluster_snapshot.h"
#include "common/config/broker_config.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

class Shard;

// The coordinator of a shard, made when the shard is activated; not started.
std::unique_ptr<GroupCoordinator> MakeGroupCoordinator(Shard& shard);

// Topics as groups see them; null when no controller has told of the cluster yet.
std::shared_ptr<const GroupTopics> TopicsOfCluster(const ClusterSnapshot& snapshot);

// The partition that holds a group. COORDINATOR_NOT_AVAILABLE when __consumer_offsets is not there;
// INVALID_GROUP_ID.
Result<PartitionKey> PlaceOfGroup(const ClusterSnapshot& snapshot, const std::string& group);

// The request that creates __consumer_offsets. COORDINATOR_NOT_AVAILABLE while too few brokers are there.
Result<v1::CreateTopicsRequest> RequestForOffsetsTopic(const BrokerConfig::Groups& config,
                                                       size_t live_brokers);

}  // namespace tidemark
