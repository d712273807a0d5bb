// GroupAdmin: what tools ask of groups and do to them from outside. Loop-affine; each call finds the group's
// coordinator and follows it, and retries passing trouble until its deadline. Objects are cheap; the cluster
// outlives them, and they outlive their calls. COORDINATOR_NOT_AVAILABLE, with the reason and long before the
// deadline, where no coordinator can be: the topic that holds the groups cannot be made.
#pragma once

#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/offset_commits.h"
#include "client/topic_partition.h"
#include "tidemark/v1/group_api.pb.h"

namespace tidemark {

class GroupAdmin {
 public:
  explicit GroupAdmin(Cluster& cluster) : cluster_(cluster) {}

  struct Listing {
    std::vector<v1::ListGroupsResponse::Group> groups;  // of all brokers that answered, by id
    // Whose groups are missing in it, and why, a sentence each: of brokers that did not answer, and of parts
    // of
    // __consumer_offsets that nobody leads.
    std::vector<std::string> missing;
  };
  Task<Result<Listing>> List(std::vector<v1::GroupState> states, MonoTime deadline);

  // GROUP_ID_NOT_FOUND when there is no such group. The answer has one group.
  Task<Result<v1::DescribeGroupsResponse>> Describe(std::string group, bool with_offsets, MonoTime deadline);
  // NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND.
  Task<Result<>> Delete(std::string group, MonoTime deadline);

  // All that the group has committed.
  Task<Result<std::vector<v1::CommittedTopic>>> FetchOffsets(std::string group, MonoTime deadline);
  // Commits without membership: NON_EMPTY_GROUP while the group has members. Per-partition outcomes. What is
  // more than one request may name goes in several, one after the other: when one fails after others were
  // done, its partitions have its error as their outcome and those after it were not tried; when nothing was
  // done, it is the error of the call.
  Task<Result<std::vector<CommitOutcome>>> CommitOffsets(std::string group, OffsetsToCommit offsets,
                                                         MonoTime deadline);
  // GROUP_ID_NOT_FOUND; per-partition outcomes, in several requests as CommitOffsets. Offsets of topics that
  // are gone can be deleted too.
  Task<Result<std::vector<CommitOutcome>>> DeleteOffsets(std::string group,
                                                         std::vector<TopicPartition> partitions,
                                                         MonoTime deadline);

 private:
  Task<Result<v1::ListGroupsResponse>> ListOf(BrokerId broker, std::vector<v1::GroupState> states,
                                              MonoTime deadline);
  Cluster& cluster_;
};

}  // namespace tidemark
