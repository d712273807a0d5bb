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
  for (Index i = 0; i < members_.size(); ++i)
    had_[i].insert(members_[i].current.begin(), members_[i].current.end());
  MakeClasses();
  MakeKinds();
}

void StickyAssignment::MakeClasses() {
  const auto before = [](const std::vector<TopicId>* a, const std::vector<TopicId>* b) { return *a < *b; };
  std::map<const std::vector<TopicId>*, size_t, decltype(before)> known(before);
  for (Index i = 0; i < members_.size(); ++i) {
    const auto [found, added] = known.try_emplace(&members_[i].topics, classes_.size());
    if (added) {
      classes_.emplace_back();
      example_.push_back(i);
    }
    class_of_.push_back(found->second);
    classes_[found->second].insert({0, i});
  }
}

void StickyAssignment::MakeKinds() {
  std::map<TopicId, std::vector<size_t>> read_by;
  for (size_t c = 0; c < classes_.size(); ++c) {
    for (const TopicId& topic : members_[example_[c]].topics) read_by[topic].push_back(c);
  }
  std::map<std::vector<size_t>, size_t> known;
  for (auto& [topic, classes] : read_by) {
    const auto [found, added] = known.try_emplace(classes, kinds_.size());
    kind_of_[topic] = found->second;
    if (!added) continue;
    Kind& kind = kinds_.emplace_back();
    for (const size_t c : classes) kind.readers += classes_[c].size();
    kind.classes = std::move(classes);
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
  for (const auto& [topic, kind] : kind_of_) order.emplace_back(kinds_[kind].readers, topic);
  std::ranges::sort(order);
  for (const auto& [count, topic] : order) {
    const auto partitions = partitions_.find(topic);
    if (partitions == partitions_.end()) continue;
    const size_t kind = kind_of_.at(topic);
    for (PartitionIndex partition = 0; partition < partitions->second; ++partition) {
      if (!owner_.contains({topic, partition})) Give(LeastOf(kind).member, {topic, partition});
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

StickyAssignment::Load StickyAssignment::LeastOf(size_t kind) const {
  Load least = *classes_[kinds_[kind].classes.front()].begin();
  for (const size_t c : kinds_[kind].classes) least = std::min(least, *classes_[c].begin());
  return least;
}

bool StickyAssignment::MoveOneFrom(Index member) {
  std::optional<Load> best;
  size_t best_kind = 0;
  for (const auto& [kind, held] : held_[member]) {
    const Load least = LeastOf(kind);
    if (least.count + 2 > loads_[member] || (best && *best <= least)) continue;
    best = least;
    best_kind = kind;
  }
  if (!best) return false;
  Give(best->member, Take(member, best_kind));
  return true;
}

void StickyAssignment::Give(Index member, const PartitionKey& partition) {
  owner_[partition] = member;
  Held& held = held_[member][kind_of_.at(partition.topic)];
  (had_[member].contains(partition) ? held.kept : held.fresh).insert(partition);
  ChangeLoad(member, 1);
}

PartitionKey StickyAssignment::Take(Index member, size_t kind) {
  const auto held = held_[member].find(kind);
  std::set<PartitionKey>& from = held->second.fresh.empty() ? held->second.kept : held->second.fresh;
  const PartitionKey chosen = *from.rbegin();
  from.erase(chosen);
  if (held->second.kept.empty() && held->second.fresh.empty()) held_[member].erase(held);
  ChangeLoad(member, -1);
  return chosen;
}

void StickyAssignment::ChangeLoad(Index member, int by) {
  std::set<Load>& alike = classes_[class_of_[member]];
  alike.erase({loads_[member], member});
  loads_[member] += static_cast<size_t>(by);
  alike.insert({loads_[member], member});
}

}  // namespace tidemark
