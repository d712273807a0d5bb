// What a run sees of its cluster from outside: partition states as ZooKeeper holds them, and what brokers
// answer of their replicas.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/cluster/checkers.h"
#include "tests/unit/server/sim_brokers.h"
#include "tidemark/v1/admin_api.pb.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark {

std::optional<v1::PartitionStateZnode> PartitionStateOf(SimWorld& world, const std::string& topic,
                                                        PartitionIndex partition);

// Who led in which epoch, as ZooKeeper saw it. Adds to `elections` how often leaders changed; the first
// leader of a partition is placed, not elected.
std::vector<LeaderClaim> LeaderClaimsOf(SimWorld& world, const std::string& topic, uint32_t partitions,
                                        uint64_t* elections);

// What each running broker says of its replicas of a topic.
using ReplicaViews = std::map<std::pair<BrokerId, PartitionIndex>, v1::DescribeReplicasResponse::Replica>;
ReplicaViews DescribeReplicas(SimBrokers& brokers, int count, const TopicId& topic);

// The logs of a topic as they lie on the disks, with the high watermarks that the replicas have by their own
// word, and what the leader holds committed. What is wrong with the bytes is added to `violations`, a replica
// that is offline or not told of to `stuck`.
struct TopicOnDisks {
  std::vector<DiskLog> logs;
  std::map<PartitionIndex, Offset> ends;
};
TopicOnDisks ReadTopic(SimBrokers& brokers, int count, const std::string& topic, const TopicId& id,
                       uint32_t partitions, Violations* violations, Violations* stuck);

}  // namespace tidemark
