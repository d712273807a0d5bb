// tidemark-delete-records: deletes the records of partitions below given offsets. Kafka's flags, input and
// output.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <set>

#include <glog/logging.h>

#include "client/list_offsets.h"
#include "common/io/input_stream.h"
#include "tools/commands.h"
#include "tools/delete_records.h"
#include "tools/kafka_rows.h"
#include "tools/session.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

constexpr uint64_t kMostInputBytes = 64 << 20;
// Partitions asked for at a time.
constexpr size_t kAtOnce = 200;

// What becomes of one deletion of the file.
struct Deletion {
  RecordDeletion asked;
  std::optional<Offset> start, end;  // as they were; known where rows are shown
  Result<Offset> outcome = Fail(v1::LEADER_NOT_AVAILABLE, "not asked yet");
  bool refused = false;  // the leader is not asked: `outcome` says why
};

void Refuse(Deletion& deletion, Error error) {
  deletion.refused = true;
  deletion.outcome = std::unexpected(std::move(error));
}

// Refuses what metadata already shows to be wrong: a leader would be looked for until the time is up.
Result<> RefuseUnknown(ToolSession& session, std::vector<Deletion>& deletions) {
  std::set<std::string> names;
  for (const Deletion& deletion : deletions) names.insert(deletion.asked.topic);
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata,
                      session.Metadata({names.begin(), names.end()}, false));
  std::map<std::string, const v1::TopicMetadata*> topics;
  for (const v1::TopicMetadata& topic : metadata.topics()) topics[topic.name()] = &topic;
  for (Deletion& deletion : deletions) {
    const auto found = topics.find(deletion.asked.topic);
    if (found == topics.end()) continue;
    const v1::TopicMetadata& topic = *found->second;
    if (topic.error().code() == v1::UNKNOWN_TOPIC_OR_PARTITION) {
      Refuse(deletion, FromProto(topic.error()));
    } else if (topic.error().code() == v1::NONE &&
               deletion.asked.partition >= static_cast<PartitionIndex>(topic.partitions_size())) {
      Refuse(deletion, {v1::UNKNOWN_TOPIC_OR_PARTITION,
                        fmt::format("topic '{}' has {} partitions, no {}", topic.name(),
                                    topic.partitions_size(), deletion.asked.partition)});
    }
  }
  return {};
}

// The offsets of one topic's partitions at `time`; those that cannot be told are refused.
void AskBounds(ToolSession& session, const std::string& topic, const std::vector<Deletion*>& deletions,
               int64_t time, std::optional<Offset> Deletion::* bound) {
  std::vector<PartitionIndex> partitions;
  for (const Deletion* deletion : deletions) partitions.push_back(deletion->asked.partition);
  const auto answers = session.Run([&]() -> Task<Result<std::vector<OffsetOfPartition>>> {
    TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(session.cluster(), topic, session.After(kAdminTimeout), {}));
    co_return co_await AskOffsets(session.cluster(), topic, partitions, time, session.After(kAdminTimeout),
                                  {});
  });
  for (size_t i = 0; i < deletions.size(); ++i) {
    if (!answers) {
      Refuse(*deletions[i], answers.error());
    } else if (!(*answers)[i].offset) {
      Refuse(*deletions[i], (*answers)[i].offset.error());
    } else {
      deletions[i]->*bound = *(*answers)[i].offset;
    }
  }
}

void FindBounds(ToolSession& session, std::vector<Deletion>& deletions) {
  std::map<std::string, std::vector<Deletion*>> by_topic;
  for (Deletion& deletion : deletions) {
    if (!deletion.refused) by_topic[deletion.asked.topic].push_back(&deletion);
  }
  for (const auto& [topic, of_topic] : by_topic) {
    AskBounds(session, topic, of_topic, kEarliestTimestamp, &Deletion::start);
    AskBounds(session, topic, of_topic, kLatestTimestamp, &Deletion::end);
  }
}

