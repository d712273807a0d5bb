// Where the replicas of a new topic go: Kafka's placement. Pure; randomness comes in as numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/types.h"

namespace tidemark {

struct PlacementBroker {
  BrokerId id = kNoBroker;
  std::string rack;  // empty: none
};

struct PlacementWish {
  uint32_t partitions = 0;
  uint32_t replication_factor = 0;
  // Random numbers: where the round robin starts, and how far followers are shifted at first.
  uint64_t start = 0;
  uint64_t shift = 0;
};

// Per partition its replicas, preferred leader first. Leaders go round robin over the brokers, followers are
// shifted by one more after each round; with racks, brokers alternate between racks and a partition's
// replicas are on as many racks as there are. INVALID_REPLICATION_FACTOR when there are too few brokers;
// INVALID_REPLICA_ASSIGNMENT when only some brokers have racks.
Result<std::vector<std::vector<BrokerId>>> PlaceReplicas(std::vector<PlacementBroker> brokers,
                                                         const PlacementWish& wish);

}  // namespace tidemark
