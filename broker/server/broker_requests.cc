// The control plane of a broker: requests that no single shard can answer.
#include <charconv>

#include <glog/logging.h>

#include "broker/server/broker_impl.h"

namespace tidemark {
namespace {

constexpr Duration kForwardTimeout = 30s;
constexpr Duration kBeyondTheWait = 10s;

Duration TimeoutOf(const v1::Request& request) {
  if (request.has_create_topics()) {
    return std::chrono::milliseconds(request.create_topics().timeout_ms()) + kBeyondTheWait;
  }
  if (request.has_delete_topics()) {
    return std::chrono::milliseconds(request.delete_topics().timeout_ms()) + kBeyondTheWait;
  }
  if (request.has_create_partitions()) {
    return std::chrono::milliseconds(request.create_partitions().timeout_ms()) + kBeyondTheWait;
  }
  return kForwardTimeout;
}

void AddEntry(const ConfigDef& def, const std::string& value, v1::ConfigSource source,
              v1::DescribeConfigsResponse::Result* out) {
  v1::DescribeConfigsResponse::Entry* entry = out->add_entries();
  entry->set_name(def.name);
  entry->set_value(value);
  entry->set_source(source);
  entry->set_default_value(def.default_value);
  entry->set_documentation(def.doc);
  entry->set_read_only(def.read_only);
}

}  // namespace

Task<Result<v1::Response>> Broker::Impl::Serve(v1::Request request, bool forwarded) {
  if (!active_ || executor_ == nullptr) co_return Fail(v1::BROKER_NOT_READY, "the broker is starting");
  v1::Response response;
  switch (request.body_case()) {
    case v1::Request::kLeaderAndIsr:
      *response.mutable_leader_and_isr() =
          co_await executor_->LeaderAndIsr(std::move(*request.mutable_leader_and_isr()));
      co_return response;
    case v1::Request::kUpdateMetadata:
      *response.mutable_update_metadata() =
          co_await executor_->UpdateMetadata(std::move(*request.mutable_update_metadata()));
      co_return response;
    case v1::Request::kStopReplica:
      *response.mutable_stop_replica() =
          co_await executor_->StopReplica(std::move(*request.mutable_stop_replica()));
      co_return response;
    case v1::Request::kDescribeLogDirs:
      *response.mutable_describe_log_dirs() = co_await DescribeLogDirs(request.describe_log_dirs());
      co_return response;
    case v1::Request::kAlterReplicaLogDirs:
      *response.mutable_alter_replica_log_dirs() =
          co_await AlterReplicaLogDirs(request.alter_replica_log_dirs());
      co_return response;
    case v1::Request::kDescribeConfigs:
      *response.mutable_describe_configs() = co_await DescribeConfigs(request.describe_configs());
      co_return response;
    case v1::Request::kAlterPartition:
    case v1::Request::kResignLeadership:
    case v1::Request::kControlledShutdown:
      co_return co_await controller_->Serve(std::move(request));
    case v1::Request::kCreateTopics:
    case v1::Request::kDeleteTopics:
    case v1::Request::kDescribeTopics:
    case v1::Request::kCreatePartitions:
    case v1::Request::kAlterConfigs: {
      // Forwarded once: a broker that took another's word for being the controller says so instead of passing
      // it on.
      if (forwarded) co_return co_await controller_->Serve(std::move(request));
      const Duration timeout = TimeoutOf(request);
      co_return co_await channel_->Call(std::move(request), timeout);
    }
    default:
      co_return Fail(v1::INVALID_REQUEST, "this broker does not know that request");
  }
}

Task<Result<v1::AlterPartitionResponse::Partition>> Broker::Impl::AlterPartition(
    v1::AlterPartitionRequest::Partition wish) {
  co_return co_await channel_->AlterPartition(std::move(wish));
}

Task<Result<>> Broker::Impl::Resign(v1::ResignLeadershipRequest::Partition partition,
                                    v1::ResignReason reason) {
  co_return co_await channel_->Resign(std::move(partition), reason);
}

void Broker::Impl::OnDirectoryFailure(size_t directory, Error error) {
  LOG(ERROR) << "log directory " << dirs_->directories()[directory]->path << " is offline: " << error.message;
  for (const auto& one : dirs_->directories()) {
    if (!one->failed) return;
  }
  Fatal({v1::KAFKA_STORAGE_ERROR, fmt::format("every log directory has failed, last: {}", error.message)});
}

Task<v1::DescribeConfigsResponse> Broker::Impl::DescribeConfigs(v1::DescribeConfigsRequest request) {
  v1::DescribeConfigsResponse response;
  for (const v1::ConfigEntity& entity : request.entities()) {
    v1::DescribeConfigsResponse::Result* result = response.add_results();
    *result->mutable_entity() = entity;
    Result<> described =
        Fail(v1::INVALID_REQUEST, "entity type {} has no configs", static_cast<int>(entity.type()));
    if (entity.type() == v1::CONFIG_ENTITY_TYPE_TOPIC) {
      described = co_await DescribeTopic(entity.name(), request.include_defaults(), result);
    } else if (entity.type() == v1::CONFIG_ENTITY_TYPE_BROKER) {
      described = DescribeBroker(entity.name(), request.include_defaults(), result);
    }
    if (!described) ToProto(described.error(), result->mutable_error());
  }
  co_return response;
}

Task<Result<>> Broker::Impl::DescribeTopic(std::string topic, bool include_defaults,
                                           v1::DescribeConfigsResponse::Result* out) {
  TM_CO_RETURN_IF_ERROR(ValidateTopicName(topic));
  TM_CO_ASSIGN_OR_RETURN(const Properties overrides, co_await configs_->ReadOverrides(topic));
  if (overrides.empty() && executor_->snapshot()->Topic(topic) == nullptr) {
    co_return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "there is no topic '{}'", topic);
  }
  for (const TopicConfigEntry& entry : DescribeTopicConfigs(context_.config.properties, overrides)) {
    const v1::ConfigSource source = entry.overridden    ? v1::CONFIG_SOURCE_DYNAMIC_TOPIC
                                    : entry.from_broker ? v1::CONFIG_SOURCE_STATIC_BROKER
                                                        : v1::CONFIG_SOURCE_DEFAULT;
    if (source == v1::CONFIG_SOURCE_DYNAMIC_TOPIC || include_defaults)
      AddEntry(*entry.def, entry.value, source, out);
  }
  co_return Result<>();
}

Result<> Broker::Impl::DescribeBroker(const std::string& name, bool include_defaults,
                                      v1::DescribeConfigsResponse::Result* out) {
  BrokerId id = identity_.broker_id;
  if (!name.empty()) {
    const auto [end, status] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (status != std::errc() || end != name.data() + name.size()) {
      return Fail(v1::INVALID_REQUEST, "'{}' is not a broker id", name);
    }
  }
  if (id != identity_.broker_id) {
    return Fail(v1::WRONG_BROKER, "broker {} tells its own configs only; ask broker {}", identity_.broker_id,
                id);
  }
  const ConfigValues values(BrokerConfigTable(), context_.config.properties);
  for (const ConfigDef& def : BrokerConfigTable().defs()) {
    const bool set = values.IsSet(def.name);
    if (!set && !include_defaults) continue;
    AddEntry(def, values.Text(def.name), set ? v1::CONFIG_SOURCE_STATIC_BROKER : v1::CONFIG_SOURCE_DEFAULT,
             out);
  }
  return {};
}

}  // namespace tidemark
