#include "broker/group/sticky_assignor.h"

#include <algorithm>

namespace tidemark {

StickyAssignment::StickyAssignment(const std::vector<AssignableMember>& members,
                                   const std::map<TopicId, uint32_t>& partitions)
    : members_(members),
      partitions_(partitions),
      loads_(members.size(), 0),
      held_(members.size()),
      had_(members.size()) {
  for (Index i = 0; i < members_.size(); ++i) {
    for (const TopicId& topic : members_[i].topics) readers_[topic].insert({0, i});
    had_[i].insert(members_[i].current.begin(), members_[i].current.end());
  }
}

AssignmentPlan StickyAssignment::Make() {
  Keep();
  PlaceFree();
  Balance();
  AssignmentPlan plan;
  for (const AssignableMember& member : members_) plan[member.id];
  for (const auto& [partition, owner] : owner_) plan[members_[owner].id].push_back(partition);
  return plan;
}

void StickyAssignment::Keep() {
  for (Index i = 0; i < members_.size(); ++i) {
    for (const PartitionKey& partition : had_[i]) {
      const auto topic = partitions_.find(partition.topic);
      if (topic == partitions_.end() || partition.partition >= topic->second || owner_.contains(partition))
        continue;
      if (std::ranges::binary_search(members_[i].topics, partition.topic)) Give(i, partition);
    }
  }
}

void StickyAssignment::PlaceFree() {
  // Topics that few members read first: there is the least choice.
  std::vector<std::pair<size_t, TopicId>> order;
  for (const auto& [topic, readers] : readers_) order.emplace_back(readers.size(), topic);
  std::ranges::sort(order);
  for (const auto& [count, topic] : order) {
    const auto partitions = partitions_.find(topic);
    if (partitions == partitions_.end()) continue;
    for (PartitionIndex partition = 0; partition < partitions->second; ++partition) {
      if (owner_.contains({topic, partition})) continue;
      Give(readers_[topic].begin()->member, {topic, partition});
    }
  }
}

void StickyAssignment::Balance() {
  for (bool moved = true; moved;) {
    moved = false;
    // The most loaded first; those that have nothing to give away now are passed over until somebody moved.
    std::set<Load> by_load;
    for (Index i = 0; i < members_.size(); ++i) by_load.insert({loads_[i], i});
    while (!by_load.empty()) {
      const Load most = *by_load.rbegin();
      by_load.erase(most);
      if (most.count != loads_[most.member]) {  // it received something since
        by_load.insert({loads_[most.member], most.member});
        continue;
      }
      if (!MoveOneFrom(most.member)) continue;
      moved = true;
      by_load.insert({loads_[most.member], most.member});
    }
  }
}

bool StickyAssignment::MoveOneFrom(Index member) {
  std::optional<Load> best;
  TopicId topic;
  for (const auto& [held, partitions] : held_[member]) {
    const Load least = *readers_[held].begin();
    if (least.count + 2 > loads_[member] || (best && *best <= least)) continue;
    best = least;
    topic = held;
  }
  if (!best) return false;
  Give(best->member, Take(member, topic));
  return true;
}

void StickyAssignment::Give(Index member, const PartitionKey& partition) {
  owner_[partition] = member;
  held_[member][partition.topic].insert(partition.partition);
  ChangeLoad(member, 1);
}

// One that it did not have before, if there is one: taking that away moves nothing.
PartitionKey StickyAssignment::Take(Index member, const TopicId& topic) {
  auto held = held_[member].find(topic);
  PartitionIndex chosen = *held->second.rbegin();
  for (const PartitionIndex partition : held->second) {
    if (!had_[member].contains({topic, partition})) chosen = partition;
  }
  held->second.erase(chosen);
  if (held->second.empty()) held_[member].erase(held);
  ChangeLoad(member, -1);
  return {topic, chosen};
}

void StickyAssignment::ChangeLoad(Index member, int by) {
  const Load before{loads_[member], member};
  loads_[member] += static_cast<size_t>(by);
  for (const TopicId& topic : members_[member].topics) {
    std::set<Load>& readers = readers_[topic];
    readers.erase(before);
    readers.insert({loads_[member], member});
  }
}

}  // namespace tidemark
