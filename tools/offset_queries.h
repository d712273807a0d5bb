// What tidemark-get-offsets is asked for, apart from the command so that it is tested by itself. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/types.h"

namespace tidemark {

// "-1"/"latest", "-2"/"earliest", "-3"/"max-timestamp", or milliseconds since 1970.
Result<int64_t> ParseOffsetTime(const std::string& text);

// Kafka's --topic-partitions: rules separated by commas, each TOPIC[:PARTITIONS], where PARTITIONS is N, N-M
// (without M), N- or -M; TOPIC is a name or a regular expression. An empty list of rules means everything.
class PartitionRules {
 public:
  static Result<PartitionRules> Of(const std::string& text);
  bool Matches(const std::string& topic, PartitionIndex partition) const;
  // As TopicMatch's: a name with a dot that is none of `known` is an expression from here on.
  void TakeMissingAsExpressions(const std::vector<std::string>& known);

 private:
  struct Rule {
    std::string name;                 // what `topic` came from
    std::optional<std::regex> topic;  // empty: any
    PartitionIndex from = 0;
    std::optional<PartitionIndex> end;  // not included; empty: no end
  };
  std::vector<Rule> rules_;
};

}  // namespace tidemark
