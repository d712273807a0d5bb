// tidemark-consumer-groups --reset-offsets.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "common/io/input_stream.h"
#include "tools/commands.h"
#include "tools/consumer_groups.h"
#include "tools/group_verbs.h"
#include "tools/kafka_rows.h"
#include "tools/offset_resets.h"
#include "tools/shown_work.h"
#include "tools/text_table.h"

namespace tidemark {
namespace {

using NewOffsets = std::map<TopicPartition, Offset>;

// One run of the action.
class Reset {
 public:
  Reset(ToolSession& session, const Arguments& arguments, ResetPlan plan)
      : session_(session), arguments_(arguments), admin_(session.cluster()), plan_(std::move(plan)) {}

  // The new offsets of a group; nothing is changed.
  Result<NewOffsets> Plan(const std::string& group);
  Result<std::vector<CommitOutcome>> Execute(const std::string& group, const NewOffsets& offsets);
  Result<> ReadFileFor(const std::vector<std::string>& groups);
  // Those that the file is about; the others are told of. All, where there is no file.
  std::vector<std::string> OfTheFile(std::vector<std::string> groups) const;
  // What the group of the last Plan has committed.
  const std::map<TopicPartition, Offset>& committed() const { return committed_; }

 private:
  Result<> CheckInactive(const std::string& group);
  Result<std::map<std::string, std::vector<PartitionIndex>>> Scope(
      const std::string& group, const std::map<TopicPartition, Offset>& committed);
  Result<std::vector<OffsetOfPartition>> Ask(const std::string& topic,
                                             const std::vector<PartitionIndex>& partitions, int64_t time,
                                             Progress& bar);

