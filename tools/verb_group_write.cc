// tidemark group seek, delete.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "tools/group_verbs.h"
#include "tools/moments.h"
#include "tools/offset_resets.h"
#include "tools/shown_work.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;
using Seeks = std::map<TopicPartition, Offset>;

Result<std::map<TopicPartition, Offset>> CommittedOf(ToolSession& session, GroupAdmin& admin,
                                                     const std::string& group) {
  const auto fetched = session.Run([&] { return admin.FetchOffsets(group, session.After(kAdminTimeout)); });
  if (!fetched) return std::unexpected(fetched.error());
  std::map<TopicPartition, Offset> out;
  for (const v1::CommittedTopic& topic : *fetched) {
    for (const auto& offset : topic.partitions()) {
      if (offset.has_offset()) out[{topic.topic(), offset.partition()}] = offset.offset();
    }
  }
  return out;
}

// Of --topic, else all that is committed.
Result<std::map<std::string, std::vector<PartitionIndex>>> ScopeOf(
    ToolSession& session, const Arguments& arguments, const std::map<TopicPartition, Offset>& committed) {
  std::map<std::string, std::set<PartitionIndex>> scope;
  for (const std::string& text : arguments.All("topic")) {
    TM_ASSIGN_OR_RETURN(const TopicChoice choice, ParseTopicChoice(text));
    TM_ASSIGN_OR_RETURN(const v1::TopicMetadata topic, session.Topic(choice.topic));
    std::set<PartitionIndex>& partitions = scope[choice.topic];
    const auto count = static_cast<PartitionIndex>(topic.partitions_size());
    for (PartitionIndex p = 0; choice.partitions.empty() && p < count; ++p) partitions.insert(p);
    for (const PartitionIndex p : choice.partitions) {
      if (p >= count)
        return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "{} has {}, no {}", choice.topic,
                    Counted(count, "partition"), p);
      partitions.insert(p);
    }
  }
  if (arguments.All("topic").empty()) {
    for (const auto& [at, offset] : committed) scope[at.topic].insert(at.partition);
  }
  std::map<std::string, std::vector<PartitionIndex>> out;
  for (const auto& [topic, partitions] : scope) out[topic].assign(partitions.begin(), partitions.end());
  return out;
}

Result<std::vector<Offset>> Ask(ToolSession& session, const std::string& topic,
                                const std::vector<PartitionIndex>& partitions, int64_t time,
                                const std::vector<Offset>& otherwise, Progress& bar) {
  const auto answers = RunShown(session, bar, [&] {
    return AskOffsets(session.cluster(), topic, partitions, time, session.After(kAdminTimeout), {});
  });
  if (!answers) return std::unexpected(answers.error());
  std::vector<Offset> out;
  for (size_t i = 0; i < answers->size(); ++i) {
    const auto& offset = (*answers)[i].offset;
    if (!offset) return Fail(offset.error().code, "{}-{}: {}", topic, partitions[i], offset.error().message);
    out.push_back(offset->value_or(otherwise.empty() ? 0 : otherwise[i]));
  }
  return out;
}

Result<> SeekTo(ToolSession& session, const std::string& topic, const std::vector<PartitionIndex>& partitions,
                const LogPlace& place, Progress& bar, Seeks* seeks) {
  TM_ASSIGN_OR_RETURN(const auto starts, Ask(session, topic, partitions, kEarliestTimestamp, {}, bar));
  TM_ASSIGN_OR_RETURN(const auto ends, Ask(session, topic, partitions, kLatestTimestamp, {}, bar));
  std::vector<Offset> wanted = ends;
  if (place.kind == LogPlace::Kind::kStart) wanted = starts;
  if (place.kind == LogPlace::Kind::kTimestamp) {
    // No record that young: the end.
    TM_ASSIGN_OR_RETURN(wanted, Ask(session, topic, partitions, place.value, ends, bar));
  }
  for (size_t i = 0; i < partitions.size(); ++i) {
    const auto value = static_cast<Offset>(place.value);
    if (place.kind == LogPlace::Kind::kOffset) wanted[i] = value;
    if (place.kind == LogPlace::Kind::kFromEnd) wanted[i] = ends[i] - std::min(ends[i], value);
    const Offset bounded = std::clamp(wanted[i], std::min(starts[i], ends[i]), ends[i]);
    if (place.kind == LogPlace::Kind::kOffset && bounded != wanted[i]) {
      bar.Clear();
      Say("warning: {}-{} has offsets {} to {}: {} instead of {}", topic, partitions[i], starts[i], ends[i],
          bounded, wanted[i]);
    }
    (*seeks)[{topic, partitions[i]}] = bounded;
  }
  bar.Add(partitions.size());
  return {};
}

