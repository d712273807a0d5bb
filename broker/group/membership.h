// Membership: what heartbeats, leaves, time and topics do to a group. Each function is a decision: from the
// group, the request and the time to a change of the group (records) and an answer. Pure but for the group it
// changes; no I/O.
//
// How a member is moved (Reconcile): what it holds beyond its target is asked back and stays its own until it
// says at its newest epoch that it holds it no more; what its target has and nobody owns is given. Each
// change of what a member is told has a new member epoch, so a delayed heartbeat can never release what was
// given later.
#pragma once

#include <string>
#include <vector>

#include "broker/group/group.h"
#include "broker/group/group_topics.h"

namespace tidemark {

struct GroupOptions {
  Duration heartbeat_interval = 3s;       // group.consumer.heartbeat.interval.ms
  Duration session_timeout = 45s;         // group.consumer.session.timeout.ms
  Duration min_session_timeout = 6s;      // group.min.session.timeout.ms
  Duration max_session_timeout = 1800s;   // group.max.session.timeout.ms
  Duration initial_rebalance_delay{};     // group.initial.rebalance.delay.ms
  uint32_t max_size = 2147483647;         // group.max.size
  size_t max_bytes = 512u << 20;          // group.max.memory.bytes, of one coordinator
  uint32_t max_metadata_bytes = 4096;     // offset.metadata.max.bytes
  Duration offsets_retention = 10080min;  // offsets.retention.minutes
};

// What every decision is given.
struct GroupScene {
  MonoTime now;
  WallMillis wall = 0;
  SubscriptionResolver& resolver;
  const GroupOptions& options;
};

// Who sends a request.
struct GroupCaller {
  std::string client_id;
  std::string host;
};

struct HeartbeatOutcome {
  int32_t member_epoch = 0;
  bool tell_assignment = false;  // what to hold is Group::Find(member)->assigned
};

// What can be said without knowing the group: INVALID_GROUP_ID, INVALID_REQUEST, INVALID_SESSION_TIMEOUT,
// INVALID_REGULAR_EXPRESSION, UNSUPPORTED_ASSIGNOR.
Result<> ValidateHeartbeat(const v1::ConsumerGroupHeartbeatRequest& request, const GroupScene& scene);

// A valid heartbeat: join, stay or leave. The errors are those of the request's comment; with an error
// nothing was changed, but that its serial was seen.
Result<HeartbeatOutcome> Heartbeat(const v1::ConsumerGroupHeartbeatRequest& request,
                                   const GroupCaller& caller, const GroupScene& scene, GroupChange& change);

// Fences members whose session or rebalance time-out has passed, and assigns what waited for its time.
void OnGroupTime(const GroupScene& scene, GroupChange& change);
// Removes members whose records contradict each other (after a load).
void FenceMembers(const std::vector<std::string>& members, const GroupScene& scene, GroupChange& change);
// Topics or partitions may have appeared or vanished; a group that was just read back may lack part of its
// last change.
void OnGroupTopics(const GroupScene& scene, GroupChange& change);

// When OnGroupTime has to look again; kNoDeadline: never.
MonoTime NextGroupTime(const Group& group);
// Gives members that were just read back, or came back as a change was undone, their full session and
// rebalance time-outs; ends those of what is not asked back any more.
void StartGroupTimers(Group& group, MonoTime now);
// As if all members had just been read back: nobody could be heard until now.
void RestartGroupTimers(Group& group, MonoTime now);
// Follows what the member has to give back: when all that was asked for together has been released, what was
// asked for since has the whole rebalance time-out from now.
void TimeRevocation(GroupMember& member, MonoTime now);
// This coordinator stood still: whoever could not be heard meanwhile gets the time back.
void ForgiveStall(Group& group, Duration stall);

v1::GroupState StateOf(const Group& group);
v1::GroupMemberState StateOf(const GroupMember& member);
// Topics that the member's subscription comes to.
const std::vector<TopicId>& TopicsOf(GroupMember& member, SubscriptionResolver& resolver);

}  // namespace tidemark
