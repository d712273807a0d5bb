// Commands to brokers and descriptions for clients, made from the cluster as it is. Pure.
#pragma once

#include <set>

#include "controller/cluster_context.h"
#include "tidemark/v1/client_api.pb.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

// A partition that has a state, as replicas are told of it.
void FillPartitionState(PartitionIndex index, const PartitionContext& partition, v1::PartitionState* out);

// The states of those of `keys` that the broker has replicas of (all when null), without topics being
// deleted.
v1::LeaderAndIsrRequest MakeLeaderAndIsr(const ClusterContext& cluster, BrokerId broker,
                                         const std::set<PartitionKey>* keys);

// The topics named, those that are gone as deleted; all when null. Partitions without a state have no leader.
v1::UpdateMetadataRequest MakeUpdateMetadata(const ClusterContext& cluster, const std::set<TopicId>* topics);

void FillTopicMetadata(const ClusterContext& cluster, const TopicContext& topic, v1::TopicMetadata* out);

}  // namespace tidemark
