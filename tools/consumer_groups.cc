// tidemark-consumer-groups: Kafka's flags and output. This file has the command and the short actions.
#include "tools/consumer_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "common/config/properties.h"
#include "common/nearest_name.h"
#include "tools/action_flags.h"
#include "tools/commands.h"
#include "tools/group_verbs.h"
#include "tools/kafka_rows.h"
#include "tools/text_table.h"

namespace tidemark {
namespace {

constexpr v1::GroupState kStates[] = {v1::GROUP_STATE_EMPTY, v1::GROUP_STATE_ASSIGNING,
                                      v1::GROUP_STATE_RECONCILING, v1::GROUP_STATE_STABLE,
                                      v1::GROUP_STATE_DEAD};

std::string Lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Result<std::vector<v1::GroupState>> StatesIn(const std::string& text) {
  std::vector<v1::GroupState> states;
  for (const std::string& word : CommaList(text)) {
    const auto* found =
        std::ranges::find_if(kStates, [&](v1::GroupState s) { return Lower(NameOfState(s)) == Lower(word); });
    if (found == std::end(kStates))
      return Fail(v1::INVALID_REQUEST, "--state '{}' is none of Empty, Assigning, Reconciling, Stable, Dead",
                  word);
    states.push_back(*found);
  }
  return states;
}

// All groups here are of Kafka's newer type, whose members the coordinator assigns: "consumer". False: none
// of the types is theirs.
Result<bool> HasTypeIn(const std::string& text) {
  const std::vector<std::string> words = CommaList(text);
  for (const std::string& word : words) {
    if (Lower(word) != "consumer" && Lower(word) != "classic")
      return Fail(v1::INVALID_REQUEST, "--type '{}' is neither Consumer nor Classic", word);
  }
  return words.empty() ||
         std::ranges::any_of(words, [](const std::string& word) { return Lower(word) == "consumer"; });
}

Result<GroupAdmin::Listing> Listed(ToolSession& session, GroupAdmin& admin, const Arguments& arguments,
                                   std::vector<v1::GroupState> states) {
  auto listing = session.Run([&] { return admin.List(states, CallDeadline(session, arguments)); });
  if (listing) {
    for (const std::string& what : listing->missing) Say("warning: {}", what);
  }
  return listing;
}

std::vector<ActionFlags> Actions() {
  return {
      {"list", {"state", "type"}},
      {"describe", {"group", "all-groups", "offsets", "members", "state", "verbose"}},
      {"delete", {"group", "all-groups", "dry-run"}},
      {"delete-offsets", {"group", "topic", "dry-run"}},
      {"reset-offsets",
       {"group", "all-groups", "topic", "all-topics", "to-earliest", "to-latest", "to-current", "to-offset",
        "to-datetime", "by-duration", "shift-by", "from-file", "dry-run", "execute", "export"}}};
}

int RunConsumerGroups(const Arguments& arguments) {
  const auto action = ActionOf(arguments, Actions());
  if (!action) return ReportUsage(action.error());
  if (*action != "list" && *action != "describe") {
    if (const auto exact = arguments.GroupIdsAreAsGiven(); !exact) return ReportUsage(exact.error());
  }
  if (const auto rows = RowFormatOf(arguments); !rows) return ReportUsage(rows.error());
  const auto timeout = arguments.GetInteger("timeout", 1, INT32_MAX);
  if (!timeout) return ReportUsage(timeout.error());
  auto session = ToolSession::Open(arguments);
  if (!session) return ReportOpening(session.error());
  if (*action == "list") return ListGroupsAction(**session, arguments);
  if (*action == "describe") return DescribeGroupsAction(**session, arguments);
  if (*action == "delete") return DeleteGroupsAction(**session, arguments);
  if (*action == "delete-offsets") return DeleteOffsetsAction(**session, arguments);
  return ResetOffsetsAction(**session, arguments);
}

}  // namespace

MonoTime CallDeadline(ToolSession& session, const Arguments& arguments) {
  const auto timeout = arguments.GetInteger("timeout", 1, INT32_MAX);
  const bool given = timeout && timeout->has_value();
  return session.After(given ? Duration(std::chrono::milliseconds(**timeout)) : kAdminTimeout);
}

std::string NameOfState(v1::GroupState state) {
  switch (state) {
    case v1::GROUP_STATE_EMPTY:
      return "Empty";
    case v1::GROUP_STATE_ASSIGNING:
      return "Assigning";
    case v1::GROUP_STATE_RECONCILING:
      return "Reconciling";
    case v1::GROUP_STATE_STABLE:
      return "Stable";
    case v1::GROUP_STATE_DEAD:
      return "Dead";
    default:
      return "Unknown";
  }
}

std::string NameOfCause(v1::RebalanceCause cause) {
  // REBALANCE_CAUSE_MEMBER_JOINED -> "member joined"
  std::string name = v1::RebalanceCause_Name(cause);
  const std::string_view prefix = "REBALANCE_CAUSE_";
  if (name.starts_with(prefix)) name = name.substr(prefix.size());
  std::ranges::replace(name, '_', ' ');
  return Lower(name);
}

std::string NameOfMemberState(v1::GroupMemberState state) {
  switch (state) {
    case v1::GROUP_MEMBER_STATE_STABLE:
      return "Stable";
    case v1::GROUP_MEMBER_STATE_UNREVOKED:
      return "Revoking";
    case v1::GROUP_MEMBER_STATE_UNRELEASED:
      return "Waiting";
    case v1::GROUP_MEMBER_STATE_AWAY:
      return "Away";
    default:
      return "Unknown";
  }
}

std::string AssignmentText(const v1::GroupPartitions& assignment, const char* separator) {
  std::string text;
  for (const v1::GroupTopicPartitions& topic : assignment.topics()) {
    if (topic.topic().empty()) continue;
    std::vector<uint32_t> partitions(topic.partitions().begin(), topic.partitions().end());
    std::ranges::sort(partitions);
    text += fmt::format("{}{}({})", text.empty() ? "" : separator, topic.topic(), fmt::join(partitions, ","));
  }
  return text;
}

Result<MeantGroups> GroupsMeant(ToolSession& session, GroupAdmin& admin, const Arguments& arguments) {
  MeantGroups groups{.names = arguments.All("group")};
  if (arguments.Has("all-groups") != groups.names.empty())
    return Fail(v1::INVALID_REQUEST, "one of --group NAME and --all-groups is required");
  if (groups.names.empty()) {
    TM_ASSIGN_OR_RETURN(const auto listing, Listed(session, admin, arguments, {}));
    for (const auto& group : listing.groups) groups.names.push_back(group.group_id());
    groups.all = listing.missing.empty();
  }
  std::ranges::sort(groups.names);
  groups.names.erase(std::unique(groups.names.begin(), groups.names.end()), groups.names.end());
  return groups;
}

int StatusOf(size_t done, int last_failure, size_t failed) {
  if (failed == 0) return kExitDone;
  return done == 0 ? last_failure : kExitPartly;
}

int StatusOf(const MeantGroups& groups, int status) {
  return status == kExitDone && !groups.all ? static_cast<int>(kExitPartly) : status;
}

int ListGroupsAction(ToolSession& session, const Arguments& arguments) {
  const auto states = StatesIn(arguments.GetOr("state", ""));
  if (!states) return ReportUsage(states.error());
  const auto typed = HasTypeIn(arguments.GetOr("type", ""));
  if (!typed) return ReportUsage(typed.error());
  GroupAdmin admin(session.cluster());
  auto listing = Listed(session, admin, arguments, *states);
  if (!listing) return ReportError(listing.error());
  if (!*typed) listing->groups.clear();
  if (const auto format = *RowFormatOf(arguments)) {
    (void)Print(GroupRows(listing->groups).Text(*format));
    return listing->missing.empty() ? kExitDone : kExitPartly;
  }
  const bool states_too = arguments.Has("state");
  const bool types_too = arguments.Has("type");
  size_t longest = 15;
  for (const auto& group : listing->groups) longest = std::max(longest, Printable(group.group_id()).size());
  std::vector<TextColumn> columns = {{"GROUP", longest + 10, ColumnWidth::kFixed}};
  if (types_too) columns.push_back({"TYPE", 20, ColumnWidth::kFixed});
  if (states_too) columns.push_back({"STATE", 20, ColumnWidth::kFixed});
  TextTable table(std::move(columns));
  for (const auto& group : listing->groups) {
    std::vector<std::string> row = {group.group_id()};
    if (types_too) row.emplace_back("Consumer");
    if (states_too) row.push_back(NameOfState(group.state()));
    table.Add(std::move(row));
  }
  if (states_too || types_too) {
    (void)Print(table.Text());
  } else {
    std::string text;
    for (const auto& group : listing->groups) text += Printable(group.group_id()) + "\n";
    (void)Print(text);
  }
  return listing->missing.empty() ? kExitDone : kExitPartly;
}

Command ConsumerGroupsCommand() {
  std::vector<FlagSpec> flags = ConnectionFlags();
  const std::vector<FlagSpec> own = {
      {"list", "", "Lists the groups; with --state also their states."},
      {"describe", "", "Shows offsets and lag of groups; with --members or --state those instead."},
      {"delete", "", "Deletes groups that have no members, with their offsets."},
      {"delete-offsets", "", "Deletes offsets of --topic."},
      {"reset-offsets", "", "Sets the offsets of groups that have no members; only shown without --execute."},
      {.name = "group",
       .value = "NAME",
       .help = "Which group; with all actions but --list.",
       .repeated = true,
       .group_id = true},
      {"all-groups", "", "All groups; with --describe, --delete and --reset-offsets."},
      {"offsets", "", "With --describe: offsets and lag (what is shown anyway)."},
      {"members", "", "With --describe: the members."},
      {.name = "state",
       .value = "STATE,...",
       .help = "With --describe: the state. With --list: shows states, only of groups in these.",
       .value_optional = true},
      {.name = "type",
       .value = "TYPE,...",
       .help = "With --list: shows types, only groups of these; all here are of the type Consumer.",
       .value_optional = true},
      {"verbose", "", "With --describe: more columns."},
      {"topic", "NAME[:0,1]", "With --delete-offsets and --reset-offsets: which topic, or which partitions.",
       true},
      {"all-topics", "", "With --reset-offsets: all of which the group has offsets."},
      {"to-earliest", "", "With --reset-offsets: to the log start."},
      {"to-latest", "", "... to the log end."},
      {"to-current", "", "... to the offsets that there are (to export them)."},
      {"to-offset", "N", "... to an offset."},
      {"to-datetime", "TIME", "... to the first record at or after a time: 2026-01-02T03:04:05.678[+02:00]."},
      {"by-duration", "P7DT1H", "... to the first record of the time that long ago."},
      {"shift-by", "N", "... forward, or back where N is negative."},
      {"from-file", "FILE", "... to the offsets of a CSV file, as --export writes it."},
      {"dry-run", "",
       "With --delete and --delete-offsets: only checks and shows what would go. With --reset-offsets: only "
       "shows the new offsets (what is done anyway without --execute)."},
      {"execute", "", "With --reset-offsets: does it."},
      {"export", "", "With --reset-offsets: writes the new offsets as CSV."},
      RowsFlag(),
      {"timeout", "MS", "How long a call may take. Default: a minute."},
  };
  flags.insert(flags.end(), own.begin(), own.end());
  return {"consumer-groups",
          "lists, describes, resets and deletes consumer groups",
          {"tidemark-consumer-groups --bootstrap-server localhost:9092 --list",
           "tidemark-consumer-groups --bootstrap-server localhost:9092 --describe --group readers",
           "tidemark-consumer-groups --bootstrap-server localhost:9092 --group readers --reset-offsets "
           "--to-earliest "
           "--topic orders --execute"},
          flags,
          {},
          RunConsumerGroups};
}

}  // namespace tidemark
