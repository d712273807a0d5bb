// ControllerTerm: more partitions for topics, as requests.
//
// The topic's znode is the only thing written: partitions in it without a state are new ones, whose first
// leaders the next decision chooses (this controller's or, after a crash, the next one's).
#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "controller/partition_plan.h"
#include "controller/term.h"

namespace tidemark {
namespace {

using Outcome = v1::CreatePartitionsResponse::Topic;

Result<> MayGrow(const TopicContext* topic, const std::string& name, bool deleting) {
  if (topic == nullptr || deleting) {
    return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "{} topic '{}'{}", topic == nullptr ? "there is no" : "the",
                name, topic == nullptr ? "" : " is being deleted");
  }
  if (!topic->decidable() || topic->id.IsZero()) {
    return Fail(v1::BROKER_NOT_READY, "topic '{}' is left alone: {}", name,
                topic->quarantine.empty() ? "it has no id yet" : topic->quarantine);
  }
  if (IsInternalTopic(name)) {
    return Fail(v1::INVALID_TOPIC_EXCEPTION,
                "topic '{}' is the system's own: where its keys are depends on the number of partitions",
                name);
  }
  return {};
}

void TellAdded(const std::map<uint32_t, std::vector<BrokerId>>& added, Outcome* out) {
  for (const auto& [partition, replicas] : added) {
    auto& told = *out->add_added();
    told.set_partition(partition);
    told.mutable_replicas()->Assign(replicas.begin(), replicas.end());
  }
}

}  // namespace

Task<ControllerTerm::Step> ControllerTerm::ServeCreatePartitions(Pending& pending) {
  const v1::CreatePartitionsRequest& request = pending.request.create_partitions();
  v1::CreatePartitionsResponse& out = *pending.partial.mutable_create_partitions();
  std::map<std::string, int> times;
  for (const auto& wish : request.topics()) ++times[wish.name()];
  for (const int first = pending.served; pending.served < request.topics_size(); ++pending.served) {
    const auto& wish = request.topics(pending.served);
    if (pending.served > first && !co_await LetOthersRun()) co_return Step::kGiveWay;
    Outcome topic;
    topic.set_name(wish.name());
    if (times[wish.name()] > 1) {
      ToProto({v1::INVALID_REQUEST, "the topic is named twice"}, topic.mutable_error());
    } else if (co_await GrowTopic(wish, request.validate_only(), pending, &topic) == Step::kAgain) {
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

Task<ControllerTerm::Step> ControllerTerm::GrowTopic(const v1::CreatePartitionsRequest::Topic& wish,
                                                     bool validate_only, Pending& pending, Outcome* out) {
  const auto known = cluster_.topics.find(wish.name());
  const TopicContext* const topic = known == cluster_.topics.end() ? nullptr : &known->second;
  const bool deleting = topic != nullptr && (topic->deleting || cluster_.deletions.contains(wish.name()));
  if (const Result<> may = MayGrow(topic, wish.name(), deleting); !may) {
    ToProto(may.error(), out->mutable_error());
    co_return Step::kDone;
  }
  std::vector<std::vector<BrokerId>> present;
  for (const auto& [index, partition] : topic->partitions) present.push_back(partition.replicas);
  // Written by an earlier attempt of this request, whose outcome was unknown: then it is done.
  const auto begun = pending.begun_growth.find(wish.name());
  if (begun != pending.begun_growth.end() && begun->second.id == topic->id &&
      present.size() == wish.partitions()) {
    std::map<uint32_t, std::vector<BrokerId>> added;
    for (size_t i = begun->second.from; i < present.size(); ++i) added[static_cast<uint32_t>(i)] = present[i];
    TellAdded(added, out);
    co_return Step::kDone;
  }
  std::vector<PlacementBroker> brokers;
  for (const auto& [id, broker] : cluster_.brokers) brokers.push_back({id, broker.wire.rack()});
  const auto plan = PlanMorePartitions(wish, present, brokers);
  if (!plan) {
    ToProto(plan.error(), out->mutable_error());
    co_return Step::kDone;
  }
  std::map<uint32_t, std::vector<BrokerId>> added;
  for (size_t i = 0; i < plan->size(); ++i) added[static_cast<uint32_t>(present.size() + i)] = (*plan)[i];
  TellAdded(added, out);
  if (validate_only) co_return Step::kDone;
  pending.begun_growth[wish.name()] = {.id = topic->id, .from = static_cast<uint32_t>(present.size())};
  co_return co_await WriteGrowth(wish.name(), std::move(added), pending, out);
}

Task<ControllerTerm::Step> ControllerTerm::WriteGrowth(std::string name,
                                                       std::map<uint32_t, std::vector<BrokerId>> added,
                                                       Pending& pending, Outcome* out) {
  v1::TopicZnode node = cluster_.topics.at(name).node;
  for (const auto& [partition, replicas] : added) {
    const auto [list, fresh] = node.mutable_partitions()->try_emplace(partition);
    CHECK(fresh) << name << "-" << partition << " is there already";
    list->second.mutable_replicas()->Assign(replicas.begin(), replicas.end());
  }
  std::string json = EncodeTopic(node);
  if (json.size() > kMaxTopicZnodeBytes) {
    out->clear_added();
    ToProto({v1::INVALID_PARTITIONS, fmt::format("the topic's znode would have {} bytes", json.size())},
            out->mutable_error());
    co_return Step::kDone;
  }
  std::vector<ZkOp> ops;
  ops.push_back(ZkSet{zkpath::Topic(name), std::move(json), cluster_.topics.at(name).node_version});
  const WriteResult written = co_await writer_.Write(std::move(ops));
  if (written.outcome == WriteOutcome::kRefused) {
    // Somebody else has written to it: it is read anew, and the wish is judged by what it is then.
    NoteConflict(name, written.code);
    pending.begun_growth.erase(name);
  }
  if (written.outcome != WriteOutcome::kDone) co_return Step::kAgain;
  TopicContext& topic = cluster_.topics.at(name);
  topic.node = std::move(node);
  topic.node_version += 1;
  for (auto& [partition, replicas] : added) {
    PartitionContext fresh;
    fresh.replicas = std::move(replicas);
    topic.partitions.emplace(partition, std::move(fresh));
  }
  MarkTopic(topic.id);
  LOG(INFO) << "topic " << name << " has " << topic.partitions.size() << " partitions now, " << added.size()
            << " more than before";
  co_return Step::kDone;
}

Task<void> ControllerTerm::AwaitGrown(v1::CreatePartitionsResponse* response, MonoTime deadline) {
  for (auto& told : *response->mutable_topics()) {
    if (told.error().code() != v1::NONE || told.added().empty()) continue;
    while (!ended()) {
      const auto topic = cluster_.topics.find(told.name());
      // Deleted meanwhile: not for this request to wait for.
      if (topic == cluster_.topics.end()) break;
      const std::string why = WhyNotCreated(topic->second.id, told.added(0).partition());
      if (why.empty()) break;
      const WaitOutcome outcome =
          co_await progress_.Wait("partitions created", deadline, scope_.stop_token());
      if (outcome != WaitOutcome::kTimedOut) continue;
      ToProto({v1::REQUEST_TIMED_OUT, fmt::format("the partitions were added, but {}", why)},
              told.mutable_error());
      break;
    }
  }
}

}  // namespace tidemark