  ToolSession& session_;
  const Arguments& arguments_;
  GroupAdmin admin_;
  const ResetPlan plan_;
  ResetFile file_;
  std::map<TopicPartition, Offset> committed_;
};

Result<> Reset::ReadFileFor(const std::vector<std::string>& groups) {
  if (plan_.kind != ResetKind::kFile) return {};
  const auto text = ReadToEnd(plan_.file);
  if (!text) return Fail(text.error().code, "--from-file: {}", text.error().message);
  auto file = ParseResetFile(*text, groups.size() == 1 ? groups.front() : "");
  if (!file) return Fail(v1::INVALID_REQUEST, "{}, {}", plan_.file, file.error().message);
  file_ = std::move(*file);
  return {};
}

// An export of all groups has no line of one that has committed nothing.
std::vector<std::string> Reset::OfTheFile(std::vector<std::string> groups) const {
  if (plan_.kind != ResetKind::kFile) return groups;
  std::erase_if(groups, [this](const std::string& group) {
    if (file_.contains(group)) return false;
    Say("warning: {} has no line of group '{}', which stays as it is", plan_.file, group);
    return true;
  });
  return groups;
}

Result<> Reset::CheckInactive(const std::string& group) {
  const auto described =
      session_.Run([&] { return admin_.Describe(group, false, CallDeadline(session_, arguments_)); });
  if (!described) {
    // Offsets may be set for a group that is to begin later.
    if (described.error().code == v1::GROUP_ID_NOT_FOUND) return {};
    return std::unexpected(described.error());
  }
  if (described->groups(0).members().empty()) return {};
  std::vector<std::string> members;
  for (const auto& member : described->groups(0).members()) members.push_back(member.member_id());
  return Fail(
      v1::NON_EMPTY_GROUP,
      "Assignments can only be reset if the group '{}' is inactive, but the current state is {}: stop its "
      "members ({})",
      group, NameOfState(described->groups(0).state()), fmt::join(members, ", "));
}

Result<std::vector<OffsetOfPartition>> Reset::Ask(const std::string& topic,
                                                  const std::vector<PartitionIndex>& partitions, int64_t time,
                                                  Progress& bar) {
  auto answers = RunShown(session_, bar, [&] {
    return AskOffsets(session_.cluster(), topic, partitions, time, CallDeadline(session_, arguments_), {});
  });
  if (!answers) return std::unexpected(answers.error());
  for (OffsetOfPartition& answer : *answers) {
    if (!answer.offset) return std::unexpected(answer.offset.error());
  }
  return std::move(*answers);
}

Result<> CheckThere(const v1::TopicMetadata& topic, PartitionIndex partition) {
  if (partition < static_cast<PartitionIndex>(topic.partitions_size())) return {};
  return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' has {}, no {}", topic.name(),
              Counted(topic.partitions_size(), "partition"), partition);
}

// What is to be reset: of the file, of --topic, or all that is committed.
Result<std::map<std::string, std::vector<PartitionIndex>>> Reset::Scope(
    const std::string& group, const std::map<TopicPartition, Offset>& committed) {
  std::map<std::string, std::vector<PartitionIndex>> scope;
  if (plan_.kind == ResetKind::kFile) {
    const auto found = file_.find(group);
    if (found == file_.end())
      return Fail(v1::INVALID_REQUEST, "{} has no line of group '{}'", plan_.file, group);
    for (const auto& [at, offset] : found->second) scope[at.topic].push_back(at.partition);
    for (const auto& [name, partitions] : scope) {
      TM_ASSIGN_OR_RETURN(const v1::TopicMetadata topic, session_.Topic(name));
      for (const PartitionIndex partition : partitions) TM_RETURN_IF_ERROR(CheckThere(topic, partition));
    }
    return scope;
  }
  for (const std::string& text : arguments_.All("topic")) {
    TM_ASSIGN_OR_RETURN(TopicChoice choice, ParseTopicChoice(text));
    TM_ASSIGN_OR_RETURN(const v1::TopicMetadata topic, session_.Topic(choice.topic));
    if (choice.partitions.empty()) {
      for (const auto& partition : topic.partitions()) choice.partitions.push_back(partition.partition());
    }
    for (const PartitionIndex partition : choice.partitions) {
      TM_RETURN_IF_ERROR(CheckThere(topic, partition));
      scope[choice.topic].push_back(partition);
    }
  }
  if (arguments_.Has("all-topics")) {
    for (const auto& [at, offset] : committed) scope[at.topic].push_back(at.partition);
  }
  for (auto& [topic, partitions] : scope) {
    std::ranges::sort(partitions);
    partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  }
  return scope;
}

Result<NewOffsets> Reset::Plan(const std::string& group) {
  TM_RETURN_IF_ERROR(CheckInactive(group));
  const auto fetched =
      session_.Run([&] { return admin_.FetchOffsets(group, CallDeadline(session_, arguments_)); });
  if (!fetched) return std::unexpected(fetched.error());
  committed_.clear();
  for (const v1::CommittedTopic& topic : *fetched) {
    for (const auto& offset : topic.partitions()) {
      if (offset.has_offset()) committed_[{topic.topic(), offset.partition()}] = offset.offset();
    }
  }
  TM_ASSIGN_OR_RETURN(const auto scope, Scope(group, committed_));
  NewOffsets offsets;
  Progress bar(session_.env().clock(), "looking up", ProgressUnit::kPartitions, CountPartitions(scope));
  for (const auto& [topic, partitions] : scope) {
    TM_ASSIGN_OR_RETURN(const auto earliest, Ask(topic, partitions, kEarliestTimestamp, bar));
    TM_ASSIGN_OR_RETURN(const auto latest, Ask(topic, partitions, kLatestTimestamp, bar));
    std::vector<OffsetOfPartition> at_time;
    if (plan_.kind == ResetKind::kTime) {
      TM_ASSIGN_OR_RETURN(at_time, Ask(topic, partitions, plan_.value, bar));
    }
    for (size_t i = 0; i < partitions.size(); ++i) {
      const TopicPartition at{topic, partitions[i]};
      ResetBounds bounds{.earliest = earliest[i].offset->value_or(0),
                         .latest = latest[i].offset->value_or(0)};
      if (const auto found = committed_.find(at); found != committed_.end()) bounds.committed = found->second;
      if (!at_time.empty()) bounds.at_time = *at_time[i].offset;
      ResetPlan plan = plan_;
      if (plan.kind == ResetKind::kFile) plan.value = static_cast<int64_t>(file_.at(group).at(at));
      std::string note;
      TM_ASSIGN_OR_RETURN(offsets[at], ResetOffset(plan, at, bounds, &note));
      if (note.empty()) continue;
      bar.Clear();
      Say("warning: {}", note);
    }
    bar.Add(partitions.size());
  }
  return offsets;
}

Result<std::vector<CommitOutcome>> Reset::Execute(const std::string& group, const NewOffsets& offsets) {
  OffsetsToCommit commit;
  for (const auto& [at, offset] : offsets) commit[at] = {.offset = offset};
  return session_.Run(
      [&] { return admin_.CommitOffsets(group, commit, CallDeadline(session_, arguments_)); });
}

// What is printed of the new offsets: Kafka's table or its CSV (--export), which have no place for one that
// was not set, or rows.
class ResetReport {
 public:
  ResetReport(const Arguments& arguments, size_t groups)
      : format_(*RowFormatOf(arguments)),
        as_csv_(arguments.Has("export")),
        with_group_(groups > 1),
        result_(arguments.Has("execute") ? "moved" : "would be moved") {}

