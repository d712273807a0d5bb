#include "broker/group/group_describe.h"

#include <algorithm>

#include "broker/group/group_offsets.h"

namespace tidemark {
namespace {

void DescribeMember(const std::string& id, GroupMember& member, const GroupScene& scene,
                    v1::DescribeGroupsResponse::Member* out) {
  const GroupTopics& topics = scene.resolver.topics();
  out->set_member_id(id);
  out->set_instance_id(member.info.instance_id());
  out->set_rack_id(member.info.rack_id());
  out->set_client_id(member.info.client_id());
  out->set_client_host(member.info.client_host());
  out->set_member_epoch(member.epoch);
  out->set_state(StateOf(member));
  *out->mutable_subscription() = member.info.subscription();
  for (const TopicId& topic : TopicsOf(member, scene.resolver))
    out->add_subscribed_topics(topics.NameOf(topic));
  std::ranges::sort(*out->mutable_subscribed_topics());
  HeldPartitions holds = member.assigned;
  holds.insert(member.revoking.begin(), member.revoking.end());
  FillPartitions(holds, out->mutable_assignment());
  FillPartitions(member.target, out->mutable_target_assignment());
  FillPartitions(member.revoking, out->mutable_revoking());
  FillTopicNames(topics, out->mutable_assignment());
  FillTopicNames(topics, out->mutable_target_assignment());
  FillTopicNames(topics, out->mutable_revoking());
  out->set_assignor(member.info.assignor());
  out->set_session_timeout_ms(member.info.session_timeout_ms());
  out->set_rebalance_timeout_ms(member.info.rebalance_timeout_ms());
  out->set_last_heartbeat_ms_ago(
      static_cast<uint64_t>(std::max<int64_t>(0, ToMillis(scene.now - member.last_heartbeat))));
}

}  // namespace

void FillTopicNames(const GroupTopics& topics, v1::GroupPartitions* partitions) {
  for (v1::GroupTopicPartitions& topic : *partitions->mutable_topics()) {
    if (const Result<TopicId> id = TopicId::FromBytes(topic.topic_id())) topic.set_topic(topics.NameOf(*id));
  }
}

void DescribeGroup(Group& group, bool include_offsets, const GroupScene& scene,
                   v1::DescribeGroupsResponse::Group* out) {
  out->set_group_id(group.id());
  out->set_state(StateOf(group));
  out->set_group_epoch(group.group_epoch());
  out->set_assignment_epoch(group.assignment_epoch());
  if (group.metadata()) {
    out->set_assignor(group.metadata()->assignor());
    *out->mutable_last_rebalance() = group.metadata()->last_rebalance();
  }
  for (const auto& [id, unused] : group.members())
    DescribeMember(id, *group.Find(id), scene, out->add_members());
  if (include_offsets) FillCommitted(group, scene, out->mutable_offsets());
}

void ListGroup(const Group& group, v1::ListGroupsResponse::Group* out) {
  out->set_group_id(group.id());
  out->set_state(StateOf(group));
  out->set_members(static_cast<uint32_t>(group.members().size()));
  if (group.metadata()) out->set_assignor(group.metadata()->assignor());
}

}  // namespace tidemark
