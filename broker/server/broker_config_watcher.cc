#include "broker/server/broker_config_watcher.h"

#include <algorithm>

#include <glog/logging.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {
namespace {

constexpr Duration kPause = 100ms;

// Back to what is in force.
void Revert(const char* name, const Properties& in_force, Properties* wanted) {
  wanted->erase(name);
  if (const auto it = in_force.find(std::string_view(name)); it != in_force.end()) wanted->insert(*it);
}

v1::ConfigSource SourceOf(bool one_broker) {
  return one_broker ? v1::CONFIG_SOURCE_DYNAMIC_BROKER : v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER;
}

CheckConfig CheckOf(bool one_broker) {
  return [one_broker](std::string_view name, std::string_view value) {
    return CheckBrokerOverride(name, value, one_broker);
  };
}

const char* WhoseName(bool one_broker) { return one_broker ? "this broker" : "all brokers"; }

}  // namespace

BrokerConfigWatcher::BrokerConfigWatcher(EventLoop& loop, ZkKeeper& keeper, BrokerConfigPtr started,
                                         Apply apply)
    : loop_(loop), keeper_(keeper), started_(std::move(started)), apply_(std::move(apply)) {
  layers_.file = started_->properties;
}

Task<void> BrokerConfigWatcher::Start(BrokerId self, std::stop_token stop) {
  self_ = self;
  while (!stop.stop_requested() && !co_await Read()) {
    (void)co_await Sleep(loop_, kPause, "configs of the broker in ZooKeeper", stop);
  }
}

Task<ZkResult<>> BrokerConfigWatcher::OnConfigChanges(const ConfigChangeSet& changes) {
  const bool own = changes.entities.contains(zkpath::BrokerEntity(self_)) ||
                   changes.entities.contains(zkpath::BrokerEntity(std::nullopt));
  if (!changes.all && !own) co_return ZkResult<>();
  co_return co_await Read();
}

Task<ZkResult<std::optional<std::string>>> BrokerConfigWatcher::ReadNode(std::string path) {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  if (!session) co_return std::unexpected(ZkCode::kConnectionLoss);
  const ZkResult<ZkNode> node = co_await session->Get(path);
  if (node) co_return std::optional(node->data);
  if (node.error() == ZkCode::kNoNode) co_return std::nullopt;
  co_return std::unexpected(node.error());
}

Task<ZkResult<>> BrokerConfigWatcher::Read() {
  const uint64_t number = ++reads_begun_;
  auto cluster = co_await ReadNode(zkpath::BrokerConfig(std::nullopt));
  if (!cluster && IsUnknownOutcome(cluster.error())) co_return std::unexpected(cluster.error());
  auto broker = co_await ReadNode(zkpath::BrokerConfig(self_));
  if (!broker && IsUnknownOutcome(broker.error())) co_return std::unexpected(broker.error());
  if (number < read_in_force_) co_return ZkResult<>();
  read_in_force_ = number;
  const bool cluster_is_new = TakeOver(std::move(cluster), false, &cluster_);
  const bool own_is_new = TakeOver(std::move(broker), true, &own_);
  if (cluster_is_new || own_is_new) {
    PutInForce({.file = layers_.file, .cluster = cluster_.good, .broker = own_.good});
  }
  co_return ZkResult<>();
}

bool BrokerConfigWatcher::TakeOver(ZkResult<std::optional<std::string>> data, bool one_broker,
                                   Stored* stored) {
  if (!data) {
    LOG(ERROR) << "the configs of " << WhoseName(one_broker)
               << " in ZooKeeper cannot be read, what was known before stays in force: "
               << ToString(data.error());
    return BeCautious(stored);
  }
  if (*data == stored->data) return false;
  stored->data = std::move(*data);
  if (!stored->data) {
    stored->known = true;
    stored->good.clear();
    return true;
  }
  const Result<v1::ConfigZnode> decoded = DecodeConfig(*stored->data);
  if (!decoded) {
    LOG(ERROR) << "the configs of " << WhoseName(one_broker)
               << " in ZooKeeper cannot be read, what was known before stays in force: "
               << decoded.error().message;
    return BeCautious(stored);
  }
  std::vector<std::string> complaints;
  const Properties before = stored->known ? stored->good : WithCaution(stored->good, CautiousBrokerConfigs());
  stored->known = true;
  stored->good = TakeGood(Properties(decoded->config().begin(), decoded->config().end()), before,
                          CheckOf(one_broker), &complaints);
  for (const std::string& complaint : complaints) {
    LOG(ERROR) << "config of " << WhoseName(one_broker) << " in ZooKeeper is passed over: " << complaint;
  }
  return true;
}

// Nothing of it is known: no record is deleted for want of it.
bool BrokerConfigWatcher::BeCautious(Stored* stored) {
  if (stored->known || stored->good == CautiousBrokerConfigs()) return false;
  LOG(ERROR) << "nothing was known before: until then no record is deleted by age or size";
  stored->good = CautiousBrokerConfigs();
  return true;
}

