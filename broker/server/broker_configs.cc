// A broker's configs: what a change does in its parts, and what is told of them. Control loop only.

#include <fmt/format.h>

#include <algorithm>

#include "broker/server/broker_impl.h"
#include "broker/server/gather.h"
#include "broker/server/shard.h"
#include "common/zk/zk_paths.h"

namespace tidemark {
namespace {

// How long ZooKeeper is waited for. Clients give a try of such a request 5 s: they are to learn why, not to
// ask in vain.
constexpr Duration kConfigsPatience = 3s;

void AddEntry(const ConfigInForce& config, bool read_only, v1::DescribeConfigsResponse::Result* out) {
  v1::DescribeConfigsResponse::Entry* entry = out->add_entries();
  entry->set_name(config.def->name);
  entry->set_value(config.value());
  entry->set_source(config.source());
  entry->set_default_value(config.def->default_value);
  entry->set_documentation(config.def->doc);
  entry->set_read_only(read_only);
  for (const ConfigSynonym& synonym : config.synonyms) {
    auto* told = entry->add_synonyms();
    told->set_name(synonym.name);
    told->set_value(synonym.value);
    told->set_source(synonym.source);
  }
}

void AddPassedOver(const std::vector<PassedOverConfig>& configs, v1::DescribeConfigsResponse::Result* out) {
  for (const PassedOverConfig& config : configs) {
    v1::DescribeConfigsResponse::PassedOver* told = out->add_passed_over();
    told->set_name(config.name);
    told->set_value(config.value);
    told->set_source(config.source);
    told->set_reason(config.reason);
  }
}

void AddBrokerEntries(const BrokerLayers& layers, bool include_defaults,
                      v1::DescribeConfigsResponse::Result* out) {
  for (const ConfigInForce& config : DescribeBrokerConfigs(layers)) {
    if (config.source() == v1::CONFIG_SOURCE_DEFAULT && !include_defaults) continue;
    AddEntry(config, config.def->scope == ConfigScope::kReadOnly, out);
  }
}

}  // namespace

void Broker::Impl::ApplyConfig(BrokerConfigPtr config) {
  context_.live = std::move(config);
  const BrokerConfig& live = *context_.live;
  dirs_->SetSpaceLimits({.min_free = live.log_dir_min_free, .reserve = live.log_dir_reserve});
  dirs_->copy_pace().SetRate(live.move_bytes_per_second);
  for (const auto& shard : context_.shards) shard->PostConfig(context_.live);
  configs_->SetBrokerConfig(context_.live);
  controller_->SetConfig(context_.live);
  if (cleaner_) cleaner_->Apply();
}

template <typename R, typename F>
Task<std::optional<R>> Broker::Impl::AskZooKeeper(F body) {
  Gather<R> gather(loop_, 1);
  gather.Start(0, loop_, scope_, "read of configs", std::move(body));
  (void)co_await gather.Wait("configs in ZooKeeper", loop_.Now() + kConfigsPatience, scope_.stop_token());
  co_return std::move(gather.results()[0]);
}

Task<v1::DescribeConfigsResponse> Broker::Impl::DescribeConfigs(v1::DescribeConfigsRequest request) {
  v1::DescribeConfigsResponse response;
  // Set once ZooKeeper has failed this request: whatever else is asked is not worth a wait of its own.
  std::optional<Error> silent;
  const Error late{v1::BROKER_NOT_READY,
                   fmt::format("ZooKeeper has not answered for {} s", kConfigsPatience / 1s)};
  std::vector<v1::ConfigEntity> entities(request.entities().begin(), request.entities().end());
  for (const int number : request.all_of()) {
    using Found = Result<std::vector<v1::ConfigEntity>>;
    const auto type = static_cast<v1::ConfigEntityType>(number);
    std::optional<Found> found;
    if (!silent) found = co_await AskZooKeeper<Found>([this, type] { return EntitiesWithConfigs(type); });
    if (!found) found = std::unexpected(silent.value_or(late));
    if (*found) {
      entities.insert(entities.end(), (*found)->begin(), (*found)->end());
      continue;
    }
    if (found->error().code == v1::BROKER_NOT_READY) silent = found->error();
    v1::DescribeConfigsResponse::Result* result = response.add_results();
    result->mutable_entity()->set_type(type);
    ToProto(found->error(), result->mutable_error());
  }
  // Once for all that is asked: values of brokers are in force for topics too, and a caller sees what it
  // wrote.
  const auto reads_brokers = [](const v1::ConfigEntity& entity) {
    return entity.type() == v1::CONFIG_ENTITY_TYPE_TOPIC || entity.type() == v1::CONFIG_ENTITY_TYPE_BROKER;
  };
  if (!silent && std::ranges::any_of(entities, reads_brokers)) {
    const auto caught_up = co_await AskZooKeeper<bool>([this]() -> Task<bool> {
      co_await broker_configs_->CatchUp();
      co_return true;
    });
    if (!caught_up) silent = late;
  }
  for (const v1::ConfigEntity& entity : entities) {
    using Described = v1::DescribeConfigsResponse::Result;
    std::optional<Described> described;
    if (!silent || IsThisBroker(entity)) {
      described = co_await AskZooKeeper<Described>(
          [this, entity, all = request.include_defaults()] { return DescribeEntity(entity, all); });
    }
    v1::DescribeConfigsResponse::Result* result = response.add_results();
    if (described) {
      *result = *std::move(described);
    } else {
      *result->mutable_entity() = entity;
      ToProto(silent.value_or(late), result->mutable_error());
    }
    if (result->error().code() == v1::BROKER_NOT_READY) silent = FromProto(result->error());
  }
  co_return response;
}

// All that is told of it is known here.
bool Broker::Impl::IsThisBroker(const v1::ConfigEntity& entity) const {
  return entity.type() == v1::CONFIG_ENTITY_TYPE_BROKER &&
         zkpath::ParseBrokerId(entity.name()) == identity_.broker_id;
}

Task<v1::DescribeConfigsResponse::Result> Broker::Impl::DescribeEntity(v1::ConfigEntity entity,
                                                                       bool include_defaults) {
  v1::DescribeConfigsResponse::Result out;
  *out.mutable_entity() = entity;
  Result<> described =
      Fail(v1::INVALID_REQUEST, "entity type {} has no configs", static_cast<int>(entity.type()));
  if (entity.type() == v1::CONFIG_ENTITY_TYPE_TOPIC) {
    described = co_await DescribeTopic(entity.name(), include_defaults, &out);
  } else if (entity.type() == v1::CONFIG_ENTITY_TYPE_BROKER) {
    described = co_await DescribeBroker(entity.name(), include_defaults, &out);
  } else if (entity.type() == v1::CONFIG_ENTITY_TYPE_CLIENT || entity.type() == v1::CONFIG_ENTITY_TYPE_USER) {
    described = co_await DescribeQuotas(entity, &out);
  }
  if (!described) ToProto(described.error(), out.mutable_error());
  co_return out;
}

Task<Result<>> Broker::Impl::DescribeTopic(std::string topic, bool include_defaults,
                                           v1::DescribeConfigsResponse::Result* out) {
  TM_CO_RETURN_IF_ERROR(ValidateTopicName(topic));
  TM_CO_ASSIGN_OR_RETURN(const auto stored, co_await configs_->ReadOverrides(topic));
  const bool holds_some = !stored.good.empty() || !stored.passed_over.empty();
  if (!holds_some && executor_->snapshot()->Topic(topic) == nullptr) {
    co_return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic '{}'", topic);
  }
  for (const ConfigInForce& config : DescribeTopicConfigs(broker_configs_->layers(), stored.good)) {
    if (config.source() == v1::CONFIG_SOURCE_DYNAMIC_TOPIC || include_defaults) AddEntry(config, false, out);
  }
  AddPassedOver(stored.passed_over, out);
  co_return Result<>();
}

Task<Result<>> Broker::Impl::DescribeBroker(std::string name, bool include_defaults,
                                            v1::DescribeConfigsResponse::Result* out) {
  if (name.empty()) {
    TM_CO_ASSIGN_OR_RETURN(const auto stored, co_await broker_configs_->ReadDefault());
    AddBrokerEntries(stored.layers, include_defaults, out);
    AddPassedOver(stored.passed_over, out);
    co_return Result<>();
  }
  const std::optional<BrokerId> id = zkpath::ParseBrokerId(name);
  if (!id) co_return Fail(v1::INVALID_REQUEST, "'{}' is not a broker id", name);
  if (*id == identity_.broker_id) {
    AddBrokerEntries(broker_configs_->layers(), include_defaults, out);
    AddPassedOver(broker_configs_->PassedOver(), out);
    co_return Result<>();
  }
  if (include_defaults) {
    co_return Fail(v1::WRONG_BROKER, "broker {} tells all configs of itself only; ask broker {}",
                   identity_.broker_id, *id);
  }
  TM_CO_ASSIGN_OR_RETURN(const auto stored, co_await broker_configs_->ReadOther(*id));
  AddBrokerEntries(stored.layers, false, out);
  AddPassedOver(stored.passed_over, out);
  co_return Result<>();
}

Task<Result<>> Broker::Impl::DescribeQuotas(v1::ConfigEntity entity,
                                            v1::DescribeConfigsResponse::Result* out) {
  if (entity.has_client_id() && entity.type() != v1::CONFIG_ENTITY_TYPE_USER) {
    co_return Fail(v1::INVALID_REQUEST, "only a user stands with a client id");
  }
  TM_CO_ASSIGN_OR_RETURN(const auto described, co_await quotas_->Describe(entity));
  for (const ConfigInForce& config : described.in_force) AddEntry(config, false, out);
  AddPassedOver(described.passed_over, out);
  co_return Result<>();
}

Task<Result<std::vector<v1::ConfigEntity>>> Broker::Impl::EntitiesWithConfigs(v1::ConfigEntityType type) {
  if (type == v1::CONFIG_ENTITY_TYPE_CLIENT || type == v1::CONFIG_ENTITY_TYPE_USER) {
    co_return co_await quotas_->Entities(type);
  }
  if (type != v1::CONFIG_ENTITY_TYPE_BROKER) {
    co_return Fail(v1::INVALID_REQUEST, "all_of takes brokers, clients and users, not type {}",
                   static_cast<int>(type));
  }
  TM_CO_ASSIGN_OR_RETURN(const auto brokers, co_await broker_configs_->ReadWhoHasConfigs());
  std::vector<v1::ConfigEntity> out;
  for (const std::optional<BrokerId>& id : brokers) {
    v1::ConfigEntity& entity = out.emplace_back();
    entity.set_type(type);
    entity.set_name(id ? std::to_string(*id) : "");
  }
  co_return out;
}

}  // namespace tidemark
