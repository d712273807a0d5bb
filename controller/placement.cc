#include "controller/placement.h"

#include <algorithm>
#include <map>
#include <set>

#include <glog/logging.h>

namespace tidemark {
namespace {

// The broker after `first` that is tried as follower number `index`, skipping the leader's place.
size_t FollowerPlace(size_t first, uint64_t shift, uint64_t index, size_t count) {
  return (first + 1 + (shift + index) % (count - 1)) % count;
}

// Brokers in an order in which neighbours are on different racks: one of each rack in turn.
std::vector<PlacementBroker> AlternateRacks(const std::vector<PlacementBroker>& brokers) {
  std::map<std::string, std::vector<PlacementBroker>> by_rack;
  for (const PlacementBroker& broker : brokers) by_rack[broker.rack].push_back(broker);
  std::vector<PlacementBroker> out;
  for (size_t round = 0; out.size() < brokers.size(); ++round) {
    for (const auto& [rack, members] : by_rack) {
      if (round < members.size()) out.push_back(members[round]);
    }
  }
  return out;
}

std::vector<BrokerId> PlaceOne(const std::vector<PlacementBroker>& brokers, size_t racks, size_t first,
                               uint64_t shift, uint32_t replication_factor) {
  const size_t count = brokers.size();
  std::vector<BrokerId> replicas{brokers[first].id};
  std::set<std::string> used_racks{brokers[first].rack};
  std::set<BrokerId> used{brokers[first].id};
  // Without racks every broker counts as one of a single rack, which is always used up.
  for (uint64_t index = 0; replicas.size() < replication_factor; ++index) {
    const PlacementBroker& next = brokers[FollowerPlace(first, shift * racks, index, count)];
    if (used.contains(next.id)) continue;
    if (used_racks.contains(next.rack) && used_racks.size() < racks) continue;
    replicas.push_back(next.id);
    used.insert(next.id);
    used_racks.insert(next.rack);
  }
  return replicas;
}

}  // namespace

Result<std::vector<std::vector<BrokerId>>> PlaceReplicas(std::vector<PlacementBroker> brokers,
                                                         const PlacementWish& wish) {
  if (wish.replication_factor == 0 || wish.replication_factor > brokers.size()) {
    return Fail(v1::INVALID_REPLICATION_FACTOR,
                "replication factor {} with {} live broker{}: use a factor up to {}, or start more brokers",
                wish.replication_factor, brokers.size(), brokers.size() == 1 ? "" : "s", brokers.size());
  }
  std::ranges::sort(brokers, {}, &PlacementBroker::id);
  std::set<std::string> racks;
  for (const PlacementBroker& broker : brokers) racks.insert(broker.rack);
  if (racks.size() > 1 && racks.contains("")) {
    const auto bare = std::ranges::find(brokers, std::string(), &PlacementBroker::rack);
    return Fail(v1::INVALID_REPLICA_ASSIGNMENT, "some brokers have a rack and broker {} has none", bare->id);
  }
  brokers = AlternateRacks(brokers);
  const size_t count = brokers.size();
  const uint64_t start = wish.start % count;
  uint64_t shift = wish.shift % count;
  std::vector<std::vector<BrokerId>> out;
  out.reserve(wish.partitions);
  for (uint32_t partition = 0; partition < wish.partitions; ++partition) {
    if (partition > 0 && partition % count == 0) ++shift;
    out.push_back(
        PlaceOne(brokers, racks.size(), (partition + start) % count, shift, wish.replication_factor));
  }
  return out;
}

}  // namespace tidemark
