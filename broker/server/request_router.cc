#include "broker/server/request_router.h"

#include <algorithm>

#include "broker/server/request_amounts.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

using Body = v1::Request;

constexpr std::array kClientApis = {
    Body::kApiVersions,         Body::kMetadata,      Body::kProduce,          Body::kFetch,
    Body::kListOffsets,         Body::kCreateTopics,  Body::kDeleteTopics,     Body::kDescribeTopics,
    Body::kDescribeConfigs,     Body::kAlterConfigs,  Body::kDescribeReplicas, Body::kDescribeLogDirs,
    Body::kAlterReplicaLogDirs, Body::kDeleteRecords, Body::kFindCoordinator,  Body::kConsumerGroupHeartbeat,
    Body::kOffsetCommit,        Body::kOffsetFetch,   Body::kOffsetDelete,     Body::kListGroups,
    Body::kDescribeGroups,      Body::kDeleteGroups,  Body::kCreatePartitions};
constexpr std::array kControlApis = {Body::kLeaderAndIsr,     Body::kUpdateMetadata,
                                     Body::kStopReplica,      Body::kAlterPartition,
                                     Body::kResignLeadership, Body::kControlledShutdown};

bool IsControl(Body::BodyCase api) { return std::ranges::find(kControlApis, api) != kControlApis.end(); }

// Passes the call on, notes how long it took until the answer, and counts the errors that it tells.
class MeasuredCall final : public RpcCall {
 public:
  MeasuredCall(std::unique_ptr<RpcCall> inner, EventLoop& loop, ApiMetrics& metrics)
      : inner_(std::move(inner)), loop_(loop), metrics_(metrics), begun_(inner_->begun()) {
    metrics_.requests.Add();
  }
  v1::Request& request() override { return inner_->request(); }
  MonoTime begun() const override { return begun_; }
  Duration TakeTransferTime() override { return inner_->TakeTransferTime(); }
  MonoTime deadline() const override { return inner_->deadline(); }
  std::stop_token stop_token() const override { return inner_->stop_token(); }
  ConnectionInfo* connection() override { return inner_->connection(); }
  void Reply(v1::Response response) override {
    Note();
    metrics_.CountErrors(response);
    inner_->Reply(std::move(response));
  }
  void ReplyError(const Error& error) override {
    Note();
    metrics_.CountError(error.code);
    inner_->ReplyError(error);
  }
  void NoReply() override {
    Note();
    inner_->NoReply();
  }
  void ReleaseRequestBytes() override { inner_->ReleaseRequestBytes(); }
  size_t request_bytes() const override { return inner_->request_bytes(); }
  void Mute(Duration pause) override { inner_->Mute(pause); }

 private:
  void Note() { metrics_.latency.Record(loop_.Now() - begun_); }

  std::unique_ptr<RpcCall> inner_;
  EventLoop& loop_;
  ApiMetrics& metrics_;
  const MonoTime begun_;
};

Task<void> Begin(Shard& shard, Body::BodyCase api, std::unique_ptr<RpcCall> call) {
  switch (api) {
    case Body::kMetadata:
      return HandleMetadata(shard, std::move(call));
    case Body::kProduce:
      return HandleProduce(shard, std::move(call));
    case Body::kFetch:
      return HandleFetch(shard, std::move(call));
    case Body::kListOffsets:
      return HandleListOffsets(shard, std::move(call));
    case Body::kDescribeReplicas:
      return HandleDescribeReplicas(shard, std::move(call));
    case Body::kDeleteRecords:
      return HandleDeleteRecords(shard, std::move(call));
    case Body::kFindCoordinator:
      return HandleFindCoordinator(shard, std::move(call));
    case Body::kConsumerGroupHeartbeat:
      return HandleGroupHeartbeat(shard, std::move(call));
    case Body::kOffsetCommit:
      return HandleOffsetCommit(shard, std::move(call));
    case Body::kOffsetFetch:
      return HandleOffsetFetch(shard, std::move(call));
    case Body::kOffsetDelete:
      return HandleOffsetDelete(shard, std::move(call));
    case Body::kListGroups:
      return HandleListGroups(shard, std::move(call));
    case Body::kDescribeGroups:
      return HandleDescribeGroups(shard, std::move(call));
    case Body::kDeleteGroups:
      return HandleDeleteGroups(shard, std::move(call));
    case Body::kReplicaProgress:
      return HandleReplicaProgress(shard, std::move(call));
    case Body::kApiVersions:
      return HandleApiVersions(shard, std::move(call));
    default:
      return HandleByControlPlane(shard, std::move(call));
  }
}

}  // namespace

std::vector<uint32_t> ApisServed(const ListenerRoles& roles) {
  std::vector<uint32_t> apis;
  // Brokers, too, ask for metadata and forward admin calls, so an inter-broker listener serves all of it.
  for (const Body::BodyCase api : kClientApis) apis.push_back(api);
  if (roles.inter_broker) {
    for (const Body::BodyCase api : kControlApis) apis.push_back(api);
    apis.push_back(Body::kReplicaProgress);
  }
  return apis;
}

