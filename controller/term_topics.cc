// ControllerTerm: creation and deletion of topics as requests. The writes are made within the loop's turn;
// that the cluster follows is awaited in the caller's coroutine.
#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "controller/term.h"

namespace tidemark {
namespace {

constexpr const char* kDeleting = "is being deleted; it can be created when it is gone";

TopicId NewTopicId(Random& random) {
  std::array<uint8_t, TopicId::kSize> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Next() >> 32);
  return TopicId(bytes);
}

}  // namespace

Result<TopicPlan> ControllerTerm::PlanNewTopic(const v1::CreateTopicsRequest::Topic& wish) const {
  const auto known = cluster_.topics.find(wish.name());
  if (known != cluster_.topics.end()) {
    return Fail(v1::TOPIC_ALREADY_EXISTS, "topic '{}' {}", wish.name(),
                known->second.deleting ? kDeleting : "exists");
  }
  if (cluster_.unreadable_topics.contains(wish.name())) {
    return Fail(v1::TOPIC_ALREADY_EXISTS, "topic '{}' exists, and its znode cannot be used", wish.name());
  }
  if (cluster_.deletions.contains(wish.name())) {
    return Fail(v1::TOPIC_ALREADY_EXISTS, "topic '{}' {}", wish.name(), kDeleting);
  }
  TM_RETURN_IF_ERROR(ValidateTopicName(wish.name()));
  for (const auto& [name, topic] : cluster_.topics) {
    if (name != wish.name() && NamesCollide(name, wish.name())) {
      return Fail(v1::INVALID_TOPIC_EXCEPTION,
                  "'{}' collides with the topic '{}': '.' and '_' count as the same", wish.name(), name);
    }
  }
  std::vector<PlacementBroker> brokers;
  for (const auto& [id, broker] : cluster_.brokers) brokers.push_back({id, broker.wire.rack()});
  Random& random = options_.env.random();
  const uint64_t start = random.Next() >> 16;
  const uint64_t shift = random.Next() >> 16;
  TM_ASSIGN_OR_RETURN(TopicPlan plan, PlanTopic(wish, brokers,
                                                {.partitions = options_.num_partitions,
                                                 .replication_factor = options_.default_replication_factor},
                                                start, shift));
  TM_RETURN_IF_ERROR(CheckFitsRequest(plan.configs, options_.broker_properties));
  return plan;
}

Task<ControllerTerm::Step> ControllerTerm::ServeCreateTopics(Pending& pending) {
  const v1::CreateTopicsRequest& request = pending.request.create_topics();
  v1::CreateTopicsResponse& out = *pending.partial.mutable_create_topics();
  std::map<std::string, int> times;
  for (const auto& wish : request.topics()) ++times[wish.name()];
  for (const int first = pending.served; pending.served < request.topics_size(); ++pending.served) {
    const auto& wish = request.topics(pending.served);
    if (pending.served > first && !co_await LetOthersRun()) co_return Step::kGiveWay;
    v1::CreateTopicsResponse::Topic topic;
    topic.set_name(wish.name());
    if (times[wish.name()] > 1) {
      ToProto({v1::INVALID_REQUEST, "the topic is named twice"}, topic.mutable_error());
    } else if (co_await CreateTopic(wish, request.validate_only(), pending, &topic) == Step::kAgain) {
      co_return Step::kAgain;
    }
    *out.add_topics() = std::move(topic);
    pending.Moved(loop_.Now());
  }
  pending.answer.Set(std::move(pending.partial));
  // Leaders are chosen in the next turn.
  Hint({.decide = true});
  co_return Step::kDone;
}

Task<ControllerTerm::Step> ControllerTerm::CreateTopic(const v1::CreateTopicsRequest::Topic& wish,
                                                       bool validate_only, Pending& pending,
                                                       v1::CreateTopicsResponse::Topic* out) {
  const auto given = pending.given_ids.find(wish.name());
  const auto known = cluster_.topics.find(wish.name());
  if (given != pending.given_ids.end() && known != cluster_.topics.end() &&
      known->second.id == given->second) {
    // Made by an earlier attempt of this request, whose answer was lost; its placement is what counts.
    const auto& partitions = known->second.partitions;
    out->set_id(known->second.id.ToBytes());
    out->set_partitions(static_cast<uint32_t>(partitions.size()));
    if (!partitions.empty())
      out->set_replication_factor(static_cast<uint32_t>(partitions.begin()->second.replicas.size()));
    co_return Step::kDone;
  }
  Result<TopicPlan> plan = PlanNewTopic(wish);
  if (plan && IsInternalTopic(wish.name()) && !pending.request.create_topics().internal()) {
    plan =
        Fail(v1::INVALID_TOPIC_EXCEPTION,
             "topic '{}' is the system's own: brokers make it when the first group asks for its coordinator",
             wish.name());
  }
  if (!plan) {
    ToProto(plan.error(), out->mutable_error());
    co_return Step::kDone;
  }
  out->set_partitions(static_cast<uint32_t>(plan->replicas.size()));
  out->set_replication_factor(plan->replication_factor);
  if (validate_only) co_return Step::kDone;
  const TopicId id = NewTopicId(options_.env.random());
  pending.given_ids[wish.name()] = id;
  co_return co_await WriteNewTopic(wish.name(), *plan, id, out);
}

