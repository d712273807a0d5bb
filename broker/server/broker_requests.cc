// The control plane of a broker: requests that no single shard can answer.
#include <glog/logging.h>

#include "broker/server/broker_impl.h"

namespace tidemark {
namespace {

constexpr Duration kForwardTimeout = 30s;
constexpr Duration kBeyondTheWait = 10s;
// That somebody is elected; then the client is told why it waits, and tries again.
constexpr Duration kRequestPatience = 5s;

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
    case v1::Request::kDescribeLogDirs: {
      TM_CO_ASSIGN_OR_RETURN(*response.mutable_describe_log_dirs(),
                             co_await DescribeLogDirs(request.describe_log_dirs()));
      co_return response;
    }
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
      co_return co_await channel_->Call(std::move(request), timeout, kRequestPatience);
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

}  // namespace tidemark
