// ControllerTerm: requests of brokers about partitions, and what is told of topics.
#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include <glog/logging.h>

#include "controller/alter_partition.h"
#include "controller/command_maker.h"
#include "controller/term.h"

namespace tidemark {
namespace {

// What a request names, or why not.
struct Found {
  TopicContext* topic = nullptr;
  PartitionContext* partition = nullptr;
  Error error{v1::NONE, {}};
};

Found Find(ClusterContext& cluster, const std::string& topic_id, PartitionIndex index) {
  const Result<TopicId> id = TopicId::FromBytes(topic_id);
  if (!id) return {.error = id.error()};
  Found found{.topic = cluster.Topic(*id)};
  if (found.topic == nullptr)
    return {.error = {v1::UNKNOWN_TOPIC_ID, "no topic has the id " + id->ToBase64()}};
  const auto it = found.topic->partitions.find(index);
  if (it == found.topic->partitions.end() || !it->second.state || found.topic->deleting) {
    found.error = {v1::UNKNOWN_TOPIC_OR_PARTITION,
                   fmt::format("{}-{} {}", found.topic->name, index,
                               found.topic->deleting ? "is being deleted" : "is not there (yet)")};
    return found;
  }
  found.partition = &it->second;
  if (!found.topic->quarantine.empty()) {
    found.error = {v1::BROKER_NOT_READY,
                   fmt::format("topic {} is left alone: {}", found.topic->name, found.topic->quarantine)};
  }
  return found;
}

}  // namespace

std::optional<Error> ControllerTerm::CheckSender(BrokerId id, BrokerEpoch epoch) const {
  const LiveBrokerContext* broker = cluster_.Broker(id);
  if (broker == nullptr) {
    return Error{v1::BROKER_ID_NOT_REGISTERED, fmt::format("broker {} is not registered", id)};
  }
  if (broker->epoch != epoch) {
    return Error{v1::STALE_BROKER_EPOCH,
                 fmt::format("broker {} is registered with epoch {}, not {}", id, broker->epoch, epoch)};
  }
  return std::nullopt;
}

bool ControllerTerm::KnowsLaterLives(const v1::AlterPartitionRequest& request) const {
  if (request.broker_epoch() > cluster_.EpochOf(request.broker_id())) return true;
  return std::ranges::any_of(request.partitions(), [this](const auto& wish) {
    return std::ranges::any_of(wish.isr(), [this](const auto& member) {
      return member.broker_epoch() > cluster_.EpochOf(member.broker_id());
    });
  });
}

Task<ControllerTerm::Step> ControllerTerm::ServeAlterPartition(Pending& pending) {
  const v1::AlterPartitionRequest& request = pending.request.alter_partition();
  if (pending.attempts == 0 && KnowsLaterLives(request)) {
    // A broker that has just registered may be met by a leader before its registration is read here.
    Hint({.brokers = true});
    co_return Step::kLater;
  }
  v1::Response response;
  v1::AlterPartitionResponse& out = *response.mutable_alter_partition();
  if (const auto error = CheckSender(request.broker_id(), request.broker_epoch())) {
    ToProto(*error, out.mutable_error());
    pending.answer.Set(std::move(response));
    co_return Step::kDone;
  }
  std::vector<StateChange> changes;
  std::set<PartitionKey> seen;
  for (const auto& wish : request.partitions()) {
    v1::AlterPartitionResponse::Partition& answer = *out.add_partitions();
    answer.set_topic_id(wish.topic_id());
    answer.set_partition(wish.partition());
    const Found found = Find(cluster_, wish.topic_id(), wish.partition());
    if (found.error.code != v1::NONE) {
      ToProto(found.error, answer.mutable_error());
      continue;
    }
    if (!seen.insert({found.topic->id, wish.partition()}).second) {
      ToProto({v1::INVALID_REQUEST, "the partition is named twice"}, answer.mutable_error());
      continue;
    }
    const PartitionFacts facts = cluster_.Facts(*found.topic, wish.partition());
    AlterPartitionDecision decision =
        DecideAlterPartition(facts, found.partition->epoch(), request.broker_id(), wish);
    if (decision.error.code == v1::NOT_CONTROLLER) Hint({.verify = true, .topic_names = {found.topic->name}});
    if (decision.error.code != v1::NONE) ToProto(decision.error, answer.mutable_error());
    if (decision.tells_state) FillPartitionState(wish.partition(), *found.partition, answer.mutable_state());
    if (decision.next) {
      changes.push_back({.topic = found.topic->name, .partition = wish.partition(), .next = *decision.next});
    }
  }
  co_await WriteStates(std::move(changes));
  if (ended() || hints_.full) co_return Step::kAgain;
  for (int i = 0; i < out.partitions_size(); ++i) {
    auto& answer = *out.mutable_partitions(i);
    if (answer.error().code() != v1::NONE) continue;
    const Found found = Find(cluster_, answer.topic_id(), answer.partition());
    if (found.partition == nullptr) continue;
    answer.clear_state();
    FillPartitionState(answer.partition(), *found.partition, answer.mutable_state());
    // The write was refused: the topic is read again, and the leader asks anew.
    if (found.partition->epoch() <= request.partitions(i).partition_epoch()) {
      ToProto({v1::INVALID_UPDATE_VERSION, "the state was changed by someone else"}, answer.mutable_error());
    }
  }
  PumpAll();
  pending.answer.Set(std::move(response));
  co_return Step::kDone;
}

void ControllerTerm::NoteFailed(const v1::ResignLeadershipRequest& request, const PartitionKey& key,
                                bool log_damaged) {
  cluster_.failed_replicas.insert_or_assign(
      {request.broker_id(), key},
      FailedReplica{.broker_epoch = request.broker_epoch(), .log_damaged = log_damaged});
  MarkTopic(key.topic);
}

Task<ControllerTerm::Step> ControllerTerm::ServeResignLeadership(Pending& pending) {
  const v1::ResignLeadershipRequest& request = pending.request.resign_leadership();
  v1::Response response;
  v1::ResignLeadershipResponse& out = *response.mutable_resign_leadership();
  if (const auto error = CheckSender(request.broker_id(), request.broker_epoch())) {
    ToProto(*error, out.mutable_error());
    pending.answer.Set(std::move(response));
    co_return Step::kDone;
  }
  std::vector<StateChange> changes;
  std::set<PartitionKey> seen;
  for (const auto& wish : request.partitions()) {
    auto& answer = *out.add_partitions();
    answer.set_topic_id(wish.topic_id());
    answer.set_partition(wish.partition());
    const Found found = Find(cluster_, wish.topic_id(), wish.partition());
    Error error = found.error;
    if (error.code == v1::NONE && wish.leader_epoch() < found.partition->state->leader_epoch &&
        found.partition->state->leader == request.broker_id()) {
      error = {v1::FENCED_LEADER_EPOCH,
               fmt::format("leader epoch {} is in force", found.partition->state->leader_epoch)};
    }
    if (error.code != v1::NONE) {
      ToProto(error, answer.mutable_error());
      continue;
    }
    if (!seen.insert({found.topic->id, wish.partition()}).second) continue;
    // Its disk has failed for as long as the broker lives: it must not be elected, nor wait to be told so.
    if (request.reason() == v1::RESIGN_REASON_STORAGE && wish.leave_isr()) {
      NoteFailed(request, {found.topic->id, wish.partition()}, false);
    }
    // Once is enough: a repeated wish still names the epoch in which it was first made.
    const bool damaged = request.reason() == v1::RESIGN_REASON_DAMAGED_LOG ||
                         request.reason() == v1::RESIGN_REASON_OFFLINE_LOG;
    const bool fence =
        wish.leave_isr() && damaged && wish.leader_epoch() == found.partition->state->leader_epoch;
    const Relief relief{.replica = request.broker_id(), .leave_isr = wish.leave_isr(), .fence = fence};
    auto next = DecideLeadership(cluster_.Facts(*found.topic, wish.partition()), relief);
    const Leadership& state = next ? *next : *found.partition->state;
    if (request.reason() == v1::RESIGN_REASON_OFFLINE_LOG && state.Member(request.broker_id()) != nullptr) {
      // Nobody else is in sync: the partition has no leader, for all to see.
      NoteFailed(request, {found.topic->id, wish.partition()}, true);
      next = DecideLeadership(cluster_.Facts(*found.topic, wish.partition()), relief);
    }
    if (next) {
      changes.push_back(
          {.topic = found.topic->name, .partition = wish.partition(), .next = std::move(*next)});
    }
  }
  LOG(INFO) << "broker " << request.broker_id() << " asks to be relieved of " << request.partitions_size()
            << " partitions: " << v1::ResignReason_Name(request.reason());
  co_await WriteStates(std::move(changes));
  if (ended() || hints_.full) co_return Step::kAgain;
  for (int i = 0; i < out.partitions_size(); ++i) {
    auto& answer = *out.mutable_partitions(i);
    if (answer.error().code() != v1::NONE) continue;
    const Found found = Find(cluster_, answer.topic_id(), answer.partition());
    if (found.partition == nullptr) continue;
    const Leadership& state = *found.partition->state;
    const bool in_isr = state.Member(request.broker_id()) != nullptr;
    if (state.leader == request.broker_id() || (request.partitions(i).leave_isr() && in_isr)) {
      ToProto({v1::ELIGIBLE_LEADERS_NOT_AVAILABLE, "no other replica in sync is live"},
              answer.mutable_error());
    }
  }
  PumpAll();
  pending.answer.Set(std::move(response));
  co_return Step::kDone;
}

Task<ControllerTerm::Step> ControllerTerm::ServeControlledShutdown(Pending& pending) {
  const v1::ControlledShutdownRequest& request = pending.request.controlled_shutdown();
  v1::Response response;
  v1::ControlledShutdownResponse& out = *response.mutable_controlled_shutdown();
  if (const auto error = CheckSender(request.broker_id(), request.broker_epoch())) {
    ToProto(*error, out.mutable_error());
    pending.answer.Set(std::move(response));
    co_return Step::kDone;
  }
  LiveBrokerContext& broker = cluster_.brokers.at(request.broker_id());
  if (!broker.shutting_down) LOG(INFO) << "broker " << broker.id << " is going to stop";
  broker.shutting_down = true;
  co_await Decide();
  if (ended() || hints_.full) co_return Step::kAgain;
  for (const auto& [name, topic] : cluster_.topics) {
    for (const auto& [index, partition] : topic.partitions) {
      const bool leads = partition.state && partition.state->leader == request.broker_id();
      if (!leads || topic.deleting) continue;
      // Without another replica's broker in the cluster no retry of the stopping broker will find a new
      // leader.
      const bool others = std::ranges::any_of(partition.replicas, [&](BrokerId id) {
        auto other = cluster_.brokers.find(id);
        return id != request.broker_id() && other != cluster_.brokers.end() && !other->second.shutting_down;
      });
      if (!others) continue;
      auto& remaining = *out.add_remaining();
      remaining.set_topic(name);
      remaining.set_partition(index);
    }
  }
  pending.answer.Set(std::move(response));
  co_return Step::kDone;
}

Task<bool> ControllerTerm::LetOthersRun() {
  (void)co_await Sleep(loop_, Duration{}, "between the topics of a request", scope_.stop_token());
  co_return !ended() && !hints_.full && !GivesWay(turn_began_);
}

v1::Response ControllerTerm::DescribeTopics(const v1::DescribeTopicsRequest& request) const {
  v1::Response response;
  v1::DescribeTopicsResponse& out = *response.mutable_describe_topics();
  if (request.names().empty()) {
    for (const auto& [name, topic] : cluster_.topics) FillTopicMetadata(cluster_, topic, out.add_topics());
    return response;
  }
  std::set<std::string_view> seen;
  for (const std::string& name : request.names()) {
    if (!seen.insert(name).second) continue;
    v1::TopicMetadata& topic = *out.add_topics();
    const auto known = cluster_.topics.find(name);
    if (known != cluster_.topics.end()) {
      FillTopicMetadata(cluster_, known->second, &topic);
      continue;
    }
    topic.set_name(name);
    const auto unreadable = cluster_.unreadable_topics.find(name);
    if (unreadable != cluster_.unreadable_topics.end()) {
      ToProto({v1::UNKNOWN_SERVER_ERROR, "its znode cannot be used: " + unreadable->second},
              topic.mutable_error());
    } else {
      ToProto({v1::UNKNOWN_TOPIC_OR_PARTITION, fmt::format("there is no topic '{}'", name)},
              topic.mutable_error());
    }
  }
  return response;
}

}  // namespace tidemark