Task<ControllerTerm::Step> ControllerTerm::WriteNewTopic(const std::string& name, const TopicPlan& plan,
                                                         TopicId id, v1::CreateTopicsResponse::Topic* out) {
  TopicContext topic{.name = name, .id = id, .node = MakeTopicZnode(plan, id), .overrides = plan.configs};
  topic.configs = MakeTopicConfigs(options_.broker_properties, topic.overrides);
  Result<std::map<PartitionIndex, PartitionContext>> partitions = MakePartitions(topic.node);
  CHECK(partitions) << "the plan was checked: " << partitions.error().message;
  topic.partitions = std::move(*partitions);
  v1::ConfigZnode config;
  for (const auto& [key, value] : plan.configs) (*config.mutable_config())[key] = value;
  const std::string json = EncodeTopic(topic.node);
  if (json.size() > kMaxTopicZnodeBytes) {
    ToProto({v1::INVALID_PARTITIONS, fmt::format("the topic's znode would have {} bytes", json.size())},
            out->mutable_error());
    co_return Step::kDone;
  }
  std::vector<ZkOp> ops;
  ops.push_back(ZkCreate{zkpath::TopicConfig(name), EncodeConfig(config)});
  ops.push_back(ZkCreate{zkpath::Topic(name), json});
  WriteResult written = co_await writer_.Write(ops);
  if (written.outcome == WriteOutcome::kRefused && written.at == 0 && written.code == ZkCode::kNodeExists) {
    // A config that a topic of that name left behind.
    ops[0] = ZkSet{zkpath::TopicConfig(name), EncodeConfig(config)};
    written = co_await writer_.Write(ops);
  }
  if (written.outcome == WriteOutcome::kRefused) {
    const bool exists = written.at == 1 && written.code == ZkCode::kNodeExists;
    ToProto({exists ? v1::TOPIC_ALREADY_EXISTS : v1::BROKER_NOT_READY,
             exists ? fmt::format("topic '{}' exists", name)
                    : fmt::format("ZooKeeper refused the topic: {}", ToString(written.code))},
            out->mutable_error());
    Hint({.topics = true});
    co_return Step::kDone;
  }
  if (written.outcome != WriteOutcome::kDone) co_return Step::kAgain;
  LOG(INFO) << "topic " << name << " (" << id.ToBase64() << ") was created with " << plan.replicas.size()
            << " partitions";
  out->set_id(id.ToBytes());
  cluster_.topic_names[id] = name;
  cluster_.topics.insert_or_assign(name, std::move(topic));
  MarkTopic(id);
  co_return Step::kDone;
}

std::string ControllerTerm::WhyNotCreated(const TopicId& id, PartitionIndex from) const {
  const auto name = cluster_.topic_names.find(id);
  // Deleted again, or another one meanwhile: not for this request to wait for.
  if (name == cluster_.topic_names.end()) return {};
  for (const auto& [index, partition] : cluster_.topics.at(name->second).partitions) {
    if (index >= from && (!partition.state || partition.state->leader == kNoBroker)) {
      return fmt::format("partition {} has no leader yet", index);
    }
  }
  for (const auto& [broker, channel] : channels_) {
    if (!channel->KnowsTopic(id)) return fmt::format("broker {} has not heard of it yet", broker);
  }
  return {};
}

Task<void> ControllerTerm::AwaitCreated(v1::CreateTopicsResponse* response, MonoTime deadline) {
  for (auto& topic : *response->mutable_topics()) {
    if (topic.error().code() != v1::NONE) continue;
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    CHECK(id);
    while (!ended()) {
      const std::string why = WhyNotCreated(*id);
      if (why.empty()) break;
      // With a deadline of now nothing was to be waited for, and nothing is amiss.
      const WaitOutcome outcome = co_await progress_.Wait("topic created", deadline, scope_.stop_token());
      if (outcome != WaitOutcome::kTimedOut) continue;
      ToProto({v1::REQUEST_TIMED_OUT, fmt::format("the topic was created, but {}", why)},
              topic.mutable_error());
      break;
    }
  }
}

