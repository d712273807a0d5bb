#include "tools/topic_rows.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

Json IdsOf(const google::protobuf::RepeatedField<int32_t>& ids) {
  return std::vector<int32_t>(ids.begin(), ids.end());
}

// What is wrong with a partition in a word or two.
std::string StateOf(const v1::PartitionMetadata& partition, const std::set<int32_t>& live,
                    std::optional<uint32_t> min_isr) {
  if (IsShown({.unavailable = true}, partition, live, min_isr)) return "no leader";
  if (IsShown({.under_min_isr = true}, partition, live, min_isr)) return "under min ISR";
  if (IsShown({.under_replicated = true}, partition, live, min_isr)) return "under-replicated";
  return "ok";
}

std::string StateOf(const v1::TopicMetadata& topic, const std::set<int32_t>& live) {
  if (topic.deleting()) return "being deleted";
  size_t leaderless = 0, behind = 0;
  for (const v1::PartitionMetadata& partition : topic.partitions()) {
    if (IsShown({.unavailable = true}, partition, live, 1)) {
      ++leaderless;
    } else if (IsShown({.under_replicated = true}, partition, live, 1)) {
      ++behind;
    }
  }
  if (leaderless > 0) return fmt::format("{} without leader", leaderless);
  return behind > 0 ? fmt::format("{} under-replicated", behind) : "ok";
}

}  // namespace

std::set<int32_t> LiveBrokersIn(const v1::MetadataResponse& metadata) {
  std::set<int32_t> live;
  for (const v1::BrokerEndpoint& broker : metadata.brokers()) live.insert(broker.id());
  return live;
}

Listing TopicRows(const v1::MetadataResponse& metadata, const TopicMatch& match, bool with_internal) {
  const std::set<int32_t> live = LiveBrokersIn(metadata);
  std::map<std::string, const v1::TopicMetadata*> shown;
  for (const v1::TopicMetadata& topic : metadata.topics()) {
    if (match.Matches(topic.name()) && (with_internal || !topic.internal())) shown[topic.name()] = &topic;
  }
  Listing listing({"topic", "partitions", "replicas", "internal", "state"});
  for (const auto& [name, topic] : shown) {
    listing.Add({name, topic->partitions_size(),
                 topic->partitions_size() > 0 ? topic->partitions(0).replicas_size() : 0, topic->internal(),
                 StateOf(*topic, live)});
  }
  return listing;
}

std::string WhyNoTopic(const v1::MetadataResponse& metadata, const TopicMatch& match, const std::string& text,
                       bool with_internal) {
  if (match.everything()) return {};
  std::vector<std::string> known;
  bool hidden = false;
  for (const v1::TopicMetadata& topic : metadata.topics()) {
    const bool shown = with_internal || !topic.internal();
    if (shown) known.push_back(topic.name());
    if (!match.Matches(topic.name())) continue;
    if (shown) return {};
    hidden = true;
  }
  return hidden ? fmt::format("'{}' matches only topics of the system, which are not shown", text)
                : NoneMatches("topic", text, known);
}

void TellWhenNoneMatches(const v1::MetadataResponse& metadata, const TopicMatch& match,
                         const std::string& text, bool with_internal) {
  const std::string why = WhyNoTopic(metadata, match, text, with_internal);
  if (!why.empty()) Say("warning: {}", why);
}

TopicDescriptions DescribeRows(const std::vector<v1::TopicMetadata>& topics,
                               const std::map<std::string, TopicFacts>& facts, const std::set<int32_t>& live,
                               const PartitionFilter& filter) {
  TopicDescriptions out{
      .rows = Listing({"topic", "partition", "leader", "epoch", "replicas", "isr", "offline", "state"}),
      .json = Json::array(),
      .heads = {}};
  for (const v1::TopicMetadata& topic : topics) {
    const auto found = facts.find(topic.name());
    const TopicFacts own = found == facts.end() ? TopicFacts{} : found->second;
    Listing part({"partition", "leader", "epoch", "replicas", "isr", "offline", "state"});
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      if (!IsShown(filter, partition, live, own.min_isr)) continue;
      std::vector<Json> cells = {partition.partition(),
                                 partition.leader() < 0 ? Json() : Json(partition.leader()),
                                 partition.leader_epoch(),
                                 IdsOf(partition.replicas()),
                                 IdsOf(partition.isr()),
                                 IdsOf(partition.offline_replicas()),
                                 StateOf(partition, live, own.min_isr)};
      part.Add(cells);
      cells.insert(cells.begin(), topic.name());
      out.rows.Add(std::move(cells));
    }
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    out.json.push_back({{"topic", topic.name()},
                        {"id", id ? Json(id->ToBase64()) : Json()},
                        {"internal", topic.internal()},
                        {"deleting", topic.deleting()},
                        {"min_insync_replicas", own.min_isr ? Json(*own.min_isr) : Json()},
                        {"configs", own.overrides},
                        {"partitions", part.Json()}});
    out.heads += fmt::format(
        "{}: {}, min ISR {}{}{}\n", topic.name(), Counted(topic.partitions_size(), "partition"),
        own.min_isr ? std::to_string(*own.min_isr) : "not known",
        own.overrides.empty() ? "" : ", " + own.overrides, topic.deleting() ? ", being deleted" : "");
  }
  return out;
}

int ShowDescriptions(const TopicDescriptions& descriptions, OutputFormat format,
                     const PartitionFilter& filter) {
  if (format == OutputFormat::kJson) {
    (void)Print(JsonText(descriptions.json));
    return kExitDone;
  }
  if (format == OutputFormat::kTable && !filter.any() && !Print(descriptions.heads + "\n")) return kExitDone;
  return Finish(descriptions.rows, format);
}

}  // namespace tidemark
