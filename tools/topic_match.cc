#include "tools/topic_match.h"

#include <algorithm>

#include "common/config/properties.h"
#include "common/types.h"

namespace tidemark {

Result<TopicMatch> TopicMatch::Of(std::string_view text) {
  TopicMatch match;
  for (std::string& part : CommaList(text)) {
    if (ValidateTopicName(part)) {
      match.names_.push_back(std::move(part));
      continue;
    }
    try {
      match.patterns_.emplace_back(part, std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error&) {
      return Fail(v1::INVALID_REQUEST, "'{}' is neither a topic name nor a regular expression", part);
    }
  }
  return match;
}

bool TopicMatch::Matches(const std::string& topic) const {
  if (everything() || std::ranges::find(names_, topic) != names_.end()) return true;
  return std::ranges::any_of(patterns_, [&](const std::regex& p) { return std::regex_match(topic, p); });
}

}  // namespace tidemark