Task<ControllerTerm::Step> ControllerTerm::ServeDeleteTopics(Pending& pending) {
  const v1::DeleteTopicsRequest& request = pending.request.delete_topics();
  v1::DeleteTopicsResponse& out = *pending.partial.mutable_delete_topics();
  for (const int first = pending.served; pending.served < request.names_size(); ++pending.served) {
    if (pending.served > first && GivesWay(turn_began_)) co_return Step::kGiveWay;
    v1::DeleteTopicsResponse::Topic topic;
    topic.set_name(request.names(pending.served));
    if (co_await MarkDeleted(topic.name(), pending, &topic) == Step::kAgain) co_return Step::kAgain;
    *out.add_topics() = std::move(topic);
    pending.Moved(loop_.Now());
  }
  pending.answer.Set(std::move(pending.partial));
  Hint({.decide = true});
  co_return Step::kDone;
}

Task<ControllerTerm::Step> ControllerTerm::MarkDeleted(std::string name, Pending& pending,
                                                       v1::DeleteTopicsResponse::Topic* out) {
  const auto known = cluster_.topics.find(name);
  // Gone since an earlier attempt of this request: that is success.
  if (known == cluster_.topics.end() && pending.given_ids.contains(name)) co_return Step::kDone;
  const auto refuse = [out](Error error) {
    ToProto(error, out->mutable_error());
    return Step::kDone;
  };
  if (!options_.delete_topics)
    co_return refuse({v1::TOPIC_DELETION_DISABLED, "delete.topic.enable is false"});
  if (known == cluster_.topics.end() && cluster_.unreadable_topics.contains(name)) {
    co_return refuse(
        {v1::UNKNOWN_SERVER_ERROR,
         fmt::format("the znode of topic '{}' cannot be used, so its replicas are not known", name)});
  }
  if (known == cluster_.topics.end())
    co_return refuse({v1::UNKNOWN_TOPIC_OR_PARTITION, fmt::format("there is no topic '{}'", name)});
  if (IsInternalTopic(name)) {
    co_return refuse({v1::INVALID_TOPIC_EXCEPTION,
                      fmt::format("topic '{}' is the system's own and cannot be deleted", name)});
  }
  pending.given_ids[name] = known->second.id;
  if (cluster_.deletions.contains(name)) co_return Step::kDone;
  std::vector<ZkOp> ops;
  ops.push_back(ZkCreate{zkpath::DeleteTopic(name), {}});
  const WriteResult written = co_await writer_.Write(std::move(ops));
  const bool marked = written.outcome == WriteOutcome::kRefused && written.code == ZkCode::kNodeExists;
  if (written.outcome == WriteOutcome::kDone || marked) {
    cluster_.deletions.insert(name);
  } else if (written.outcome == WriteOutcome::kRefused) {
    co_return refuse(
        {v1::BROKER_NOT_READY, fmt::format("ZooKeeper refused the mark: {}", ToString(written.code))});
  } else {
    co_return Step::kAgain;
  }
  co_return Step::kDone;
}

std::string ControllerTerm::WhyNotDeleted(const std::string& name, const TopicId& id) const {
  const auto known = cluster_.topics.find(name);
  if (known != cluster_.topics.end() && known->second.id == id) {
    const auto deletion = deletions_.find(name);
    if (deletion == deletions_.end() || deletion->second.waits_for.empty())
      return "its turn has not come yet";
    return deletion->second.waits_for;
  }
  for (const auto& [broker, channel] : channels_) {
    if (!channel->KnowsTopic(id)) return fmt::format("broker {}, which has not heard of it yet", broker);
  }
  return {};
}

Task<void> ControllerTerm::AwaitDeleted(v1::DeleteTopicsResponse* response,
                                        std::map<std::string, TopicId> ids, MonoTime deadline) {
  for (auto& topic : *response->mutable_topics()) {
    const auto id = ids.find(topic.name());
    if (topic.error().code() != v1::NONE || id == ids.end()) continue;
    while (!ended()) {
      const std::string why = WhyNotDeleted(topic.name(), id->second);
      if (why.empty()) break;
      const WaitOutcome outcome = co_await progress_.Wait("topic deleted", deadline, scope_.stop_token());
      if (outcome != WaitOutcome::kTimedOut) continue;
      ToProto(
          {v1::REQUEST_TIMED_OUT, fmt::format("the topic is marked for deletion, which waits for {}", why)},
          topic.mutable_error());
      break;
    }
  }
}

}  // namespace tidemark
