// /restartz: may this broker be stopped now? Gathers what the decision (stop_verdict.h) needs: for partitions
// led here the ISR that the leader itself has in force, for the others what the controller last told. Control
// loop only.
#include <unordered_map>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "broker/server/broker_impl.h"
#include "broker/server/gather.h"
#include "broker/server/shard.h"
#include "broker/server/stop_verdict.h"

namespace tidemark {
namespace {

constexpr Duration kIsrPatience = 1s;
using Json = nlohmann::ordered_json;
using IsrByPartition = std::unordered_map<PartitionKey, std::vector<BrokerId>>;

// On the shard.
Task<IsrByPartition> IsrsOfLeaders(Shard& owner) {
  IsrByPartition out;
  if (!owner.active()) co_return out;
  for (const Partition* partition : owner.table()->All()) {
    const LeaderState* leader = partition->leader_state();
    if (leader != nullptr) out[partition->key()] = leader->isr();
  }
  co_return out;
}

Json PartitionJson(const PartitionAtRisk& at_risk) {
  const HeldPartition& held = at_risk.partition;
  return {{"topic", held.topic},
          {"partition", held.partition},
          {"problem", ToString(at_risk.risk)},
          {"remaining_in_sync", at_risk.remaining},
          {"required_in_sync", at_risk.required},
          {"replicas", held.replicas},
          {"isr", held.isr},
          {"unavoidable", at_risk.unavoidable}};
}

std::string VerdictJson(const StopVerdict& verdict, bool safe) {
  Json partitions = Json::array();
  for (const PartitionAtRisk& at_risk : verdict.partitions) partitions.push_back(PartitionJson(at_risk));
  const Json out = {{"safe_to_stop", safe},
                    {"reasons", verdict.reasons},
                    {"partitions_held", verdict.held},
                    {"partitions_at_risk", verdict.at_risk},
                    {"partitions_unavoidable", verdict.unavoidable},
                    {"partitions", std::move(partitions)}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string VerdictText(const StopVerdict& verdict, bool safe) {
  std::string out = safe ? "ok\n" : "no\n";
  for (const std::string& reason : verdict.reasons) out += reason + "\n";
  for (const PartitionAtRisk& at_risk : verdict.partitions) {
    out += ToString(at_risk) + (at_risk.unavoidable ? "; waiting does not help\n" : "\n");
  }
  if (verdict.at_risk > verdict.partitions.size())
    out += fmt::format("and {} more\n", verdict.at_risk - verdict.partitions.size());
  return out;
}

}  // namespace

void Broker::Impl::AddReasonsNotToStop(StopVerdict* verdict) const {
  std::vector<std::string>& reasons = verdict->reasons;
  if (stopping_) reasons.push_back("the broker is stopping");
  if (!stopping_ && !phase_.empty()) reasons.push_back("not known yet: " + phase_);
  if (!executor_ || !channel_ || !keeper_ || !phase_.empty()) return;
  if (!keeper_->connected()) {
    reasons.push_back("ZooKeeper is out of reach: nobody could take over what this broker leads");
  } else if (epoch() == kNoBrokerEpoch) {
    reasons.push_back("not registered, so what this broker knows may be old: " +
                      (registration_ ? registration_->waiting_for() : std::string()));
  } else if (channel_->controller() == kNoBroker) {
    reasons.push_back("there is no controller: nobody could take over what this broker leads");
  } else if (!executor_->took_over()) {
    reasons.push_back("no controller has told this broker what to lead and follow yet");
  }
}

Task<StopVerdict> Broker::Impl::MayStop() {
  StopVerdict verdict;
  AddReasonsNotToStop(&verdict);
  if (!executor_ || !configs_) co_return verdict;
  Gather<IsrByPartition> gather(loop_, context_.shards.size());
  for (const auto& shard : context_.shards) {
    gather.Start(shard->index(), shard->loop(), shard->life_scope(), "restartz",
                 [&shard = *shard] { return IsrsOfLeaders(shard); });
  }
  (void)co_await gather.Wait("ISRs of leaders", loop_.Now() + kIsrPatience, scope_.stop_token());
  IsrByPartition led;
  for (size_t i = 0; i < gather.results().size(); ++i) {
    auto& part = gather.results()[i];
    if (part) {
      led.merge(*part);
    } else {
      verdict.reasons.push_back(fmt::format("shard {} does not answer", i));
    }
  }
  if (!executor_ || !configs_) co_return verdict;  // stopped meanwhile
  const ClusterSnapshot::Ptr snapshot = executor_->snapshot();
  const TopicSettingsPtr settings = configs_->current();
  std::set<BrokerId> live;
  for (const auto& [id, broker] : snapshot->brokers()) live.insert(id);
  const BrokerId self = identity_.broker_id;
  for (const std::string& name : snapshot->TopicNames()) {
    const TopicInfo* topic = snapshot->Topic(name);
    if (topic == nullptr || topic->deleting) continue;
    const uint32_t min_insync = settings->Of(name).min_insync_replicas;
    for (const auto& [index, info] : topic->partitions) {
      if (std::ranges::find(info.replicas, self) == info.replicas.end()) continue;
      const auto own = led.find({topic->id, index});
      JudgePartition(self, live,
                     {.topic = name,
                      .partition = index,
                      .replicas = info.replicas,
                      .isr = own == led.end() ? info.isr : own->second,
                      .offline = info.offline,
                      .min_insync_replicas = min_insync},
                     &verdict);
    }
  }
  co_return verdict;
}

Task<AdminReply> Broker::Impl::Restartz(AdminRequest request) {
  const auto ignore = request.query.find("ignore");
  const bool forgive = ignore != request.query.end() && ignore->second == "unavoidable";
  if (ignore != request.query.end() && !forgive)
    co_return AdminReply{.status = 400, .body = "ignore may be: unavoidable\n"};
  const StopVerdict verdict = co_await MayStop();
  const bool safe = verdict.safe(forgive);
  AdminReply reply{.status = safe ? 200 : 503, .body = VerdictText(verdict, safe)};
  if (request.WantsJson()) {
    reply.content_type = "application/json";
    reply.body = VerdictJson(verdict, safe);
  }
  co_return reply;
}

}  // namespace tidemark
