// Cluster: replicas of one partition on several brokers in one loop, with messages passed directly, each of
// which the test can hold up or drop, and a controller whose every step the test takes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/replica/fetch_slice.h"
#include "broker/replica/replica_table.h"
#include "tests/unit/replica/memory_log.h"
#include "tests/unit/replica/test_loop.h"

namespace tidemark {

class Cluster;

class TestClock final : public Clock {
 public:
  WallMillis WallNow() const override { return 1'700'000'000'000; }
};

enum class Hop { kFetch, kFetchAnswer, kProgress, kAlter, kAlterAnswer };

// One broker.
class Node final : public BrokerDirectory,
                   public IsrChannel,
                   public LogStore,
                   public ReplicationChannelFactory {
 public:
  Node(Cluster& cluster, BrokerId id);
  ~Node() override;

  BrokerId self() const override { return id; }
  BrokerEpoch self_epoch() const override { return broker_epoch; }
  std::optional<Endpoint> InterBrokerEndpoint(BrokerId broker) const override;
  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition wish) override;
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition partition, v1::ResignReason reason) override;
  Task<Result<ReplicaLog*>> OpenOrCreate(PartitionKey key, std::string topic, LogConfig config,
                                         LogExpected expected) override;
  Task<Result<>> Delete(PartitionKey key, std::string topic) override;
  Task<Result<>> SetAside(PartitionKey key, std::string reason) override;
  std::unique_ptr<ReplicationChannel> Connect(BrokerId broker, const Endpoint& endpoint) override;

  void Start();
  // kill -9; with `power_cut` what was not flushed is gone; with `lost_disk` everything is.
  void Kill(bool power_cut = true, bool lost_disk = false);
  bool up() const { return table != nullptr; }

  Partition& replica() const;
  MemoryLog& log() const { return *disk; }

  Cluster& cluster;
  const BrokerId id;
  BrokerEpoch broker_epoch = kNoBrokerEpoch;
  std::unique_ptr<MemoryLog> disk;
  std::unique_ptr<MemoryLog> aside;
  std::unique_ptr<ReplicaTable> table;
  std::unique_ptr<Scope> serving;
  std::map<uint64_t, std::shared_ptr<FetchSlice>> sessions;  // by connection
  std::vector<v1::ResignReason> resigned;
  bool sole_copy = false;
};

class Cluster {
 public:
  explicit Cluster(int brokers, TopicSettings settings = {.min_insync_replicas = 2}, std::string topic = "t");
  ~Cluster();

  Node& operator[](BrokerId id) { return *nodes.at(id); }
  // The controller's state, sent to `to` (empty: every live broker).
  void Send(std::vector<BrokerId> to = {}, bool expect_ok = true);
  // A new epoch with this leader; the ISR loses brokers that are down.
  void Elect(BrokerId leader, std::vector<BrokerId> tell = {}, bool tell_anybody = true);
  Result<AppendResult> Produce(BrokerId to, const std::string& body, int acks = -1);
  // Starts waiting; the result is seen later.
  std::shared_ptr<std::optional<Result<>>> Await(BrokerId at, Offset end);
  void Run(Duration time = 2s) { loop.Advance(time); }

  // Holds messages of a kind between two brokers (0: any, the controller) until released.
  void Hold(Hop hop, BrokerId from, BrokerId to) { held.insert({hop, from, to}); }
  void Release(Hop hop, BrokerId from, BrokerId to) {
    held.erase({hop, from, to});
    released.NotifyAll();
  }
  Task<bool> Pass(Hop hop, BrokerId from, BrokerId to);
  std::vector<BrokerId> Isr() const { return {state.isr().begin(), state.isr().end()}; }

  TestLoop loop;
  TestClock clock;
  TopicSettings settings;
  const std::string topic_name;
  ReplicaOptions options;
  PartitionKey key{TopicId({1, 2, 3}), 0};
  v1::PartitionState state;
  std::map<BrokerId, std::unique_ptr<Node>> nodes;
  std::set<std::tuple<Hop, BrokerId, BrokerId>> held;
  Notifier released;
  Scope waits;
  BrokerEpoch next_broker_epoch = 100;
  uint64_t next_connection = 1;
  std::set<BrokerId> dying;
  int alters = 0;
  int alters_in_flight = 0;
  int most_alters_in_flight = 0;
  std::function<void(BrokerId, const v1::FetchRequest&)> on_fetch;
};

}  // namespace tidemark
