// tidemark-consumer-groups --describe: offsets and lag, members, state.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "client/list_offsets.h"
#include "tools/commands.h"
#include "tools/consumer_groups.h"
#include "tools/group_verbs.h"
#include "tools/kafka_rows.h"
#include "tools/text_table.h"

namespace tidemark {
namespace {

using DescribedGroup = v1::DescribeGroupsResponse::Group;
using DescribedMember = v1::DescribeGroupsResponse::Member;

// Ends of topics, asked once per topic.
class LogEnds {
 public:
  LogEnds(ToolSession& session, const Arguments& arguments) : session_(session), arguments_(arguments) {}

  // Empty: the topic is gone, or nobody leads the partition (told on stderr).
  std::optional<Offset> Of(const std::string& topic, PartitionIndex partition) {
    if (!known_.contains(topic)) Ask(topic);
    const auto& ends = known_.at(topic);
    const auto found = ends.find(partition);
    return found == ends.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  void Ask(const std::string& topic) {
    auto& ends = known_[topic];
    const auto answers = session_.Run([&]() -> Task<Result<std::vector<OffsetOfPartition>>> {
      const MonoTime deadline = CallDeadline(session_, arguments_);
      TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(session_.cluster(), topic, deadline, {}));
      std::vector<PartitionIndex> partitions(session_.cluster().Find(topic)->partitions.size());
      for (PartitionIndex i = 0; i < partitions.size(); ++i) partitions[i] = i;
      co_return co_await AskOffsets(session_.cluster(), topic, std::move(partitions), kLatestTimestamp,
                                    std::min(session_.After(kPatience), CallDeadline(session_, arguments_)),
                                    {});
    });
    if (!answers) {
      Say("warning: log ends of {}: {}", topic, ToString(answers.error()));
      return;
    }
    for (const OffsetOfPartition& answer : *answers) {
      if (answer.offset && *answer.offset) {
        ends[answer.partition] = **answer.offset;
      } else if (!answer.offset) {
        Say("warning: log end of {}-{}: {}", topic, answer.partition, ToString(answer.offset.error()));
      }
    }
  }

  static constexpr Duration kPatience = 10s;
  ToolSession& session_;
  const Arguments& arguments_;
  std::map<std::string, std::map<PartitionIndex, Offset>> known_;
};

// Milliseconds since 1970 as UTC.
std::string TimeText(WallMillis time) {
  const std::chrono::sys_time<std::chrono::milliseconds> at{std::chrono::milliseconds(time)};
  const auto days = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(at - days));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", int(date.year()), unsigned(date.month()),
                     unsigned(date.day()), clock.hours().count(), clock.minutes().count(),
                     clock.seconds().count());
}

using enum ColumnWidth;

// What is not known is '-', as with Kafka.
std::vector<std::string> WithoutGaps(std::vector<std::string> fields) {
  for (std::string& field : fields) {
    if (field.empty()) field = "-";
  }
  return fields;
}

// "/127.0.0.1", as Kafka shows it: without the port.
std::string HostText(const DescribedMember& member) {
  return "/" + member.client_host().substr(0, member.client_host().rfind(':'));
}

struct PartitionRow {
  const v1::CommittedOffset* committed = nullptr;
  const DescribedMember* owner = nullptr;
};

std::map<std::pair<std::string, PartitionIndex>, PartitionRow> RowsOf(const DescribedGroup& group) {
  std::map<std::pair<std::string, PartitionIndex>, PartitionRow> rows;
  for (const v1::CommittedTopic& topic : group.offsets()) {
    for (const v1::CommittedOffset& offset : topic.partitions())
      rows[{topic.topic(), offset.partition()}].committed = &offset;
  }
  for (const DescribedMember& member : group.members()) {
    for (const v1::GroupTopicPartitions& topic : member.assignment().topics()) {
      if (topic.topic().empty()) continue;  // it has been deleted, which its readers are about to hear
      for (const uint32_t partition : topic.partitions()) rows[{topic.topic(), partition}].owner = &member;
    }
  }
  return rows;
}

