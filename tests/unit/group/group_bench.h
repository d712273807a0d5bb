// A group on a bench: the pure coordinator with a clock that the test moves, topics that it makes, and every
// record kept, so that a new coordinator can be made from them at any moment.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/group/group_describe.h"
#include "broker/group/group_offsets.h"

namespace tidemark {

inline TopicId BenchTopicId(uint8_t number) {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes[0] = number;
  bytes[15] = 1;
  return TopicId(bytes);
}

class GroupBench {
 public:
  GroupBench() : group(std::make_unique<Group>("g")), topics_(std::make_shared<GroupTopics>()) {
    resolver.SetTopics(topics_);
  }

  // The controller cannot read some topics: what is missing may exist.
  void SetIncomplete(bool incomplete) {
    auto next = std::make_shared<GroupTopics>(*topics_);
    next->incomplete = incomplete;
    SetTopics(next);
  }
  TopicId AddTopic(const std::string& name, uint32_t partitions) {
    auto next = std::make_shared<GroupTopics>(*topics_);
    const auto found = next->by_name.find(name);
    const TopicId id = found != next->by_name.end() ? found->second.id : BenchTopicId(++last_topic_);
    next->Add(name, {id, partitions});
    SetTopics(next);
    return id;
  }
  void DropTopic(const std::string& name) {
    auto next = std::make_shared<GroupTopics>(*topics_);
    next->names.erase(next->by_name.at(name).id);
    next->by_name.erase(name);
    SetTopics(next);
  }

  GroupScene Scene() { return {.now = now, .wall = wall, .resolver = resolver, .options = options}; }
  void Pass(Duration time) {
    now += time;
    wall += ToMillis(time);
    const GroupScene scene = Scene();
    GroupChange change(*group);
    OnGroupTime(scene, change);
    Keep(change);
  }

  v1::ConsumerGroupHeartbeatRequest JoinRequest(const std::string& member, std::vector<std::string> names,
                                                const std::string& instance = "") {
    v1::ConsumerGroupHeartbeatRequest request;
    request.set_group_id("g");
    request.set_member_id(member);
    request.set_instance_id(instance);
    request.set_rebalance_timeout_ms(60'000);
    for (const std::string& name : names) request.mutable_subscription()->add_topics(name);
    request.mutable_subscription();
    request.mutable_owned();
    return request;
  }

  Result<v1::ConsumerGroupHeartbeatResponse> Beat(const v1::ConsumerGroupHeartbeatRequest& request) {
    const GroupScene scene = Scene();
    TM_RETURN_IF_ERROR(ValidateHeartbeat(request, scene));
    GroupChange change(*group);
    auto outcome = Heartbeat(request, {"client", "host"}, scene, change);
    if (!outcome) {
      EXPECT_TRUE(change.empty()) << "an error changed something";
      return std::unexpected(outcome.error());
    }
    Keep(change);
    v1::ConsumerGroupHeartbeatResponse response;
    response.set_member_epoch(outcome->member_epoch);
    if (outcome->tell_assignment)
      FillPartitions(group->Find(request.member_id())->assigned, response.mutable_assignment());
    return response;
  }

  Result<v1::OffsetCommitResponse> Commit(const v1::OffsetCommitRequest& request) {
    GroupChange change(*group);
    v1::OffsetCommitResponse response;
    TM_RETURN_IF_ERROR(CommitOffsets(request, Scene(), change, &response));
    Keep(change);
    return response;
  }

  // Notes the records of a change, as the log would.
  void Keep(GroupChange& change) {
    for (const GroupRecord& record : change.records()) {
      const std::string key = EncodeGroupKey(record);
      log.emplace_back(key, EncodeGroupValue(record));
    }
  }

  // What a new coordinator reads back; `compacted`: only the last record of each key.
  std::unique_ptr<Group> ReadBack(bool compacted) const {
    std::map<std::string, size_t> last;
    for (size_t i = 0; i < log.size(); ++i) last[log[i].first] = i;
    auto read = std::make_unique<Group>("g");
    for (size_t i = 0; i < log.size(); ++i) {
      if (compacted && last[log[i].first] != i) continue;
      auto record = DecodeGroupRecord(log[i].first, log[i].second);
      EXPECT_TRUE(record && *record);
      (void)read->Apply(**record);
    }
    EXPECT_TRUE(read->FinishLoad().empty());
    return read;
  }

  // Everything that records say of a group.
  std::string Text(Group& of) {
    v1::DescribeGroupsResponse::Group out;
    DescribeGroup(of, true, Scene(), &out);
    for (auto& member : *out.mutable_members()) member.clear_last_heartbeat_ms_ago();
    return out.DebugString();
  }

  // A new coordinator takes over.
  void Reload(bool compacted) {
    group = ReadBack(compacted);
    if (compacted) {
      std::map<std::string, size_t> last;
      for (size_t i = 0; i < log.size(); ++i) last[log[i].first] = i;
      size_t i = 0;
      std::erase_if(log, [&](const auto& record) { return last[record.first] != i++; });
    }
    StartGroupTimers(*group, now);
  }

  std::unique_ptr<Group> group;
  SubscriptionResolver resolver;
  GroupOptions options{.initial_rebalance_delay = {}};
  MonoTime now{1000s};
  WallMillis wall = 1'700'000'000'000;
  std::vector<std::pair<std::string, std::optional<std::string>>> log;

 private:
  void SetTopics(std::shared_ptr<GroupTopics> next) {
    topics_ = next;
    resolver.SetTopics(next);
    GroupChange change(*group);
    OnGroupTopics(Scene(), change);
    Keep(change);
  }

  std::shared_ptr<GroupTopics> topics_;
  uint8_t last_topic_ = 0;
};

// A member as a client is to behave: it holds what it was told, lets go of what is asked back, and says so.
class BenchMember {
 public:
  BenchMember(GroupBench& bench, std::string id, std::vector<std::string> topics, std::string instance = "")
      : bench_(bench), id_(std::move(id)), topics_(std::move(topics)), instance_(std::move(instance)) {}

