#include "tests/unit/controller/cluster.h"

#include <gtest/gtest.h>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark::testing {
namespace {

ControllerOptions Options(SimProcess& process, BrokerId id, const NodeOptions& options) {
  return {.loop = process.main_loop(),
          .env = process,
          .broker_id = id,
          .cluster_id = "test-cluster",
          .delete_topics = options.delete_topics,
          .command_timeout = 2s};
}

std::string HostOf(BrokerId id) { return fmt::format("b{}", id); }

}  // namespace

Node::Node(SimProcess& process, BrokerId id, NodeOptions options)
    : on_state(options.on_state),
      process_(process),
      loop_(process.main_loop()),
      id_(id),
      options_(options),
      scope_(loop_, "node"),
      keeper_(loop_, process.coordination(), {.connect = "zookeeper:2181", .session_timeout = 6s}),
      server_(loop_, {}, *this),
      controller_(Options(process, id, options), keeper_) {}

Task<void> Node::Start() {
  server_.SetIdentity({.cluster_id = "test-cluster", .broker_id = id_});
  auto listener = process_.transport().Listen(
      loop_, {.host = HostOf(id_), .port = 9092},
      [this](std::unique_ptr<PendingStream> stream) { server_.Attach(std::move(stream), "PLAINTEXT", {}); });
  CHECK(listener) << listener.error().message;
  listener_ = std::move(*listener);
  keeper_.AddListener(this);
  CHECK(keeper_.Start());
  while (epoch_ == kNoBrokerEpoch) (void)co_await Sleep(loop_, 10ms, "registration");
  controller_.Start();
}

Task<void> Node::Close() {
  co_await controller_.Close();
  keeper_.RemoveListener(this);
  scope_.RequestStop();
  co_await keeper_.Close();
  co_await scope_.Close();
  listener_.reset();
  held_.clear();
  co_await server_.Close();
}

void Node::OnZkUp(ZkSession&, bool new_session) {
  if (new_session) scope_.Spawn("register", Register());
}

Task<void> Node::Register() {
  v1::BrokerZnode node;
  node.set_host(HostOf(id_));
  node.set_port(9092);
  node.add_endpoints(fmt::format("PLAINTEXT://{}:9092", HostOf(id_)));
  (*node.mutable_listener_security_protocol_map())["PLAINTEXT"] = "PLAINTEXT";
  node.set_inter_broker_listener("PLAINTEXT");
  node.set_clean_shutdown(options_.clean_shutdown);
  node.set_new_log_dirs(options_.new_log_dirs);
  if (!options_.rack.empty()) node.set_rack(options_.rack);
  while (!scope_.stopping()) {
    const std::shared_ptr<ZkSession> session = keeper_.HoldSession();
    if (!session) co_return;
    (void)co_await session->Create({zkpath::Broker(id_), EncodeBroker(node), ZkCreateMode::kEphemeral});
    const auto stat = co_await session->Exists(zkpath::Broker(id_));
    if (stat && *stat && (*stat)->ephemeral_owner == session->session_id()) {
      epoch_ = (*stat)->czxid;
      co_return;
    }
    if (!stat && stat.error() == ZkCode::kSessionExpired) co_return;
    (void)co_await Sleep(loop_, 50ms, "register again", scope_.stop_token());
  }
}

const v1::PartitionState* Node::State(const std::string& topic, PartitionIndex partition) const {
  const auto it = known_states_.find(topic);
  if (it == known_states_.end()) return nullptr;
  const auto state = it->second.find(partition);
  return state == it->second.end() ? nullptr : &state->second;
}

bool Node::Knows(const std::string& topic) const { return metadata_.contains(topic); }

void Node::OnRequest(std::unique_ptr<RpcCall> call) {
  if (deaf) {
    held_.push_back(std::move(call));
    return;
  }
  scope_.Spawn("answer", Answer(std::move(call)));
}

