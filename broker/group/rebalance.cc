#include "broker/group/rebalance.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include <fmt/format.h>

#include "broker/group/group_limits.h"

namespace tidemark {
namespace {

constexpr uint64_t kFnvBasis = 0xcbf29ce484222325ULL;
constexpr uint64_t kFnvPrime = 0x100000001b3ULL;
// Of the sentence about the last rebalance: what it quotes may come from records of another version.
constexpr size_t kMaxDetailBytes = 2000;

std::string OrderOf(const std::string& id, const GroupMember& member) {
  return member.info.instance_id().empty() ? id : member.info.instance_id();
}

}  // namespace

uint64_t HashOfTopics(const std::map<TopicId, uint32_t>& partitions) {
  uint64_t hash = kFnvBasis;
  for (const auto& [topic, count] : partitions) {
    for (const uint8_t byte : topic.bytes()) hash = (hash ^ byte) * kFnvPrime;
    hash = (hash ^ count) * kFnvPrime;
  }
  return hash;
}

std::string WhatChanged(const std::map<TopicId, uint32_t>& before, const std::map<TopicId, uint32_t>& now,
                        const GroupTopics& topics) {
  std::string first;
  size_t changes = 0;
  const auto note = [&](std::string sentence) {
    if (changes++ == 0) first = std::move(sentence);
  };
  for (const auto& [topic, count] : now) {
    const auto was = before.find(topic);
    if (was == before.end()) {
      note(fmt::format("topic '{}' with {} partitions is there", topics.NameOf(topic), count));
    } else if (was->second != count) {
      note(fmt::format("topic '{}' has {} partitions instead of {}", topics.NameOf(topic), count,
                       was->second));
    }
  }
  // Its name has gone with it.
  for (const auto& [topic, count] : before) {
    if (!now.contains(topic))
      note(fmt::format("topic {} with {} partitions is gone", topic.ToBase64(), count));
  }
  if (changes > 1) first += fmt::format(", and {} other topics changed", changes - 1);
  return first;
}

const std::vector<TopicId>& TopicsOf(GroupMember& member, SubscriptionResolver& resolver) {
  if (member.topics_version != resolver.version() || resolver.version() == 0) {
    member.topics = resolver.Resolve(member.info.subscription());
    member.topics_version = resolver.version();
  }
  return member.topics;
}

const TopicsOfGroup& TopicsRead(Group& group, SubscriptionResolver& resolver) {
  TopicsOfGroup& read = group.topics_read;
  const bool known = read.topics_version == resolver.version() && resolver.version() != 0;
  if (known && read.members_version == group.members_version()) return read;
  read = {.members_version = group.members_version(), .topics_version = resolver.version()};
  // Most members read the same: each set of topics is looked at once.
  const auto before = [](const std::vector<TopicId>* a, const std::vector<TopicId>* b) { return *a < *b; };
  std::set<const std::vector<TopicId>*, decltype(before)> seen(before);
  for (const auto& [id, unused] : group.members()) {
    const std::vector<TopicId>& topics = TopicsOf(*group.Find(id), resolver);
    if (!seen.insert(&topics).second) continue;
    for (const TopicId& topic : topics) {
      const GroupTopic* found = resolver.topics().Find(topic);
      if (found != nullptr) read.partitions[topic] = found->partitions;
    }
  }
  read.hash = HashOfTopics(read.partitions);
  return read;
}

bool AssignmentIsWhole(Group& group, SubscriptionResolver& resolver) {
  const std::map<TopicId, uint32_t>& read = TopicsRead(group, resolver).partitions;
  std::unordered_set<PartitionKey> given;
  for (const auto& [id, unused] : group.members()) {
    GroupMember& member = *group.Find(id);
    const std::vector<TopicId>& topics = TopicsOf(member, resolver);
    for (const PartitionKey& partition : member.target) {
      const auto topic = read.find(partition.topic);
      if (topic == read.end() || partition.partition >= topic->second) return false;
      if (!std::ranges::binary_search(topics, partition.topic)) return false;
      if (!given.insert(partition).second) return false;
    }
  }
  size_t all = 0;
  for (const auto& [topic, count] : read) all += count;
  return given.size() == all;
}

v1::GroupMetadataValue& Rebalance::Metadata() {
  if (!metadata_) metadata_ = group_.metadata() ? *group_.metadata() : v1::GroupMetadataValue();
  return *metadata_;
}

void Rebalance::Cause(v1::RebalanceCause cause, std::string detail) {
  v1::GroupMetadataValue& metadata = Metadata();
  metadata.set_group_epoch(group_.TakeEpoch());
  metadata.mutable_last_rebalance()->set_cause(cause);
  metadata.mutable_last_rebalance()->set_detail(std::string(Utf8Prefix(detail, kMaxDetailBytes)));
  metadata.mutable_last_rebalance()->set_time(scene_.wall);
}

void Rebalance::Settle() {
  const bool had_members = group_.metadata() && group_.metadata()->empty_since() == 0;
  if (!group_.members().empty() && !had_members && !group_.assign_not_before) {
    group_.assign_not_before = scene_.now + scene_.options.initial_rebalance_delay;
  }
  if (group_.members().empty()) group_.assign_not_before.reset();
  const uint32_t epoch = metadata_ ? metadata_->group_epoch() : group_.group_epoch();
  const uint32_t assigned = metadata_ ? metadata_->assignment_epoch() : group_.assignment_epoch();
  if (epoch != assigned && (!group_.assign_not_before || scene_.now >= *group_.assign_not_before))
    AssignTargets();
  if (!metadata_) return;
  if (!group_.members().empty()) {
    metadata_->set_empty_since(0);
  } else if (metadata_->empty_since() == 0) {
    metadata_->set_empty_since(std::max<WallMillis>(1, scene_.wall));
  }
  change_.PutMetadata(std::move(*metadata_));
  metadata_.reset();
}

AssignorKind Rebalance::Preferred() const {
  std::map<AssignorKind, size_t> votes;
  for (const auto& [id, member] : group_.members()) {
    if (const auto kind = AssignorFromName(member.info.assignor())) ++votes[*kind];
  }
  AssignorKind best = AssignorKind::kSticky;
  size_t most = 0;
  // Among equals the one in use stays.
  const auto in_use = group_.metadata() ? AssignorFromName(group_.metadata()->assignor()) : std::nullopt;
  for (const auto& [kind, count] : votes) {
    if (count > most || (count == most && kind == in_use)) {
      best = kind;
      most = count;
    }
  }
  return best;
}

void Rebalance::AssignTargets() {
  std::vector<AssignableMember> members;
  for (const auto& [id, unused] : group_.members()) {
    GroupMember& member = *group_.Find(id);
    members.push_back({.order = OrderOf(id, member),
                       .id = id,
                       .topics = TopicsOf(member, scene_.resolver),
                       .current = {member.target.begin(), member.target.end()}});
  }
  const TopicsOfGroup& read = TopicsRead(group_, scene_.resolver);
  const AssignorKind kind = Preferred();
  for (auto& [id, list] : Assign(kind, std::move(members), read.partitions)) {
    PartitionKeys target(list.begin(), list.end());
    if (target != group_.Find(id)->target) change_.PutTarget(id, target);
  }
  group_.assign_not_before.reset();
  v1::GroupMetadataValue& metadata = Metadata();
  metadata.set_assignment_epoch(metadata.group_epoch());
  metadata.set_assignor(std::string(NameOf(kind)));
  metadata.set_topics_hash(read.hash);
}

bool Rebalance::Reconcile(const std::string& id, const PartitionKeys* owned) {
  const GroupMember& member = *group_.Find(id);
  HeldPartitions assigned = member.assigned;
  HeldPartitions revoking = member.revoking;
  bool told = false;
  const bool released = owned != nullptr &&
                        std::erase_if(revoking, [&](const auto& p) { return !owned->contains(p.first); }) > 0;
  for (auto held = assigned.begin(); held != assigned.end();) {
    if (member.target.contains(held->first)) {
      ++held;
      continue;
    }
    revoking.insert(*held);
    held = assigned.erase(held);
    told = true;
  }
  std::vector<PartitionKey> given;
  for (const PartitionKey& partition : member.target) {
    const std::string* owner = group_.OwnerOf(partition);
    const bool own_released =
        owner != nullptr && *owner == id && !assigned.contains(partition) && !revoking.contains(partition);
    if (owner == nullptr || own_released) given.push_back(partition);
  }
  told |= !given.empty();
  if (!told && !released) return false;
  const int32_t epoch = told ? static_cast<int32_t>(group_.TakeEpoch()) : member.epoch;
  const int32_t previous = told ? member.epoch : member.previous_epoch;
  for (const PartitionKey& partition : given) assigned[partition] = static_cast<uint32_t>(epoch);
  change_.PutCurrent(id, epoch, previous, assigned, revoking);
  TimeRevocation(*group_.Find(id), scene_.now);
  return told;
}

}  // namespace tidemark
