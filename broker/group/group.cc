#include "broker/group/group.h"

#include <glog/logging.h>

#include <algorithm>

#include "common/fault.h"

namespace tidemark {
namespace {

// Nodes of maps with their keys, and what is beside the texts.
constexpr size_t kGroupBytes = 1024;
constexpr size_t kMemberBytes = 1024;
constexpr size_t kOffsetBytes = 160;
constexpr size_t kPartitionBytes = 96;

}  // namespace

Group::Group(std::string id) : id_(std::move(id)), bytes_(kGroupBytes + 4 * id_.size()) {}

Result<> NoteSerial(uint64_t serial, uint64_t& seen) {
  if (serial == 0) return {};
  if (serial <= seen && !TM_BUG("obey-late-requests")) {
    return Fail(v1::STALE_REQUEST, "serial {} comes after {} of the same member: it was left behind", serial,
                seen);
  }
  seen = std::max(seen, serial);
  return {};
}

std::optional<uint32_t> GroupMember::HeldSince(const PartitionKey& partition) const {
  for (const auto* held : {&assigned, &revoking}) {
    if (const auto found = held->find(partition); found != held->end()) return found->second;
  }
  return std::nullopt;
}

GroupMember* Group::Find(const std::string& member) {
  const auto found = members_.find(member);
  return found == members_.end() ? nullptr : &found->second;
}

const GroupMember* Group::Find(const std::string& member) const {
  const auto found = members_.find(member);
  return found == members_.end() ? nullptr : &found->second;
}

std::string Group::HolderOf(const std::string& instance) const {
  const auto found = instances_.find(instance);
  return found == instances_.end() ? std::string() : found->second;
}

const std::string* Group::OwnerOf(const PartitionKey& partition) const {
  const auto found = owners_.find(partition);
  return found == owners_.end() ? nullptr : &found->second;
}

std::string Group::CommittedTopicName(const TopicId& topic) const {
  const auto found = committed_topics_.find(topic);
  return found == committed_topics_.end() ? std::string() : found->second.first;
}

void Group::NoteEpoch(int64_t epoch) {
  if (epoch > last_epoch_) last_epoch_ = static_cast<uint32_t>(epoch);
}

GroupRecord Group::Apply(const GroupRecord& record) {
  CHECK_EQ(record.group, id_);
  const size_t before = BytesTouchedBy(record);
  GroupRecord undo = ApplyKind(record);
  bytes_ += BytesTouchedBy(record);
  bytes_ -= before;
  return undo;
}

size_t Group::BytesTouchedBy(const GroupRecord& record) const {
  if (record.kind == GroupRecordKind::kGroup) return metadata_ ? metadata_->ByteSizeLong() : 0;
  if (record.kind == GroupRecordKind::kOffset) {
    const auto stored = offsets_.find(record.partition);
    const auto topic = committed_topics_.find(record.partition.topic);
    return (stored == offsets_.end() ? 0 : kOffsetBytes + stored->second.metadata.size()) +
           (topic == committed_topics_.end() ? 0 : kOffsetBytes + topic->second.first.size());
  }
  const auto member = members_.find(record.member);
  if (member == members_.end()) return 0;
  const GroupMember& of = member->second;
  // Who owns a partition is stored by name with it.
  return kMemberBytes + 2 * (record.member.size() + of.info_bytes) + of.target.size() * kPartitionBytes +
         (of.assigned.size() + of.revoking.size()) * (2 * kPartitionBytes + record.member.size());
}

GroupRecord Group::ApplyKind(const GroupRecord& record) {
  switch (record.kind) {
    case GroupRecordKind::kOffset:
      return ApplyOffset(record);
    case GroupRecordKind::kGroup:
      return ApplyMetadata(record);
    case GroupRecordKind::kMember:
      return ApplyMember(record);
    case GroupRecordKind::kTarget:
      return ApplyTarget(record);
    case GroupRecordKind::kCurrent:
      return ApplyCurrent(record);
  }
  LOG(FATAL) << "a group record of kind " << static_cast<int>(record.kind);
}

GroupRecord Group::ApplyOffset(const GroupRecord& record) {
  GroupRecord undo{.kind = record.kind, .group = id_, .partition = record.partition};
  auto& [name, count] = committed_topics_[record.partition.topic];
  if (const auto before = offsets_.find(record.partition); before != offsets_.end()) {
    auto& value = undo.value.emplace<v1::OffsetCommitValue>();
    value.set_offset(before->second.offset);
    if (before->second.leader_epoch) value.set_leader_epoch(*before->second.leader_epoch);
    value.set_metadata(before->second.metadata);
    value.set_commit_time(before->second.commit_time);
    value.set_topic(name);
    offsets_.erase(before);
    --count;
  }
  if (const auto* value = record.As<v1::OffsetCommitValue>()) {
    StoredOffset& stored = offsets_[record.partition];
    stored.offset = value->offset();
    if (value->has_leader_epoch()) stored.leader_epoch = value->leader_epoch();
    stored.metadata = value->metadata();
    stored.commit_time = value->commit_time();
    name = value->topic();
    ++count;
  }
  if (count == 0) committed_topics_.erase(record.partition.topic);
  return undo;
}

GroupRecord Group::ApplyMetadata(const GroupRecord& record) {
  GroupRecord undo{.kind = record.kind, .group = id_};
  if (metadata_) undo.value = std::move(*metadata_);
  metadata_.reset();
  if (const auto* value = record.As<v1::GroupMetadataValue>()) {
    metadata_ = *value;
    NoteEpoch(value->group_epoch());
    NoteEpoch(value->assignment_epoch());
  }
  return undo;
}

GroupRecord Group::ApplyMember(const GroupRecord& record) {
  GroupRecord undo{.kind = record.kind, .group = id_, .member = record.member};
  ++members_version_;
  GroupMember& member = members_[record.member];
  if (member.has_info) {
    const auto holder = instances_.find(member.info.instance_id());
    if (holder != instances_.end() && holder->second == record.member) instances_.erase(holder);
    undo.value = std::move(member.info);
  }
  member.info = {};
  member.has_info = false;
  member.topics_version = 0;
  member.info_bytes = 0;
  if (const auto* value = record.As<v1::GroupMemberValue>()) {
    member.info = *value;
    member.has_info = true;
    member.info_bytes = value->ByteSizeLong();
    if (!value->instance_id().empty()) instances_[value->instance_id()] = record.member;
  }
  DropIfBlank(record.member);
  return undo;
}

GroupRecord Group::ApplyTarget(const GroupRecord& record) {
  GroupRecord undo{.kind = record.kind, .group = id_, .member = record.member};
  GroupMember& member = members_[record.member];
  if (!member.target.empty()) {
    FillPartitions(member.target, undo.value.emplace<v1::TargetAssignmentValue>().mutable_partitions());
  }
  member.target.clear();
  if (const auto* value = record.As<v1::TargetAssignmentValue>()) {
    if (auto keys = PartitionKeysFrom(value->partitions())) member.target = std::move(*keys);
  }
  DropIfBlank(record.member);
  return undo;
}

GroupRecord Group::ApplyCurrent(const GroupRecord& record) {
  GroupRecord undo{.kind = record.kind, .group = id_, .member = record.member};
  GroupMember& member = members_[record.member];
  if (member.epoch != 0) {
    auto& value = undo.value.emplace<v1::CurrentAssignmentValue>();
    value.set_member_epoch(member.epoch);
    value.set_previous_member_epoch(member.previous_epoch);
    FillHeld(member.assigned, value.mutable_assigned());
    FillHeld(member.revoking, value.mutable_revoking());
  }
  Disown(record.member, member.assigned);
  Disown(record.member, member.revoking);
  member.epoch = member.previous_epoch = 0;
  member.assigned.clear();
  member.revoking.clear();
  if (const auto* value = record.As<v1::CurrentAssignmentValue>()) {
    member.epoch = value->member_epoch();
    member.previous_epoch = value->previous_member_epoch();
    NoteEpoch(member.epoch);
    NoteEpoch(member.previous_epoch);
    if (auto held = HeldFrom(value->assigned())) member.assigned = std::move(*held);
    if (auto held = HeldFrom(value->revoking())) member.revoking = std::move(*held);
    for (const auto* held : {&member.assigned, &member.revoking}) {
      for (const auto& [partition, epoch] : *held) {
        NoteEpoch(epoch);
        owners_.try_emplace(partition, record.member);
      }
    }
  }
  DropIfBlank(record.member);
  return undo;
}

void Group::Disown(const std::string& member, const HeldPartitions& held) {
  for (const auto& [partition, epoch] : held) {
    const auto owner = owners_.find(partition);
    if (owner != owners_.end() && owner->second == member) owners_.erase(owner);
  }
}

void Group::DropIfBlank(const std::string& member) {
  const auto found = members_.find(member);
  if (!found->second.has_info && found->second.target.empty() && found->second.epoch == 0)
    members_.erase(found);
}

std::vector<std::string> Group::FinishLoad() {
  std::set<std::string> contradict;
  std::map<PartitionKey, std::pair<uint32_t, std::string>> owners;
  for (auto& [id, member] : members_) {
    // A member without epoch was not told anything, one without info cannot be judged: neither can go on.
    if (!member.has_info || member.epoch == 0) contradict.insert(id);
    for (const auto* held : {&member.assigned, &member.revoking}) {
      for (const auto& [partition, epoch] : *held) {
        auto [owner, added] = owners.try_emplace(partition, epoch, id);
        if (added) continue;
        // Whom it was given last keeps it.
        contradict.insert(owner->second.first < epoch ? owner->second.second : id);
        if (owner->second.first < epoch) owner->second = {epoch, id};
      }
    }
  }
  owners_.clear();
  for (auto& [partition, owner] : owners) owners_[partition] = owner.second;
  return {contradict.begin(), contradict.end()};
}

bool GroupChange::touches_membership() const {
  return std::ranges::any_of(records_,
                             [](const GroupRecord& r) { return r.kind != GroupRecordKind::kOffset; });
}

GroupRecord GroupChange::Blank(GroupRecordKind kind, std::string member) const {
  return {.kind = kind, .group = group_.id(), .member = std::move(member)};
}

void GroupChange::Put(GroupRecord record) {
  undo_.push_back(group_.Apply(record));
  records_.push_back(std::move(record));
}

void GroupChange::PutMetadata(v1::GroupMetadataValue value) {
  GroupRecord record = Blank(GroupRecordKind::kGroup);
  record.value = std::move(value);
  Put(std::move(record));
}

void GroupChange::PutMember(const std::string& member, v1::GroupMemberValue value) {
  GroupRecord record = Blank(GroupRecordKind::kMember, member);
  record.value = std::move(value);
  Put(std::move(record));
}

void GroupChange::PutTarget(const std::string& member, const PartitionKeys& partitions) {
  GroupRecord record = Blank(GroupRecordKind::kTarget, member);
  if (!partitions.empty()) {
    FillPartitions(partitions, record.value.emplace<v1::TargetAssignmentValue>().mutable_partitions());
  }
  Put(std::move(record));
}

void GroupChange::PutCurrent(const std::string& member, int32_t epoch, int32_t previous,
                             const HeldPartitions& assigned, const HeldPartitions& revoking) {
  for (const auto* held : {&assigned, &revoking}) {
    for (const auto& [partition, since] : *held) {
      const std::string* owner = group_.OwnerOf(partition);
      CHECK(owner == nullptr || *owner == member)
          << "group " << group_.id() << ": partition " << partition.partition << " of "
          << partition.topic.ToBase64() << " would go to " << member << " while " << *owner << " holds it";
    }
  }
  GroupRecord record = Blank(GroupRecordKind::kCurrent, member);
  auto& value = record.value.emplace<v1::CurrentAssignmentValue>();
  value.set_member_epoch(epoch);
  value.set_previous_member_epoch(previous);
  FillHeld(assigned, value.mutable_assigned());
  FillHeld(revoking, value.mutable_revoking());
  Put(std::move(record));
}

void GroupChange::RemoveMember(const std::string& member) {
  if (const GroupMember* there = group_.Find(member)) removed_[member] = there->serials;
  for (const GroupRecordKind kind :
       {GroupRecordKind::kCurrent, GroupRecordKind::kTarget, GroupRecordKind::kMember}) {
    const GroupMember* there = group_.Find(member);
    if (there == nullptr) return;
    if (kind == GroupRecordKind::kTarget && there->target.empty()) continue;
    if (kind == GroupRecordKind::kCurrent && there->epoch == 0) continue;
    Put(Blank(kind, member));
  }
}

void GroupChange::RemoveMetadata() { Put(Blank(GroupRecordKind::kGroup)); }

void GroupChange::RemoveOffset(const PartitionKey& partition) {
  GroupRecord record = Blank(GroupRecordKind::kOffset);
  record.partition = partition;
  Put(std::move(record));
}

void GroupChange::Rollback() {
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) (void)group_.Apply(*undo);
  for (const auto& [id, serials] : removed_) {
    if (GroupMember* member = group_.Find(id)) member->serials = serials;
  }
  undo_.clear();
  records_.clear();
}

}  // namespace tidemark
