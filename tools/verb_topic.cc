// tidemark topic list, describe, offsets.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "tools/topic_match.h"
#include "tools/topics.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

Json IdsOf(const google::protobuf::RepeatedField<int32_t>& ids) {
  return std::vector<int32_t>(ids.begin(), ids.end());
}

// What is wrong with a partition in a word or two.
std::string StateOf(const v1::PartitionMetadata& partition, const std::set<int32_t>& live, uint32_t min_isr) {
  if (IsShown({.unavailable = true}, partition, live, min_isr)) return "no leader";
  if (IsShown({.under_min_isr = true}, partition, live, min_isr)) return "under min ISR";
  if (IsShown({.under_replicated = true}, partition, live, min_isr)) return "under-replicated";
  return "ok";
}

Result<std::set<int32_t>> LiveBrokers(ToolSession& session) {
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata, session.Metadata({}, false));
  std::set<int32_t> live;
  for (const v1::BrokerEndpoint& broker : metadata.brokers()) live.insert(broker.id());
  return live;
}

int RunList(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const std::vector<std::string>& patterns = arguments.positionals();
  const auto match = TopicMatch::Of(patterns.empty() ? "" : patterns[0]);
  if (!match) return ReportUsage(match.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, true);
  if (!metadata) return ReportError(metadata.error());
  std::set<int32_t> live;
  for (const v1::BrokerEndpoint& broker : metadata->brokers()) live.insert(broker.id());
  std::ranges::sort(*metadata->mutable_topics(), {}, [](const auto& topic) { return topic.name(); });
  Listing listing({"topic", "partitions", "replicas", "internal", "state"});
  for (const v1::TopicMetadata& topic : metadata->topics()) {
    if (!match->Matches(topic.name()) || (topic.internal() && !arguments.Has("internal"))) continue;
    size_t leaderless = 0, behind = 0;
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      if (IsShown({.unavailable = true}, partition, live, 1)) {
        ++leaderless;
      } else if (IsShown({.under_replicated = true}, partition, live, 1)) {
        ++behind;
      }
    }
    std::string state = "ok";
    if (behind > 0) state = fmt::format("{} under-replicated", behind);
    if (leaderless > 0) state = fmt::format("{} without leader", leaderless);
    if (topic.deleting()) state = "being deleted";
    listing.Add({topic.name(), topic.partitions_size(),
                 topic.partitions_size() > 0 ? topic.partitions(0).replicas_size() : 0, topic.internal(),
                 state});
  }
  return Finish(listing, *format);
}

Result<PartitionFilter> FilterOf(const Arguments& arguments) {
  PartitionFilter filter;
  for (const std::string& word : CommaList(arguments.GetOr("only", ""))) {
    if (word == "under-replicated" || word == "urp") {
      filter.under_replicated = true;
    } else if (word == "offline" || word == "no-leader") {
      filter.unavailable = true;
    } else if (word == "under-min-isr") {
      filter.under_min_isr = true;
    } else if (word == "at-min-isr") {
      filter.at_min_isr = true;
    } else {
      return Fail(v1::INVALID_REQUEST,
                  "--only '{}' is none of under-replicated, offline, under-min-isr, at-min-isr", word);
    }
  }
  return filter;
}

// The topics that the words name, literally; all without words.
Result<std::vector<v1::TopicMetadata>> Named(ToolSession& session, const std::vector<std::string>& names) {
  if (names.empty()) return TopicsMeant(session, "", false);
  std::vector<v1::TopicMetadata> topics;
  for (const std::string& name : names) {
    TM_ASSIGN_OR_RETURN(topics.emplace_back(), session.Topic(name));
  }
  return topics;
}

