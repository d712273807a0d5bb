// What the coordinator is asked: each request decides, appends, and answers when that is committed.
#include <algorithm>

#include "broker/group/group_coordinator.h"
#include "broker/group/group_limits.h"

namespace tidemark {
namespace {

// Heartbeat interval of a member that waits for partitions, or has some to give back.
constexpr Duration kWhileMoving = 500ms;

// By so much a group may grow whatever the others take when a static member comes back under another id.
constexpr size_t kGrowthOfReturn = 512;

// Members go in it, or are replaced.
bool Replaces(const GroupChange& change) {
  return std::ranges::any_of(change.records(), [](const GroupRecord& record) {
    return record.kind == GroupRecordKind::kMember && record.tombstone();
  });
}

// Somebody joins, or says other things of itself.
bool SetsInfo(const GroupChange& change) {
  return std::ranges::any_of(change.records(), [](const GroupRecord& record) {
    return record.kind == GroupRecordKind::kMember && !record.tombstone();
  });
}

// An error of the partition, as those see it who know only groups.
Error ForGroups(Error error) {
  switch (error.code) {
    case v1::NOT_LEADER_OR_FOLLOWER:
    case v1::FENCED_LEADER_EPOCH:
    case v1::UNKNOWN_LEADER_EPOCH:
    case v1::KAFKA_STORAGE_ERROR:
    case v1::CANCELLED:
      error.code = v1::NOT_COORDINATOR;
      break;
    case v1::NOT_ENOUGH_REPLICAS:
    case v1::DISK_FULL:
      error.code = v1::COORDINATOR_NOT_AVAILABLE;
      break;
    default:
      break;
  }
  return error;
}

// The coordinator's epoch that a request names.
template <typename R>
std::optional<LeaderEpoch> EpochWanted(const R& request) {
  if (!request.has_coordinator_epoch()) return std::nullopt;
  return request.coordinator_epoch();
}

// A serial tells what is late only to the coordinator that saw those before it, and that memory ends with a
// coordinator's epoch. So a request with a serial that was sent to an earlier coordinator is not for a later
// one.
template <typename R>
Result<> CheckSentToThis(const R& request, LeaderEpoch epoch) {
  const bool counted = request.serial() != 0 && !request.member_id().empty();
  if (!counted || !request.has_coordinator_epoch() || request.coordinator_epoch() >= epoch) return {};
  return Fail(v1::NOT_COORDINATOR, "this request was sent to the coordinator of epoch {}, this is epoch {}",
              request.coordinator_epoch(), epoch);
}

Error NoSuchGroup(const std::string& group) {
  return {v1::GROUP_ID_NOT_FOUND, fmt::format("there is no group '{}'", group)};
}

}  // namespace

Partition* GroupCoordinator::LeaderOf(const Led& led) {
  if (led.stale) return nullptr;
  Partition* partition = table_.Find(led.key);
  const bool fresh = partition != nullptr && partition->leading() && partition->leader_epoch() == led.epoch;
  return fresh ? partition : nullptr;
}

Result<GroupCoordinator::Led*> GroupCoordinator::Ready(const PartitionKey& where,
                                                       std::optional<LeaderEpoch> wanted) {
  if (scope_.stopping()) return Fail(v1::NOT_COORDINATOR, "the broker is stopping");
  const auto led = led_.find(where);
  Partition* partition = table_.Find(where);
  if (partition == nullptr || !partition->leading()) {
    return Fail(v1::NOT_COORDINATOR, "this broker does not lead {}-{}", kOffsetsTopic, where.partition);
  }
  if (wanted && *wanted > *partition->leader_epoch()) {
    return Fail(v1::NOT_COORDINATOR, "this broker led {}-{} in epoch {}, and another has since, in epoch {}",
                kOffsetsTopic, where.partition, *partition->leader_epoch(), *wanted);
  }
  if (led == led_.end() || !led->second->ready || LeaderOf(*led->second) == nullptr) {
    return Fail(v1::COORDINATOR_LOAD_IN_PROGRESS, "the groups of {} are being read back", partition->name());
  }
  if (topics_dirty_ && loop_.Now() - topics_read_ >= 1s && RefreshTopics()) topics_changed_.NotifyAll();
  if (!topics_known_) {
    return Fail(v1::COORDINATOR_LOAD_IN_PROGRESS,
                "no controller has told this broker of the cluster's topics yet");
  }
  return led->second.get();
}

GroupCoordinator::Slot* GroupCoordinator::FindGroup(Led& led, const std::string& group) {
  const auto found = led.groups.find(group);
  return found == led.groups.end() ? nullptr : found->second.get();
}

GroupCoordinator::Slot& GroupCoordinator::SlotOf(Led& led, const std::string& group) {
  auto& slot = led.groups[group];
  if (slot == nullptr) slot = std::make_unique<Slot>(group);
  return *slot;
}

void GroupCoordinator::DropIfGone(Led& led, const std::string& group) {
  const auto found = led.groups.find(group);
  if (found == led.groups.end() || !found->second->group.gone()) return;
  led.due.erase({found->second->due, group});
  led.dropped_end = std::max(led.dropped_end, EndOf(led, found->second.get()));
  led.bytes -= found->second->counted;
  led.groups.erase(found);
}

Offset GroupCoordinator::EndOf(const Led& led, const Slot* slot) {
  return slot == nullptr ? led.dropped_end : std::max(slot->membership_end, slot->offsets_end);
}

Task<Error> GroupCoordinator::NotThere(PartitionKey where, Led* led, std::string group, MonoTime deadline) {
  const Result<> committed = co_await Committed(where, led->epoch, EndOf(*led, nullptr), deadline);
  co_return committed ? NoSuchGroup(group) : committed.error();
}

GroupScene GroupCoordinator::Scene() {
  return {.now = loop_.Now(), .wall = clock_.WallNow(), .resolver = resolver_, .options = options_.groups};
}

void GroupCoordinator::Schedule(Led& led, Slot& slot, MonoTime when) {
  if (slot.due == when) return;
  led.due.erase({slot.due, slot.group.id()});
  slot.due = when;
  if (when == kNoDeadline) return;
  const bool first = led.due.empty() || when < led.due.begin()->first;
  led.due.insert({when, slot.group.id()});
  if (first) due_changed_.NotifyAll();
}

void GroupCoordinator::Count(const GroupChange& change) {
  if (!change.rebalanced()) return;
  const v1::RebalanceCause cause = change.group().metadata()->last_rebalance().cause();
  CHECK(v1::RebalanceCause_IsValid(cause)) << "the group's own decision gave no cause";
  ++counters_.rebalances[cause];
  if (const auto line = rebalance_log_.LineFor(change.group(), loop_.Now())) LOG(INFO) << *line;
  const bool fenced =
      cause == v1::REBALANCE_CAUSE_SESSION_TIMEOUT || cause == v1::REBALANCE_CAUSE_REBALANCE_TIMEOUT;
  if (!fenced) return;
  counters_.fenced_members += static_cast<uint64_t>(std::ranges::count_if(
      change.records(), [](const auto& r) { return r.kind == GroupRecordKind::kMember && r.tombstone(); }));
}

size_t GroupCoordinator::BytesOfGroups() const {
  size_t bytes = 0;
  for (const auto& [key, led] : led_) bytes += led->bytes;
  return bytes;
}

void GroupCoordinator::Recount(Led& led, Slot& slot) {
  const size_t now = slot.group.bytes();
  led.bytes += now;
  led.bytes -= std::exchange(slot.counted, now);
}

Result<> GroupCoordinator::CheckRoom(const Slot& slot, const GroupChange& change, size_t most) {
  const size_t free = Replaces(change) ? kGrowthOfReturn : 0;
  if (slot.group.bytes() <= slot.counted + free) return {};
  const size_t grown = BytesOfGroups() + slot.group.bytes() - slot.counted;
  if (grown <= most) return {};
  ++counters_.refused_for_memory;
  return Fail(v1::GROUP_MAX_SIZE_REACHED,
              "the groups of this coordinator would take {} bytes with what group '{}' wants to add, and "
              "group.max.memory.bytes ({}) leaves {} for that",
              grown, slot.group.id(), options_.groups.max_bytes, most);
}

Result<> GroupCoordinator::Write(Led& led, Slot& slot, GroupChange& change, size_t most) {
  if (change.empty()) return {};
  Result<> done = CheckRoom(slot, change, most);
  if (done) done = Append(led, slot, change);
  if (!done) {
    change.Rollback();
    // Members that are there again are judged anew.
    StartGroupTimers(slot.group, loop_.Now());
    done = std::unexpected(ForGroups(std::move(done.error())));
  }
  Recount(led, slot);
  return done;
}

Result<> GroupCoordinator::Append(Led& led, Slot& slot, GroupChange& change) {
  TM_ASSIGN_OR_RETURN(const std::vector<FinishedBatch> finished,
                      EncodeGroupBatches(change.records(), clock_.WallNow()));
  std::vector<UnstampedBatch> batches;
  for (const FinishedBatch& batch : finished) {
    batches.push_back({.body = batch.body,
                       .body_crc = batch.body_crc,
                       .last_offset_delta = batch.record_count - 1,
                       .max_timestamp = batch.max_timestamp});
  }
  Partition* partition = LeaderOf(led);
  if (partition == nullptr)
    return Fail(v1::NOT_COORDINATOR, "this broker has just stopped being the coordinator");
  TM_ASSIGN_OR_RETURN(const AppendResult appended, partition->Append(batches, -1, led.epoch));
  Offset& end = change.touches_membership() ? slot.membership_end : slot.offsets_end;
  end = appended.end_offset;
  Count(change);
  return {};
}

Task<Result<>> GroupCoordinator::Committed(PartitionKey where, LeaderEpoch epoch, Offset end,
                                           MonoTime deadline) {
  Partition* partition = table_.Find(where);
  if (partition == nullptr)
    co_return Fail(v1::NOT_COORDINATOR, "the replica went away before the change was committed");
  deadline = std::min(deadline, loop_.Now() + options_.commit_timeout);
  const Result<> committed = co_await partition->WaitCommitted(end, epoch, deadline, scope_.stop_token());
  if (!committed) co_return std::unexpected(ForGroups(committed.error()));
  co_return Result<>{};
}

Task<Result<v1::ConsumerGroupHeartbeatResponse>> GroupCoordinator::Heartbeat(
    PartitionKey where, v1::ConsumerGroupHeartbeatRequest request, GroupCaller caller, MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(Led * led, Ready(where, EpochWanted(request)));
  TM_CO_RETURN_IF_ERROR(CheckSentToThis(request, led->epoch));
  ++counters_.heartbeats;
  const GroupScene scene = Scene();
  TM_CO_RETURN_IF_ERROR(ValidateHeartbeat(request, scene));
  Slot& slot = SlotOf(*led, request.group_id());
  v1::ConsumerGroupHeartbeatResponse response;
  {
    GroupChange change(slot.group);
    auto outcome = tidemark::Heartbeat(request, caller, scene, change);
    // What members have to commit finds room when nobody may join any more.
    const size_t most = SetsInfo(change) ? options_.groups.max_bytes / 10 * 9 : SIZE_MAX;
    Result<> written = outcome ? Write(*led, slot, change, most) : Result<>(std::unexpected(outcome.error()));
    if (!written) {
      DropIfGone(*led, request.group_id());
      co_return std::unexpected(written.error());
    }
    response.set_member_id(request.member_id());
    response.set_member_epoch(outcome->member_epoch);
    response.set_heartbeat_interval_ms(static_cast<uint32_t>(ToMillis(options_.groups.heartbeat_interval)));
    // Who waits for others hears sooner.
    const GroupMember* member = slot.group.Find(request.member_id());
    if (member != nullptr && StateOf(*member) != v1::GROUP_MEMBER_STATE_STABLE) {
      response.set_heartbeat_interval_ms(
          static_cast<uint32_t>(ToMillis(std::min(options_.groups.heartbeat_interval, kWhileMoving))));
    }
    if (outcome->tell_assignment) {
      FillPartitions(slot.group.Find(request.member_id())->assigned, response.mutable_assignment());
      FillTopicNames(resolver_.topics(), response.mutable_assignment());
    }
  }
  if (const GroupMember* member = slot.group.Find(request.member_id())) {
    MonoTime next = std::min(slot.due, member->session_deadline.value_or(kNoDeadline));
    next = std::min(next, member->rebalance_deadline.value_or(kNoDeadline));
    next = std::min(next, slot.group.assign_not_before.value_or(kNoDeadline));
    Schedule(*led, slot, next);
  }
  const Offset end = slot.membership_end;
  TM_CO_RETURN_IF_ERROR(co_await Committed(where, led->epoch, end, deadline));
  co_return std::move(response);
}

// Who has just made a topic, or more partitions, is not to be told that there are none: this broker has heard
// of them already, and reads what it has heard of once a second else.
bool GroupCoordinator::NamesUnknown(const v1::OffsetCommitRequest& request) const {
  return std::ranges::any_of(request.topics(), [this](const v1::OffsetCommitRequest::Topic& topic) {
    const Result<TopicId> id = TopicId::FromBytes(topic.topic_id());
    const GroupTopic* known = id ? resolver_.topics().Find(*id) : nullptr;
    if (known == nullptr) return id.has_value();
    return std::ranges::any_of(topic.partitions(),
                               [known](const v1::OffsetCommitRequest::Partition& partition) {
                                 return partition.partition() >= known->partitions;
                               });
  });
}

Task<Result<v1::OffsetCommitResponse>> GroupCoordinator::Commit(PartitionKey where,
                                                                v1::OffsetCommitRequest request,
                                                                MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(Led * led, Ready(where, EpochWanted(request)));
  TM_CO_RETURN_IF_ERROR(CheckSentToThis(request, led->epoch));
  TM_CO_RETURN_IF_ERROR(ValidateGroupId(request.group_id()));
  if (topics_dirty_ && NamesUnknown(request) && RefreshTopics()) topics_changed_.NotifyAll();
  Slot& slot = SlotOf(*led, request.group_id());
  v1::OffsetCommitResponse response;
  GroupChange change(slot.group);
  Result<> written = CommitOffsets(request, Scene(), change, &response);
  const size_t count = change.records().size();
  if (written) written = Write(*led, slot, change, options_.groups.max_bytes);
  if (!written) {
    DropIfGone(*led, request.group_id());
    co_return std::unexpected(written.error());
  }
  const Offset end = EndOf(*led, &slot);
  DropIfGone(*led, request.group_id());
  counters_.committed_offsets += count;
  for (const auto& topic : response.topics()) {
    for (const auto& partition : topic.partitions())
      counters_.refused_offsets += partition.has_error() ? 1 : 0;
  }
  TM_CO_RETURN_IF_ERROR(co_await Committed(where, led->epoch, count == 0 ? 0 : end, deadline));
  co_return std::move(response);
}

Task<Result<v1::OffsetFetchResponse::Group>> GroupCoordinator::Fetch(PartitionKey where,
                                                                     v1::OffsetFetchRequest::Group request,
                                                                     MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(Led * led, Ready(where, EpochWanted(request)));
  TM_CO_RETURN_IF_ERROR(ValidateGroupId(request.group_id()));
  Slot* slot = FindGroup(*led, request.group_id());
  v1::OffsetFetchResponse::Group response;
  response.set_group_id(request.group_id());
  TM_CO_RETURN_IF_ERROR(FetchOffsets(request, slot == nullptr ? nullptr : &slot->group, Scene(), &response));
  const Offset end = EndOf(*led, slot);
  TM_CO_RETURN_IF_ERROR(co_await Committed(where, led->epoch, end, deadline));
  co_return std::move(response);
}

Task<Result<v1::OffsetDeleteResponse>> GroupCoordinator::DeleteOffsets(PartitionKey where,
                                                                       v1::OffsetDeleteRequest request,
                                                                       MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(Led * led, Ready(where));
  TM_CO_RETURN_IF_ERROR(ValidateGroupId(request.group_id()));
  Slot* slot = FindGroup(*led, request.group_id());
  if (slot == nullptr) co_return std::unexpected(co_await NotThere(where, led, request.group_id(), deadline));
  v1::OffsetDeleteResponse response;
  GroupChange change(slot->group);
  TM_CO_RETURN_IF_ERROR(tidemark::DeleteOffsets(request, Scene(), change, &response));
  TM_CO_RETURN_IF_ERROR(Write(*led, *slot, change));
  const Offset end = EndOf(*led, slot);
  DropIfGone(*led, request.group_id());
  TM_CO_RETURN_IF_ERROR(co_await Committed(where, led->epoch, end, deadline));
  co_return std::move(response);
}

Task<Result<v1::DescribeGroupsResponse::Group>> GroupCoordinator::Describe(PartitionKey where,
                                                                           std::string group, bool offsets,
                                                                           MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(Led * led, Ready(where));
  TM_CO_RETURN_IF_ERROR(ValidateGroupId(group));
  Slot* slot = FindGroup(*led, group);
  if (slot == nullptr) co_return std::unexpected(co_await NotThere(where, led, group, deadline));
  v1::DescribeGroupsResponse::Group response;
  DescribeGroup(slot->group, offsets, Scene(), &response);
  response.set_partition(where.partition);
  const Offset end = EndOf(*led, slot);
  TM_CO_RETURN_IF_ERROR(co_await Committed(where, led->epoch, end, deadline));
  co_return std::move(response);
}

Task<Result<>> GroupCoordinator::Delete(PartitionKey where, std::string group, MonoTime deadline) {
  TM_CO_ASSIGN_OR_RETURN(Led * led, Ready(where));
  TM_CO_RETURN_IF_ERROR(ValidateGroupId(group));
  Slot* slot = FindGroup(*led, group);
  if (slot == nullptr) co_return std::unexpected(co_await NotThere(where, led, group, deadline));
  GroupChange change(slot->group);
  TM_CO_RETURN_IF_ERROR(DeleteGroup(change));
  TM_CO_RETURN_IF_ERROR(Write(*led, *slot, change));
  const Offset end = EndOf(*led, slot);
  DropIfGone(*led, group);
  TM_CO_RETURN_IF_ERROR(co_await Committed(where, led->epoch, end, deadline));
  co_return Result<>{};
}

Result<std::vector<v1::ListGroupsResponse::Group>> GroupCoordinator::List(const ListedGroups& wanted) {
  std::vector<const Group*> found;
  for (const auto& [key, led] : led_) {
    if (LeaderOf(*led) == nullptr) continue;
    if (!led->ready) {
      return Fail(v1::COORDINATOR_LOAD_IN_PROGRESS, "the groups of {}-{} are being read back", kOffsetsTopic,
                  key.partition);
    }
    for (const auto& [id, slot] : led->groups) {
      if (wanted.Has(slot->group)) found.push_back(&slot->group);
    }
  }
  if (wanted.paged() && found.size() > kGroupsPerPage) {
    const auto by_id = [](const Group* a, const Group* b) { return a->id() < b->id(); };
    std::ranges::nth_element(found, found.begin() + kGroupsPerPage, by_id);
    found.resize(kGroupsPerPage + 1);
  }
  std::vector<v1::ListGroupsResponse::Group> out;
  out.reserve(found.size());
  for (const Group* group : found) ListGroup(*group, &out.emplace_back());
  return out;
}

}  // namespace tidemark
