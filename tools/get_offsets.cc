// tidemark-get-offsets: offsets of partitions by time. Kafka's flags and output (TOPIC:PARTITION:OFFSET).
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "tools/commands.h"
#include "tools/kafka_rows.h"
#include "tools/offset_queries.h"
#include "tools/session.h"
#include "tools/topic_match.h"
#include "tools/topics.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

struct OffsetPlan {
  std::string topics;
  PartitionRules rules;
  std::vector<PartitionIndex> partitions;  // empty: all
  int64_t time = kLatestTimestamp;
};

Result<OffsetPlan> OffsetPlanOf(const Arguments& arguments) {
  OffsetPlan plan;
  plan.topics = arguments.GetOr("topic", "");
  if (arguments.Has("topic-partitions") && (arguments.Has("topic") || arguments.Has("partitions"))) {
    return Fail(v1::INVALID_REQUEST, "--topic-partitions excludes --topic and --partitions");
  }
  TM_ASSIGN_OR_RETURN(plan.rules, PartitionRules::Of(arguments.GetOr("topic-partitions", "")));
  for (const std::string& text : CommaList(arguments.GetOr("partitions", ""))) {
    char* rest = nullptr;
    const unsigned long value = std::strtoul(text.c_str(), &rest, 10);
    if (*rest != '\0' || text[0] == '-' || value > INT32_MAX)
      return Fail(v1::INVALID_REQUEST, "--partitions '{}' is not a list of numbers", text);
    plan.partitions.push_back(static_cast<PartitionIndex>(value));
  }
  TM_ASSIGN_OR_RETURN(plan.time, ParseOffsetTime(arguments.GetOr("time", "latest")));
  return plan;
}

std::vector<PartitionIndex> Asked(const OffsetPlan& plan, const v1::TopicMetadata& topic) {
  std::vector<PartitionIndex> out;
  for (const v1::PartitionMetadata& partition : topic.partitions()) {
    const PartitionIndex index = partition.partition();
    const bool listed =
        plan.partitions.empty() || std::ranges::find(plan.partitions, index) != plan.partitions.end();
    if (listed && plan.rules.Matches(topic.name(), index)) out.push_back(index);
  }
  return out;
}

// Prints one topic's offsets, or adds them to `rows`; false when some could not be told.
Result<bool> PrintOffsets(ToolSession& session, const std::string& topic,
                          std::vector<PartitionIndex> partitions, int64_t time, Listing* rows) {
  TM_RETURN_IF_ERROR(
      session.Run([&] { return EnsureTopic(session.cluster(), topic, session.After(kAdminTimeout), {}); }));
  auto offsets = session.Run([&] {
    return AskOffsets(session.cluster(), topic, std::move(partitions), time, session.After(kAdminTimeout),
                      {});
  });
  if (!offsets) return std::unexpected(offsets.error());
  bool whole = true;
  for (const OffsetOfPartition& one : *offsets) {
    if (!one.offset) {
      whole = false;
      Say("error: {}-{}: {}", topic, one.partition, ToString(one.offset.error()));
      continue;
    }
    if (rows != nullptr) {
      rows->Add({topic, one.partition, *one.offset ? Listing::Cell(**one.offset) : Listing::Cell()});
      continue;
    }
    // No record is that young: Kafka prints an empty offset.
    fmt::print("{}:{}:{}\n", topic, one.partition, *one.offset ? std::to_string(**one.offset) : "");
  }
  return whole;
}

int RunGetOffsets(const Arguments& arguments) {
  auto plan = OffsetPlanOf(arguments);
  if (!plan) return ReportUsage(plan.error());
  if (const auto match = TopicMatch::Of(plan->topics); !match) return ReportUsage(match.error());
  const auto format = RowFormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  auto topics = TopicsMeant(**session, plan->topics, false, TopicWords::kOfReading);
  if (!topics) return ReportError(topics.error());
  std::vector<std::string> known;
  for (const v1::TopicMetadata& topic : *topics) known.push_back(topic.name());
  plan->rules.TakeMissingAsExpressions(known);
  Listing rows({"topic", "partition", "offset"});
  int status = kExitDone;
  size_t asked = 0;
  for (const v1::TopicMetadata& topic : *topics) {
    if (arguments.Has("exclude-internal-topics") && topic.internal()) continue;
    std::vector<PartitionIndex> partitions = Asked(*plan, topic);
    if (partitions.empty()) continue;
    asked += partitions.size();
    const auto whole =
        PrintOffsets(**session, topic.name(), std::move(partitions), plan->time, *format ? &rows : nullptr);
    if (!whole) return ReportError(whole.error());
    if (!*whole) status = kExitPartly;
  }
  if (asked == 0)
    return ReportError({v1::UNKNOWN_TOPIC_OR_PARTITION, "no topic partition matches what was asked for"},
                       "tidemark-topics --describe lists the partitions");
  if (*format) (void)Print(rows.Text(**format));
  return status;
}

}  // namespace

Command GetOffsetsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"topic", "NAME,...", "Only these topics; names and regular expressions."},
      {"partitions", "N,...", "Only these partitions."},
      {"topic-partitions", "TOPIC:N-M,...",
       "Only these: TOPIC, TOPIC:N, TOPIC:N-M (without M), TOPIC:N-, TOPIC:-M."},
      {"time", "latest|earliest|MS",
       "latest (-1), earliest (-2), max-timestamp (-3), or milliseconds since 1970."},
      {"exclude-internal-topics", "", "Leaves out the system's own topics."},
      RowsFlag(),
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {"get-offsets",
          "prints offsets of partitions: latest, earliest or by time",
          {"tidemark-get-offsets --bootstrap-server localhost:9092 --topic orders",
           "tidemark-get-offsets --bootstrap-server localhost:9092 --topic-partitions orders:0-2 --time "
           "earliest"},
          flags,
          {},
          RunGetOffsets};
}

}  // namespace tidemark
