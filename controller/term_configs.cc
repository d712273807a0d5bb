// ControllerTerm: changes of configs as requests, and what the controller itself takes from them.
#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "controller/term.h"

namespace tidemark {

Task<ControllerTerm::Step> ControllerTerm::ServeAlterConfigs(Pending& pending) {
  const v1::AlterConfigsRequest& request = pending.request.alter_configs();
  v1::AlterConfigsResponse& out = *pending.partial.mutable_alter_configs();
  for (const int first = pending.served; pending.served < request.changes_size(); ++pending.served) {
    if (pending.served > first && GivesWay(turn_began_)) co_return Step::kGiveWay;
    const auto& change = request.changes(pending.served);
    v1::AlterConfigsResponse::Result result;
    *result.mutable_entity() = change.entity();
    const Step step = co_await AlterConfigOf(change, request.validate_only(), &result);
    // Perhaps it was changed: it is changed again, to the same.
    if (step == Step::kAgain) co_return Step::kAgain;
    *out.add_results() = std::move(result);
    pending.Moved(loop_.Now());
  }
  pending.answer.Set(std::move(pending.partial));
  co_return Step::kDone;
}

Result<ConfigTarget> ControllerTerm::TargetOf(const v1::ConfigEntity& entity) const {
  switch (entity.type()) {
    case v1::CONFIG_ENTITY_TYPE_TOPIC: {
      const auto known = cluster_.topics.find(entity.name());
      if (known == cluster_.topics.end() || known->second.deleting) {
        return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic '{}'", entity.name());
      }
      return TopicConfigTarget(entity.name());
    }
    case v1::CONFIG_ENTITY_TYPE_BROKER:
      return BrokerConfigTarget(entity.name());
    case v1::CONFIG_ENTITY_TYPE_CLIENT:
    case v1::CONFIG_ENTITY_TYPE_USER:
      return QuotaConfigTarget(entity);
    default:
      return Fail(v1::INVALID_REQUEST, "entity type {} has no configs", static_cast<int>(entity.type()));
  }
}

Task<ControllerTerm::Step> ControllerTerm::AlterConfigOf(const v1::AlterConfigsRequest::Change& change,
                                                         bool validate_only,
                                                         v1::AlterConfigsResponse::Result* out) {
  const Result<ConfigTarget> target = TargetOf(change.entity());
  if (!target) {
    ToProto(target.error(), out->mutable_error());
    co_return Step::kDone;
  }
  const std::string path = zkpath::ConfigOfEntity(target->entity_path);
  const ZkResult<ZkNode> node = co_await seat_.session->Get(path);
  if (!node && node.error() != ZkCode::kNoNode) co_return Step::kAgain;
  const Result<v1::ConfigZnode> config = EditConfig(*target, node ? std::optional(node->data) : std::nullopt,
                                                    change, options_.broker_properties, options_.broker_id);
  if (!config) {
    ToProto(config.error(), out->mutable_error());
    co_return Step::kDone;
  }
  const Properties stored(config->config().begin(), config->config().end());
  for (std::string& warning : ConfigWarnings(*target, change, stored, cluster_.brokers.size())) {
    out->add_warnings(std::move(warning));
  }
  if (target->type == v1::CONFIG_ENTITY_TYPE_BROKER && !change.entity().name().empty() &&
      cluster_.Broker(*zkpath::ParseBrokerId(change.entity().name())) == nullptr) {
    out->add_warnings(fmt::format("{} is not live now; it obeys when it comes", target->what));
  }
  if (!target->topic.empty() && change.set().contains("min.insync.replicas")) {
    const TopicConfigs configs = MakeTopicConfigs(options_.broker_properties, stored);
    const size_t replicas = cluster_.topics.at(target->topic).partitions.begin()->second.replicas.size();
    if (configs.min_insync_replicas > replicas) {
      out->add_warnings(fmt::format("min.insync.replicas={} is above the replication factor and acts as {}",
                                    configs.min_insync_replicas, replicas));
    }
  }
  if (validate_only) co_return Step::kDone;
  // Clients come and go by the thousand: nothing of those without a quota stays.
  const bool goes = stored.empty() && (target->type == v1::CONFIG_ENTITY_TYPE_CLIENT ||
                                       target->type == v1::CONFIG_ENTITY_TYPE_USER);
  if (goes && !node) co_return Step::kDone;

  std::vector<ZkNodeAt> parents;
  for (const std::string& parent : target->parents) {
    parents.push_back({.path = zkpath::ConfigOfEntity(parent), .node = {}});
    const ZkResult<ZkNode> there = co_await seat_.session->Get(parents.back().path);
    if (!there && there.error() != ZkCode::kNoNode) co_return Step::kAgain;
    if (there) parents.back().node = *there;
  }
  v1::ConfigChangeZnode notification;
  notification.set_entity_path(target->entity_path);
  const ZkNodeAt self{.path = path, .node = node ? std::optional(*node) : std::nullopt};
  std::vector<ZkOp> ops = ConfigWriteOps(self, parents, goes ? std::nullopt : std::optional(*config));
  const size_t notification_at = ops.size();
  ops.push_back(ZkCreate{std::string(zkpath::kConfigChangePrefix), EncodeConfigChange(notification),
                         ZkCreateMode::kPersistentSequential});
  const WriteResult written = co_await writer_.Write(std::move(ops));
  if (written.outcome == WriteOutcome::kRefused && written.at == notification_at) {
    ToProto({v1::BROKER_NOT_READY, fmt::format("the change cannot be announced: {}", ToString(written.code))},
            out->mutable_error());
    co_return Step::kDone;
  }
  if (written.outcome != WriteOutcome::kDone) co_return Step::kAgain;
  LOG(INFO) << "the configs of " << target->what << " were changed";
  TakeOverConfig(*target, stored);
  co_return Step::kDone;
}

void ControllerTerm::TakeOverConfig(const ConfigTarget& target, const Properties& stored) {
  // What brokers change reaches this one as it reaches the others: by the notification (OnDefaultsChanged).
  if (target.topic.empty()) return;
  TopicContext& topic = cluster_.topics.at(target.topic);
  topic.overrides = stored;
  topic.configs = MakeTopicConfigs(options_.broker_properties, stored);
  // An election may be allowed now that was not before.
  Hint({.decide = true});
}

void ControllerTerm::RecomputeTopicConfigs() {
  for (auto& [name, topic] : cluster_.topics) {
    topic.configs = MakeTopicConfigs(options_.broker_properties, topic.overrides);
  }
}

}  // namespace tidemark
