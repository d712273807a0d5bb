// tidemark group list, describe.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "common/config/properties.h"
#include "common/nearest_name.h"
#include "tools/consumer_groups.h"
#include "tools/group_verbs.h"
#include "tools/topic_match.h"
#include "tools/verbs.h"

namespace tidemark {
namespace {

using Json = Listing::Cell;
using DescribedGroup = v1::DescribeGroupsResponse::Group;
using DescribedMember = v1::DescribeGroupsResponse::Member;

constexpr Duration kLagPatience = 10s;
constexpr v1::GroupState kStates[] = {v1::GROUP_STATE_EMPTY, v1::GROUP_STATE_ASSIGNING,
                                      v1::GROUP_STATE_RECONCILING, v1::GROUP_STATE_STABLE};

std::string LowerFirst(std::string word) {
  word[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(word[0])));
  return word;
}

Result<std::vector<v1::GroupState>> StatesAsked(const Arguments& arguments) {
  std::vector<v1::GroupState> states;
  for (const std::string& word : CommaList(arguments.GetOr("state", ""))) {
    const auto* found = std::ranges::find(kStates, word, WordOf);
    if (found == std::end(kStates))
      return Fail(v1::INVALID_REQUEST, "--state '{}' is none of empty, assigning, reconciling, stable", word);
    states.push_back(*found);
  }
  return states;
}

int RunList(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  const auto states = StatesAsked(arguments);
  if (!states) return ReportUsage(states.error());
  const std::vector<std::string>& patterns = arguments.positionals();
  auto match = TopicMatch::Of(patterns.empty() ? "" : patterns[0]);
  if (!match) return ReportUsage(match.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  GroupAdmin admin((*session)->cluster());
  auto listing = GroupsThatAre(**session, admin, *states);
  if (!listing) return ReportError(listing.error());
  std::vector<std::string> known;
  for (const auto& group : listing->groups) known.push_back(group.group_id());
  match->TakeMissingAsExpressions(known);
  std::erase_if(listing->groups, [&](const auto& group) { return !match->Matches(group.group_id()); });
  if (listing->groups.empty() && !match->everything())
    Say("warning: {}", NoneMatches("group", patterns[0], known));
  const int status = Finish(GroupRows(listing->groups), *format);
  return listing->missing.empty() ? status : static_cast<int>(kExitPartly);
}

template <typename T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// One group as it is shown.
struct Shown {
  DescribedGroup group;
  std::string coordinator;
  std::map<TopicPartition, PartitionLag> lags;
  std::map<TopicPartition, const DescribedMember*> owners;
  std::map<TopicPartition, const v1::CommittedOffset*> commits;
};

Result<Shown> Look(ToolSession& session, GroupAdmin& admin, const std::string& name) {
  auto answer = session.Run([&] { return admin.Describe(name, true, session.After(kAdminTimeout)); });
  if (!answer && answer.error().code == v1::GROUP_ID_NOT_FOUND)
    return std::unexpected(NoSuchGroup(session, admin, name));
  if (!answer) return std::unexpected(answer.error());
  TellLeftOut(answer->groups(0));
  Shown shown{.group = std::move(*answer->mutable_groups(0)),
              .coordinator = {},
              .lags = {},
              .owners = {},
              .commits = {}};
  const RpcChannel* channel = session.cluster().Channel(answer->coordinator());
  shown.coordinator = fmt::format("broker {}{}", answer->coordinator(),
                                  channel == nullptr ? "" : " at " + ToString(channel->endpoint()));
  return shown;
}

// Pointers into `shown.group`, which stays where it is.
void Arrange(ToolSession& session, Shown& shown) {
  for (const v1::CommittedTopic& topic : shown.group.offsets()) {
    for (const v1::CommittedOffset& offset : topic.partitions()) {
      const TopicPartition at{topic.topic(), offset.partition()};
      shown.commits[at] = &offset;
      shown.lags[at];
      if (offset.has_offset()) shown.lags[at].committed = offset.offset();
    }
  }
  for (const DescribedMember& member : shown.group.members()) {
    for (const v1::GroupTopicPartitions& topic : member.assignment().topics()) {
      if (topic.topic().empty()) continue;  // it has been deleted, which its readers are about to hear
      for (const uint32_t partition : topic.partitions()) {
        shown.owners[{topic.topic(), partition}] = &member;
        shown.lags[{topic.topic(), partition}];
      }
    }
  }
  FindLag(session, &shown.lags);
}

Json AssignmentJson(const v1::GroupPartitions& assignment) {
  Json out = Json::array();
  for (const v1::GroupTopicPartitions& topic : assignment.topics()) {
    if (topic.topic().empty()) continue;  // it has been deleted, which its readers are about to hear
    std::vector<uint32_t> partitions(topic.partitions().begin(), topic.partitions().end());
    std::ranges::sort(partitions);
    out.push_back({{"topic", topic.topic()}, {"partitions", partitions}});
  }
  return out;
}

// The same for a cell of a table: "orders(0,1)" for each topic.
Json AssignmentWords(const Json& assignment) {
  Json out = Json::array();
  for (const Json& topic : assignment) {
    out.push_back(fmt::format("{}({})", topic.at("topic").get<std::string>(),
                              fmt::join(topic.at("partitions").get<std::vector<uint32_t>>(), ",")));
  }
  return out;
}

std::string WordOfMember(v1::GroupMemberState state) { return LowerFirst(NameOfMemberState(state)); }

// What is not as it is in the long run: ", away (its session ends in 31 s)".
std::string StateText(const DescribedMember& member) {
  if (member.state() == v1::GROUP_MEMBER_STATE_STABLE) return "";
  if (member.state() != v1::GROUP_MEMBER_STATE_AWAY) return ", " + WordOfMember(member.state());
  const uint64_t session = member.session_timeout_ms();
  return fmt::format(", away (its session ends in {} s)",
                     (session - std::min(session, member.last_heartbeat_ms_ago()) + 999) / 1000);
}

Json MembersJson(const DescribedGroup& group) {
  Json out = Json::array();
  for (const DescribedMember& member : group.members()) {
    Json topics = Json::array();
    for (const auto& topic : member.subscribed_topics()) topics.push_back(topic);
    out.push_back({{"member", member.member_id()},
                   {"instance", member.instance_id()},
                   {"client", member.client_id()},
                   {"host", member.client_host()},
                   {"state", WordOfMember(member.state())},
                   {"epoch", member.member_epoch()},
                   {"topics", topics},
                   {"assignment", AssignmentJson(member.assignment())},
                   {"revoking", AssignmentJson(member.revoking())},
                   {"last_heartbeat_ms_ago", member.last_heartbeat_ms_ago()}});
  }
  return out;
}

struct Row {
  Json committed, end, lag, seconds, member, client;
};
Row RowOf(const Shown& shown, const TopicPartition& at, WallMillis now) {
  const PartitionLag& lag = shown.lags.at(at);
  Row row{.committed = OrNull(lag.committed),
          .end = OrNull(lag.end),
          .lag = OrNull(lag.records()),
          .seconds = OrNull(lag.seconds(now)),
          .member = {},
          .client = {}};
  if (const auto owner = shown.owners.find(at); owner != shown.owners.end()) {
    row.member = owner->second->member_id();
    row.client = owner->second->client_id();
  }
  return row;
}

Json GroupJson(const Shown& shown, WallMillis now) {
  const DescribedGroup& group = shown.group;
  Json partitions = Json::array();
  for (const auto& [at, lag] : shown.lags) {
    Row row = RowOf(shown, at, now);
    const auto commit = shown.commits.find(at);
    const bool has = commit != shown.commits.end() && commit->second->has_offset();
    partitions.push_back(
        {{"topic", at.topic},
         {"partition", at.partition},
         {"committed", row.committed},
         {"end", row.end},
         {"lag", row.lag},
         {"lag_seconds", row.seconds},
         {"member", row.member},
         {"client", row.client},
         {"metadata", has ? Json(commit->second->metadata()) : Json()},
         {"committed_at", has ? Json(commit->second->commit_time()) : Json()},
         {"expires_at",
          has && commit->second->has_expire_time() ? Json(commit->second->expire_time()) : Json()}});
  }
  const v1::GroupRebalance& last = group.last_rebalance();
  Json rebalance;
  if (last.time() != 0)
    rebalance = {{"cause", NameOfCause(last.cause())}, {"detail", last.detail()}, {"time", last.time()}};
  return {{"group", group.group_id()},
          {"state", WordOf(group.state())},
          {"coordinator", shown.coordinator},
          {"assignor", group.assignor()},
          {"group_epoch", group.group_epoch()},
          {"assignment_epoch", group.assignment_epoch()},
          {"last_rebalance", rebalance},
          {"members", MembersJson(group)},
          {"partitions", partitions}};
}

std::string HeadOf(const Shown& shown) {
  const DescribedGroup& group = shown.group;
  std::string out =
      fmt::format("{}: {}, {}, coordinated by {}\n", Printable(group.group_id()), WordOf(group.state()),
                  Counted(MembersOf(group), "member"), shown.coordinator);
  if (group.last_rebalance().time() != 0)
    out += fmt::format("  last rebalance: {}\n", Printable(group.last_rebalance().detail()));
  for (const DescribedMember& member : group.members()) {
    const std::string held = AssignmentText(member.assignment());
    out += Printable(fmt::format("  {} ({} at {}{}): {}", member.member_id(), member.client_id(),
                                 member.client_host(), StateText(member),
                                 held.empty() ? "holds nothing" : held)) +
           "\n";
  }
  return out;
}

std::vector<std::string> ColumnsOf(GroupView view) {
  switch (view) {
    case GroupView::kMembers:
      return {"group", "member", "instance",   "client",   "host",
              "epoch", "topics", "assignment", "revoking", "last_heartbeat_ms_ago",
              "state"};
    case GroupView::kState:
      return {"group", "state", "coordinator", "assignor", "group_epoch", "assignment_epoch", "members"};
    case GroupView::kOffsets:
      break;
  }
  return {"group", "topic", "partition", "committed", "end", "lag", "lag_seconds", "member", "client"};
}

// Takes the cells of the columns after the first from an object.
void AddRow(Listing& listing, const std::string& group, const std::vector<std::string>& columns,
            const Json& object) {
  std::vector<Json> cells = {group};
  for (size_t i = 1; i < columns.size(); ++i) cells.push_back(object.at(columns[i]));
  listing.Add(std::move(cells));
}

void AddRows(Listing& listing, GroupView view, const Json& group) {
  const std::vector<std::string> columns = ColumnsOf(view);
  const std::string name = group.at("group").get<std::string>();
  if (view == GroupView::kState) {
    Json object = group;
    object["members"] = group.at("members").size();
    AddRow(listing, name, columns, object);
    return;
  }
  for (Json object : group.at(view == GroupView::kMembers ? "members" : "partitions")) {
    for (const char* list : {"assignment", "revoking"}) {
      if (object.contains(list)) object[list] = AssignmentWords(object[list]);
    }
    AddRow(listing, name, columns, object);
  }
}

int RunDescribe(const Arguments& arguments) {
  const auto format = FormatOf(arguments);
  if (!format) return ReportUsage(format.error());
  auto session = OpenSession(arguments);
  if (!session) return ReportOpening(session.error());
  return ShowGroups(**session, arguments.positionals(), *format, GroupView::kOffsets);
}

}  // namespace

Listing GroupRows(const std::vector<v1::ListGroupsResponse::Group>& groups) {
  Listing listing({"group", "state", "members", "assignor"});
  for (const auto& group : groups)
    listing.Add({group.group_id(), WordOf(group.state()), group.members(), group.assignor()});
  return listing;
}

int ShowGroups(ToolSession& session, const std::vector<std::string>& names, OutputFormat format,
               GroupView view) {
  GroupAdmin admin(session.cluster());
  Listing listing(ColumnsOf(view));
  Json json = Json::array();
  std::string heads;
  size_t failed = 0;
  int status = kExitDone;
  for (const std::string& name : names) {
    auto shown = Look(session, admin, name);
    if (!shown) {
      ++failed;
      status = ReportError(shown.error());
      continue;
    }
    Arrange(session, *shown);
    heads += HeadOf(*shown);
    json.push_back(GroupJson(*shown, session.env().clock().WallNow()));
    AddRows(listing, view, json.back());
  }
  if (failed < names.size() || names.empty()) {
    const bool with_heads = format == OutputFormat::kTable && view == GroupView::kOffsets && !names.empty();
    if (format == OutputFormat::kJson) {
      (void)Print(JsonText(json));
    } else if (!with_heads || Print(heads + "\n")) {
      (void)Print(listing.Text(format));
    }
  }
  return OverallStatus(failed, names.size(), status);
}

std::string WordOf(v1::GroupState state) { return LowerFirst(NameOfState(state)); }

Result<GroupAdmin::Listing> GroupsThatAre(ToolSession& session, GroupAdmin& admin,
                                          std::vector<v1::GroupState> states) {
  auto listing = session.Run([&] { return admin.List(states, session.After(kAdminTimeout)); });
  if (!listing) return std::unexpected(listing.error());
  for (const std::string& what : listing->missing) Say("warning: {}", what);
  return listing;
}

Error NoSuchGroup(ToolSession& session, GroupAdmin& admin, const std::string& group) {
  Error error{v1::GROUP_ID_NOT_FOUND, fmt::format("there is no group '{}'", group)};
  const auto listing = session.Run([&] { return admin.List({}, session.After(kLagPatience)); });
  if (!listing) return error;
  std::vector<std::string> names;
  for (const auto& known : listing->groups) names.push_back(known.group_id());
  const std::string nearest = NearestName(group, names);
  error.message += nearest.empty() ? "; tidemark group list shows what there is"
                                   : fmt::format("; did you mean '{}'?", nearest);
  return error;
}

size_t MembersOf(const DescribedGroup& group) {
  return static_cast<size_t>(group.members_size()) + group.members_left_out();
}

void TellLeftOut(const DescribedGroup& group) {
  if (group.members_left_out() == 0 && group.offsets_left_out() == 0) return;
  Say("warning: {} members and {} committed offsets of group '{}' are not shown: the coordinator's "
      "answer had "
      "no room for them",
      group.members_left_out(), group.offsets_left_out(), group.group_id());
}

Result<> CheckIdle(ToolSession& session, GroupAdmin& admin, const std::string& group) {
  const auto described =
      session.Run([&] { return admin.Describe(group, false, session.After(kAdminTimeout)); });
  if (!described) return std::unexpected(described.error());
  std::vector<std::string> members;
  for (const auto& member : described->groups(0).members())
    members.push_back(fmt::format("{} at {}{}", member.client_id(), member.client_host(), StateText(member)));
  if (members.empty()) return {};
  const bool away = std::ranges::all_of(described->groups(0).members(), [](const DescribedMember& member) {
    return member.state() == v1::GROUP_MEMBER_STATE_AWAY;
  });
  if (away) {
    return Fail(v1::NON_EMPTY_GROUP,
                "group '{}' keeps the shares of {} that may come back; wait for the end of the "
                "session ({})",
                group, Counted(members.size(), "static member"), fmt::join(members, ", "));
  }
  return Fail(v1::NON_EMPTY_GROUP, "group '{}' has {}, which would not notice; stop {} first ({})", group,
              Counted(members.size(), "member"), members.size() == 1 ? "it" : "them",
              fmt::join(members, ", "));
}

std::optional<Offset> PartitionLag::records() const {
  // A commit above the end is of records that are gone with their topic.
  if (!committed || !end || *end < *committed) return std::nullopt;
  return *end - *committed;
}

std::optional<double> PartitionLag::seconds(WallMillis now) const {
  const std::optional<Offset> behind = records();
  if (behind == Offset{0}) return 0;
  if (!behind || !next_appended) return std::nullopt;
  return static_cast<double>(std::max<WallMillis>(0, now - *next_appended)) / 1000;
}

void FindLag(ToolSession& session, std::map<TopicPartition, PartitionLag>* lags) {
  std::map<std::string, std::map<PartitionIndex, std::optional<Offset>>> by_topic;
  for (const auto& [at, lag] : *lags) by_topic[at.topic][at.partition] = lag.committed;
  for (const auto& [topic, offsets] : by_topic) {
    const auto answers = session.Run(
        [&] { return AskEnds(session.cluster(), topic, offsets, session.After(kLagPatience), {}); });
    if (!answers) {
      Say("warning: log ends of {}: {}", topic, ToString(answers.error()));
      continue;
    }
    for (const OffsetOfPartition& answer : *answers) {
      PartitionLag& lag = lags->at({topic, answer.partition});
      if (!answer.offset) {
        Say("warning: log end of {}-{}: {}", topic, answer.partition, ToString(answer.offset.error()));
        continue;
      }
      lag.end = *answer.offset;
      lag.next_appended = answer.append_time;
    }
  }
}

std::vector<Command> GroupVerbs() {
  return {
      {.name = "group list",
       .summary = "lists consumer groups and their states",
       .examples = {"tidemark group list", "tidemark group list 'orders-.*' --state stable -o json"},
       .flags = ReadingFlags(
           {{"state", "STATE,...", "Only groups that are empty, assigning, reconciling or stable."}}),
       .positionals = {{.name = "PATTERN"}},
       .run = RunList},
      {.name = "group describe",
       .summary = "shows members, offsets and lag (in records and seconds) of groups",
       .examples = {"tidemark group describe readers", "tidemark group describe readers -o json"},
       .flags = ReadingFlags({}),
       .positionals = {{.name = "GROUP", .required = true, .several = true, .group_id = true}},
       .run = RunDescribe},
  };
}

}  // namespace tidemark
