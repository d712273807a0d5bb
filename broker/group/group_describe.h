// What tools are told of a group. Pure.
#pragma once

#include "broker/group/membership.h"

namespace tidemark {

// Members, and then offsets, that would make it longer than kGroupAnswerBytes are left out and counted.
void DescribeGroup(Group& group, bool include_offsets, const GroupScene& scene,
                   v1::DescribeGroupsResponse::Group* out);
// Whether the request asks for it.
bool IsListed(const Group& group, const v1::ListGroupsRequest& request);
void ListGroup(const Group& group, v1::ListGroupsResponse::Group* out);
// Sets the topic names of an assignment.
void FillTopicNames(const GroupTopics& topics, v1::GroupPartitions* partitions);

}  // namespace tidemark
