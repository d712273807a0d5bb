#include "broker/group/group_describe.h"

#include <algorithm>

#include "broker/group/group_limits.h"
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

// Nothing is left of it where something does not fit.
void TakeRoom(size_t bytes, size_t* room) { *room = bytes < *room ? *room - bytes : 0; }

// The offsets of the first topics that fit.
void KeepWhatFits(size_t room, v1::DescribeGroupsResponse::Group* out) {
  int fit = 0;
  for (; fit < out->offsets_size(); ++fit) {
    TakeRoom(out->offsets(fit).ByteSizeLong(), &room);
    if (room == 0) break;
  }
  while (out->offsets_size() > fit) {
    out->set_offsets_left_out(out->offsets_left_out() +
                              static_cast<uint32_t>(out->offsets().rbegin()->partitions_size()));
    out->mutable_offsets()->RemoveLast();
  }
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
  size_t room = kGroupAnswerBytes;
  for (const auto& [id, unused] : group.members()) {
    if (room > 0) {
      DescribeMember(id, *group.Find(id), scene, out->add_members());
      TakeRoom(out->members().rbegin()->ByteSizeLong(), &room);
      if (room > 0 || out->members_size() == 1) continue;
      out->mutable_members()->RemoveLast();
    }
    out->set_members_left_out(out->members_left_out() + 1);
  }
  if (!include_offsets) return;
  FillCommitted(group, scene, out->mutable_offsets());
  KeepWhatFits(room, out);
}

ListedGroups::ListedGroups(const v1::ListGroupsRequest& request) : every_state_(request.states().empty()) {
  if (request.has_start_after()) start_after_ = request.start_after();
  for (const int state : request.states()) {
    // No group is in a state that is not known here.
    if (v1::GroupState_IsValid(state)) states_.set(static_cast<size_t>(state));
  }
}

bool ListedGroups::Has(const Group& group) const {
  if (start_after_ && group.id() <= *start_after_) return false;
  return every_state_ || states_.test(static_cast<size_t>(StateOf(group)));
}

void ListGroup(const Group& group, v1::ListGroupsResponse::Group* out) {
  out->set_group_id(group.id());
  out->set_state(StateOf(group));
  out->set_members(static_cast<uint32_t>(group.members().size()));
  if (group.metadata()) out->set_assignor(group.metadata()->assignor());
}

}  // namespace tidemark