// What the leaders would answer.
void Foresee(std::vector<Deletion>& deletions) {
  for (Deletion& deletion : deletions) {
    if (deletion.refused) continue;
    const auto outcome = NewLogStart(deletion.asked, deletion.start.value_or(0), deletion.end.value_or(0));
    if (outcome) {
      deletion.outcome = *outcome;
    } else {
      Refuse(deletion, outcome.error());
    }
  }
}

void Delete(ToolSession& session, std::vector<Deletion>& deletions) {
  std::vector<RecordDeletion> asked;
  std::vector<Deletion*> of;
  for (Deletion& deletion : deletions) {
    if (deletion.refused) continue;
    asked.push_back(deletion.asked);
    of.push_back(&deletion);
  }
  auto outcomes = DeleteRecordsShown(session, asked);
  for (size_t i = 0; i < outcomes.size(); ++i) of[i]->outcome = std::move(outcomes[i].low_watermark);
}

void PrintKafkas(const std::vector<Deletion>& deletions) {
  fmt::print("Records delete operation completed:\n");
  for (const auto& [asked, start, end, outcome, refused] : deletions) {
    if (outcome) {
      fmt::print("partition: {}-{}\tlow_watermark: {}\n", asked.topic, asked.partition, *outcome);
    } else {
      fmt::print("partition: {}-{}\terror: {}\n", asked.topic, asked.partition,
                 Printable(ToString(outcome.error())));
    }
  }
}

void PrintRows(const std::vector<Deletion>& deletions, OutputFormat format, bool dry_run) {
  Listing listing({"topic", "partition", "start", "new_start", "end", "result"});
  const auto or_null = [](const std::optional<Offset>& offset) {
    return offset ? Listing::Cell(*offset) : Listing::Cell();
  };
  for (const auto& [asked, start, end, outcome, refused] : deletions) {
    if (!outcome) Say("error: {}-{}: {}", asked.topic, asked.partition, ToString(outcome.error()));
    listing.Add({asked.topic, asked.partition, or_null(start),
                 outcome ? Listing::Cell(*outcome) : Listing::Cell(), or_null(end),
                 !outcome  ? "failed"
                 : dry_run ? "would be trimmed"
                           : "trimmed"});
  }
  (void)Print(listing.Text(format));
}

int StatusOf(const std::vector<Deletion>& deletions) {
  const auto failed = std::ranges::count_if(deletions, [](const Deletion& d) { return !d.outcome; });
  if (failed == 0) return kExitDone;
  Say("error: {} of {} partitions failed", failed, deletions.size());
  if (static_cast<size_t>(failed) < deletions.size()) return kExitPartly;
  const bool unknown = std::ranges::all_of(deletions, [](const Deletion& d) {
    return !d.outcome && d.outcome.error().code == v1::UNKNOWN_TOPIC_OR_PARTITION;
  });
  return unknown ? kExitNotFound : kExitFailed;
}

int RunDeleteRecords(const Arguments& arguments) {
  const auto format = RowFormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const Result<std::string> path = arguments.Require("offset-json-file");
  if (!path) return ReportUsage(path.error());
  const Result<std::string> text = ReadToEnd(*path, kMostInputBytes);
  if (!text)
    return ReportUsage({v1::INVALID_REQUEST, fmt::format("--offset-json-file: {}", text.error().message)});
  const Result<std::vector<RecordDeletion>> parsed = ParseOffsetFile(*text);
  if (!parsed) {
    (void)ReportError(
        parsed.error(),
        R"({"partitions": [{"topic": "orders", "partition": 0, "offset": 100}], "version": 1}; offset -1: all)");
    return kExitUsage;
  }
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  std::vector<Deletion> deletions;
  for (const RecordDeletion& asked : *parsed) deletions.push_back({.asked = asked, .start = {}, .end = {}});
  if (!*format && !Print("Executing records delete operation\n")) return kExitDone;
  if (const auto looked = RefuseUnknown(**session, deletions); !looked) return ReportError(looked.error());
  if (*format) FindBounds(**session, deletions);
  const bool dry_run = arguments.Has("dry-run");
  if (dry_run) {
    Foresee(deletions);
  } else {
    Delete(**session, deletions);
  }
  if (*format) {
    PrintRows(deletions, **format, dry_run);
  } else {
    PrintKafkas(deletions);
  }
  return StatusOf(deletions);
}

}  // namespace

