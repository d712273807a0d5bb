#include "tests/unit/client/fake_coordinator.h"

#include <gtest/gtest.h>

#include "broker/group/group_describe.h"

namespace tidemark::testing {

FakeCoordinator::FakeCoordinator(MemoryEnvironment& env, FakeBrokers& brokers)
    : env_(env), brokers_(brokers) {
  brokers_.on_other = [this](BrokerId at, const v1::Request& request) { return Serve(at, request); };
}

Group& FakeCoordinator::group(const std::string& id) {
  auto& group = groups_[id];
  if (group == nullptr) group = std::make_unique<Group>(id);
  return *group;
}

GroupScene FakeCoordinator::Scene() {
  auto topics = std::make_shared<GroupTopics>();
  for (const auto& [name, topic] : brokers_.topics)
    topics->Add(name, {topic.id, static_cast<uint32_t>(topic.partitions.size())});
  const bool changed = resolver_.SetTopics(std::move(topics));
  const GroupScene scene{
      .now = env_.loop.Now(), .wall = env_.WallNow(), .resolver = resolver_, .options = options};
  for (auto& [id, group] : groups_) {
    GroupChange late(*group);
    OnGroupTime(scene, late);
    if (!changed) continue;
    GroupChange change(*group);
    OnGroupTopics(scene, change);
  }
  return scene;
}

std::optional<Offset> FakeCoordinator::Committed(const std::string& topic, PartitionIndex partition) {
  const auto& offsets = group().offsets();
  const auto found = offsets.find({brokers_.topics.at(topic).id, partition});
  if (found == offsets.end()) return std::nullopt;
  return found->second.offset;
}

void FakeCoordinator::Commit(const std::string& topic, PartitionIndex partition, Offset offset,
                             std::optional<LeaderEpoch> epoch) {
  v1::OffsetCommitRequest request;
  request.set_group_id("g");
  request.set_member_epoch(-1);
  auto* wanted = request.add_topics();
  wanted->set_topic_id(brokers_.topics.at(topic).id.ToBytes());
  wanted->add_partitions()->set_partition(partition);
  wanted->mutable_partitions(0)->set_offset(offset);
  if (epoch) wanted->mutable_partitions(0)->set_leader_epoch(*epoch);
  v1::OffsetCommitResponse response;
  GroupChange change(group());
  EXPECT_TRUE(CommitOffsets(request, Scene(), change, &response));
}

std::map<std::string, size_t> FakeCoordinator::Shares() {
  std::map<std::string, size_t> shares;
  for (const auto& [id, member] : group().members())
    shares[id] = member.assigned.size() + member.revoking.size();
  return shares;
}

Result<v1::Response> FakeCoordinator::Serve(BrokerId at, const v1::Request& request) {
  if (request.has_find_coordinator()) {
    v1::Response response;
    auto* found = response.mutable_find_coordinator()->add_coordinators();
    const BrokerId named = at == former ? former : broker;
    found->set_group_id(request.find_coordinator().group_ids(0));
    found->set_broker_id(named);
    found->set_host("broker" + std::to_string(named));
    found->set_port(9092);
    found->set_coordinator_epoch(at == former || behind.contains(at) ? epoch - 1 : epoch);
    if (broker == kNoBroker)
      ToProto({v1::COORDINATOR_NOT_AVAILABLE, "as the test wants"}, found->mutable_error());
    return response;
  }
  if (at == former) return ServeAsFormer(request);
  if (at != broker) return Fail(v1::NOT_COORDINATOR, "broker {} is", broker);
  if (loading) return Fail(v1::COORDINATOR_LOAD_IN_PROGRESS, "as the test wants");
  if (before) {
    if (auto error = before(request)) return std::unexpected(std::move(*error));
  }
  if (answer) {
    if (auto instead = answer(request)) return std::move(*instead);
  }
  auto decided = Decide(request);
  if (after) {
    if (auto error = after(request)) return std::unexpected(std::move(*error));
  }
  return decided;
}

Result<v1::Response> FakeCoordinator::ServeAsFormer(const v1::Request& request) {
  if (!request.has_consumer_group_heartbeat()) return Fail(v1::REQUEST_TIMED_OUT, "nobody follows any more");
  const auto& beat = request.consumer_group_heartbeat();
  if (beat.coordinator_epoch() >= epoch) return Fail(v1::NOT_COORDINATOR, "then another one is");
  ++confirmed_by_former;
  v1::Response response;
  auto* answer = response.mutable_consumer_group_heartbeat();
  answer->set_member_id(beat.member_id());
  answer->set_member_epoch(beat.member_epoch());
  answer->set_heartbeat_interval_ms(1'000);
  return response;
}

Result<v1::Response> FakeCoordinator::Decide(const v1::Request& request) {
  v1::Response response;
  const GroupScene scene = Scene();
  if (request.has_consumer_group_heartbeat()) {
    const auto& beat = request.consumer_group_heartbeat();
    ++heartbeats;
    TM_RETURN_IF_ERROR(ValidateHeartbeat(beat, scene));
    GroupChange change(group(beat.group_id()));
    TM_ASSIGN_OR_RETURN(const HeartbeatOutcome outcome, Heartbeat(beat, {"client", "host"}, scene, change));
    auto* answer = response.mutable_consumer_group_heartbeat();
    answer->set_member_id(beat.member_id());
    answer->set_member_epoch(outcome.member_epoch);
    const GroupMember* member = change.group().Find(beat.member_id());
    const bool stable = member == nullptr || StateOf(*member) == v1::GROUP_MEMBER_STATE_STABLE;
    answer->set_heartbeat_interval_ms(
        static_cast<uint32_t>(stable ? ToMillis(options.heartbeat_interval) : 500));
    if (outcome.tell_assignment) {
      FillPartitions(member->assigned, answer->mutable_assignment());
      for (auto& topic : *answer->mutable_assignment()->mutable_topics())
        topic.set_topic(resolver_.topics().NameOf(*TopicId::FromBytes(topic.topic_id())));
    }
    return response;
  }
  if (request.has_offset_commit()) {
    ++commits;
    GroupChange change(group(request.offset_commit().group_id()));
    TM_RETURN_IF_ERROR(
        CommitOffsets(request.offset_commit(), scene, change, response.mutable_offset_commit()));
    return response;
  }
  if (request.has_offset_fetch()) {
    const auto& asked = request.offset_fetch().groups(0);
    TM_RETURN_IF_ERROR(
        FetchOffsets(asked, &group(asked.group_id()), scene, response.mutable_offset_fetch()->add_groups()));
    return response;
  }
  if (request.has_offset_delete()) {
    GroupChange change(group(request.offset_delete().group_id()));
    TM_RETURN_IF_ERROR(
        DeleteOffsets(request.offset_delete(), scene, change, response.mutable_offset_delete()));
    return response;
  }
  if (request.has_describe_groups()) {
    auto* answer = response.mutable_describe_groups()->add_groups();
    DescribeGroup(group(request.describe_groups().group_ids(0)), request.describe_groups().include_offsets(),
                  scene, answer);
    return response;
  }
  if (request.has_delete_groups()) {
    auto* answer = response.mutable_delete_groups()->add_groups();
    GroupChange change(group(request.delete_groups().group_ids(0)));
    if (const auto deleted = DeleteGroup(change); !deleted) ToProto(deleted.error(), answer->mutable_error());
    return response;
  }
  if (request.has_list_groups()) {
    for (auto& [id, group] : groups_) ListGroup(*group, response.mutable_list_groups()->add_groups());
    return response;
  }
  return Fail(v1::INVALID_REQUEST, "the fake does not do that");
}

}  // namespace tidemark::testing
