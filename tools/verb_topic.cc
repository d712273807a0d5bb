// tidemark topic list, describe, offsets.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "tools/topic_match.h"
#include "tools/topic_rows.h"
#include "tools/topics.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

Result<std::set<int32_t>> LiveBrokers(ToolSession& session) {
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata, session.Metadata({}, false));
  return LiveBrokersIn(metadata);
}

int RunList(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const std::vector<std::string>& patterns = arguments.positionals();
  auto match = TopicMatch::Of(patterns.empty() ? "" : patterns[0]);
  if (!match) return ReportUsage(match.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto metadata = (*session)->Metadata({}, true);
  if (!metadata) return ReportError(metadata.error());
  match->TakeMissingAsExpressions(NamesOf(*metadata));
  TellWhenNoneMatches(*metadata, *match, patterns.empty() ? "" : patterns[0], arguments.Has("internal"));
  return Finish(TopicRows(*metadata, *match, arguments.Has("internal")), *format);
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
  if (names.empty()) return TopicsMeant(session, "", false, TopicWords::kOfReading);
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
  if (const auto why = filter->CannotJudge(*facts)) return ReportError(*why);
  return ShowDescriptions(DescribeRows(*topics, *facts, *live, *filter), *format, *filter);
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
        Say("error: {}-{}: {}", topic.name(), partitions[i],
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
