// What the group verbs share, with each other and with tidemark-consumer-groups. Main thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "client/group_admin.h"
#include "client/list_offsets.h"
#include "tools/listing.h"
#include "tools/session.h"

namespace tidemark {

// Lower-case word for a state: "stable".
std::string WordOf(v1::GroupState state);

// The groups that there are, sorted; which brokers' are missing is told on stderr, too.
Result<GroupAdmin::Listing> GroupsThatAre(ToolSession& session, GroupAdmin& admin,
                                          std::vector<v1::GroupState> states);
// GROUP_ID_NOT_FOUND with the nearest name of a group that there is.
Error NoSuchGroup(ToolSession& session, GroupAdmin& admin, const std::string& group);

// On stderr, what of the group found no room in the coordinator's answer, if anything.
void TellLeftOut(const v1::DescribeGroupsResponse::Group& group);
// With those that found none.
size_t MembersOf(const v1::DescribeGroupsResponse::Group& group);

// What the group's coordinator says: NON_EMPTY_GROUP names the members; GROUP_ID_NOT_FOUND.
Result<> CheckIdle(ToolSession& session, GroupAdmin& admin, const std::string& group);

// A row per group.
Listing GroupRows(const std::vector<v1::ListGroupsResponse::Group>& groups);

// What rows are shown of groups; JSON always has all of it.
enum class GroupView { kOffsets, kMembers, kState };
// Describes the groups and prints them; the exit status.
int ShowGroups(ToolSession& session, const std::vector<std::string>& names, OutputFormat format,
               GroupView view);

// Tells on stderr what failed of offsets that were set or deleted: a line for each error, not for each of
// what may be tens of thousands of partitions. The exit status of the whole.
int ReportOutcomes(const std::vector<CommitOutcome>& outcomes);

// What a group has committed, and how far that is behind.
struct PartitionLag {
  std::optional<Offset> committed;
  std::optional<Offset> end;                // empty: not known, or the topic is gone
  std::optional<WallMillis> next_appended;  // when the next record was; empty: none, or not known
  std::optional<Offset> records() const;
  // By the clock of this machine against the brokers'.
  std::optional<double> seconds(WallMillis now) const;
};
// Adds ends and times to what is there, topic by topic; what cannot be found out is told on stderr.
void FindLag(ToolSession& session, std::map<TopicPartition, PartitionLag>* lags);

}  // namespace tidemark
