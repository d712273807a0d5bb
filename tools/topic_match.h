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
  // Every part is an expression, also where it could be a name: what --include means.
  static Result<TopicMatch> OfExpressions(std::string_view text);

  // "web." is a legal name, and an expression for "web1". Of what only reads, such a part of which there is
  // no topic (none of `known`) is the expression from here on, where that matches any. Whatever writes does
  // not widen what was named.
  void TakeMissingAsExpressions(const std::vector<std::string>& known);

  bool Matches(const std::string& topic) const;
  bool everything() const { return names_.empty() && patterns_.empty(); }
  // True when no part is a regular expression: then each name is expected to be there.
  bool only_names() const { return patterns_.empty() && !names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::vector<std::regex> patterns_;
};

// The regular expression that is meant where a word is written as shells take it: "o*" -> "o.*". Empty when
// the word does not look like that.
std::string ExpressionOfGlob(std::string_view text);

// What a listing says, on stderr, when there is none of `known` that `text` means: `what` is "topic" or
// "group".
std::string NoneMatches(std::string_view what, std::string_view text, const std::vector<std::string>& known);

}  // namespace tidemark