void PrintOffsets(const DescribedGroup& group, LogEnds& ends, bool verbose) {
  std::vector<TextColumn> columns = {{"GROUP", 15},
                                     {"TOPIC", 15},
                                     {"PARTITION", 10, kFixed},
                                     {"CURRENT-OFFSET", 15, kFixed},
                                     {"LOG-END-OFFSET", 15, kFixed},
                                     {"LAG", 15, kFixed},
                                     {"CONSUMER-ID", 15},
                                     {"HOST", 15},
                                     {"CLIENT-ID", 0, kUnpadded}};
  // Kafka's come first: scripts count them.
  if (verbose)
    columns.insert(columns.end(),
                   {{"LEADER-EPOCH"}, {"COMMITTED-AT"}, {"EXPIRES-AT"}, {"METADATA", 0, kUnpadded}});
  TextTable table(std::move(columns));
  for (const auto& [at, row] : RowsOf(group)) {
    const std::optional<Offset> end = ends.Of(at.first, at.second);
    const bool has_offset = row.committed != nullptr && row.committed->has_offset();
    std::vector<std::string> fields = {group.group_id(), at.first, std::to_string(at.second)};
    fields.push_back(has_offset ? std::to_string(row.committed->offset()) : "");
    fields.push_back(end ? std::to_string(*end) : "");
    // A log that was cut below what was committed has no lag.
    fields.push_back(
        has_offset && end ? std::to_string(*end - std::min(*end, Offset{row.committed->offset()})) : "");
    fields.push_back(row.owner ? row.owner->member_id() : "");
    fields.push_back(row.owner ? HostText(*row.owner) : "");
    fields.push_back(row.owner ? row.owner->client_id() : "");
    if (verbose) {
      const v1::CommittedOffset none;
      const v1::CommittedOffset& offset = has_offset ? *row.committed : none;
      fields.push_back(offset.has_leader_epoch() ? std::to_string(offset.leader_epoch()) : "");
      fields.push_back(has_offset ? TimeText(offset.commit_time()) : "");
      fields.push_back(offset.has_expire_time() ? TimeText(offset.expire_time()) : "");
      fields.push_back(offset.metadata());
    }
    table.Add(WithoutGaps(std::move(fields)));
  }
  if (table.rows() > 0) fmt::print("\n{}", table.Text());
}

void PrintMembers(const DescribedGroup& group, bool verbose) {
  const bool instances =
      std::ranges::any_of(group.members(), [](const DescribedMember& m) { return !m.instance_id().empty(); });
  std::vector<TextColumn> columns = {{"GROUP", 15}, {"CONSUMER-ID", 15}};
  if (instances) columns.push_back({"GROUP-INSTANCE-ID", 17});
  columns.insert(columns.end(), {{"HOST", 15}, {"CLIENT-ID", 15}, {"#PARTITIONS", 15, kFixed}});
  if (verbose) {
    columns.insert(columns.end(), {{"ASSIGNMENT", 0, kUnpadded}, {"STATE"}, {"EPOCH", 0, kUnpadded}});
  } else {
    columns.push_back({"", 0, kUnpadded});  // Kafka's lines end with a blank
  }
  TextTable table(std::move(columns));
  for (const DescribedMember& member : group.members()) {
    int count = 0;
    for (const auto& topic : member.assignment().topics()) count += topic.partitions_size();
    std::vector<std::string> fields = {group.group_id(), member.member_id()};
    if (instances) fields.push_back(member.instance_id());
    fields.insert(fields.end(), {HostText(member), member.client_id(), std::to_string(count)});
    const std::string assignment = AssignmentText(member.assignment(), ", ");
    if (verbose) {
      fields.insert(fields.end(), {assignment.empty() ? "-" : assignment, NameOfMemberState(member.state()),
                                   std::to_string(member.member_epoch())});
    } else {
      fields.emplace_back();
    }
    table.Add(std::move(fields));
  }
  if (table.rows() > 0) fmt::print("\n{}", table.Text());
}

