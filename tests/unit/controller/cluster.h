// A cluster for the controller's tests: simulated ZooKeeper and network, real controllers, and brokers that
// obey and note down every command.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/net/rpc_server.h"
#include "common/zk/zk_keeper.h"
#include "controller/controller.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"
#include "tidemark/v1/znode.pb.h"

namespace tidemark::testing {

struct NodeOptions {
  std::string rack;
  bool clean_shutdown = true;
  bool new_log_dirs = false;
  // The error of a partition; NONE: obeyed.
  std::function<ErrorCode(const std::string& topic, PartitionIndex)> on_state = {};
  bool delete_topics = true;
};

// One life of one broker: session, registration, controller, and the receiving end of commands.
class Node final : private ZkKeeper::Listener, private RpcHandler {
 public:
  Node(SimProcess& process, BrokerId id, NodeOptions options);

  // Listens, registers, stands for election.
  Task<void> Start();
  Task<void> Close();

  BrokerId id() const { return id_; }
  BrokerEpoch epoch() const { return epoch_; }
  Controller& controller() { return controller_; }
  ZkKeeper& keeper() { return keeper_; }

  // What the last commands said, by topic name.
  const v1::PartitionState* State(const std::string& topic, PartitionIndex partition) const;
  bool Knows(const std::string& topic) const;

  std::vector<v1::LeaderAndIsrRequest> states;
  std::vector<v1::UpdateMetadataRequest> updates;
  std::vector<v1::StopReplicaRequest> stops;
  std::set<std::string> deleted;                                                // "topic-0"
  std::function<ErrorCode(const std::string& topic, PartitionIndex)> on_state;  // as in the options
  bool deaf = false;  // takes commands and never answers

 private:
  void OnZkUp(ZkSession& session, bool new_session) override;
  void OnZkSuspended() override {}
  void OnZkExpired() override { epoch_ = kNoBrokerEpoch; }
  void OnRequest(std::unique_ptr<RpcCall> call) override;
  Task<void> Register();
  Task<void> Answer(std::unique_ptr<RpcCall> call);
  Error Fence(const v1::ControllerStamp& stamp);

  SimProcess& process_;
  EventLoop& loop_;
  const BrokerId id_;
  const NodeOptions options_;
  Scope scope_;
  ZkKeeper keeper_;
  RpcServer server_;
  std::unique_ptr<::tidemark::Listener> listener_;
  Controller controller_;
  BrokerEpoch epoch_ = kNoBrokerEpoch;
  ControllerEpoch highest_ = 0;
  std::map<std::string, std::map<PartitionIndex, v1::PartitionState>> known_states_;
  std::map<std::string, v1::TopicState> metadata_;
  std::vector<std::unique_ptr<RpcCall>> held_;
};

class Cluster {
 public:
  explicit Cluster(uint64_t seed = 1);
  ~Cluster();

  SimWorld& world() { return world_; }
  SimZooKeeper& zk() { return world_.zookeeper(); }

  // Starts a broker (again).
  Node& Start(BrokerId id, NodeOptions options = {});
  void Kill(BrokerId id);
  // Dies, its session ends at once, and it comes back.
  Node& Bounce(BrokerId id, NodeOptions options);
  // Its session expires on the server.
  void Expire(BrokerId id);
  Node& node(BrokerId id) { return *nodes_.at(id).node; }
  SimProcess& process(BrokerId id) { return *nodes_.at(id).process; }

  bool Until(const std::function<bool()>& done, Duration limit = 120s) {
    return world_.RunUntil(done, limit);
  }
  // Waits for one, and only one, active controller.
  Node& Controlling();
  // Sends a request to whoever is the controller, again while it is not one.
  v1::Response Call(v1::Request request);
  v1::Response CallNode(BrokerId id, v1::Request request);

  Error Create(const std::string& topic, std::vector<std::vector<BrokerId>> replicas,
               std::map<std::string, std::string> configs = {}, uint32_t timeout_ms = 30000);
  Error Delete(const std::string& topic, uint32_t timeout_ms = 30000);
  v1::AlterPartitionResponse AlterIsr(const std::string& topic, std::vector<BrokerId> isr);

  // The state as ZooKeeper holds it.
  std::optional<v1::PartitionStateZnode> StateOf(const std::string& topic, PartitionIndex partition = 0);
  std::vector<BrokerId> IsrOf(const std::string& topic);
  BrokerId LeaderOf(const std::string& topic);
  std::string TopicIdOf(const std::string& topic);
  bool Exists(const std::string& path) { return zk().Peek(path).has_value(); }

 private:
  struct Life {
    SimProcess* process = nullptr;
    std::shared_ptr<Node> node;
  };
  SimWorld world_;
  std::map<BrokerId, Life> nodes_;
};

}  // namespace tidemark::testing