int RunDescribe(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto filter = FilterOf(arguments);
  if (!filter) return ReportUsage(filter.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto topics = Named(**session, arguments.positionals());
  if (!topics) return ReportError(topics.error(), "tidemark topic list shows what there is");
  auto live = LiveBrokers(**session);
  if (!live) return ReportError(live.error());
  auto facts = FactsOf(**session, *topics);
  if (!facts) return ReportError(facts.error());
  Listing all({"topic", "partition", "leader", "epoch", "replicas", "isr", "offline", "state"});
  Json json = Json::array();
  std::string heads;
  for (const v1::TopicMetadata& topic : *topics) {
    const TopicFacts& own = (*facts)[topic.name()];
    Listing part({"partition", "leader", "epoch", "replicas", "isr", "offline", "state"});
    for (const v1::PartitionMetadata& partition : topic.partitions()) {
      if (!IsShown(*filter, partition, *live, own.min_isr)) continue;
      const Json leader = partition.leader() < 0 ? Json() : Json(partition.leader());
      const std::string state = StateOf(partition, *live, own.min_isr);
      part.Add({partition.partition(), leader, partition.leader_epoch(), IdsOf(partition.replicas()),
                IdsOf(partition.isr()), IdsOf(partition.offline_replicas()), state});
      all.Add({topic.name(), partition.partition(), leader, partition.leader_epoch(),
               IdsOf(partition.replicas()), IdsOf(partition.isr()), IdsOf(partition.offline_replicas()),
               state});
    }
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    json.push_back({{"topic", topic.name()},
                    {"id", id ? Json(id->ToBase64()) : Json()},
                    {"internal", topic.internal()},
                    {"deleting", topic.deleting()},
                    {"min_insync_replicas", own.min_isr},
                    {"configs", own.overrides},
                    {"partitions", part.Json()}});
    heads += fmt::format("{}: {} partitions, min ISR {}{}{}\n", topic.name(), topic.partitions_size(),
                         own.min_isr, own.overrides.empty() ? "" : ", " + own.overrides,
                         topic.deleting() ? ", being deleted" : "");
  }
  if (*format == OutputFormat::kJson) {
    (void)Print(JsonText(json));
    return kExitDone;
  }
  if (*format == OutputFormat::kTable && !filter->any() && !Print(heads + "\n")) return kExitDone;
  return Finish(all, *format);
}

Result<Listing> OffsetsOf(ToolSession& session, const std::vector<v1::TopicMetadata>& topics,
                          size_t* failed) {
  Listing listing({"topic", "partition", "start", "end", "records"});
  for (const v1::TopicMetadata& topic : topics) {
    std::vector<PartitionIndex> partitions;
    for (const auto& partition : topic.partitions()) partitions.push_back(partition.partition());
    TM_RETURN_IF_ERROR(session.Run(
        [&] { return EnsureTopic(session.cluster(), topic.name(), session.After(kAdminTimeout), {}); }));
    std::vector<std::vector<OffsetOfPartition>> bounds;
    for (const int64_t time : {kEarliestTimestamp, kLatestTimestamp}) {
      auto answers = session.Run([&] {
        return AskOffsets(session.cluster(), topic.name(), partitions, time, session.After(kAdminTimeout),
                          {});
      });
      if (!answers) return std::unexpected(answers.error());
      bounds.push_back(*std::move(answers));
    }
    for (size_t i = 0; i < partitions.size(); ++i) {
      Json start, end, records;
      const auto& first = bounds[0][i].offset;
      const auto& last = bounds[1][i].offset;
      if (first && *first) start = **first;
      if (last && *last) end = **last;
      if (!start.is_null() && !end.is_null()) {
        records = static_cast<int64_t>(**last) - static_cast<int64_t>(**first);
      } else {
        ++*failed;
        fmt::print(stderr, "error: {}-{}: {}\n", topic.name(), partitions[i],
                   first ? (last ? "no offset" : ToString(last.error())) : ToString(first.error()));
      }
      listing.Add({topic.name(), partitions[i], start, end, records});
    }
  }
  return listing;
}

int RunOffsets(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto topics = Named(**session, arguments.positionals());
  if (!topics) return ReportError(topics.error(), "tidemark topic list shows what there is");
  size_t failed = 0;
  const auto listing = OffsetsOf(**session, *topics, &failed);
  if (!listing) return ReportError(listing.error());
  (void)Print(listing->Text(*format));
  return OverallStatus(failed, listing->size(), kExitUnreachable);
}

}  // namespace

std::vector<Command> TopicVerbs() {
  return {
      {.name = "topic list",
       .summary = "lists topics and how they are",
       .examples = {"tidemark topic list", "tidemark topic list 'orders.*' -o json"},
       .flags = ReadingFlags({{"internal", "", "Also the system's own topics."}}),
       .positionals = {{.name = "PATTERN"}},
       .run = RunList},
      {.name = "topic describe",
       .summary = "shows leader, replicas and ISR of partitions, and what is wrong",
       .examples = {"tidemark topic describe orders", "tidemark topic describe --only offline,under-min-isr"},
       .flags = ReadingFlags(
           {{"only", "WHAT,...",
             "Only partitions that are under-replicated, offline (without leader), under-min-isr, "
             "at-min-isr; several narrow each other."}}),
       .positionals = {{.name = "TOPIC", .several = true}},
       .run = RunDescribe},
      {.name = "topic offsets",
       .summary = "shows the first and the next offset of each partition",
       .examples = {"tidemark topic offsets orders -o csv"},
       .flags = ReadingFlags({}),
       .positionals = {{.name = "TOPIC", .several = true}},
       .run = RunOffsets},
  };
}

}  // namespace tidemark
