// TopicMatch: which topics a word of a command line means. Pure values; any thread.
#pragma once

#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace tidemark {

// Kafka reads --topic as names and regular expressions, separated by commas. A part that could be a topic's
// name is taken literally ("my.topic" never deletes "my_topic"); any other part is a regular expression that
// must match the whole name.
class TopicMatch {
 public:
  // INVALID_REQUEST: a part is neither a name nor a regular expression. Empty text matches every topic.
  static Result<TopicMatch> Of(std::string_view text);

  bool Matches(const std::string& topic) const;
  bool everything() const { return names_.empty() && patterns_.empty(); }
  // True when no part is a regular expression: then each name is expected to be there.
  bool only_names() const { return patterns_.empty() && !names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<std::regex> patterns_;
};

}  // namespace tidemark
