// tidemark-consumer-groups --delete and --delete-offsets. With --dry-run they check what the coordinator
// would check, and change nothing.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "tools/commands.h"
#include "tools/consumer_groups.h"
#include "tools/group_verbs.h"
#include "tools/kafka_rows.h"
#include "tools/offset_resets.h"
#include "tools/text_table.h"

namespace tidemark {
namespace {

using DescribedGroup = v1::DescribeGroupsResponse::Group;

// Deletes the group, or only finds out whether it may be.
Result<> DeleteGroup(ToolSession& session, GroupAdmin& admin, const Arguments& arguments,
                     const std::string& group) {
  const Result<> result = arguments.Has("dry-run") ? CheckIdle(session, admin, group) : session.Run([&] {
    return admin.Delete(group, CallDeadline(session, arguments));
  });
  if (!result && result.error().code == v1::GROUP_ID_NOT_FOUND)
    return std::unexpected(NoSuchGroup(session, admin, group));
  return result;
}

// What of the committed offsets --topic means; those that are named one by one also where nothing is
// committed.
Result<std::vector<TopicPartition>> PartitionsMeant(const std::vector<std::string>& texts,
                                                    const DescribedGroup& group) {
  std::vector<TopicPartition> partitions;
  for (const std::string& text : texts) {
    TM_ASSIGN_OR_RETURN(const TopicChoice choice, ParseTopicChoice(text));
    for (const PartitionIndex partition : choice.partitions) partitions.push_back({choice.topic, partition});
    if (!choice.partitions.empty()) continue;
    for (const v1::CommittedTopic& topic : group.offsets()) {
      if (topic.topic() != choice.topic) continue;
      for (const auto& offset : topic.partitions()) partitions.push_back({topic.topic(), offset.partition()});
    }
  }
  std::ranges::sort(partitions);
  partitions.erase(std::ranges::unique(partitions).begin(), partitions.end());
  return partitions;
}

// As the coordinator would answer.
Result<> MayBeDeleted(const DescribedGroup& group, const TopicPartition& at) {
  const auto of_topic = [&](const auto& topic) { return topic.topic() == at.topic; };
  for (const auto& member : group.members()) {
    const bool read =
        std::ranges::find(member.subscribed_topics(), at.topic) != member.subscribed_topics().end() ||
        std::ranges::any_of(member.assignment().topics(), of_topic);
    if (read)
      return Fail(v1::GROUP_SUBSCRIBED_TO_TOPIC, "members of group '{}' read the topic", group.group_id());
  }
  for (const v1::CommittedTopic& topic : group.offsets()) {
    if (!of_topic(topic)) continue;
    for (const auto& offset : topic.partitions()) {
      if (offset.partition() == at.partition) return {};
    }
  }
  return Fail(v1::NOT_FOUND, "group '{}' has committed nothing for {}", group.group_id(), ToString(at));
}

Result<std::vector<CommitOutcome>> DeleteOffsetsOf(ToolSession& session, GroupAdmin& admin,
                                                   const Arguments& arguments, const DescribedGroup& group,
                                                   const std::vector<TopicPartition>& partitions) {
  if (!arguments.Has("dry-run")) {
    return session.Run(
        [&] { return admin.DeleteOffsets(group.group_id(), partitions, CallDeadline(session, arguments)); });
  }
  std::vector<CommitOutcome> outcomes;
  for (const TopicPartition& at : partitions) outcomes.push_back({at, MayBeDeleted(group, at)});
  return outcomes;
}

int ShowDeletedOffsets(const std::string& group, const std::vector<std::string>& topics,
                       const std::vector<CommitOutcome>& outcomes, bool dry_run,
                       std::optional<OutputFormat> rows) {
  using enum ColumnWidth;
  TextTable table({{"TOPIC", 30, kFixed}, {"PARTITION", 15, kFixed}, {"STATUS", 15, kFixed}});
  Listing listing({"group", "topic", "partition", "result"});
  size_t failed = 0;
  for (const CommitOutcome& outcome : outcomes) {
    failed += outcome.result ? 0 : 1;
    table.Add({outcome.at.topic, std::to_string(outcome.at.partition),
               outcome.result ? "Successful" : "Error: " + ToString(outcome.result.error())});
    listing.Add({group, outcome.at.topic, outcome.at.partition,
                 !outcome.result ? "failed"
                 : dry_run       ? "would be deleted"
                                 : "deleted"});
  }
  std::string text;
  if (rows) {
    (void)ReportOutcomes(outcomes);
    text = listing.Text(*rows);
  } else if (failed == 0) {
    text = fmt::format("Request succeed for deleting offsets with topic {} group {}\n\n{}",
                       fmt::join(topics, ", "), Printable(group), table.Text());
  } else {
    fmt::print(stderr, "\nError: Encounter some partition level error, see the follow-up details:\n");
    text = "\n" + table.Text();
  }
  (void)Print(text);
  return StatusOf(outcomes.size() - failed, kExitFailed, failed);
}

}  // namespace

int DeleteGroupsAction(ToolSession& session, const Arguments& arguments) {
  const auto rows = *RowFormatOf(arguments);
  GroupAdmin admin(session.cluster());
  const auto groups = GroupsMeant(session, admin, arguments);
  if (!groups)
    return groups.error().code == v1::INVALID_REQUEST ? ReportUsage(groups.error())
                                                      : ReportError(groups.error());
  const bool dry_run = arguments.Has("dry-run");
  std::vector<std::string> deleted;
  Listing listing({"group", "result"});
  int status = kExitDone;
  for (const std::string& group : groups->names) {
    const Result<> result = DeleteGroup(session, admin, arguments, group);
    listing.Add({group, !result ? "failed" : dry_run ? "would be deleted" : "deleted"});
    if (result) {
      deleted.push_back("'" + group + "'");
      continue;
    }
    status = ReportError(
        {result.error().code, fmt::format("group '{}' {} deleted: {}", group,
                                          dry_run ? "would not be" : "was not", result.error().message)});
  }
  if (rows) {
    (void)Print(listing.Text(*rows));
  } else if (!deleted.empty()) {
    PrintLine("Deletion of requested consumer groups ({}) was successful.", fmt::join(deleted, ", "));
  }
  return StatusOf(*groups, StatusOf(deleted.size(), status, groups->names.size() - deleted.size()));
}

int DeleteOffsetsAction(ToolSession& session, const Arguments& arguments) {
  const auto rows = *RowFormatOf(arguments);
  const auto group = arguments.Require("group");
  if (!group) return ReportUsage(group.error());
  if (arguments.All("topic").empty())
    return ReportUsage({v1::INVALID_REQUEST, "--delete-offsets needs --topic NAME or --topic NAME:0,1"});
  for (const std::string& text : arguments.All("topic")) {
    if (const auto choice = ParseTopicChoice(text); !choice) return ReportUsage(choice.error());
  }
  GroupAdmin admin(session.cluster());
  const auto described =
      session.Run([&] { return admin.Describe(*group, true, CallDeadline(session, arguments)); });
  if (!described) {
    return ReportError(described.error().code == v1::GROUP_ID_NOT_FOUND ? NoSuchGroup(session, admin, *group)
                                                                        : described.error());
  }
  const DescribedGroup& there = described->groups(0);
  TellLeftOut(there);
  const auto partitions = PartitionsMeant(arguments.All("topic"), there);
  if (!partitions) return ReportUsage(partitions.error());
  if (partitions->empty())
    return ReportError(
        {v1::NOT_FOUND, fmt::format("group '{}' has committed nothing of these topics", *group)});
  const bool dry_run = arguments.Has("dry-run");
  const auto outcomes = DeleteOffsetsOf(session, admin, arguments, there, *partitions);
  if (!outcomes) return ReportError(outcomes.error());
  return ShowDeletedOffsets(*group, arguments.All("topic"), *outcomes, dry_run, rows);
}

}  // namespace tidemark
