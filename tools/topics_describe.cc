// tidemark-topics --describe.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>

#include "common/config/topic_configs.h"
#include "tools/commands.h"
#include "tools/kafka_rows.h"
#include "tools/topic_match.h"
#include "tools/topic_rows.h"
#include "tools/topics.h"

namespace tidemark {
namespace {

void PrintHeader(const v1::TopicMetadata& topic, const std::string& overrides) {
  const Result<TopicId> id = TopicId::FromBytes(topic.id());
  fmt::print("Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}{}\n",
             topic.name(), id ? id->ToBase64() : "none", topic.partitions_size(),
             topic.partitions_size() > 0 ? topic.partitions(0).replicas_size() : 0, Printable(overrides),
             topic.deleting() ? "\tMarkedForDeletion: true" : "");
}

// A topic that went meanwhile has none, and needs no warning.
void WarnOfUnknown(const std::map<std::string, TopicFacts>& facts) {
  std::vector<std::string> names;
  const Error* why = nullptr;
  for (const auto& [name, own] : facts) {
    if (!own.unknown || own.unknown->code == v1::UNKNOWN_TOPIC_OR_PARTITION) continue;
    names.push_back(name);
    why = &*own.unknown;
  }
  if (why == nullptr) return;
  Say("warning: what is configured for {}{} is not shown: {}", names.front(),
      names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : "", ToString(*why));
}

}  // namespace

Result<std::map<std::string, TopicFacts>> FactsOf(ToolSession& session,
                                                  const std::vector<v1::TopicMetadata>& topics) {
  v1::DescribeConfigsRequest request;
  request.set_include_defaults(true);
  for (const v1::TopicMetadata& topic : topics) {
    v1::ConfigEntity* entity = request.add_entities();
    entity->set_type(v1::CONFIG_ENTITY_TYPE_TOPIC);
    entity->set_name(topic.name());
  }
  auto response =
      session.Run([&] { return session.admin().DescribeConfigs(request, session.After(kAdminTimeout)); });
  if (!response) return std::unexpected(response.error());
  std::map<std::string, TopicFacts> out;
  for (const auto& result : response->results()) {
    TopicFacts& facts = out[result.entity().name()];
    if (result.has_error()) facts.unknown = FromProto(result.error());
    std::vector<std::string> parts;
    for (const auto& entry : result.entries()) {
      if (entry.source() == v1::CONFIG_SOURCE_DYNAMIC_TOPIC)
        parts.push_back(entry.name() + "=" + entry.value());
      if (entry.name() != "min.insync.replicas") continue;
      const std::string& text = entry.value();
      uint32_t value = 0;
      if (std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc())
        facts.min_isr = value;
    }
    facts.overrides = fmt::format("{}", fmt::join(parts, ","));
  }
  WarnOfUnknown(out);
  return out;
}

std::optional<Error> PartitionFilter::CannotJudge(const std::map<std::string, TopicFacts>& facts) const {
  if (!under_min_isr && !at_min_isr) return std::nullopt;
  for (const auto& [name, own] : facts) {
    if (own.unknown) return own.unknown;
  }
  return std::nullopt;
}

PartitionFilter PartitionFilter::Of(const Arguments& arguments) {
  return {.under_replicated = arguments.Has("under-replicated-partitions"),
          .unavailable = arguments.Has("unavailable-partitions"),
          .under_min_isr = arguments.Has("under-min-isr-partitions"),
          .at_min_isr = arguments.Has("at-min-isr-partitions")};
}

bool IsShown(const PartitionFilter& filter, const v1::PartitionMetadata& partition,
             const std::set<int32_t>& live, std::optional<uint32_t> min_isr) {
  const auto isr = static_cast<size_t>(partition.isr_size());
  const auto replicas = static_cast<size_t>(partition.replicas_size());
  const auto needed = min_isr ? std::optional(EffectiveMinIsr(*min_isr, replicas)) : std::nullopt;
  const bool led = partition.leader() >= 0 && live.contains(partition.leader());
  if (filter.under_replicated && partition.isr_size() >= partition.replicas_size()) return false;
  if (filter.unavailable && led) return false;
  // Without a leader nothing is accepted, however many the ISR had last.
  if (filter.under_min_isr && led && (!needed || isr >= *needed)) return false;
  return !filter.at_min_isr || (led && isr == needed);
}

std::string PartitionLine(const std::string& topic, const v1::PartitionMetadata& partition) {
  std::string line =
      fmt::format("\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}", topic,
                  partition.partition(), partition.leader() < 0 ? "none" : std::to_string(partition.leader()),
                  fmt::join(partition.replicas(), ","), fmt::join(partition.isr(), ","));
  // Broker down, log directory failed or log lost.
  if (partition.offline_replicas_size() > 0)
    line += fmt::format("\tOffline: {}", fmt::join(partition.offline_replicas(), ","));
  return line + "\n";
}

namespace {

// The topics of --topic, or the one of --topic-id.
Result<std::vector<v1::TopicMetadata>> TopicsAsked(ToolSession& session, const Arguments& arguments) {
  const bool missing_is_fine = arguments.Has("if-exists");
  const auto id = arguments.Get("topic-id");
  TM_ASSIGN_OR_RETURN(auto topics, TopicsMeant(session, arguments.GetOr("topic", ""), missing_is_fine,
                                               TopicWords::kOfReading));
  if (!id) return topics;
  std::erase_if(topics, [&](const v1::TopicMetadata& topic) {
    const auto own = TopicId::FromBytes(topic.id());
    return !own || own->ToBase64() != *id;
  });
  if (topics.empty() && !missing_is_fine)
    return Fail(v1::UNKNOWN_TOPIC_ID, "there is no topic with id '{}'", *id);
  return topics;
}

}  // namespace

int DescribeTopicsAction(ToolSession& session, const Arguments& arguments) {
  if (arguments.Has("topic") && arguments.Has("topic-id"))
    return ReportUsage({v1::INVALID_REQUEST, "--topic and --topic-id exclude each other"});
  auto topics = TopicsAsked(session, arguments);
  if (!topics) return ReportError(topics.error());
  auto metadata = session.Metadata({}, false);
  if (!metadata) return ReportError(metadata.error());
  const std::set<int32_t> live = LiveBrokersIn(*metadata);
  auto facts = FactsOf(session, *topics);
  if (!facts) return ReportError(facts.error());
  const PartitionFilter filter = PartitionFilter::Of(arguments);
  if (const auto why = filter.CannotJudge(*facts)) return ReportError(*why);
  const bool only_overridden = arguments.Has("topics-with-overrides");
  std::erase_if(*topics, [&](const v1::TopicMetadata& topic) {
    return (arguments.Has("exclude-internal") && topic.internal()) ||
           (only_overridden && (*facts)[topic.name()].overrides.empty());
  });
  if (const auto format = *RowFormatOf(arguments))
    return ShowDescriptions(DescribeRows(*topics, *facts, live, filter), *format, filter);
  for (const v1::TopicMetadata& topic : *topics) {
    const TopicFacts& own = (*facts)[topic.name()];
    if (only_overridden) {
      PrintHeader(topic, own.overrides);
      continue;
    }
    if (!filter.any()) PrintHeader(topic, own.overrides);
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      if (IsShown(filter, partition, live, own.min_isr))
        fmt::print("{}", PartitionLine(topic.name(), partition));
    }
  }
  return kExitDone;
}

}  // namespace tidemark
