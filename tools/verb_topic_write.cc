// tidemark topic create, delete, add-partitions, trim.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "tools/config_entity.h"
#include "tools/delete_records.h"
#include "tools/moments.h"
#include "tools/replica_warning.h"
#include "tools/shown_work.h"
#include "tools/topic_match.h"
#include "tools/topics.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;

uint32_t ServerTimeout() { return static_cast<uint32_t>(ToMillis(kAdminTimeout) / 2); }

Result<v1::CreateTopicsRequest> CreationOf(const Arguments& arguments) {
  TM_ASSIGN_OR_RETURN(const auto partitions, arguments.GetInteger("partitions", 1, 1'000'000));
  TM_ASSIGN_OR_RETURN(const auto replicas, arguments.GetInteger("replicas", 1, 32767));
  TM_ASSIGN_OR_RETURN(const auto configs, ConfigsOfFlag(arguments, "config"));
  TM_ASSIGN_OR_RETURN(const auto lists, ParseReplicaAssignment(arguments.GetOr("assign", "")));
  if (!lists.empty() && (partitions || replicas))
    return Fail(v1::INVALID_REQUEST, "--assign says it all: leave out --partitions and --replicas");
  v1::CreateTopicsRequest request;
  for (const std::string& name : arguments.positionals()) {
    v1::CreateTopicsRequest::Topic* topic = request.add_topics();
    topic->set_name(name);
    topic->set_partitions(static_cast<uint32_t>(partitions.value_or(0)));
    topic->set_replication_factor(static_cast<uint32_t>(replicas.value_or(0)));
    topic->mutable_configs()->insert(configs.begin(), configs.end());
    for (const std::vector<int32_t>& brokers : lists) {
      v1::CreateTopicsRequest::Assignment* one = topic->add_assignments();
      one->set_partition(static_cast<uint32_t>(topic->assignments_size() - 1));
      one->mutable_replicas()->Assign(brokers.begin(), brokers.end());
    }
  }
  request.set_timeout_ms(ServerTimeout());
  request.set_validate_only(arguments.Has("dry-run"));
  return request;
}

