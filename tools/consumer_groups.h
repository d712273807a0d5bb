// The actions of tidemark-consumer-groups. Main thread.
#pragma once

#include <string>
#include <vector>

#include "client/group_admin.h"
#include "tools/arguments.h"
#include "tools/session.h"

namespace tidemark {

// Kafka's word for a state: "Stable".
std::string NameOfState(v1::GroupState state);
std::string NameOfCause(v1::RebalanceCause cause);
// "Stable", "Revoking", "Waiting", "Away".
std::string NameOfMemberState(v1::GroupMemberState state);
// "orders(0,1),logs(3)"; without topics that are gone, whose names nobody knows.
std::string AssignmentText(const v1::GroupPartitions& assignment, const char* separator = ",");

// The groups that --group and --all-groups mean, sorted. Of brokers that do not answer they may be missing,
// which is told on stderr, and in the exit status.
struct MeantGroups {
  std::vector<std::string> names;
  bool all = true;
};
Result<MeantGroups> GroupsMeant(ToolSession& session, GroupAdmin& admin, const Arguments& arguments);
// Of several outcomes: kExitPartly where some failed and some did not.
int StatusOf(size_t done, int last_failure, size_t failed);
// `status` of what was done to the groups, when all that are meant are known.
int StatusOf(const MeantGroups& groups, int status);

// By when a call that begins now is to be answered: --timeout from now, or a minute.
MonoTime CallDeadline(ToolSession& session, const Arguments& arguments);

int ListGroupsAction(ToolSession& session, const Arguments& arguments);
int DescribeGroupsAction(ToolSession& session, const Arguments& arguments);
int DeleteGroupsAction(ToolSession& session, const Arguments& arguments);
int DeleteOffsetsAction(ToolSession& session, const Arguments& arguments);
int ResetOffsetsAction(ToolSession& session, const Arguments& arguments);

}  // namespace tidemark
