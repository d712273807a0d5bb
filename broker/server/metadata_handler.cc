// Metadata: the cluster as this shard's snapshot has it.
#include <set>
#include <string_view>

#include "broker/server/request_router.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"
#include "common/nearest_name.h"
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

// Says of unknown names what may have been meant. Each hint compares with every topic there is, so only the
// first names of an answer get one.
class NameHints {
 public:
  explicit NameHints(const ClusterSnapshot& snapshot) : snapshot_(snapshot) {}

  Error Unknown(const std::string& name) {
    if (Result<> legal = ValidateTopicName(name); !legal) return legal.error();
    const std::string nearest = given_++ < kMost ? NearestName(name, snapshot_.TopicNames()) : std::string();
    return {v1::UNKNOWN_TOPIC_OR_PARTITION,
            nearest.empty() ? fmt::format("there is no topic '{}'", name)
                            : fmt::format("there is no topic '{}'; did you mean '{}'?", name, nearest)};
  }

 private:
  static constexpr int kMost = 8;
  const ClusterSnapshot& snapshot_;
  int given_ = 0;
};

void FillWanted(const ClusterSnapshot& snapshot, const v1::MetadataRequest::Topic& wanted, NameHints& hints,
                v1::TopicMetadata* out) {
  const TopicInfo* topic = nullptr;
  if (wanted.id().empty()) {
    topic = snapshot.Topic(wanted.name());
  } else if (const Result<TopicId> id = TopicId::FromBytes(wanted.id()); id) {
    topic = snapshot.Topic(*id);
  } else {
    out->set_id(wanted.id());
    ToProto(id.error(), out->mutable_error());
    return;
  }
  if (topic != nullptr) {
    snapshot.FillTopic(*topic, out);
    return;
  }
  out->set_name(wanted.name());
  out->set_id(wanted.id());
  const Error error = wanted.id().empty() ? hints.Unknown(wanted.name())
                                          : Error{v1::UNKNOWN_TOPIC_ID, "no topic has this id"};
  ToProto(error, out->mutable_error());
}

// Asks the controller for the missing topics of `answer`, which says so; the client's next metadata request
// finds them, or learns why not.
void AutoCreate(Shard& shard, v1::MetadataResponse* answer) {
  v1::Request create;
  for (v1::TopicMetadata& topic : *answer->mutable_topics()) {
    if (topic.error().code() != v1::UNKNOWN_TOPIC_OR_PARTITION || IsInternalTopic(topic.name())) continue;
    // The rest is asked for by who asks again.
    if (static_cast<size_t>(create.create_topics().topics_size()) == kMaxEntitiesAsked) break;
    create.mutable_create_topics()->add_topics()->set_name(topic.name());
    ToProto({v1::LEADER_NOT_AVAILABLE, fmt::format("topic '{}' is being created", topic.name())},
            topic.mutable_error());
  }
  if (!create.has_create_topics()) return;
  BrokerContext& context = shard.context();
  context.control_loop.Post([&context, create = std::move(create)]() mutable {
    auto run = [](ControlPlane& control, v1::Request body) -> Task<void> {
      // A failure shows in the next answer: the topic is still not there.
      (void)co_await control.Serve(std::move(body), false);
    };
    context.control_scope.Spawn("auto create", run(context.control, std::move(create)));
  });
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
  if (request.all_topics()) {
    for (const std::string& name : snapshot.TopicNames())
      snapshot.FillTopic(*snapshot.Topic(name), out->add_topics());
  }
  NameHints hints(snapshot);
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const auto& wanted : request.topics()) {
    if (request.all_topics()) break;
    // Named again, it is not told again: an answer is no longer than that to all_topics.
    if (seen.emplace(wanted.name(), wanted.id()).second)
      FillWanted(snapshot, wanted, hints, out->add_topics());
  }
  if (request.allow_auto_create() && shard.config().auto_create_topics) AutoCreate(shard, out);
  call->Reply(std::move(response));
}

}  // namespace tidemark
