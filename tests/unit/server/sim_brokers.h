// Whole brokers in the simulated world, and a client that speaks the bare protocol to them.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/server/broker.h"
#include "common/net/rpc_channel.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"
#include "tests/simulation/env/sim_zookeeper.h"

namespace tidemark {

class SimBrokers {
 public:
  SimBrokers(uint64_t seed, int brokers, Properties more = {});
  ~SimBrokers();

  SimWorld& world() { return world_; }
  // The running broker; null when it was killed.
  Broker* broker(int id) { return running_.contains(id) ? running_[id].broker.get() : nullptr; }
  std::shared_ptr<Broker> Launched(int id) { return running_.at(id).broker; }
  SimProcess& process(int id) { return *running_.at(id).process; }

  Result<> Start(int id);
  // For the starts that follow.
  void Configure(const std::string& name, const std::string& value) { more_[name] = value; }
  // A process with a broker in it that is not started yet.
  std::pair<SimProcess*, std::shared_ptr<Broker>> Launch(int id, BrokerOptions options = {});
  void StartAll();
  // What a broker begun by Start or StartAll answers over HTTP; status 0 when it does not answer within 10 s.
  AdminReply Http(int id, AdminRequest request);
  void Kill(int id, bool power_loss = false);
  // SIGTERM; says whether the stop was clean.
  bool Stop(int id);

  // One call to a broker (by address), from the client's process.
  Result<v1::Response> Call(int id, v1::Request request,
                            v1::ConnectionPurpose purpose = v1::CONNECTION_PURPOSE_CLIENT);

  // --- what tests do over and over; each tries again while the cluster is busy
  TopicId CreateTopic(const std::string& name, uint32_t partitions, uint32_t replicas,
                      std::map<std::string, std::string> configs = {});
  // Of the first running broker that has it.
  std::optional<v1::TopicMetadata> Metadata(const std::string& name);
  // Waits until every partition is led by a running broker.
  bool WaitForLeaders(const std::string& name, Duration limit = 120s);
  int LeaderOf(const std::string& name, uint32_t partition);
  v1::ProduceResponse::Partition ProduceOnce(int id, TopicId topic, uint32_t partition,
                                             const std::vector<std::string>& values, int acks = -1);
  // To the leader, until it is acknowledged; the base offset.
  Offset Produce(const std::string& name, uint32_t partition, const std::vector<std::string>& values);
  v1::FetchResponse::Partition FetchOnce(int id, TopicId topic, uint32_t partition, Offset from,
                                         uint32_t max_wait_ms = 0);
  // Everything committed, from the leader.
  std::vector<std::string> Consume(const std::string& name, uint32_t partition);
  static std::vector<std::string> ValuesOf(const std::string& batches);

 private:
  struct Running {
    SimProcess* process = nullptr;
    std::shared_ptr<Broker> broker;
  };
  static std::string HostOf(int id) { return "host" + std::to_string(id); }
  bool Leads(int id, TopicId topic, uint32_t partition);
  int AnyRunning() const { return running_.begin()->first; }

  SimWorld world_;
  const int brokers_;
  Properties more_;
  std::map<int, Running> running_;
  std::map<int, AdminHandler> admins_;  // of the last that began with the id
  SimProcess* client_;
  std::map<std::pair<int, int>, std::shared_ptr<RpcChannel>> channels_;
};

}  // namespace tidemark