Error Node::Fence(const v1::ControllerStamp& stamp) {
  if (stamp.controller_epoch() < highest_) return {v1::STALE_CONTROLLER_EPOCH, ""};
  highest_ = stamp.controller_epoch();
  if (stamp.broker_epoch() < epoch_) return {v1::STALE_BROKER_EPOCH, ""};
  if (stamp.broker_epoch() > epoch_) return {v1::BROKER_NOT_READY, ""};
  return {v1::NONE, ""};
}

Task<void> Node::Answer(std::unique_ptr<RpcCall> call) {
  v1::Request& request = call->request();
  v1::Response response;
  if (request.has_leader_and_isr()) {
    auto& command = request.leader_and_isr();
    auto& out = *response.mutable_leader_and_isr();
    if (const Error error = Fence(command.stamp()); error.code != v1::NONE) {
      ToProto(error, out.mutable_error());
    } else {
      states.push_back(command);
      for (const auto& topic : command.topics()) {
        for (const auto& partition : topic.partitions()) {
          known_states_[topic.name()][partition.partition()] = partition;
          const ErrorCode code = on_state ? on_state(topic.name(), partition.partition()) : v1::NONE;
          if (code == v1::NONE) continue;
          auto& failed = *out.add_partitions();
          failed.set_topic_id(topic.id());
          failed.set_partition(partition.partition());
          ToProto({code, "told to"}, failed.mutable_error());
        }
      }
    }
  } else if (request.has_update_metadata()) {
    auto& command = request.update_metadata();
    auto& out = *response.mutable_update_metadata();
    if (const Error error = Fence(command.stamp()); error.code != v1::NONE) {
      ToProto(error, out.mutable_error());
    } else {
      updates.push_back(command);
      if (command.full()) metadata_.clear();
      for (const auto& topic : command.topics()) metadata_[topic.name()] = topic;
      for (const auto& id : command.deleted_topic_ids()) {
        std::erase_if(metadata_, [&](const auto& entry) { return entry.second.id() == id; });
      }
    }
  } else if (request.has_stop_replica()) {
    auto& command = request.stop_replica();
    auto& out = *response.mutable_stop_replica();
    if (const Error error = Fence(command.stamp()); error.code != v1::NONE) {
      ToProto(error, out.mutable_error());
    } else {
      stops.push_back(command);
      for (const auto& replica : command.replicas()) {
        known_states_[replica.topic()].erase(replica.partition());
        deleted.insert(fmt::format("{}-{}", replica.topic(), replica.partition()));
      }
    }
  } else {
    call->ReplyError({v1::INVALID_REQUEST, "not for a fake"});
    co_return;
  }
  call->Reply(std::move(response));
  co_return;
}

Cluster::Cluster(uint64_t seed) : world_(seed) {
  for (const std::string& path : zkpath::Persistent()) {
    if (!zk().Peek(path)) zk().Poke(path, "");
  }
}

Cluster::~Cluster() {
  for (auto& [id, life] : nodes_) {
    if (!life.process->alive()) continue;
    life.process->Resume();
    std::shared_ptr<Node> node = std::move(life.node);
    life.process->Await([node = node.get()] { return node->Close(); });
    node.reset();
    life.process->Exit();
  }
}

Node& Cluster::Start(BrokerId id, NodeOptions options) {
  SimProcess& process = world_.StartProcess(HostOf(id));
  auto node = std::make_shared<Node>(process, id, options);
  process.Keep(node);
  nodes_[id] = {&process, node};
  process.Await([node = node.get()] { return node->Start(); });
  return *node;
}

void Cluster::Kill(BrokerId id) {
  Life& life = nodes_.at(id);
  life.node.reset();
  life.process->Kill();
}

Node& Cluster::Bounce(BrokerId id, NodeOptions options) {
  const int64_t session = node(id).keeper().session()->session_id();
  Kill(id);
  zk().Expire(session);
  return Start(id, options);
}

void Cluster::Expire(BrokerId id) { zk().Expire(node(id).keeper().session()->session_id()); }