Result<Offset> NewLogStart(const RecordDeletion& deletion, Offset start, Offset end) {
  const Offset before = deletion.before.value_or(end);
  if (before > end) {
    return Fail(v1::OFFSET_OUT_OF_RANGE, "{}-{} ends at {}: nothing can be deleted below {}", deletion.topic,
                deletion.partition, end, before);
  }
  return std::max(before, start);
}

Result<std::vector<RecordDeletion>> ParseOffsetFile(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(v1::INVALID_REQUEST, "the offset file is not a JSON object");
  const auto version = json.find("version");
  if (version != json.end() && *version != 1) {
    return Fail(v1::INVALID_REQUEST, "the offset file has version {}; 1 is known", version->dump());
  }
  const auto partitions = json.find("partitions");
  if (partitions == json.end() || !partitions->is_array() || partitions->empty()) {
    return Fail(v1::INVALID_REQUEST, "the offset file has no list of \"partitions\"");
  }
  std::vector<RecordDeletion> deletions;
  std::set<std::pair<std::string, PartitionIndex>> seen;
  for (const auto& entry : *partitions) {
    const auto is = [&](const char* name, auto check) {
      return entry.is_object() && entry.contains(name) && check(entry[name]);
    };
    const bool legal =
        is("topic", [](const auto& v) { return v.is_string(); }) &&
        is("partition", [](const auto& v) { return v.is_number_unsigned() && v <= INT32_MAX; }) &&
        is("offset", [](const auto& v) { return v.is_number_integer() && v >= -1 && v <= INT64_MAX; });
    if (!legal) {
      return Fail(v1::INVALID_REQUEST, "{} does not name a topic, a partition and an offset (-1 or more)",
                  entry.dump());
    }
    RecordDeletion deletion{entry["topic"].template get<std::string>(),
                            entry["partition"].template get<PartitionIndex>(), std::nullopt};
    TM_RETURN_IF_ERROR(ValidateTopicName(deletion.topic));
    if (entry["offset"] >= 0) deletion.before = entry["offset"].template get<Offset>();
    if (!seen.emplace(deletion.topic, deletion.partition).second) {
      return Fail(v1::INVALID_REQUEST, "Offset json file contains duplicate topic partitions: {}-{}",
                  deletion.topic, deletion.partition);
    }
    deletions.push_back(std::move(deletion));
  }
  return deletions;
}

std::vector<DeletionOutcome> DeleteRecordsShown(ToolSession& session,
                                                const std::vector<RecordDeletion>& deletions) {
  Progress bar(session.env().clock(), "deleting", ProgressUnit::kPartitions, deletions.size());
  std::vector<DeletionOutcome> out;
  while (out.size() < deletions.size()) {
    const auto begin = deletions.begin() + static_cast<ptrdiff_t>(out.size());
    const std::vector<RecordDeletion> part(
        begin, begin + static_cast<ptrdiff_t>(std::min(kAtOnce, deletions.size() - out.size())));
    auto outcomes = RunShown(
        session, bar, [&] { return session.admin().DeleteRecords(part, session.After(kAdminTimeout)); });
    CHECK_EQ(outcomes.size(), part.size()) << "not every partition has its outcome";
    std::ranges::move(outcomes, std::back_inserter(out));
    bar.Set(out.size());
  }
  return out;
}

Command DeleteRecordsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  flags.push_back({"offset-json-file", "FILE",
                   "What to delete: {\"partitions\": [{\"topic\": NAME, \"partition\": N, \"offset\": N}], "
                   "\"version\": 1}; records below the offset go, -1 means all."});
  flags.push_back(DryRunFlag());
  flags.push_back(RowsFlag());
  return {"delete-records",
          "deletes the records of partitions below given offsets",
          {"tidemark-delete-records --bootstrap-server localhost:9092 --offset-json-file offsets.json"},
          flags,
          {},
          RunDeleteRecords};
}

}  // namespace tidemark
