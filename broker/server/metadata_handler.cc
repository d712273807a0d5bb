// Metadata: the cluster as this shard's snapshot has it.
#include "broker/server/metadata_answer.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"
#include "common/request_limits.h"

namespace tidemark {
namespace {

void FillBrokers(const ClusterSnapshot& snapshot, const std::string& listener, v1::MetadataResponse* out) {
  for (const auto& [id, broker] : snapshot.brokers()) {
    // A broker without the listener asked cannot be reached by this client; it is not named.
    const Endpoint* endpoint = broker.On(listener);
    if (endpoint == nullptr) continue;
    v1::BrokerEndpoint* entry = out->add_brokers();
    entry->set_id(id);
    entry->set_host(endpoint->host);
    entry->set_port(endpoint->port);
    entry->set_rack(broker.rack);
    entry->set_admin_address(broker.admin_address);
  }
}

// Control loop. Clients ask again and again until a topic is there: no name is asked for twice at a time, and
// no more of them together than one request may name.
void AskForTopics(BrokerContext& context, const std::vector<std::string>& names) {
  v1::Request create;
  for (const std::string& name : names) {
    if (context.topics_asked_for.size() >= kMaxEntitiesAsked) break;
    if (context.topics_asked_for.insert(name).second)
      create.mutable_create_topics()->add_topics()->set_name(name);
  }
  if (!create.has_create_topics()) return;
  auto run = [](BrokerContext* broker, v1::Request body) -> Task<void> {
    // A failure shows in the next answer: the topic is still not there.
    (void)co_await broker->control.Serve(body, false);
    for (const auto& topic : body.create_topics().topics()) broker->topics_asked_for.erase(topic.name());
  };
  context.control_scope.Spawn("auto create", run(&context, std::move(create)));
}

// Asks the controller for the missing topics of `answer`, which says so; the client's next metadata request
// finds them, or learns why not.
void AutoCreate(Shard& shard, v1::MetadataResponse* answer) {
  std::vector<std::string> names;
  for (v1::TopicMetadata& topic : *answer->mutable_topics()) {
    if (topic.error().code() != v1::UNKNOWN_TOPIC_OR_PARTITION || IsInternalTopic(topic.name())) continue;
    // The rest is asked for by who asks again.
    if (names.size() == kMaxEntitiesAsked) break;
    names.push_back(topic.name());
    ToProto({v1::LEADER_NOT_AVAILABLE, fmt::format("topic '{}' is being created", topic.name())},
            topic.mutable_error());
  }
  if (names.empty()) return;
  BrokerContext& context = shard.context();
  context.control_loop.Post([&context, names = std::move(names)] { AskForTopics(context, names); });
}

}  // namespace

Task<void> HandleMetadata(Shard& shard, std::unique_ptr<RpcCall> call) {
  const v1::MetadataRequest& request = call->request().metadata();
  const ClusterSnapshot& snapshot = shard.snapshot();
  const ConnectionInfo* connection = call->connection();
  if (const Result<> knows = shard.KnowsCluster(); !knows) {
    call->ReplyError(knows.error());
    co_return;
  }
  v1::Response response;
  v1::MetadataResponse* out = response.mutable_metadata();
  FillBrokers(snapshot, connection == nullptr ? std::string() : connection->listener, out);
  out->set_controller_id(snapshot.controller());
  out->set_cluster_id(shard.identity().cluster_id);
  out->set_controller_epoch(snapshot.controller_epoch());
  out->set_version(snapshot.version());
  if (Result<> filled = FillMetadata(snapshot, request, RpcServerLimits().max_response_bytes, out); !filled) {
    call->ReplyError(filled.error());
    co_return;
  }
  if (request.allow_auto_create() && shard.config().auto_create_topics) AutoCreate(shard, out);
  call->Reply(std::move(response));
}

}  // namespace tidemark