  const std::string& id() const { return id_; }
  int32_t epoch() const { return epoch_; }
  const PartitionKeys& held() const { return held_; }
  bool busy() const { return !letting_go_.empty(); }

  v1::ConsumerGroupHeartbeatRequest Next() {
    if (epoch_ == 0) return bench_.JoinRequest(id_, topics_, instance_);
    v1::ConsumerGroupHeartbeatRequest request;
    request.set_group_id("g");
    request.set_member_id(id_);
    request.set_instance_id(instance_);
    request.set_member_epoch(epoch_);
    if (tell_) {
      PartitionKeys all = Reads();
      for (const PartitionKey& partition : not_begun_) all.erase(partition);
      FillPartitions(all, request.mutable_owned());
    }
    return request;
  }
  // One heartbeat; a fenced member drops all and will join again.
  ErrorCode Beat(bool answer_lost = false) {
    const auto answer = bench_.Beat(Next());
    if (answer_lost) {
      tell_ = true;
      return v1::NONE;
    }
    return Take(answer);
  }
  ErrorCode Take(const Result<v1::ConsumerGroupHeartbeatResponse>& answer) {
    if (!answer) {
      if (ClassOf(answer.error().code) == v1::ERROR_CLASS_REJOIN) Forget();
      return answer.error().code;
    }
    tell_ = false;
    epoch_ = answer->member_epoch();
    if (!answer->has_assignment()) return v1::NONE;
    const PartitionKeys told = *PartitionKeysFrom(answer->assignment());
    for (const PartitionKey& partition : held_) {
      if (!told.contains(partition)) letting_go_.insert(partition);
    }
    for (const PartitionKey& partition : told) {
      if (!held_.contains(partition)) not_begun_.insert(partition);
    }
    std::erase_if(not_begun_, [&](const PartitionKey& partition) { return !told.contains(partition); });
    held_ = told;
    // What it still finishes it cannot begin anew.
    for (const PartitionKey& partition : told) letting_go_.erase(partition);
    tell_ = true;
    return v1::NONE;
  }
  // Begins to read what it was given; until then it truly says that it does not hold it.
  void Begin() {
    tell_ |= !not_begun_.empty();
    not_begun_.clear();
  }
  // Commits and lets go of what was asked back.
  void LetGo() {
    if (letting_go_.empty()) return;
    letting_go_.clear();
    tell_ = true;
  }
  ErrorCode Leave(int32_t how = kLeaveEpoch) {
    v1::ConsumerGroupHeartbeatRequest request = Next();
    request.set_member_epoch(how);
    const auto answer = bench_.Beat(request);
    Forget();
    return answer ? v1::NONE : answer.error().code;
  }
  void Forget() {
    epoch_ = 0;
    held_.clear();
    letting_go_.clear();
    not_begun_.clear();
    tell_ = false;
  }
  // All that it may be reading now, or begin to read without asking.
  PartitionKeys Reads() const {
    PartitionKeys all = held_;
    all.insert(letting_go_.begin(), letting_go_.end());
    return all;
  }

 private:
  GroupBench& bench_;
  const std::string id_;
  std::vector<std::string> topics_;
  const std::string instance_;
  int32_t epoch_ = 0;
  bool tell_ = false;
  PartitionKeys held_;
  PartitionKeys letting_go_;
  PartitionKeys not_begun_;
};

}  // namespace tidemark
