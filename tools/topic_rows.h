// Topics as rows: what `tidemark topic list` and `topic describe` show, and tidemark-topics with -o. Pure,
// but for printing.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/listing.h"
#include "tools/topic_match.h"
#include "tools/topics.h"

namespace tidemark {

std::set<int32_t> LiveBrokersIn(const v1::MetadataResponse& metadata);

// A row per topic that matches, by name. `metadata` is of all topics.
Listing TopicRows(const v1::MetadataResponse& metadata, const TopicMatch& match, bool with_internal);

// What a listing says of `text` where TopicRows has no row; empty: it has one, or all topics were asked for.
std::string WhyNoTopic(const v1::MetadataResponse& metadata, const TopicMatch& match, const std::string& text,
                       bool with_internal);
// Says it on stderr.
void TellWhenNoneMatches(const v1::MetadataResponse& metadata, const TopicMatch& match,
                         const std::string& text, bool with_internal);

struct TopicDescriptions {
  Listing rows;        // a row per partition
  Listing::Cell json;  // an object per topic
  std::string heads;   // a line per topic
};
// Partitions that the filter does not show are left out.
TopicDescriptions DescribeRows(const std::vector<v1::TopicMetadata>& topics,
                               const std::map<std::string, TopicFacts>& facts, const std::set<int32_t>& live,
                               const PartitionFilter& filter);
// Prints them; the exit status of a command that did what it was told.
int ShowDescriptions(const TopicDescriptions& descriptions, OutputFormat format,
                     const PartitionFilter& filter);

}  // namespace tidemark
