// Rebalance: one step of a group, from a cause to new target assignments and to what one member is told. Used
// by the decisions of membership.cc. Pure; lives for one step.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "broker/group/assignor.h"
#include "broker/group/membership.h"

namespace tidemark {

class Rebalance {
 public:
  Rebalance(const GroupScene& scene, GroupChange& change)
      : scene_(scene), change_(change), group_(change.group()) {}

  // The group has changed: a new group epoch, to be assigned.
  void Cause(v1::RebalanceCause cause, std::string detail);
  // Computes the target assignment if there is a group epoch without and it is not to wait. Then, and with
  // every new group epoch, puts the group's record. Call it after the members' records.
  void Settle();
  // Moves a member towards its target. `owned`: what it says it holds, at its current epoch; null: it does
  // not say. True when what it is told has changed.
  bool Reconcile(const std::string& member, const PartitionKeys* owned);

  // The assignor that the members prefer.
  AssignorKind Preferred() const;

 private:
  v1::GroupMetadataValue& Metadata();
  void AssignTargets();

  const GroupScene& scene_;
  GroupChange& change_;
  Group& group_;
  // The group's record as it is to be, once something in it changed.
  std::optional<v1::GroupMetadataValue> metadata_;
};

// Identifies topics and partition counts that the members read, so that their change is noticed.
uint64_t HashOfTopics(const std::map<TopicId, uint32_t>& partitions);
// In a sentence: the first topic that is read otherwise than before, and how many others are.
std::string WhatChanged(const std::map<TopicId, uint32_t>& before, const std::map<TopicId, uint32_t>& now,
                        const GroupTopics& topics);
// Each partition that is read is in the target assignment of one member, which reads its topic.
bool AssignmentIsWhole(Group& group, SubscriptionResolver& resolver);
// What members read now. Valid until a member or the topics change.
const TopicsOfGroup& TopicsRead(Group& group, SubscriptionResolver& resolver);

}  // namespace tidemark
