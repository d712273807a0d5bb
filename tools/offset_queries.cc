#include "tools/offset_queries.h"

#include <algorithm>
#include <charconv>

#include "client/list_offsets.h"
#include "common/config/properties.h"

namespace tidemark {
namespace {

std::optional<PartitionIndex> NumberIn(std::string_view text) {
  PartitionIndex value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> NoRule(const std::string& part) {
  return Fail(v1::INVALID_REQUEST,
              "--topic-partitions '{}' is not of the form TOPIC, TOPIC:N, TOPIC:N-M, TOPIC:N- or TOPIC:-M",
              part);
}

}  // namespace

Result<int64_t> ParseOffsetTime(const std::string& text) {
  if (text == "latest") return kLatestTimestamp;
  if (text == "earliest") return kEarliestTimestamp;
  if (text == "max-timestamp") return kMaxTimestamp;
  int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < kMaxTimestamp) {
    return Fail(v1::INVALID_REQUEST,
                "--time '{}' is none of latest (-1), earliest (-2), max-timestamp (-3) or milliseconds since "
                "1970",
                text);
  }
  return value;
}

Result<PartitionRules> PartitionRules::Of(const std::string& text) {
  PartitionRules rules;
  for (const std::string& part : CommaList(text)) {
    Rule rule;
    const size_t colon = part.rfind(':');
    const std::string& name = rule.name = part.substr(0, colon);
    try {
      // A dot in a topic's name is a dot.
      if (ValidateTopicName(name)) {
        rule.topic.emplace(std::regex_replace(name, std::regex("\\."), "\\."));
      } else if (!name.empty()) {
        rule.topic.emplace(name);
      }
    } catch (const std::regex_error&) {
      return NoRule(part);
    }
    const std::string range = colon == std::string::npos ? std::string() : part.substr(colon + 1);
    if (const size_t dash = range.find('-'); dash != std::string::npos) {
      const auto from = NumberIn(range.substr(0, dash));
      const auto to = NumberIn(range.substr(dash + 1));
      if ((dash > 0 && !from) || (dash + 1 < range.size() && !to) || (!from && !to)) return NoRule(part);
      rule.from = from.value_or(0);
      rule.end = to;
    } else if (!range.empty()) {
      const auto only = NumberIn(range);
      if (!only) return NoRule(part);
      rule.from = *only;
      rule.end = *only + 1;
    }
    rules.rules_.push_back(std::move(rule));
  }
  return rules;
}

void PartitionRules::TakeMissingAsExpressions(const std::vector<std::string>& known) {
  for (Rule& rule : rules_) {
    if (ValidateTopicName(rule.name) && std::ranges::find(known, rule.name) == known.end())
      rule.topic.emplace(rule.name);
  }
}

bool PartitionRules::Matches(const std::string& topic, PartitionIndex partition) const {
  if (rules_.empty()) return true;
  return std::ranges::any_of(rules_, [&](const Rule& rule) {
    if (rule.topic && !std::regex_match(topic, *rule.topic)) return false;
    return partition >= rule.from && (!rule.end || partition < *rule.end);
  });
}

}  // namespace tidemark
