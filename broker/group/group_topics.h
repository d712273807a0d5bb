// Which topics a subscription comes to. GroupTopics is a picture of the cluster's topics;
// SubscriptionResolver resolves subscriptions against it and keeps compiled patterns. The resolver belongs to
// one shard's coordinator.
//
// Patterns are RE2's: matching takes time linear in the name and in the pattern's program. A pattern whose
// program is large, or would be for the topics that there are, is refused, and only so many are kept, so that
// no client can make a shard stand still or fill its memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/group/deleted_topics.h"
#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/group_api.pb.h"

namespace re2 {
class RE2;
}

namespace tidemark {

struct GroupTopic {
  TopicId id;
  uint32_t partitions = 0;
  bool operator==(const GroupTopic&) const = default;
};

// Topics that can be read: those being deleted are left out. Immutable once shared.
struct GroupTopics {
  std::map<std::string, GroupTopic, std::less<>> by_name;
  std::unordered_map<TopicId, std::string> names;
  // Topics that are being deleted.
  std::vector<TopicId> deleting;
  // Topics may exist that are not here.
  bool incomplete = false;

  void Add(const std::string& name, const GroupTopic& topic) {
    by_name[name] = topic;
    names[topic.id] = name;
  }
  // Null when there is no such topic.
  const GroupTopic* Find(const TopicId& id) const;
  // Empty when there is no such topic.
  std::string NameOf(const TopicId& id) const;
};

class SubscriptionResolver {
 public:
  static constexpr size_t kMaxTopicNames = 10'000;
  static constexpr size_t kMaxPatternBytes = 1024;
  static constexpr size_t kMaxPatterns = 200;

  SubscriptionResolver();
  ~SubscriptionResolver();
  SubscriptionResolver(const SubscriptionResolver&) = delete;
  SubscriptionResolver& operator=(const SubscriptionResolver&) = delete;

  // Rises with each picture that differs from the one before, or that shows a deletion; 0: none was set yet.
  uint64_t version() const { return version_; }
  const GroupTopics& topics() const { return *topics_; }
  const DeletedTopics& deleted() const { return deleted_; }
  // True when it differs from the one before.
  bool SetTopics(std::shared_ptr<const GroupTopics> topics);

  // INVALID_REQUEST, INVALID_REGULAR_EXPRESSION.
  Result<> Validate(const v1::GroupSubscription& subscription);
  // Sorted. A pattern that does not compile (recorded by a broker that understood it) matches nothing.
  std::vector<TopicId> Resolve(const v1::GroupSubscription& subscription);
  // Compiled patterns that are kept.
  size_t patterns() const { return patterns_.size(); }

 private:
  struct Pattern {
    std::unique_ptr<re2::RE2> compiled;
    uint64_t version = 0;  // of `matches`
    std::vector<TopicId> matches;
  };
  Pattern& Compiled(const std::string& text);
  // Forgets patterns that were not matched against the present picture.
  void DropUnused();

  std::shared_ptr<const GroupTopics> topics_;
  DeletedTopics deleted_;
  uint64_t version_ = 0;
  size_t name_bytes_ = 0;  // of all topics' names
  std::unordered_map<std::string, Pattern> patterns_;
};

}  // namespace tidemark
