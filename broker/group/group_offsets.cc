#include "broker/group/group_offsets.h"

#include <glog/logging.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "broker/group/group_limits.h"

namespace tidemark {
namespace {

// What a member is told is committed first, so that a coordinator that never told it was replaced by one that
// did.
std::unexpected<Error> EpochOfAnother(const std::string& group, const GroupMember& member, int32_t epoch) {
  return Fail(v1::NOT_COORDINATOR, "a member of group '{}' is at epoch {} here, this request says {}", group,
              member.epoch, epoch);
}

// Error of the whole commit, as far as membership tells.
Result<> MayCommit(const Group& group, const std::string& member_id, int32_t epoch,
                   const std::string& instance) {
  if (member_id.empty()) {
    if (epoch >= 0) return Fail(v1::UNKNOWN_MEMBER_ID, "member_id: empty, with member_epoch {}", epoch);
    if (group.members().empty()) return {};
    return Fail(v1::NON_EMPTY_GROUP,
                "group '{}' has {} members; offsets can be set from outside when they have left", group.id(),
                group.members().size());
  }
  const GroupMember* member = group.Find(member_id);
  if (member == nullptr) {
    const std::string holder = instance.empty() ? "" : group.HolderOf(instance);
    if (!holder.empty()) {
      return Fail(v1::FENCED_INSTANCE_ID, "member '{}' of group '{}' has taken over instance id '{}'", holder,
                  group.id(), instance);
    }
    return Fail(v1::UNKNOWN_MEMBER_ID, "group '{}' has no member '{}'", group.id(), member_id);
  }
  if (epoch > 0 && (epoch <= member->epoch)) return {};
  if (epoch > std::max(member->epoch, member->previous_epoch))
    return EpochOfAnother(group.id(), *member, epoch);
  return Fail(v1::STALE_MEMBER_EPOCH, "member '{}' of group '{}' is at epoch {}, not {}", member_id,
              group.id(), member->epoch, epoch);
}

// Why a member that may commit may not commit this partition.
std::optional<Error> NotOwned(const Group& group, const PartitionKey& partition, const std::string& topic,
                              const v1::OffsetCommitRequest& request) {
  if (request.member_id().empty()) return std::nullopt;
  const std::string& member = request.member_id();
  const std::string* owner = group.OwnerOf(partition);
  if (owner != nullptr && *owner != member) {
    return Error{v1::PARTITION_NOT_OWNED,
                 fmt::format("{}-{} is held by member '{}'", topic, partition.partition, *owner)};
  }
  // Of what nobody holds the last owner may have been another member, also since the epoch of this commit: to
  // let go does not change a member's epoch.
  const std::optional<uint32_t> since = group.Find(member)->HeldSince(partition);
  if (owner == nullptr || !since) {
    return Error{v1::PARTITION_NOT_OWNED,
                 fmt::format("{}-{} is not held by '{}' (any more)", topic, partition.partition, member)};
  }
  if (static_cast<uint32_t>(request.member_epoch()) >= *since) return std::nullopt;
  return Error{v1::PARTITION_NOT_OWNED,
               fmt::format("{}-{} is held by '{}' since epoch {}, the commit is of epoch {}", topic,
                           partition.partition, member, *since, request.member_epoch())};
}

std::optional<Error> WhyNotCommit(const PartitionKey& key,
                                  const v1::OffsetCommitRequest::Partition& partition,
                                  const GroupTopic* topic, const GroupScene& scene) {
  if (topic == nullptr) return Error{v1::UNKNOWN_TOPIC_ID, "no topic has this id"};
  const std::string name = scene.resolver.topics().NameOf(key.topic);
  if (key.partition >= topic->partitions) {
    return Error{v1::UNKNOWN_TOPIC_OR_PARTITION, fmt::format("{} has partitions 0 to {}, not {}", name,
                                                             topic->partitions - 1, key.partition)};
  }
  if (partition.offset() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Error{v1::INVALID_REQUEST,
                 fmt::format("offset {} of {}-{}: the largest offset is {}", partition.offset(), name,
                             key.partition, std::numeric_limits<int64_t>::max())};
  }
  if (partition.metadata().size() > scene.options.max_metadata_bytes) {
    return Error{v1::OFFSET_METADATA_TOO_LARGE,
                 fmt::format("metadata of {}-{} has {} bytes, offset.metadata.max.bytes is {}", name,
                             key.partition, partition.metadata().size(), scene.options.max_metadata_bytes)};
  }
  return std::nullopt;
}

GroupRecord OffsetRecord(const Group& group, const PartitionKey& key, const std::string& topic,
                         const v1::OffsetCommitRequest::Partition& partition, WallMillis now) {
  GroupRecord record{.kind = GroupRecordKind::kOffset, .group = group.id(), .partition = key};
  auto& value = record.value.emplace<v1::OffsetCommitValue>();
  value.set_offset(partition.offset());
  if (partition.has_leader_epoch()) value.set_leader_epoch(partition.leader_epoch());
  value.set_metadata(partition.metadata());
  value.set_commit_time(now);
  value.set_topic(topic);
  return record;
}

// The topics whose offsets are told. Of several with one name: the one that there is; of those that are gone
// the one committed last.
std::set<TopicId> TopicsTold(const Group& group, const GroupScene& scene) {
  const GroupTopics& topics = scene.resolver.topics();
  std::map<TopicId, WallMillis> committed;
  for (const auto& [key, stored] : group.offsets()) {
    WallMillis& last = committed[key.topic];
    last = std::max(last, stored.commit_time);
  }
  std::map<std::string, std::pair<WallMillis, TopicId>> last_of;  // by name
  for (const auto& [id, last] : committed) {
    if (scene.resolver.deleted().Has(id)) continue;
    std::string name = group.CommittedTopicName(id);
    const auto living = topics.by_name.find(name);
    if (living != topics.by_name.end() && living->second.id != id) continue;
    auto& chosen = last_of[std::move(name)];
    chosen = std::max(chosen, std::pair(last, id));
  }
  std::set<TopicId> told;
  for (const auto& [name, chosen] : last_of) told.insert(chosen.second);
  return told;
}

void FillOffset(const PartitionKey& key, const StoredOffset& stored, const OffsetExpiry& expiries,
                v1::CommittedOffset* out) {
  out->set_partition(key.partition);
  out->set_offset(stored.offset);
  if (stored.leader_epoch) out->set_leader_epoch(*stored.leader_epoch);
  out->set_metadata(stored.metadata);
  out->set_commit_time(stored.commit_time);
  if (const auto expiry = expiries.Of(key, stored)) out->set_expire_time(*expiry);
}

}  // namespace

Result<> CommitOffsets(const v1::OffsetCommitRequest& request, const GroupScene& scene, GroupChange& change,
                       v1::OffsetCommitResponse* out) {
  Group& group = change.group();
  TM_RETURN_IF_ERROR(CheckPartitionsAsked(request.topics()));
  GroupMember* member = group.Find(request.member_id());
  if (member != nullptr) TM_RETURN_IF_ERROR(NoteSerial(request.serial(), member->serials.commit));
  TM_RETURN_IF_ERROR(MayCommit(group, request.member_id(), request.member_epoch(), request.instance_id()));
  if (member != nullptr) member->just_joined = false;
  for (const v1::OffsetCommitRequest::Topic& wanted : request.topics()) {
    v1::OffsetCommitResponse::Topic* answer = out->add_topics();
    answer->set_topic_id(wanted.topic_id());
    const Result<TopicId> id = TopicId::FromBytes(wanted.topic_id());
    const GroupTopic* topic = id ? scene.resolver.topics().Find(*id) : nullptr;
    const std::string name = id ? scene.resolver.topics().NameOf(*id) : std::string();
    for (const v1::OffsetCommitRequest::Partition& partition : wanted.partitions()) {
      v1::OffsetCommitResponse::Partition* outcome = answer->add_partitions();
      outcome->set_partition(partition.partition());
      const PartitionKey key{id ? *id : TopicId(), partition.partition()};
      std::optional<Error> error = id ? WhyNotCommit(key, partition, topic, scene) : id.error();
      if (!error) error = NotOwned(group, key, name, request);
      if (error) {
        ToProto(*error, outcome->mutable_error());
      } else {
        change.Put(OffsetRecord(group, key, name, partition, scene.wall));
      }
    }
  }
  return {};
}

Result<> FetchOffsets(const v1::OffsetFetchRequest::Group& request, Group* group, const GroupScene& scene,
                      v1::OffsetFetchResponse::Group* out) {
  TM_RETURN_IF_ERROR(CheckPartitionsAsked(request.topics()));
  if (!request.member_id().empty()) {
    const GroupMember* member = group == nullptr ? nullptr : group->Find(request.member_id());
    if (member == nullptr) {
      return Fail(v1::UNKNOWN_MEMBER_ID, "group '{}' has no member '{}'", request.group_id(),
                  request.member_id());
    }
    if (request.member_epoch() > std::max(member->epoch, member->previous_epoch))
      return EpochOfAnother(request.group_id(), *member, request.member_epoch());
    if (request.member_epoch() <= 0 || request.member_epoch() > member->epoch) {
      return Fail(v1::STALE_MEMBER_EPOCH, "member '{}' is at epoch {}, not {}", request.member_id(),
                  member->epoch, request.member_epoch());
    }
  }
  if (request.topics().empty()) {
    if (group != nullptr) FillCommitted(*group, scene, out->mutable_topics());
    return {};
  }
  std::optional<OffsetExpiry> expiries;
  if (group != nullptr) expiries.emplace(*group, scene);
  for (const v1::GroupTopicPartitions& topic : request.topics()) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.topic_id()));
    v1::CommittedTopic* answer = out->add_topics();
    answer->set_topic_id(topic.topic_id());
    answer->set_topic(scene.resolver.topics().NameOf(id));
    for (const uint32_t partition : topic.partitions()) {
      v1::CommittedOffset* offset = answer->add_partitions();
      offset->set_partition(partition);
      if (group == nullptr) continue;
      const PartitionKey key{id, partition};
      const auto stored = group->offsets().find(key);
      if (stored != group->offsets().end()) FillOffset(key, stored->second, *expiries, offset);
    }
  }
  return {};
}

