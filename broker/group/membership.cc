#include "broker/group/membership.h"

#include <algorithm>

#include "broker/group/group_limits.h"
#include "broker/group/rebalance.h"

namespace tidemark {
namespace {

constexpr size_t kMaxIdBytes = 255;
constexpr int64_t kMaxRebalanceTimeoutMs = 24 * 3600 * 1000;

Result<> ValidateText(std::string_view field, std::string_view text) {
  if (text.size() <= kMaxIdBytes) return {};
  return Fail(v1::INVALID_REQUEST, "{}: {} bytes, {} are allowed", field, text.size(), kMaxIdBytes);
}

Result<> ValidateJoin(const v1::ConsumerGroupHeartbeatRequest& request) {
  if (!request.has_subscription()) return Fail(v1::INVALID_REQUEST, "subscription: required when joining");
  if (request.rebalance_timeout_ms() == 0)
    return Fail(v1::INVALID_REQUEST, "rebalance_timeout_ms: required when joining");
  if (request.has_owned() && request.owned().topics_size() > 0)
    return Fail(v1::INVALID_REQUEST, "owned: a member that joins holds nothing");
  return {};
}

// The member's record after this request: what is not said stays.
v1::GroupMemberValue Updated(v1::GroupMemberValue info, const v1::ConsumerGroupHeartbeatRequest& request) {
  if (!request.rack_id().empty()) info.set_rack_id(request.rack_id());
  if (request.rebalance_timeout_ms() > 0) info.set_rebalance_timeout_ms(request.rebalance_timeout_ms());
  if (request.session_timeout_ms() > 0) info.set_session_timeout_ms(request.session_timeout_ms());
  if (request.has_subscription()) *info.mutable_subscription() = request.subscription();
  if (!request.assignor().empty()) info.set_assignor(request.assignor());
  return info;
}

bool Same(const google::protobuf::Message& a, const google::protobuf::Message& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

// One heartbeat: the request with what it works on.
class Beat {
 public:
  Beat(const v1::ConsumerGroupHeartbeatRequest& request, const GroupCaller& caller, const GroupScene& scene,
       GroupChange& change)
      : request_(request),
        caller_(caller),
        scene_(scene),
        change_(change),
        group_(change.group()),
        rebalance_(scene, change),
        id_(request.member_id()) {}

  Result<HeartbeatOutcome> Join();
  Result<HeartbeatOutcome> Stay();
  Result<HeartbeatOutcome> Leave();

 private:
  Result<> CheckInstance() const;
  Error NotAMember() const;
  v1::GroupMemberValue NewInfo() const;
  void TakeOver(const std::string& former);
  void UpdateInfo();
  void Touch();

  const v1::ConsumerGroupHeartbeatRequest& request_;
  const GroupCaller& caller_;
  const GroupScene& scene_;
  GroupChange& change_;
  Group& group_;
  Rebalance rebalance_;
  const std::string& id_;
};

Error Beat::NotAMember() const {
  const std::string holder = request_.instance_id().empty() ? "" : group_.HolderOf(request_.instance_id());
  if (!holder.empty() && holder != id_) {
    return {v1::FENCED_INSTANCE_ID, fmt::format("member '{}' of group '{}' has taken over instance id '{}'",
                                                holder, group_.id(), request_.instance_id())};
  }
  return {v1::UNKNOWN_MEMBER_ID,
          fmt::format("group '{}' has no member '{}' (it left, or was fenced): join again with epoch 0",
                      group_.id(), id_)};
}

Result<> Beat::CheckInstance() const {
  const GroupMember* member = group_.Find(id_);
  if (member != nullptr && member->info.instance_id() != request_.instance_id()) {
    return Fail(v1::INVALID_REQUEST, "instance_id: member '{}' joined with '{}' and now says '{}'", id_,
                member->info.instance_id(), request_.instance_id());
  }
  if (request_.instance_id().empty()) return {};
  const std::string holder = group_.HolderOf(request_.instance_id());
  if (holder.empty() || holder == id_ || group_.Find(holder)->away()) return {};
  return Fail(v1::UNRELEASED_INSTANCE_ID,
              "member '{}' of group '{}' holds instance id '{}' until it leaves or its session times out",
              holder, group_.id(), request_.instance_id());
}

v1::GroupMemberValue Beat::NewInfo() const {
  v1::GroupMemberValue info = Updated({}, request_);
  info.set_instance_id(request_.instance_id());
  info.set_client_id(std::string(Utf8Prefix(caller_.client_id, kMaxIdBytes)));
  info.set_client_host(caller_.host);
  if (info.session_timeout_ms() == 0)
    info.set_session_timeout_ms(static_cast<uint32_t>(ToMillis(scene_.options.session_timeout)));
  return info;
}

void Beat::Touch() {
  GroupMember& member = *group_.Find(id_);
  member.last_heartbeat = scene_.now;
  member.session_deadline = scene_.now + std::chrono::milliseconds(member.info.session_timeout_ms());
}

// A static member comes back under another member id: it gets what was kept for it, which nobody holds now.
void Beat::TakeOver(const std::string& former) {
  const PartitionKeys target = group_.Find(former)->target;
  HeldPartitions assigned = group_.Find(former)->assigned;
  const v1::GroupSubscription before = group_.Find(former)->info.subscription();
  change_.RemoveMember(former);
  const auto epoch = group_.TakeEpoch();
  for (auto& [partition, since] : assigned) since = epoch;
  change_.PutMember(id_, NewInfo());
  change_.PutTarget(id_, target);
  change_.PutCurrent(id_, static_cast<int32_t>(epoch), 0, assigned, {});
  if (!Same(before, request_.subscription())) {
    rebalance_.Cause(
        v1::REBALANCE_CAUSE_SUBSCRIPTION_CHANGED,
        fmt::format("instance '{}' came back with another subscription", request_.instance_id()));
  }
}

Result<HeartbeatOutcome> Beat::Join() {
  TM_RETURN_IF_ERROR(ValidateJoin(request_));
  TM_RETURN_IF_ERROR(CheckInstance());
  const std::string holder = request_.instance_id().empty() ? "" : group_.HolderOf(request_.instance_id());
  if (const GroupMember* member = group_.Find(id_)) {
    UpdateInfo();
    // It holds nothing, it says; but the request may be an old one of a member that runs, so what it may hold
    // stays its own. It holds it anew: no commit of a former life counts. A repeated join is answered as the
    // first time.
    if (!member->just_joined) {
      const uint32_t epoch = group_.TakeEpoch();
      const int32_t previous = member->away() ? 0 : member->epoch;
      HeldPartitions assigned = member->assigned, revoking = member->revoking;
      for (auto* held : {&assigned, &revoking}) {
        for (auto& [partition, since] : *held) since = epoch;
      }
      change_.PutCurrent(id_, static_cast<int32_t>(epoch), previous, assigned, revoking);
    }
  } else if (!holder.empty()) {
    TakeOver(holder);
  } else {
    if (group_.members().size() >= scene_.options.max_size) {
      return Fail(v1::GROUP_MAX_SIZE_REACHED, "group '{}' has {} members, and group.max.size is {}",
                  group_.id(), group_.members().size(), scene_.options.max_size);
    }
    change_.PutMember(id_, NewInfo());
    const v1::GroupMemberValue& info = group_.Find(id_)->info;
    rebalance_.Cause(v1::REBALANCE_CAUSE_MEMBER_JOINED,
                     fmt::format("member '{}' ({} at {}) joined", id_, info.client_id(), info.client_host()));
  }
  rebalance_.Settle();
  if (!rebalance_.Reconcile(id_, nullptr) && group_.Find(id_)->epoch == 0) {
    change_.PutCurrent(id_, static_cast<int32_t>(group_.TakeEpoch()), 0, {}, {});
  }
  Touch();
  group_.Find(id_)->just_joined = true;
  return HeartbeatOutcome{.member_epoch = group_.Find(id_)->epoch, .tell_assignment = true};
}

void Beat::UpdateInfo() {
  const bool says_something = request_.has_subscription() || !request_.rack_id().empty() ||
                              !request_.assignor().empty() || request_.rebalance_timeout_ms() > 0 ||
                              request_.session_timeout_ms() > 0;
  if (!says_something) return;
  const v1::GroupMemberValue before = group_.Find(id_)->info;
  v1::GroupMemberValue info = Updated(before, request_);
  if (Same(before, info)) return;
  const bool subscription = !Same(before.subscription(), info.subscription());
  const AssignorKind preferred = rebalance_.Preferred();
  change_.PutMember(id_, std::move(info));
  if (subscription) {
    rebalance_.Cause(v1::REBALANCE_CAUSE_SUBSCRIPTION_CHANGED,
                     fmt::format("member '{}' changed its subscription", id_));
  } else if (rebalance_.Preferred() != preferred) {
    rebalance_.Cause(v1::REBALANCE_CAUSE_ASSIGNOR_CHANGED,
                     fmt::format("most members now prefer {}", NameOf(rebalance_.Preferred())));
  }
}

Result<HeartbeatOutcome> Beat::Stay() {
  const GroupMember* member = group_.Find(id_);
  if (member == nullptr) return std::unexpected(NotAMember());
  // What a member is told is committed first, so that a coordinator that never told it was replaced by one
  // that did.
  if (request_.member_epoch() > std::max(member->epoch, member->previous_epoch)) {
    return Fail(v1::NOT_COORDINATOR, "member '{}' of group '{}' is at epoch {} here, this heartbeat says {}",
                id_, group_.id(), member->epoch, request_.member_epoch());
  }
  const bool current = request_.member_epoch() == member->epoch;
  const bool repeated = !current && !member->away() && request_.member_epoch() == member->previous_epoch;
  if (!current && !repeated) {
    return Fail(v1::FENCED_MEMBER_EPOCH,
                "member '{}' of group '{}' is at epoch {}, this heartbeat says {}: drop all partitions and "
                "join again",
                id_, group_.id(), member->epoch, request_.member_epoch());
  }
  TM_RETURN_IF_ERROR(CheckInstance());
  std::optional<PartitionKeys> owned;
  if (request_.has_owned()) {
    TM_ASSIGN_OR_RETURN(owned, PartitionKeysFrom(request_.owned()));
  }
  UpdateInfo();
  rebalance_.Settle();
  // What a heartbeat of an earlier epoch says it holds it said before it was told of the newest.
  const bool told = current && rebalance_.Reconcile(id_, owned ? &*owned : nullptr);
  Touch();
  group_.Find(id_)->just_joined = false;
  member = group_.Find(id_);
  const bool differs =
      owned && !std::ranges::equal(*owned, member->assigned, {}, {}, [](auto& p) { return p.first; });
  return HeartbeatOutcome{.member_epoch = member->epoch, .tell_assignment = told || repeated || differs};
}

Result<HeartbeatOutcome> Beat::Leave() {
  const GroupMember* member = group_.Find(id_);
  if (member == nullptr) return std::unexpected(NotAMember());
  if (request_.member_epoch() == kAwayEpoch) {
    if (member->info.instance_id().empty()) {
      return Fail(v1::INVALID_REQUEST, "member_epoch: -2 is for static members, and '{}' has no instance id",
                  id_);
    }
    TM_RETURN_IF_ERROR(CheckInstance());
    // What was asked back it has given back with leaving.
    // Its epoch is kept, so that none after it is as low.
    const int32_t previous = member->away() ? member->previous_epoch : member->epoch;
    change_.PutCurrent(id_, kAwayEpoch, previous, HeldPartitions(member->assigned), {});
    TimeRevocation(*group_.Find(id_), scene_.now);
    Touch();
  } else {
    const std::string detail =
        fmt::format("member '{}' ({} at {}) left", id_, member->info.client_id(), member->info.client_host());
    change_.RemoveMember(id_);
    rebalance_.Cause(v1::REBALANCE_CAUSE_MEMBER_LEFT, detail);
    rebalance_.Settle();
  }
  return HeartbeatOutcome{.member_epoch = request_.member_epoch()};
}

}  // namespace

Result<> ValidateHeartbeat(const v1::ConsumerGroupHeartbeatRequest& request, const GroupScene& scene) {
  TM_RETURN_IF_ERROR(ValidateGroupId(request.group_id()));
  if (request.member_id().empty())
    return Fail(v1::INVALID_REQUEST, "member_id: empty; choose one, such as a UUID");
  TM_RETURN_IF_ERROR(ValidateText("member_id", request.member_id()));
  TM_RETURN_IF_ERROR(ValidateText("instance_id", request.instance_id()));
  TM_RETURN_IF_ERROR(ValidateText("rack_id", request.rack_id()));
  if (request.member_epoch() < kAwayEpoch)
    return Fail(v1::INVALID_REQUEST, "member_epoch: {}", request.member_epoch());
  if (request.rebalance_timeout_ms() > kMaxRebalanceTimeoutMs)
    return Fail(v1::INVALID_REQUEST, "rebalance_timeout_ms: {} is above a day",
                request.rebalance_timeout_ms());
  const auto session = std::chrono::milliseconds(request.session_timeout_ms());
  if (request.session_timeout_ms() > 0 &&
      (session < scene.options.min_session_timeout || session > scene.options.max_session_timeout)) {
    return Fail(v1::INVALID_SESSION_TIMEOUT,
                "session_timeout_ms: {} is not between group.min.session.timeout.ms={} and "
                "group.max.session.timeout.ms={}",
                request.session_timeout_ms(), ToMillis(scene.options.min_session_timeout),
                ToMillis(scene.options.max_session_timeout));
  }
  if (!request.assignor().empty() && !AssignorFromName(request.assignor())) {
    return Fail(v1::UNSUPPORTED_ASSIGNOR, "'{}' is not an assignor: range, roundrobin and sticky are",
                request.assignor());
  }
  TM_RETURN_IF_ERROR(CheckPartitionCount(request.owned().topics(), kMaxPartitionsOwned));
  if (request.has_subscription()) return scene.resolver.Validate(request.subscription());
  return {};
}

Result<HeartbeatOutcome> Heartbeat(const v1::ConsumerGroupHeartbeatRequest& request,
                                   const GroupCaller& caller, const GroupScene& scene, GroupChange& change) {
  Group& group = change.group();
  if (GroupMember* member = group.Find(request.member_id()))
    TM_RETURN_IF_ERROR(NoteSerial(request.serial(), member->serials.heartbeat));
  Beat beat(request, caller, scene, change);
  if (request.member_epoch() < 0) return beat.Leave();
  if (request.member_epoch() > 0) return beat.Stay();
  Result<HeartbeatOutcome> outcome = beat.Join();
  if (GroupMember* joined = group.Find(request.member_id()))
    joined->serials.heartbeat = std::max(joined->serials.heartbeat, request.serial());
  return outcome;
}

void OnGroupTime(const GroupScene& scene, GroupChange& change) {
  Group& group = change.group();
  Rebalance rebalance(scene, change);
  std::vector<std::pair<std::string, bool>> late;  // with: its session, else its rebalance time-out
  for (const auto& [id, member] : group.members()) {
    const bool session = member.session_deadline && *member.session_deadline <= scene.now;
    const bool revoking =
        !member.revoking.empty() && member.rebalance_deadline && *member.rebalance_deadline <= scene.now;
    if (session || revoking) late.emplace_back(id, session);
  }
  std::string detail;
  for (const auto& [id, session] : late) {
    const GroupMember& member = *group.Find(id);
    detail = session ? fmt::format("member '{}' ({} at {}) was not heard of for {} ms", id,
                                   member.info.client_id(), member.info.client_host(),
                                   member.info.session_timeout_ms())
                     : fmt::format("member '{}' ({} at {}) did not give {} partitions back within {} ms", id,
                                   member.info.client_id(), member.info.client_host(), member.revoking.size(),
                                   member.info.rebalance_timeout_ms());
    if (late.size() > 1) detail += fmt::format(", and {} others were late too", late.size() - 1);
    change.RemoveMember(id);
    rebalance.Cause(session ? v1::REBALANCE_CAUSE_SESSION_TIMEOUT : v1::REBALANCE_CAUSE_REBALANCE_TIMEOUT,
                    detail);
  }
  rebalance.Settle();
}

void FenceMembers(const std::vector<std::string>& members, const GroupScene& scene, GroupChange& change) {
  if (members.empty()) return;
  Rebalance rebalance(scene, change);
  for (const std::string& id : members) change.RemoveMember(id);
  rebalance.Cause(v1::REBALANCE_CAUSE_COORDINATOR_CHANGED,
                  fmt::format("{} members had records that contradict each other, such as '{}'",
                              members.size(), members.front()));
  rebalance.Settle();
}

void OnGroupTopics(const GroupScene& scene, GroupChange& change) {
  Group& group = change.group();
  if (group.members().empty() || !group.metadata()) return;
  // What was assigned, if this coordinator has seen it: after a load only its hash is known.
  const TopicsOfGroup before = group.topics_read;
  const uint64_t hash = TopicsRead(group, scene.resolver).hash;
  const bool assigned = group.assignment_epoch() == group.group_epoch();
  if (!assigned) return;
  Rebalance rebalance(scene, change);
  if (hash != group.metadata()->topics_hash()) {
    const bool known = before.hash == group.metadata()->topics_hash();
    rebalance.Cause(
        v1::REBALANCE_CAUSE_TOPICS_CHANGED,
        known ? WhatChanged(before.partitions, group.topics_read.partitions, scene.resolver.topics())
              : "topics or partitions that members read appeared or vanished");
  } else if (!group.assignment_checked && !AssignmentIsWhole(group, scene.resolver)) {
    rebalance.Cause(v1::REBALANCE_CAUSE_COORDINATOR_CHANGED,
                    fmt::format("what followed the assignment of epoch {} was not recorded as a whole",
                                group.assignment_epoch()));
  } else {
    group.assignment_checked = true;
    return;
  }
  rebalance.Settle();
}

MonoTime NextGroupTime(const Group& group) {
  MonoTime next = kNoDeadline;
  for (const auto& [id, member] : group.members()) {
    if (member.session_deadline) next = std::min(next, *member.session_deadline);
    if (member.rebalance_deadline) next = std::min(next, *member.rebalance_deadline);
  }
  if (group.assign_not_before && group.group_epoch() != group.assignment_epoch())
    next = std::min(next, *group.assign_not_before);
  return next;
}

void StartGroupTimers(Group& group, MonoTime now) {
  for (const auto& [id, unused] : group.members()) {
    GroupMember& member = *group.Find(id);
    if (!member.session_deadline) {
      member.session_deadline = now + std::chrono::milliseconds(member.info.session_timeout_ms());
      member.last_heartbeat = now;
    }
    member.just_joined = false;  // where that was undone the next join is not a repeated one
    TimeRevocation(member, now);
  }
}

void RestartGroupTimers(Group& group, MonoTime now) {
  for (const auto& [id, unused] : group.members()) {
    GroupMember& member = *group.Find(id);
    member.session_deadline.reset();
    member.due_back.clear();
  }
  StartGroupTimers(group, now);
}

void TimeRevocation(GroupMember& member, MonoTime now) {
  std::erase_if(member.due_back, [&](const PartitionKey& p) { return !member.revoking.contains(p); });
  if (member.revoking.empty()) {
    member.rebalance_deadline.reset();
  } else if (member.due_back.empty()) {
    for (const auto& [partition, since] : member.revoking) member.due_back.insert(partition);
    member.rebalance_deadline = now + std::chrono::milliseconds(member.info.rebalance_timeout_ms());
  }
}

void ForgiveStall(Group& group, Duration stall) {
  for (const auto& [id, unused] : group.members()) {
    GroupMember& member = *group.Find(id);
    if (member.session_deadline) *member.session_deadline += stall;
    if (member.rebalance_deadline) *member.rebalance_deadline += stall;
  }
}

v1::GroupMemberState StateOf(const GroupMember& member) {
  if (member.away()) return v1::GROUP_MEMBER_STATE_AWAY;
  if (!member.revoking.empty()) return v1::GROUP_MEMBER_STATE_UNREVOKED;
  const bool there =
      std::ranges::equal(member.assigned, member.target, {}, [](auto& p) { return p.first; }, {});
  return there ? v1::GROUP_MEMBER_STATE_STABLE : v1::GROUP_MEMBER_STATE_UNRELEASED;
}

v1::GroupState StateOf(const Group& group) {
  if (group.members().empty()) return v1::GROUP_STATE_EMPTY;
  if (group.group_epoch() != group.assignment_epoch()) return v1::GROUP_STATE_ASSIGNING;
  const bool stable = std::ranges::all_of(group.members(), [](const auto& member) {
    const v1::GroupMemberState state = StateOf(member.second);
    return state == v1::GROUP_MEMBER_STATE_STABLE || state == v1::GROUP_MEMBER_STATE_AWAY;
  });
  return stable ? v1::GROUP_STATE_STABLE : v1::GROUP_STATE_RECONCILING;
}

}  // namespace tidemark