  // `failed`: those of the offsets that were not set.
  void Add(const std::string& group, const NewOffsets& offsets,
           const std::map<TopicPartition, Offset>& committed, const std::set<TopicPartition>& failed) {
    for (const auto& [at, offset] : offsets) {
      const auto before = committed.find(at);
      rows_.Add({group, at.topic, at.partition,
                 before == committed.end() ? Listing::Cell() : Listing::Cell(before->second), offset,
                 failed.contains(at) ? "failed" : result_});
      if (failed.contains(at)) continue;
      table_.Add({group, at.topic, std::to_string(at.partition), std::to_string(offset)});
      csv_ += with_group_
                  ? fmt::format("{},{},{},{}\n", ResetFileField(group), at.topic, at.partition, offset)
                  : fmt::format("{},{},{}\n", at.topic, at.partition, offset);
    }
  }

  void Print() const {
    if (format_) {
      (void)tidemark::Print(rows_.Text(*format_));
    } else if (as_csv_) {
      fmt::print("{}", csv_);
    } else if (table_.rows() > 0) {
      fmt::print("\n{}", table_.Text());
    }
  }

 private:
  const std::optional<OutputFormat> format_;
  const bool as_csv_;
  const bool with_group_;
  const char* const result_;
  TextTable table_{{{"GROUP", 30, ColumnWidth::kFixed},
                    {"TOPIC", 30, ColumnWidth::kFixed},
                    {"PARTITION", 10, ColumnWidth::kFixed},
                    {"NEW-OFFSET", 15, ColumnWidth::kFixed}}};
  std::string csv_;
  Listing rows_{{"group", "topic", "partition", "before", "after", "result"}};
};

Result<> CheckFlags(const Arguments& arguments, const ResetPlan& plan) {
  if (arguments.Has("export") && arguments.Has("output"))
    return Fail(v1::INVALID_REQUEST, "--export is a format of its own; leave out --output");
  if (arguments.Has("dry-run") && arguments.Has("execute"))
    return Fail(v1::INVALID_REQUEST, "--dry-run and --execute exclude each other");
  const bool topics = arguments.Has("topic") || arguments.Has("all-topics");
  for (const std::string& text : arguments.All("topic")) TM_RETURN_IF_ERROR(ParseTopicChoice(text));
  if (arguments.Has("topic") && arguments.Has("all-topics"))
    return Fail(v1::INVALID_REQUEST, "--topic and --all-topics exclude each other");
  if (plan.kind == ResetKind::kFile && topics)
    return Fail(v1::INVALID_REQUEST, "--from-file says which topics; leave out --topic and --all-topics");
  if (plan.kind != ResetKind::kFile && !topics)
    return Fail(v1::INVALID_REQUEST, "one of --topic NAME[:0,1] and --all-topics is required");
  return {};
}

}  // namespace

int ResetOffsetsAction(ToolSession& session, const Arguments& arguments) {
  auto plan = ResetPlanOf(arguments, session.env().clock().WallNow());
  if (!plan) return ReportUsage(plan.error());
  if (const auto checked = CheckFlags(arguments, *plan); !checked) return ReportUsage(checked.error());
  GroupAdmin admin(session.cluster());
  const auto groups = GroupsMeant(session, admin, arguments);
  if (!groups)
    return groups.error().code == v1::INVALID_REQUEST ? ReportUsage(groups.error())
                                                      : ReportError(groups.error());
  Reset reset(session, arguments, std::move(*plan));
  if (const auto read = reset.ReadFileFor(groups->names); !read) return ReportUsage(read.error());
  const std::vector<std::string> names =
      arguments.Has("all-groups") ? reset.OfTheFile(groups->names) : groups->names;
  ResetReport report(arguments, groups->names.size());
  int status = kExitDone;
  size_t done = 0;
  bool partly = false;
  for (const std::string& group : names) {
    auto offsets = reset.Plan(group);
    Result<std::vector<CommitOutcome>> outcomes;
    if (offsets && arguments.Has("execute") && !offsets->empty()) outcomes = reset.Execute(group, *offsets);
    if (!offsets || !outcomes) {
      status = ReportError(offsets ? outcomes.error() : offsets.error());
      continue;
    }
    std::set<TopicPartition> failed;
    for (const CommitOutcome& outcome : *outcomes) {
      if (!outcome.result) failed.insert(outcome.at);
    }
    const int result = ReportOutcomes(*outcomes);
    partly = partly || result == kExitPartly;
    done += result == kExitDone ? 1 : 0;
    if (result != kExitDone) status = result;
    if (offsets->empty()) Say("warning: group '{}' has committed nothing", group);
    report.Add(group, *offsets, reset.committed(), failed);
  }
  report.Print();
  if (!arguments.Has("execute") && !arguments.Has("export") && done > 0)
    fmt::print(stderr, "\nNothing was changed: --execute does it.\n");
  if (partly) return kExitPartly;
  return StatusOf(*groups, StatusOf(done, status, names.size() - done));
}

}  // namespace tidemark