void PrintState(ToolSession& session, const v1::DescribeGroupsResponse& answer, bool verbose) {
  const DescribedGroup& group = answer.groups(0);
  const RpcChannel* channel = session.cluster().Channel(answer.coordinator());
  const std::string coordinator =
      fmt::format("{} ({})", channel == nullptr ? "?" : ToString(channel->endpoint()), answer.coordinator());
  // With Kafka it is the group's column that is as wide as the coordinator.
  std::vector<TextColumn> columns = {{"GROUP", std::max<size_t>(25, coordinator.size()), kFixed},
                                     {"COORDINATOR (ID)", 25, kFixed},
                                     {"ASSIGNMENT-STRATEGY", 20, kFixed},
                                     {"STATE", 15, kFixed},
                                     {"#MEMBERS", 0, kUnpadded}};
  if (verbose) {
    columns.insert(columns.end(),
                   {{"GROUP-EPOCH"}, {"ASSIGNMENT-EPOCH"}, {"LAST-REBALANCE"}, {"BECAUSE", 0, kUnpadded}});
  }
  TextTable table(std::move(columns));
  std::vector<std::string> fields = {group.group_id(), coordinator, group.assignor(),
                                     NameOfState(group.state()), std::to_string(MembersOf(group))};
  if (verbose) {
    const v1::GroupRebalance& last = group.last_rebalance();
    fields.insert(fields.end(),
                  {std::to_string(group.group_epoch()), std::to_string(group.assignment_epoch()),
                   last.time() == 0 ? "" : TimeText(last.time()),
                   last.time() == 0 ? "" : fmt::format("{}: {}", NameOfCause(last.cause()), last.detail())});
  }
  table.Add(WithoutGaps(std::move(fields)));
  fmt::print("\n{}", table.Text());
}

}  // namespace

int DescribeGroupsAction(ToolSession& session, const Arguments& arguments) {
  GroupAdmin admin(session.cluster());
  const int views = arguments.Has("members") + arguments.Has("state") + arguments.Has("offsets");
  if (views > 1)
    return ReportUsage({v1::INVALID_REQUEST, "--describe takes one of --offsets, --members and --state"});
  const auto groups = GroupsMeant(session, admin, arguments);
  if (!groups)
    return groups.error().code == v1::INVALID_REQUEST ? ReportUsage(groups.error())
                                                      : ReportError(groups.error());
  if (const auto format = *RowFormatOf(arguments)) {
    const GroupView view = arguments.Has("members") ? GroupView::kMembers
                           : arguments.Has("state") ? GroupView::kState
                                                    : GroupView::kOffsets;
    return StatusOf(*groups, ShowGroups(session, groups->names, *format, view));
  }
  const bool offsets = !arguments.Has("members") && !arguments.Has("state");
  const bool verbose = arguments.Has("verbose");
  LogEnds ends(session, arguments);
  int status = kExitDone;
  size_t done = 0;
  for (const std::string& group : groups->names) {
    const auto answer =
        session.Run([&] { return admin.Describe(group, offsets, CallDeadline(session, arguments)); });
    if (!answer) {
      status = ReportError(answer.error().code == v1::GROUP_ID_NOT_FOUND ? NoSuchGroup(session, admin, group)
                                                                         : answer.error());
      continue;
    }
    ++done;
    const DescribedGroup& described = answer->groups(0);
    TellLeftOut(described);
    if (described.members().empty())
      fmt::print(stderr, "\nConsumer group '{}' has no active members.\n", Printable(group));
    else if (described.state() != v1::GROUP_STATE_STABLE)
      fmt::print(stderr, "\nWarning: Consumer group '{}' is rebalancing.\n", Printable(group));
    if (offsets) PrintOffsets(described, ends, verbose);
    if (arguments.Has("members")) PrintMembers(described, verbose);
    if (arguments.Has("state")) PrintState(session, *answer, verbose);
  }
  return StatusOf(*groups, StatusOf(done, status, groups->names.size() - done));
}

}  // namespace tidemark