// The status of each; the exit status of the whole.
int Commit(ToolSession& session, GroupAdmin& admin, const std::string& group, const Seeks& seeks,
           std::map<TopicPartition, std::string>* results) {
  OffsetsToCommit commit;
  for (const auto& [at, offset] : seeks) commit[at] = {.offset = offset};
  const auto outcomes =
      session.Run([&] { return admin.CommitOffsets(group, commit, session.After(kAdminTimeout)); });
  if (!outcomes) return ReportError(outcomes.error());
  for (const CommitOutcome& outcome : *outcomes) (*results)[outcome.at] = outcome.result ? "moved" : "failed";
  return ReportOutcomes(*outcomes);
}

int RunSeek(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  if (const auto exact = arguments.GroupIdsAreAsGiven(); !exact) return ReportUsage(exact.error());
  const auto text = arguments.Require("to");
  if (!text) return ReportUsage(text.error());
  if (arguments.Has("create") && arguments.All("topic").empty())
    return ReportUsage({v1::INVALID_REQUEST, "--create needs --topic NAME[:0,1]"});
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  const auto place = ParseLogPlace(*text, (*session)->env().clock().WallNow());
  if (!place) return ReportUsage(place.error());
  const std::string& group = arguments.positionals()[0];
  GroupAdmin admin((*session)->cluster());
  if (const auto idle = CheckIdle(**session, admin, group); !idle) {
    const bool missing = idle.error().code == v1::GROUP_ID_NOT_FOUND;
    if (!missing) return ReportError(idle.error());
    if (!arguments.Has("create")) {
      return ReportError(NoSuchGroup(**session, admin, group),
                         "with --topic and --create it is given offsets before it begins");
    }
  }
  const auto committed = CommittedOf(**session, admin, group);
  if (!committed) return ReportError(committed.error());
  const auto scope = ScopeOf(**session, arguments, *committed);
  if (!scope) return ReportError(scope.error());
  if (scope->empty())
    return ReportError({v1::NOT_FOUND, fmt::format("group '{}' has committed nothing", group)},
                       "--topic NAME says what is to be set");
  Seeks seeks;
  Progress bar((*session)->env().clock(), "looking up", ProgressUnit::kPartitions, CountPartitions(*scope));
  for (const auto& [topic, partitions] : *scope) {
    const auto placed = SeekTo(**session, topic, partitions, *place, bar, &seeks);
    if (placed) continue;
    bar.Clear();
    return ReportError(placed.error());
  }
  bar.Clear();
  std::map<TopicPartition, std::string> results;
  int status = kExitDone;
  if (!arguments.Has("dry-run")) {
    status = Commit(**session, admin, group, seeks, &results);
    if (results.empty()) return status;
  }
  Listing listing({"group", "topic", "partition", "before", "after", "result"});
  for (const auto& [at, offset] : seeks) {
    const auto before = committed->find(at);
    const auto result = results.find(at);
    listing.Add({group, at.topic, at.partition, before == committed->end() ? Json() : Json(before->second),
                 offset, result == results.end() ? "would be moved" : result->second});
  }
  (void)Print(listing.Text(*format));
  return status;
}

