// What a wish for more partitions of a topic comes to: checked, and the new ones' replicas placed. Pure.
#pragma once

#include <vector>

#include "common/result.h"
#include "common/types.h"
#include "controller/placement.h"
#include "tidemark/v1/admin_api.pb.h"

namespace tidemark {

// `present`: the replicas of the partitions that there are, by number, never empty. Returns those of the new
// ones, in order. Placed by themselves, they go on with the round robin from partition 0's leader, with as
// many replicas as partition 0. INVALID_PARTITIONS: not above the present number, or too many;
// INVALID_REPLICA_ASSIGNMENT, INVALID_REPLICATION_FACTOR say what is wrong.
Result<std::vector<std::vector<BrokerId>>> PlanMorePartitions(
    const v1::CreatePartitionsRequest::Topic& wish, const std::vector<std::vector<BrokerId>>& present,
    const std::vector<PlacementBroker>& brokers);

// The replicas of `assignment` as given by hand: not empty, none twice, all live. `brokers`: the live ones.
Result<std::vector<BrokerId>> ReplicasByHand(const v1::CreateTopicsRequest::Assignment& assignment,
                                             const std::vector<PlacementBroker>& brokers);

}  // namespace tidemark