void BrokerConfigWatcher::PutInForce(BrokerLayers wanted) {
  if (wanted.cluster == layers_.cluster && wanted.broker == layers_.broker) return;
  Result<BrokerConfig> next = started_->WithDynamic(wanted.Merged());
  if (!next) {
    LOG(ERROR) << "configs in ZooKeeper do not fit this broker, what was in force of them stays so: "
               << next.error().message;
    for (const char* name : kBoundTogether) {
      Revert(name, layers_.cluster, &wanted.cluster);
      Revert(name, layers_.broker, &wanted.broker);
    }
    next = started_->WithDynamic(wanted.Merged());
    if (!next) return;
  }
  const Properties before = layers_.Merged();
  layers_ = std::move(wanted);
  const Properties& now = next->properties;
  for (const auto& [name, value] : now) {
    const auto old = before.find(name);
    if (old == before.end() || old->second != value) LOG(INFO) << "config " << name << " is now " << value;
  }
  for (const auto& [name, value] : before) {
    if (!now.contains(name)) LOG(INFO) << "config " << name << " is back at its default";
  }
  apply_(std::make_shared<const BrokerConfig>(std::move(*next)));
}

Task<Result<Properties>> BrokerConfigWatcher::ReadStored(std::optional<BrokerId> broker) {
  const std::string path = zkpath::BrokerConfig(broker);
  const auto data = co_await ReadNode(path);
  if (!data) {
    co_return Fail(v1::BROKER_NOT_READY, "{} cannot be read from ZooKeeper: {}", path,
                   ToString(data.error()));
  }
  if (!*data) co_return Properties();
  const Result<v1::ConfigZnode> decoded = DecodeConfig(**data);
  if (!decoded) {
    co_return Fail(v1::INVALID_CONFIG, "what {} holds cannot be read: {}", path, decoded.error().message);
  }
  co_return Properties(decoded->config().begin(), decoded->config().end());
}

void BrokerConfigWatcher::AddPassedOver(const Stored& stored, bool one_broker, const Properties& in_force,
                                        const std::string& unfit, std::vector<PassedOverConfig>* out) {
  if (!stored.data) return;
  const v1::ConfigSource source = SourceOf(one_broker);
  const Result<v1::ConfigZnode> decoded = DecodeConfig(*stored.data);
  if (!decoded) {
    out->push_back({.source = source,
                    .name = {},
                    .value = {},
                    .reason = "the znode cannot be read: " + decoded.error().message});
    return;
  }
  const Properties held(decoded->config().begin(), decoded->config().end());
  Properties good = held;
  PassOver(source, CheckOf(one_broker), in_force, &good, out);
  for (const auto& [name, value] : held) {
    const auto legal = good.find(name);
    const auto now = in_force.find(name);
    if (legal == good.end() || legal->second != value) continue;  // told already
    if (now != in_force.end() && now->second == value) continue;
    out->push_back({.source = source, .name = name, .value = value, .reason = unfit});
  }
}

std::vector<PassedOverConfig> BrokerConfigWatcher::PassedOver() const {
  const Result<BrokerConfig> together = started_->WithDynamic(
      BrokerLayers{.file = layers_.file, .cluster = cluster_.good, .broker = own_.good}.Merged());
  const std::string unfit = together ? "it is not in force yet" : together.error().message;
  std::vector<PassedOverConfig> out;
  AddPassedOver(cluster_, false, layers_.cluster, unfit, &out);
  AddPassedOver(own_, true, layers_.broker, unfit, &out);
  return out;
}

Task<Result<BrokerConfigWatcher::StoredLayers>> BrokerConfigWatcher::ReadOther(BrokerId broker) {
  TM_CO_ASSIGN_OR_RETURN(StoredLayers out, co_await ReadDefault());
  TM_CO_ASSIGN_OR_RETURN(out.layers.broker, co_await ReadStored(broker));
  PassOver(SourceOf(true), CheckOf(true), {}, &out.layers.broker, &out.passed_over);
  co_return out;
}

Task<Result<std::vector<std::optional<BrokerId>>>> BrokerConfigWatcher::ReadWhoHasConfigs() {
  const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
  ZkResult<std::vector<std::string>> children = std::unexpected(ZkCode::kConnectionLoss);
  if (session) children = co_await session->Children(std::string(zkpath::kConfigBrokers), nullptr);
  if (!children && children.error() != ZkCode::kNoNode) {
    co_return Fail(v1::BROKER_NOT_READY, "{} cannot be read from ZooKeeper: {}", zkpath::kConfigBrokers,
                   ToString(children.error()));
  }
  std::vector<std::optional<BrokerId>> out;
  if (!children) co_return out;
  for (const std::string& child : *children) {
    if (child == zkpath::kDefaultEntity) out.push_back(std::nullopt);
    if (const auto id = zkpath::ParseBrokerId(child)) out.push_back(id);
  }
  std::ranges::sort(out);
  co_return out;
}

Task<Result<BrokerConfigWatcher::StoredLayers>> BrokerConfigWatcher::ReadDefault() {
  StoredLayers out;
  TM_CO_ASSIGN_OR_RETURN(out.layers.cluster, co_await ReadStored(std::nullopt));
  PassOver(SourceOf(false), CheckOf(false), layers_.cluster, &out.layers.cluster, &out.passed_over);
  co_return out;
}

}  // namespace tidemark