Node& Cluster::Controlling() {
  Node* found = nullptr;
  const bool there = Until([&] {
    int active = 0;
    for (auto& [id, life] : nodes_) {
      if (!life.node || life.process->paused() || !life.node->controller().active()) continue;
      found = life.node.get();
      ++active;
    }
    return active == 1;
  });
  CHECK(there) << "no controller";
  return *found;
}

v1::Response Cluster::CallNode(BrokerId id, v1::Request request) {
  Controller* controller = &node(id).controller();
  const Result<v1::Response> answer =
      process(id).Await([controller, request] { return controller->Handle(request); });
  v1::Response response;
  if (answer) return *answer;
  ToProto(answer.error(), response.mutable_header()->mutable_error());
  return response;
}

v1::Response Cluster::Call(v1::Request request) {
  while (true) {
    v1::Response response = CallNode(Controlling().id(), request);
    if (response.header().error().code() != v1::NOT_CONTROLLER) return response;
  }
}

Error Cluster::Create(const std::string& topic, std::vector<std::vector<BrokerId>> replicas,
                      std::map<std::string, std::string> configs, uint32_t timeout_ms) {
  v1::Request request;
  auto& wish = *request.mutable_create_topics()->add_topics();
  wish.set_name(topic);
  for (size_t i = 0; i < replicas.size(); ++i) {
    auto& assignment = *wish.add_assignments();
    assignment.set_partition(static_cast<uint32_t>(i));
    assignment.mutable_replicas()->Assign(replicas[i].begin(), replicas[i].end());
  }
  for (const auto& [name, value] : configs) (*wish.mutable_configs())[name] = value;
  request.mutable_create_topics()->set_timeout_ms(timeout_ms);
  const v1::Response response = Call(request);
  if (response.header().has_error()) return FromProto(response.header().error());
  return FromProto(response.create_topics().topics(0).error());
}

Error Cluster::Delete(const std::string& topic, uint32_t timeout_ms) {
  v1::Request request;
  request.mutable_delete_topics()->add_names(topic);
  request.mutable_delete_topics()->set_timeout_ms(timeout_ms);
  const v1::Response response = Call(request);
  if (response.header().has_error()) return FromProto(response.header().error());
  return FromProto(response.delete_topics().topics(0).error());
}

v1::AlterPartitionResponse Cluster::AlterIsr(const std::string& topic, std::vector<BrokerId> isr) {
  const BrokerId leader = LeaderOf(topic);
  v1::Request request;
  auto& alter = *request.mutable_alter_partition();
  alter.set_broker_id(leader);
  alter.set_broker_epoch(node(leader).epoch());
  auto& wish = *alter.add_partitions();
  wish.set_topic_id(TopicIdOf(topic));
  wish.set_leader_epoch(StateOf(topic)->leader_epoch());
  wish.set_partition_epoch(static_cast<uint32_t>(zk().Peek(zkpath::PartitionState(topic, 0))->stat.version));
  for (const BrokerId id : isr) {
    auto& member = *wish.add_isr();
    member.set_broker_id(id);
    member.set_broker_epoch(nodes_.contains(id) && nodes_.at(id).node ? node(id).epoch() : 1);
  }
  return Call(request).alter_partition();
}

std::optional<v1::PartitionStateZnode> Cluster::StateOf(const std::string& topic, PartitionIndex partition) {
  const auto node = zk().Peek(zkpath::PartitionState(topic, partition));
  if (!node) return std::nullopt;
  const auto state = DecodePartitionState(node->data);
  if (!state) return std::nullopt;
  return *state;
}

std::vector<BrokerId> Cluster::IsrOf(const std::string& topic) {
  const auto state = StateOf(topic);
  if (!state) return {};
  return {state->isr().begin(), state->isr().end()};
}

BrokerId Cluster::LeaderOf(const std::string& topic) {
  const auto state = StateOf(topic);
  return state ? state->leader() : kNoBroker;
}

std::string Cluster::TopicIdOf(const std::string& topic) {
  return DecodeTopic(zk().Peek(zkpath::Topic(topic))->data)->topic_id();
}

}  // namespace tidemark::testing
