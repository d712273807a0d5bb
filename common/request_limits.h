// How much one request may ask for. A broker refuses more with INVALID_REQUEST before it begins: a few bytes
// that name a thing must not become gigabytes of answer or minutes of work. A client splits what only asks,
// and what deletes records. Numbers of things; those of requests about groups are in
// broker/group/group_limits.h.
#pragma once

#include <cstddef>

namespace tidemark {

// Topics: Metadata, DescribeTopics, DeleteTopics, DescribeReplicas, DescribeLogDirs.
inline constexpr size_t kMaxTopicsAsked = 10'000;
// Topics of CreateTopics and CreatePartitions, entities of DescribeConfigs and AlterConfigs.
inline constexpr size_t kMaxEntitiesAsked = 1'000;
// Partitions that CreateTopics or CreatePartitions come to, all topics of a request together.
inline constexpr size_t kMaxPartitionsMade = 100'000;
// Replicas chosen by hand for those.
inline constexpr size_t kMaxReplicasMade = 1'000'000;
// Configs that AlterConfigs and CreateTopics set or remove, all entities of a request together.
inline constexpr size_t kMaxConfigsAltered = 100'000;
// States of ListGroups: of those there are, and of a newer client's.
inline constexpr size_t kMaxStatesAsked = 64;
// Partitions of ListOffsets and DeleteRecords, replicas of AlterReplicaLogDirs.
inline constexpr size_t kMaxPartitionsListed = 20'000;
// Partitions of Produce.
inline constexpr size_t kMaxPartitionsProduced = 100'000;

}  // namespace tidemark