void FillCommitted(Group& group, const GroupScene& scene,
                   google::protobuf::RepeatedPtrField<v1::CommittedTopic>* out) {
  const OffsetExpiry expiries(group, scene);
  std::map<PartitionKey, const StoredOffset*> sorted;
  const std::set<TopicId> told = TopicsTold(group, scene);
  for (const auto& [key, stored] : group.offsets()) {
    if (told.contains(key.topic)) sorted[key] = &stored;
  }
  std::optional<TopicId> topic;
  for (const auto& [key, stored] : sorted) {
    if (topic != key.topic) {
      topic = key.topic;
      v1::CommittedTopic* added = out->Add();
      added->set_topic_id(key.topic.ToBytes());
      added->set_topic(group.CommittedTopicName(key.topic));
    }
    FillOffset(key, *stored, expiries, out->Mutable(out->size() - 1)->add_partitions());
  }
}

Result<> DeleteOffsets(const v1::OffsetDeleteRequest& request, const GroupScene& scene, GroupChange& change,
                       v1::OffsetDeleteResponse* out) {
  TM_RETURN_IF_ERROR(CheckPartitionsAsked(request.topics()));
  Group& group = change.group();
  const OffsetExpiry expiries(group, scene);
  for (const v1::GroupTopicPartitions& topic : request.topics()) {
    v1::OffsetDeleteResponse::Topic* answer = out->add_topics();
    answer->set_topic_id(topic.topic_id());
    const Result<TopicId> id = TopicId::FromBytes(topic.topic_id());
    const bool read = id && expiries.IsRead(*id);
    for (const uint32_t partition : topic.partitions()) {
      v1::OffsetDeleteResponse::Partition* outcome = answer->add_partitions();
      outcome->set_partition(partition);
      if (!id) {
        ToProto(id.error(), outcome->mutable_error());
      } else if (read) {
        ToProto(
            {v1::GROUP_SUBSCRIBED_TO_TOPIC, fmt::format("members of group '{}' read the topic", group.id())},
            outcome->mutable_error());
      } else if (group.offsets().contains({*id, partition})) {
        change.RemoveOffset({*id, partition});
      }
    }
  }
  return {};
}