int RunCreate(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto request = CreationOf(arguments);
  if (!request) return ReportUsage(request.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  auto response = (*session)->Run(
      [&] { return (*session)->admin().CreateTopics(*request, (*session)->After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  Listing listing({"topic", "result"});
  size_t failed = 0;
  int status = kExitDone;
  Progress bar((*session)->env().clock(), "creating", ProgressUnit::kTopics,
               static_cast<uint64_t>(response->topics_size()));
  for (const v1::CreateTopicsResponse::Topic& topic : response->topics()) {
    bar.Set(listing.size());
    Result<> done;
    const bool found = topic.error().code() == v1::TOPIC_ALREADY_EXISTS;
    const bool exists = found && arguments.Has("if-not-exists");
    if (topic.error().code() != v1::NONE && !exists) done = std::unexpected(FromProto(topic.error()));
    if (exists) done = CheckStays(**session, topic.name());
    if (done && !exists) {
      WarnOfConfigs(*request, topic);
      WarnOfFewReplicas(**session, *request, topic);
    }
    if (done && !exists && !request->validate_only()) {
      done = RunShown(**session, bar, [&] {
        return (*session)->admin().AwaitTopic(topic.name(), false, (*session)->After(kAdminTimeout));
      });
    }
    if (!done) {
      ++failed;
      bar.Clear();
      status = ReportError(done.error(), exists ? kGoingHint : "");
    }
    listing.Add({topic.name(), !done                      ? "failed"
                               : exists                   ? "exists"
                               : request->validate_only() ? "would be created"
                                                          : "created"});
  }
  bar.Clear();
  (void)Print(listing.Text(*format));
  return OverallStatus(failed, listing.size(), status);
}

// The topics to delete: by their names, or those that match an expression.
Result<std::vector<std::string>> DoomedTopics(ToolSession& session, const Arguments& arguments) {
  std::vector<std::string> names;
  if (arguments.Has("regex")) {
    const std::string text = fmt::format("{}", fmt::join(arguments.positionals(), ","));
    TM_ASSIGN_OR_RETURN(const auto topics, TopicsMeant(session, text, false, TopicWords::kOfWriting));
    return TopicsToDelete(topics, text);
  }
  for (const std::string& name : arguments.positionals()) {
    const auto topic = session.Topic(name);
    const bool missing = !topic && topic.error().code == v1::UNKNOWN_TOPIC_OR_PARTITION;
    if (missing && arguments.Has("if-exists")) continue;
    if (!topic) return std::unexpected(topic.error());
    names.push_back(name);
  }
  return names;
}

int RunDelete(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  for (const std::string& name : arguments.positionals()) {
    if (CommaList(name).empty())
      return ReportUsage({v1::INVALID_REQUEST, "a TOPIC is empty; nothing was deleted"});
    if (arguments.Has("regex")) {
      if (const auto match = TopicMatch::Of(name); !match) return ReportUsage(match.error());
      continue;
    }
    if (ValidateTopicName(name)) continue;
    return ReportUsage(
        {v1::INVALID_REQUEST,
         fmt::format("'{}' cannot be a topic's name; with --regex it is an expression", name)});
  }
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  const auto names = DoomedTopics(**session, arguments);
  if (!names) return ReportError(names.error(), "tidemark topic list shows what there is");
  Listing listing({"topic", "result"});
  if (arguments.Has("dry-run") || names->empty()) {
    const int status = DryRunOfDeletion(*names, &listing);
    (void)Print(listing.Text(*format));
    return status;
  }
  const std::string question = fmt::format(
      "Delete {} with all records: {}?",
      names->size() == 1 ? "the topic" : fmt::format("{} topics", names->size()), fmt::join(*names, ", "));
  if (const int status = Confirm(arguments, question); status != kExitDone) return status;
  v1::DeleteTopicsRequest request;
  request.set_timeout_ms(static_cast<uint32_t>(ToMillis(kDeletionWait)));
  for (const std::string& name : *names) request.add_names(name);
  Progress bar((*session)->env().clock(), "deleting", ProgressUnit::kTopics, names->size());
  auto response = RunShown(**session, bar, [&] {
    return (*session)->admin().DeleteTopics(request, (*session)->After(kAdminTimeout));
  });
  bar.Clear();
  if (!response) return ReportError(response.error());
  size_t failed = 0;
  int status = kExitDone;
  for (const v1::DeleteTopicsResponse::Topic& topic : response->topics()) {
    Result<> done;
    if (topic.error().code() != v1::NONE) done = std::unexpected(FromProto(topic.error()));
    bar.Set(listing.size());
    if (done) {
      done = RunShown(**session, bar, [&] {
        return (*session)->admin().AwaitTopic(topic.name(), true, (*session)->After(kAdminTimeout));
      });
    }
    if (!done) {
      ++failed;
      bar.Clear();
      const bool marked = topic.error().code() == v1::REQUEST_TIMED_OUT;
      status = ReportError(done.error(), marked ? kDeletionHint : "");
    }
    listing.Add({topic.name(), done ? "deleted" : "failed"});
  }
  bar.Clear();
  (void)Print(listing.Text(*format));
  return OverallStatus(failed, listing.size(), status);
}

int RunAddPartitions(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto count = arguments.GetInteger("to", 1, 1'000'000);
  if (!count) return ReportUsage(count.error());
  if (!*count) return ReportUsage({v1::INVALID_REQUEST, "--to N says how many partitions there are to be"});
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  const std::string& name = arguments.positionals()[0];
  const auto before = (*session)->Topic(name);
  if (!before) return ReportError(before.error());
  v1::CreatePartitionsRequest request;
  request.set_validate_only(arguments.Has("dry-run"));
  auto* wish = request.add_topics();
  wish->set_name(name);
  wish->set_partitions(static_cast<uint32_t>(**count));
  auto response = (*session)->Run(
      [&] { return (*session)->admin().CreatePartitions(request, (*session)->After(kAdminTimeout)); });
  if (!response) return ReportError(response.error());
  if (response->topics(0).error().code() != v1::NONE)
    return ReportError(FromProto(response->topics(0).error()));
  fmt::print(
      stderr,
      "warning: a record's partition follows from its key and the number of partitions: keys may go to "
      "other partitions from now on\n");
  Listing listing({"topic", "partitions_before", "partitions", "result"});
  listing.Add(
      {name, before->partitions_size(), **count, request.validate_only() ? "would be added" : "added"});
  return Finish(listing, *format);
}

struct Trim {
  PartitionIndex partition = 0;
  Offset start = 0;
  Offset end = 0;
  Offset before = 0;  // what is deleted ends here
};

// Offsets at `time`; `none` where no record is that young.
Result<std::vector<Offset>> OffsetsAt(ToolSession& session, const std::string& topic,
                                      const std::vector<PartitionIndex>& partitions, int64_t time,
                                      const std::vector<Offset>& none) {
  auto answers = session.Run([&] {
    return AskOffsets(session.cluster(), topic, partitions, time, session.After(kAdminTimeout), {});
  });
  if (!answers) return std::unexpected(answers.error());
  std::vector<Offset> out;
  for (size_t i = 0; i < answers->size(); ++i) {
    const auto& offset = (*answers)[i].offset;
    if (!offset) return std::unexpected(offset.error());
    out.push_back(*offset ? **offset : (i < none.size() ? none[i] : 0));
  }
  return out;
}

Result<std::vector<Trim>> TrimsOf(ToolSession& session, const std::string& topic,
                                  const std::vector<PartitionIndex>& partitions, const LogPlace& place) {
  TM_RETURN_IF_ERROR(
      session.Run([&] { return EnsureTopic(session.cluster(), topic, session.After(kAdminTimeout), {}); }));
  TM_ASSIGN_OR_RETURN(const auto starts, OffsetsAt(session, topic, partitions, kEarliestTimestamp, {}));
  TM_ASSIGN_OR_RETURN(const auto ends, OffsetsAt(session, topic, partitions, kLatestTimestamp, {}));
  std::vector<Offset> wanted = ends;
  if (place.kind == LogPlace::Kind::kTimestamp) {
    TM_ASSIGN_OR_RETURN(wanted, OffsetsAt(session, topic, partitions, place.value, ends));
  }
  std::vector<Trim> out;
  for (size_t i = 0; i < partitions.size(); ++i) {
    Offset before = wanted[i];
    if (place.kind == LogPlace::Kind::kStart) before = starts[i];
    if (place.kind == LogPlace::Kind::kOffset) before = static_cast<Offset>(place.value);
    if (place.kind == LogPlace::Kind::kFromEnd)
      before = ends[i] - std::min<Offset>(ends[i], static_cast<Offset>(place.value));
    if (before > ends[i]) {
      return Fail(v1::OFFSET_OUT_OF_RANGE, "{}-{} ends at {}: nothing can be deleted below {}", topic,
                  partitions[i], ends[i], before);
    }
    out.push_back({partitions[i], starts[i], ends[i], std::max(before, starts[i])});
  }
  return out;
}

// Deletes, and adds what became of each to the listing.
int Execute(ToolSession& session, const std::string& topic, const std::vector<Trim>& trims,
            Listing* listing) {
  std::vector<RecordDeletion> deletions;
  for (const Trim& trim : trims) deletions.push_back({topic, trim.partition, trim.before});
  const auto outcomes = DeleteRecordsShown(session, deletions);
  size_t failed = 0;
  int status = kExitDone;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const auto& mark = outcomes[i].low_watermark;
    if (!mark) {
      ++failed;
      status = ReportError(mark.error());
    }
    listing->Add({topic, trims[i].partition, trims[i].start, mark ? Json(*mark) : Json(), trims[i].end,
                  mark ? "trimmed" : "failed"});
  }
  return OverallStatus(failed, outcomes.size(), status);
}

int RunTrim(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto text = arguments.Require("before");
  if (!text) return ReportUsage(text.error());
  const auto partitions_asked = ParsePartitions(arguments.GetOr("partitions", ""));
  if (!partitions_asked) return ReportUsage(partitions_asked.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  const auto place = ParseLogPlace(*text, (*session)->env().clock().WallNow());
  if (!place) return ReportUsage(place.error());
  const std::string& name = arguments.positionals()[0];
  const auto topic = (*session)->Topic(name);
  if (!topic) return ReportError(topic.error(), "tidemark topic list shows what there is");
  std::vector<PartitionIndex> partitions = *partitions_asked;
  const auto count = static_cast<PartitionIndex>(topic->partitions_size());
  for (PartitionIndex p = 0; partitions_asked->empty() && p < count; ++p) partitions.push_back(p);
  for (const PartitionIndex p : partitions) {
    if (p >= count)
      return ReportError(
          {v1::UNKNOWN_TOPIC_OR_PARTITION, fmt::format("{} has {}", name, Counted(count, "partition"))});
  }
  const auto trims = TrimsOf(**session, name, partitions, *place);
  if (!trims) return ReportError(trims.error());
  Listing listing({"topic", "partition", "start", "new_start", "end", "result"});
  uint64_t records = 0;
  for (const Trim& trim : *trims) records += trim.before - trim.start;
  if (arguments.Has("dry-run")) {
    for (const Trim& trim : *trims)
      listing.Add({name, trim.partition, trim.start, trim.before, trim.end, "would be trimmed"});
    return Finish(listing, *format);
  }
  const std::string question = fmt::format("Delete {} records of {} for good?", records, name);
  if (const int status = Confirm(arguments, question); status != kExitDone) return status;
  const int status = Execute(**session, name, *trims, &listing);
  (void)Print(listing.Text(*format));
  return status;
}

std::vector<FlagSpec> Destructive(std::vector<FlagSpec> own) {
  own.push_back(YesFlag());
  return WritingFlags(std::move(own));
}

}  // namespace

std::vector<Command> TopicWriteVerbs() {
  return {
      {.name = "topic create",
       .summary = "creates topics; returns when they have leaders",
       .examples = {"tidemark topic create orders -p 6 -r 3",
                    "tidemark topic create orders clicks -c retention.ms=86400000 --dry-run"},
       .flags = WritingFlags({{.name = "partitions",
                               .value = "N",
                               .help = "Partitions (default: num.partitions).",
                               .aliases = {"p"}},
                              {.name = "replicas",
                               .value = "N",
                               .help = "Replicas of each (default: default.replication.factor).",
                               .aliases = {"r", "replication-factor"}},
                              {.name = "config",
                               .value = "NAME=VALUE",
                               .help = "A config.",
                               .repeated = true,
                               .aliases = {"c"}},
                              {"assign", "0:1,1:2", "Brokers of each partition, preferred leader first."},
                              {"if-not-exists", "", "An existing topic is no error."}}),
       .positionals = {{.name = "TOPIC", .required = true, .several = true}},
       .run = RunCreate},
      {.name = "topic delete",
       .summary = "deletes topics with all their records",
       .examples = {"tidemark topic delete orders --yes",
                    "tidemark topic delete --regex 'test-.*' --dry-run"},
       .flags = Destructive({{"regex", "", "The words are regular expressions; else they are names."},
                             {"if-exists", "", "A missing topic is no error."}}),
       .positionals = {{.name = "TOPIC", .required = true, .several = true}},
       .run = RunDelete},
      {.name = "topic add-partitions",
       .summary = "adds partitions to a topic",
       .examples = {"tidemark topic add-partitions orders --to 12"},
       .flags = WritingFlags({{"to", "N", "How many partitions there are to be."}}),
       .positionals = {{.name = "TOPIC", .required = true}},
       .run = RunAddPartitions},
      {.name = "topic trim",
       .summary = "deletes a topic's oldest records",
       .examples = {"tidemark topic trim orders --before @-7d --dry-run",
                    "tidemark topic trim orders --before 1000 -p 0 --yes"},
       .flags = Destructive(
           {{"before", "PLACE",
             "What is older goes: an offset, end, -N (the last N stay), @TIME (@2026-01-02T03:04, @-2h)."},
            {.name = "partitions", .value = "0,2,5-7", .help = "Only these.", .aliases = {"p"}}}),
       .positionals = {{.name = "TOPIC", .required = true}},
       .run = RunTrim},
  };
}

}  // namespace tidemark