int RunDelete(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  if (const auto exact = arguments.GroupIdsAreAsGiven(); !exact) return ReportUsage(exact.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  GroupAdmin admin((*session)->cluster());
  const std::set<std::string> names(arguments.positionals().begin(), arguments.positionals().end());
  Listing listing({"group", "result"});
  std::vector<std::string> doomed;
  // All of them, or none: a name that is mistyped stops the rest before anything is gone. Each coordinator is
  // asked: a list of groups may lack those of a broker.
  for (const std::string& name : names) {
    const auto idle = CheckIdle(**session, admin, name);
    const bool missing = !idle && idle.error().code == v1::GROUP_ID_NOT_FOUND;
    if (missing && arguments.Has("if-exists")) continue;
    if (!idle) return ReportError(missing ? NoSuchGroup(**session, admin, name) : idle.error());
    doomed.push_back(name);
  }
  if (arguments.Has("dry-run") || doomed.empty()) {
    for (const std::string& name : doomed) listing.Add({name, "would be deleted"});
    return Finish(listing, *format);
  }
  const std::string question = fmt::format(
      "Delete {} with all offsets: {}?",
      doomed.size() == 1 ? "the group" : fmt::format("{} groups", doomed.size()), fmt::join(doomed, ", "));
  if (const int status = Confirm(arguments, question); status != kExitDone) return status;
  size_t failed = 0;
  int status = kExitDone;
  Progress bar((*session)->env().clock(), "deleting", ProgressUnit::kGroups, doomed.size());
  for (const std::string& name : doomed) {
    const auto done =
        RunShown(**session, bar, [&] { return admin.Delete(name, (*session)->After(kAdminTimeout)); });
    bar.Add(1);
    if (!done) {
      ++failed;
      bar.Clear();
      status = ReportError(done.error());
    }
    listing.Add({name, done ? "deleted" : "failed"});
  }
  bar.Clear();
  (void)Print(listing.Text(*format));
  return OverallStatus(failed, doomed.size(), status);
}

}  // namespace

int ReportOutcomes(const std::vector<CommitOutcome>& outcomes) {
  constexpr size_t kNamed = 3;
  std::map<std::pair<ErrorCode, std::string>, std::vector<std::string>> failures;
  size_t failed = 0;
  for (const CommitOutcome& outcome : outcomes) {
    if (outcome.result) continue;
    ++failed;
    const Error& error = outcome.result.error();
    failures[{error.code, error.message}].push_back(ToString(outcome.at));
  }
  int status = kExitDone;
  for (auto& [error, names] : failures) {
    const size_t more = names.size() - std::min(names.size(), kNamed);
    names.resize(names.size() - more);
    status = ReportError(
        {error.first, fmt::format("{}{}: {}", fmt::join(names, ", "),
                                  more > 0 ? fmt::format(" and {} more", more) : "", error.second)});
  }
  return OverallStatus(failed, outcomes.size(), status);
}

std::vector<Command> GroupWriteVerbs() {
  return {
      {.name = "group seek",
       .summary = "sets the offsets of a group that has no members",
       .examples = {"tidemark group seek readers --to @-2h --dry-run",
                    "tidemark group seek readers --to end --topic orders:0,1",
                    "tidemark group seek new-readers --to start --topic orders --create"},
       .flags =
           WritingFlags({{"to", "PLACE",
                          "Where it is to go on: start, end, an offset, -N (N records before the end), @TIME "
                          "(@2026-01-02T03:04, @-2h)."},
                         {"topic", "NAME[:0,1]",
                          "Only this topic, or these partitions (default: all that it has committed).", true},
                         {"create", "", "The group need not be there yet."}}),
       .positionals = {{.name = "GROUP", .required = true, .group_id = true}},
       .run = RunSeek},
      {.name = "group delete",
       .summary = "deletes groups that have no members, with their offsets",
       .examples = {"tidemark group delete readers --yes"},
       .flags = WritingFlags({YesFlag(), {"if-exists", "", "A missing group is no error."}}),
       .positionals = {{.name = "GROUP", .required = true, .several = true, .group_id = true}},
       .run = RunDelete},
  };
}

}  // namespace tidemark
