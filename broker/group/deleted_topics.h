// DeletedTopics: which topics this broker has seen deleted, by id; the offsets committed of those are
// removed. Pure; belongs to the SubscriptionResolver, which shows it every picture of the topics that it is
// given, in their order.
//
// Invariant: a topic counts as deleted only on evidence of its deletion: a picture in which it is marked for
// deletion (which nothing takes back), or pictures that had it followed by one that is complete and does not.
// That a topic is not in a picture proves nothing by itself: the broker may be behind, may just have started,
// or the controller may not be able to read the topic. Offsets of a topic whose deletion nobody here saw stay
// until they expire; they are told to nobody while another topic has the name (group_offsets.h).
#pragma once

#include <cstddef>
#include <deque>
#include <unordered_set>

#include "common/types.h"

namespace tidemark {

struct GroupTopics;

class DeletedTopics {
 public:
  // Forgotten beyond this, oldest first: who coordinates removes the offsets within seconds.
  static constexpr size_t kMost = 100'000;

  // The next picture. True when topics were found to be deleted that were not before.
  bool See(const GroupTopics& topics);
  bool Has(const TopicId& id) const { return deleted_.contains(id); }
  size_t size() const { return deleted_.size(); }

 private:
  bool Add(const TopicId& id);

  std::unordered_set<TopicId> seen_;  // alive when last seen, and nothing says since that they are deleted
  std::unordered_set<TopicId> deleted_;
  std::deque<TopicId> order_;  // of deleted_, oldest first
};

}  // namespace tidemark
