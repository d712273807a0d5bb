#include "broker/group/deleted_topics.h"

#include <vector>

#include "broker/group/group_topics.h"

namespace tidemark {

bool DeletedTopics::See(const GroupTopics& topics) {
  bool more = false;
  for (const TopicId& id : topics.deleting) {
    seen_.erase(id);
    more |= Add(id);
  }
  if (!topics.incomplete) {
    std::vector<TopicId> gone;
    for (const TopicId& id : seen_) {
      if (!topics.names.contains(id)) gone.push_back(id);
    }
    for (const TopicId& id : gone) {
      seen_.erase(id);
      more |= Add(id);
    }
  }
  for (const auto& [id, name] : topics.names) {
    seen_.insert(id);
    // Whatever was believed: here it is. Its place in order_ may stay, where it means nothing.
    deleted_.erase(id);
  }
  return more;
}

bool DeletedTopics::Add(const TopicId& id) {
  if (!deleted_.insert(id).second) return false;
  order_.push_back(id);
  if (order_.size() > kMost) {
    deleted_.erase(order_.front());
    order_.pop_front();
  }
  return true;
}

}  // namespace tidemark
