#include "tools/topic_match.h"

#include <algorithm>

#include "common/config/properties.h"
#include "common/nearest_name.h"
#include "common/types.h"

namespace tidemark {

namespace {

Result<std::regex> ExpressionIn(const std::string& part) {
  try {
    return std::regex(part, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error&) {
    const std::string meant = ExpressionOfGlob(part);
    return Fail(v1::INVALID_REQUEST, "'{}' is neither a topic name nor a regular expression{}", part,
                meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
  }
}

}  // namespace

Result<TopicMatch> TopicMatch::Of(std::string_view text) {
  TopicMatch match;
  for (std::string& part : CommaList(text)) {
    if (ValidateTopicName(part)) {
      match.names_.push_back(std::move(part));
      continue;
    }
    TM_ASSIGN_OR_RETURN(match.patterns_.emplace_back(), ExpressionIn(part));
  }
  return match;
}

Result<TopicMatch> TopicMatch::OfExpressions(std::string_view text) {
  TopicMatch match;
  for (const std::string& part : CommaList(text)) {
    TM_ASSIGN_OR_RETURN(match.patterns_.emplace_back(), ExpressionIn(part));
  }
  return match;
}

void TopicMatch::TakeMissingAsExpressions(const std::vector<std::string>& known) {
  // Of the characters of names only a dot means more in an expression.
  std::erase_if(names_, [&](const std::string& name) {
    if (!name.contains('.') || std::ranges::find(known, name) != known.end()) return false;
    std::regex expression(name);
    if (std::ranges::none_of(known, [&](const std::string& k) { return std::regex_match(k, expression); }))
      return false;
    patterns_.push_back(std::move(expression));
    return true;
  });
}

bool TopicMatch::Matches(const std::string& topic) const {
  if (everything() || std::ranges::find(names_, topic) != names_.end()) return true;
  return std::ranges::any_of(patterns_, [&](const std::regex& p) { return std::regex_match(topic, p); });
}

std::string ExpressionOfGlob(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    // What only expressions have: it is none of a shell's.
    if (std::string_view("()|^$+{}\\").find(c) != std::string_view::npos) return {};
    const bool wild = c == '*' || c == '?';
    if (wild && i > 0 && (text[i - 1] == '.' || text[i - 1] == '*')) return {};
    if (wild) {
      out += c == '*' ? ".*" : ".";
    } else {
      out += c == '.' ? "\\." : std::string(1, c);
    }
  }
  return text.find_first_of("*?") == std::string_view::npos ? std::string() : out;
}

std::string NoneMatches(std::string_view what, std::string_view text, const std::vector<std::string>& known) {
  std::string meant = ExpressionOfGlob(text);
  if (meant.empty()) meant = NearestName(text, known);
  return fmt::format("no {} matches '{}'{}", what, text,
                     meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
}

}  // namespace tidemark
