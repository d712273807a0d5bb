#include "common/record/murmur2.h"

#include <cstring>

#include <glog/logging.h>

namespace tidemark {

int32_t Murmur2(std::string_view bytes) {
  constexpr uint32_t kSeed = 0x9747b28c;
  constexpr uint32_t kM = 0x5bd1e995;
  uint32_t hash = kSeed ^ static_cast<uint32_t>(bytes.size());
  while (bytes.size() >= 4) {
    uint32_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    word *= kM;
    word ^= word >> 24;
    word *= kM;
    hash *= kM;
    hash ^= word;
    bytes.remove_prefix(4);
  }
  if (!bytes.empty()) {
    for (size_t i = bytes.size(); i-- > 0;)
      hash ^= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    hash *= kM;
  }
  hash ^= hash >> 13;
  hash *= kM;
  hash ^= hash >> 15;
  return static_cast<int32_t>(hash);
}

PartitionIndex PartitionForKey(std::string_view key, uint32_t partitions) {
  CHECK_GT(partitions, 0u);
  return (static_cast<uint32_t>(Murmur2(key)) & 0x7fffffffu) % partitions;
}

}  // namespace tidemark