std::optional<Error> RefusalFor(v1::Request::BodyCase api, const ConnectionInfo& connection) {
  const bool control = IsControl(api);
  const bool replication = api == Body::kReplicaProgress;
  if (!control && !replication) return std::nullopt;
  if (!connection.roles.inter_broker) {
    return Error{v1::LISTENER_FORBIDDEN,
                 fmt::format("{} is served only between brokers, not on the listener {}",
                             RequestMetrics::NameOf(api), connection.listener)};
  }
  const v1::ConnectionPurpose needed =
      control ? v1::CONNECTION_PURPOSE_CONTROL : v1::CONNECTION_PURPOSE_REPLICATION;
  if (connection.purpose == needed) return std::nullopt;
  return Error{v1::LISTENER_FORBIDDEN,
               fmt::format("{} needs a connection of purpose {}", RequestMetrics::NameOf(api),
                           v1::ConnectionPurpose_Name(needed))};
}

void RequestRouter::OnRequest(std::unique_ptr<RpcCall> call) {
  const Body::BodyCase api = call->request().body_case();
  std::shared_ptr<CallTime> time;
  std::unique_ptr<RpcCall> measured = std::make_unique<MeasuredCall>(
      UnderQuotas(shard_, std::move(call), &time), shard_.loop(), shard_.metrics().Of(api));
  ConnectionInfo* connection = measured->connection();
  if (connection == nullptr) {
    measured->NoReply();
    return;
  }
  std::optional<Error> refusal = RefusalFor(api, *connection);
  if (!refusal && api != Body::kApiVersions && (!shard_.active() || shard_.scope().stopping())) {
    refusal =
        Error{v1::BROKER_NOT_READY, shard_.active() ? "the broker is stopping" : "the broker is starting"};
  }
  // Of brokers too: who may say that he is one is often a matter of the listener alone.
  if (!refusal) {
    if (Result<> amount = CheckAmountAsked(measured->request()); !amount) refusal = std::move(amount.error());
  }
  if (!refusal) {
    shard_.scope().Spawn("request", Begin(shard_, api, std::move(measured)));
    if (time) time->to_first_wait = shard_.loop().Now() - time->begun;
  } else if (api == Body::kReplicaProgress ||
             (api == Body::kProduce && measured->request().produce().acks() == 0)) {
    shard_.metrics().Of(api).CountError(refusal->code);
    measured->NoReply();
  } else {
    measured->ReplyError(*refusal);
  }
}

Task<void> HandleApiVersions(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::Response response;
  v1::ApiVersionsResponse* out = response.mutable_api_versions();
  out->set_min_protocol_version(1);
  out->set_max_protocol_version(1);
  const ConnectionInfo* connection = call->connection();
  if (connection != nullptr) {
    for (const uint32_t api : ApisServed(connection->roles)) out->add_apis(api);
  }
  out->set_cluster_id(shard.identity().cluster_id);
  out->set_broker_id(shard.identity().broker_id);
  out->set_software_version("0.1.0");
  out->set_max_frame_bytes(static_cast<uint32_t>(shard.context().config.max_request_bytes));
  call->Reply(std::move(response));
  co_return;
}

Task<void> HandleByControlPlane(Shard& shard, std::unique_ptr<RpcCall> call) {
  BrokerContext& context = shard.context();
  const ConnectionInfo* connection = call->connection();
  const bool forwarded = connection != nullptr && connection->purpose == v1::CONNECTION_PURPOSE_CONTROL;
  if (call->request().create_topics().internal() && !forwarded) {
    call->ReplyError({v1::INVALID_REQUEST, "internal: only brokers make the system's own topics"});
    co_return;
  }
  Result<Result<v1::Response>> answer = co_await CallOn<Result<v1::Response>>(
      shard.loop(), context.control_loop, context.control_scope, "control plane",
      [&control = context.control, request = std::move(call->request()), forwarded]() mutable {
        return control.Serve(std::move(request), forwarded);
      },
      call->deadline(), call->stop_token());
  if (!answer) {
    // Nobody waits for it any more, and it goes on.
    call->ReplyError({answer.error().code, answer.error().message, true});
  } else if (!*answer) {
    call->ReplyError(answer->error());
  } else {
    call->Reply(std::move(**answer));
  }
}

Task<void> HandleReplicaProgress(Shard& shard, std::unique_ptr<RpcCall> call) {
  // Told only to the shards concerned; what is lost is told again by the next fetch.
  const v1::ReplicaProgressRequest& request = call->request().replica_progress();
  BrokerContext& context = shard.context();
  std::vector<v1::ReplicaProgressRequest> slices(context.shards.size());
  for (const auto& partition : request.partitions()) {
    const Result<TopicId> topic = TopicId::FromBytes(partition.topic_id());
    if (!topic) continue;
    *slices[context.OwnerOf({*topic, partition.partition()}).index()].add_partitions() = partition;
  }
  for (size_t i = 0; i < slices.size(); ++i) {
    if (slices[i].partitions_size() == 0) continue;
    slices[i].set_replica_id(request.replica_id());
    slices[i].set_broker_epoch(request.broker_epoch());
    Shard& owner = *context.shards[i];
    if (&owner == &shard) {
      if (shard.table() != nullptr) shard.table()->ReplicaProgress(slices[i]);
      continue;
    }
    owner.loop().Post([&owner, slice = std::move(slices[i])] {
      if (owner.active() && !owner.scope().stopping()) owner.table()->ReplicaProgress(slice);
    });
  }
  call->NoReply();
  co_return;
}

}  // namespace tidemark
