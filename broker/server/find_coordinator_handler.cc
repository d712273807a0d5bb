// FindCoordinator: who leads the partition that holds a group, by this shard's snapshot. Creates
// __consumer_offsets when it is not there.
#include "broker/group/group_limits.h"
#include "broker/server/group_topic.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

constexpr Duration kCreatePatience = 10s;

// Asks the controller for the topic. The error is why it is not there yet; without one it was created, and
// the metadata that says so is on its way.
Task<Result<>> CreateOffsetsTopic(Shard& shard, MonoTime deadline) {
  BrokerContext& context = shard.context();
  TM_CO_ASSIGN_OR_RETURN(v1::CreateTopicsRequest create,
                         RequestForOffsetsTopic(context.config.groups, shard.snapshot().brokers().size()));
  v1::Request request;
  *request.mutable_create_topics() = std::move(create);
  Result<Result<v1::Response>> answer = co_await CallOn<Result<v1::Response>>(
      shard.loop(), context.control_loop, context.control_scope, "create the offsets topic",
      [&control = context.control, request = std::move(request)]() mutable {
        return control.Serve(std::move(request), false);
      },
      std::min(deadline, shard.loop().Now() + kCreatePatience), shard.scope().stop_token());
  std::optional<Error> error;
  if (!answer) {
    error = answer.error();
  } else if (!*answer) {
    error = answer->error();
  } else if (const v1::CreateTopicsResponse& created = (*answer)->create_topics();
             created.topics_size() == 1 && created.topics(0).error().code() != v1::NONE) {
    error = FromProto(created.topics(0).error());
  }
  if (!error || error->code == v1::TOPIC_ALREADY_EXISTS) co_return Result<>{};
  co_return Fail(v1::COORDINATOR_NOT_AVAILABLE, "{} cannot be created: {}", kOffsetsTopic, ToString(*error));
}

Result<> FillCoordinator(const ClusterSnapshot& snapshot, const std::string& group,
                         const std::string& listener, v1::FindCoordinatorResponse::Coordinator* out) {
  TM_ASSIGN_OR_RETURN(const PartitionKey place, PlaceOfGroup(snapshot, group));
  out->set_partition(place.partition);
  const TopicInfo* topic = snapshot.Topic(place.topic);
  const auto partition = topic->partitions.find(place.partition);
  const BrokerInfo* leader =
      partition == topic->partitions.end() ? nullptr : snapshot.Broker(partition->second.leader);
  const Endpoint* endpoint = leader == nullptr ? nullptr : leader->On(listener);
  if (endpoint == nullptr) {
    return Fail(v1::COORDINATOR_NOT_AVAILABLE,
                "{}-{}, which holds group '{}', has no leader that can be reached now", kOffsetsTopic,
                place.partition, group);
  }
  out->set_coordinator_epoch(partition->second.leader_epoch);
  out->set_broker_id(leader->id);
  out->set_host(endpoint->host);
  out->set_port(endpoint->port);
  return {};
}

}  // namespace

Task<void> HandleFindCoordinator(Shard& shard, std::unique_ptr<RpcCall> call) {
  const std::string listener = call->connection() == nullptr ? std::string() : call->connection()->listener;
  if (const Result<> asked = CheckGroupsAsked(call->request().find_coordinator().group_ids()); !asked) {
    call->ReplyError(asked.error());
    co_return;
  }
  const std::vector<std::string> groups(call->request().find_coordinator().group_ids().begin(),
                                        call->request().find_coordinator().group_ids().end());
  if (const Result<> knows = shard.KnowsCluster(); !knows) {
    call->ReplyError(knows.error());
    co_return;
  }
  Result<> created;
  if (shard.snapshot().Topic(kOffsetsTopic) == nullptr) {
    created = co_await CreateOffsetsTopic(shard, call->deadline());
  }
  v1::Response response;
  for (const std::string& group : groups) {
    v1::FindCoordinatorResponse::Coordinator* out = response.mutable_find_coordinator()->add_coordinators();
    out->set_group_id(group);
    out->set_broker_id(kNoBroker);
    Result<> found = FillCoordinator(shard.snapshot(), group, listener, out);
    if (!found && found.error().code == v1::COORDINATOR_NOT_AVAILABLE && !created) found = created;
    if (!found) ToProto(found.error(), out->mutable_error());
  }
  response.mutable_find_coordinator();
  call->Reply(std::move(response));
}

}  // namespace tidemark
