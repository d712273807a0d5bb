#include "broker/group/group_topics.h"

#include <re2/re2.h>

#include <algorithm>

namespace tidemark {
namespace {

// Of one pattern: room for the states of an automaton of kMaxProgram.
constexpr int64_t kPatternMemory = 512 << 10;
// Instructions of a compiled pattern. Literal text of kMaxPatternBytes fits.
constexpr size_t kMaxProgram = 1200;
// Instructions times bytes of all topics' names, when a pattern is taken on: what matching them all may cost
// where RE2 has to do without an automaton, about a second.
constexpr size_t kMaxSteps = 300'000'000;

re2::RE2::Options PatternOptions() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemory);
  return options;
}

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
  const bool deletions = deleted_.See(*topics);
  if (version_ > 0 && !deletions && topics->by_name == topics_->by_name) {
    topics_ = std::move(topics);
    return false;
  }
  // Those that nobody's subscription had all the time of the last picture.
  DropUnused();
  topics_ = std::move(topics);
  name_bytes_ = 0;
  for (const auto& [name, topic] : topics_->by_name) name_bytes_ += name.size();
  ++version_;
  return true;
}

void SubscriptionResolver::DropUnused() {
  std::erase_if(patterns_, [&](const auto& entry) { return entry.second.version != version_; });
}

SubscriptionResolver::Pattern& SubscriptionResolver::Compiled(const std::string& text) {
  if (const auto found = patterns_.find(text); found != patterns_.end()) return found->second;
  if (patterns_.size() >= kMaxPatterns) DropUnused();
  // Whoever subscribes with ever new patterns pays with compiling them anew.
  if (patterns_.size() >= kMaxPatterns) patterns_.clear();
  Pattern& pattern = patterns_[text];
  pattern.compiled = std::make_unique<re2::RE2>(text, PatternOptions());
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
  const re2::RE2& compiled = *Compiled(subscription.regex()).compiled;
  if (!compiled.ok()) {
    return Fail(v1::INVALID_REGULAR_EXPRESSION,
                "'{}' is not a regular expression that is understood here: {}", subscription.regex(),
                compiled.error());
  }
  const auto program = static_cast<size_t>(compiled.ProgramSize());
  if (program > kMaxProgram || program * name_bytes_ > kMaxSteps) {
    return Fail(v1::INVALID_REGULAR_EXPRESSION,
                "'{}' is too complex: it comes to {} instructions, {} are allowed", subscription.regex(),
                program, std::min(kMaxProgram, kMaxSteps / std::max<size_t>(1, name_bytes_)));
  }
  return {};
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
