// Kafka's murmur2 and the partition it chooses for a key, so that every client puts a key in the same place.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/types.h"

namespace tidemark {

// As org.apache.kafka.common.utils.Utils.murmur2; "abc" gives 479470107.
int32_t Murmur2(std::string_view bytes);

// partitions > 0.
PartitionIndex PartitionForKey(std::string_view key, uint32_t partitions);

}  // namespace tidemark
