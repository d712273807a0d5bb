// What a wish for a new topic comes to: checked, with defaults filled in and replicas placed. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/config/properties.h"
#include "common/result.h"
#include "common/types.h"
#include "controller/placement.h"
#include "tidemark/v1/admin_api.pb.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark {

// More partitions than this in one topic are refused: they would not fit into its znode.
inline constexpr uint32_t kMaxPartitionsPerTopic = 20000;
// A znode of a topic must fit into one packet with what goes along.
inline constexpr size_t kMaxTopicZnodeBytes = 900 << 10;

struct TopicDefaults {
  uint32_t partitions = 1;
  uint32_t replication_factor = 0;  // 0: min(3, live brokers)
};

struct TopicPlan {
  std::vector<std::vector<BrokerId>> replicas;  // by partition
  Properties configs;
  uint32_t replication_factor = 0;
};

// Existing names are the caller's to check. INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS,
// INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG or INVALID_REQUEST say what is
// wrong. `start` and `shift` are random.
Result<TopicPlan> PlanTopic(const v1::CreateTopicsRequest::Topic& wish,
                            const std::vector<PlacementBroker>& brokers, const TopicDefaults& defaults,
                            uint64_t start, uint64_t shift);

v1::TopicZnode MakeTopicZnode(const TopicPlan& plan, const TopicId& id);

// Names that differ only in '.' and '_' cannot both be told apart in metric names.
bool NamesCollide(std::string_view a, std::string_view b);

}  // namespace tidemark
