// What tools are told of a group. Pure.
#pragma once

#include "broker/group/membership.h"

namespace tidemark {

void DescribeGroup(Group& group, bool include_offsets, const GroupScene& scene,
                   v1::DescribeGroupsResponse::Group* out);
void ListGroup(const Group& group, v1::ListGroupsResponse::Group* out);
// Sets the topic names of an assignment.
void FillTopicNames(const GroupTopics& topics, v1::GroupPartitions* partitions);

}  // namespace tidemark
