#include "broker/group/group_topics.h"

#include <re2/re2.h>

#include <algorithm>

namespace tidemark {
namespace {

constexpr int64_t kPatternMemory = 1 << 20;
constexpr size_t kMaxPatterns = 1000;

}  // namespace

const GroupTopic* GroupTopics::Find(const TopicId& id) const {
  const auto name = names.find(id);
  if (name == names.end()) return nullptr;
  const auto topic = by_name.find(name->second);
  return topic == by_name.end() || topic->second.id != id ? nullptr : &topic->second;
}

std::string GroupTopics::NameOf(const TopicId& id) const {
  const auto name = names.find(id);
  return name == names.end() ? std::string() : name->second;
}

SubscriptionResolver::SubscriptionResolver() : topics_(std::make_shared<const GroupTopics>()) {}
SubscriptionResolver::~SubscriptionResolver() = default;

bool SubscriptionResolver::SetTopics(std::shared_ptr<const GroupTopics> topics) {
  if (version_ > 0 && topics->by_name == topics_->by_name) return false;
  topics_ = std::move(topics);
  ++version_;
  return true;
}

SubscriptionResolver::Pattern& SubscriptionResolver::Compiled(const std::string& text) {
  if (const auto found = patterns_.find(text); found != patterns_.end()) return found->second;
  // Whoever subscribes with ever new patterns pays with compiling them anew.
  if (patterns_.size() >= kMaxPatterns) patterns_.clear();
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemory);
  Pattern& pattern = patterns_[text];
  pattern.compiled = std::make_unique<re2::RE2>(text, options);
  return pattern;
}

Result<> SubscriptionResolver::Validate(const v1::GroupSubscription& subscription) {
  if (static_cast<size_t>(subscription.topics_size()) > kMaxTopicNames) {
    return Fail(v1::INVALID_REQUEST, "subscription: {} topics, {} are allowed", subscription.topics_size(),
                kMaxTopicNames);
  }
  for (const std::string& topic : subscription.topics()) TM_RETURN_IF_ERROR(ValidateTopicName(topic));
  if (subscription.regex().empty()) return {};
  if (subscription.regex().size() > kMaxPatternBytes) {
    return Fail(v1::INVALID_REGULAR_EXPRESSION, "the regular expression has {} bytes, {} are allowed",
                subscription.regex().size(), kMaxPatternBytes);
  }
  const Pattern& pattern = Compiled(subscription.regex());
  if (pattern.compiled->ok()) return {};
  return Fail(v1::INVALID_REGULAR_EXPRESSION, "'{}' is not a regular expression that is understood here: {}",
              subscription.regex(), pattern.compiled->error());
}

std::vector<TopicId> SubscriptionResolver::Resolve(const v1::GroupSubscription& subscription) {
  std::vector<TopicId> out;
  for (const std::string& name : subscription.topics()) {
    const auto topic = topics_->by_name.find(name);
    if (topic != topics_->by_name.end()) out.push_back(topic->second.id);
  }
  if (!subscription.regex().empty()) {
    Pattern& pattern = Compiled(subscription.regex());
    if (pattern.version != version_) {
      pattern.version = version_;
      pattern.matches.clear();
      for (const auto& [name, topic] : topics_->by_name) {
        if (!pattern.compiled->ok() || IsInternalTopic(name)) continue;
        if (re2::RE2::FullMatch(name, *pattern.compiled)) pattern.matches.push_back(topic.id);
      }
    }
    out.insert(out.end(), pattern.matches.begin(), pattern.matches.end());
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace tidemark
