// What tools are told of a group. Pure.
#pragma once

#include <bitset>
#include <optional>
#include <string>

#include "broker/group/membership.h"

namespace tidemark {

// Members, and then offsets, that would make it longer than kGroupAnswerBytes are left out and counted.
void DescribeGroup(Group& group, bool include_offsets, const GroupScene& scene,
                   v1::DescribeGroupsResponse::Group* out);
// Which groups a ListGroups asks for: read from its request once, asked of every group there is.
class ListedGroups {
 public:
  explicit ListedGroups(const v1::ListGroupsRequest& request);
  bool Has(const Group& group) const;
  // Pages are asked for.
  bool paged() const { return start_after_.has_value(); }

 private:
  std::optional<std::string> start_after_;
  bool every_state_;
  std::bitset<v1::GroupState_ARRAYSIZE> states_;
};
void ListGroup(const Group& group, v1::ListGroupsResponse::Group* out);
// Sets the topic names of an assignment.
void FillTopicNames(const GroupTopics& topics, v1::GroupPartitions* partitions);

}  // namespace tidemark