Result<> DeleteGroup(GroupChange& change) {
  Group& group = change.group();
  if (!group.members().empty()) {
    return Fail(v1::NON_EMPTY_GROUP, "group '{}' has {} members; stop them first", group.id(),
                group.members().size());
  }
  PartitionKeys keys;
  for (const auto& [key, stored] : group.offsets()) keys.insert(key);
  for (const PartitionKey& key : keys) change.RemoveOffset(key);
  if (group.metadata()) change.RemoveMetadata();
  return {};
}

OffsetExpiry::OffsetExpiry(Group& group, const GroupScene& scene)
    : group_(group),
      retention_(ToMillis(scene.options.offsets_retention)),
      read_(TopicsRead(group, scene.resolver)),
      topics_(scene.resolver.topics()) {}

std::optional<WallMillis> OffsetExpiry::Of(const PartitionKey& partition, const StoredOffset& offset) const {
  WallMillis since = offset.commit_time;
  if (!group_.members().empty()) {
    if (IsRead(partition.topic)) return std::nullopt;
    // It may be one that the controller cannot read at this moment, and that a member subscribes to.
    if (topics_.incomplete && topics_.Find(partition.topic) == nullptr) return std::nullopt;
  } else if (group_.metadata()) {
    since = std::max(since, group_.metadata()->empty_since());
  }
  return since + retention_;
}

size_t RemoveDeletedTopics(const GroupScene& scene, size_t limit, GroupChange& change) {
  Group& group = change.group();
  const DeletedTopics& deleted = scene.resolver.deleted();
  if (deleted.size() == 0) return 0;
  PartitionKeys removed;
  for (const auto& [key, stored] : group.offsets()) {
    if (removed.size() >= limit) break;
    if (deleted.Has(key.topic)) removed.insert(key);
  }
  for (const PartitionKey& key : removed) {
    CHECK(scene.resolver.topics().Find(key.topic) == nullptr)
        << "offsets of a topic that is there were about to be removed";
    change.RemoveOffset(key);
  }
  if (!removed.empty() && group.metadata() && group.members().empty() && group.offsets().empty())
    change.RemoveMetadata();
  return removed.size();
}

size_t ExpireOffsets(const GroupScene& scene, size_t limit, GroupChange& change) {
  Group& group = change.group();
  const OffsetExpiry expiries(group, scene);
  PartitionKeys expired;
  for (const auto& [key, stored] : group.offsets()) {
    if (expired.size() >= limit) break;
    const auto expiry = expiries.Of(key, stored);
    if (expiry && *expiry <= scene.wall) expired.insert(key);
  }
  for (const PartitionKey& key : expired) change.RemoveOffset(key);
  if (group.metadata() && group.members().empty() && group.offsets().empty()) change.RemoveMetadata();
  return expired.size();
}

}  // namespace tidemark
