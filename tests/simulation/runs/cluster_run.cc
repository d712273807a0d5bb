#include "tests/simulation/runs/cluster_run.h"

#include <fmt/format.h>

#include <memory>
#include <set>

#include "client/producer.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

constexpr int kBrokers = 3;
constexpr uint32_t kPartitions = 2;
constexpr int kFaults = 14;
const char kTopic[] = "stream";

// Sends unique values for as long as it is told and notes what was acknowledged. Lives in the producer's
// process.
struct Stream {
  bool stop = false;
  bool stopped = false;
  std::vector<AckedRecord> acked;

  Task<void> Run(SimProcess* process) {
    EventLoop& loop = process->main_loop();
    ProducerOptions options;
    for (int id = 0; id < kBrokers; ++id)
      options.client.bootstrap.push_back({fmt::format("host{}", id), 9092});
    options.client.request_timeout = 5s;
    options.delivery_timeout = 30s;
    options.batch_size = 200;
    Cluster cluster(*process, loop, options.client);
    Producer producer(cluster, options);
    for (uint64_t n = 0; !stop; ++n) {
      const std::string value = fmt::format("value-{}", n);
      const ProducerRecord record{
          .topic = kTopic, .partition = static_cast<PartitionIndex>(n % kPartitions), .value = value};
      (void)co_await producer.Send(record, [this, value](const Result<RecordMetadata>& result) {
        if (result) acked.push_back({kTopic, result->partition, result->offset, value});
      });
      (void)co_await Sleep(loop, 20ms, "the stream's rate");
    }
    co_await producer.Close();
    co_await cluster.Close();
    stopped = true;
  }
};

class ClusterRun {
 public:
  explicit ClusterRun(uint64_t seed)
      : brokers_(seed, kBrokers,
                 {{"min.insync.replicas", "2"}, {"replica.lag.time.max.ms", "4000"}, {"num.shards", "1"}}),
        world_(brokers_.world()) {}

  RunResult Run() {
    brokers_.StartAll();
    topic_ = brokers_.CreateTopic(kTopic, kPartitions, kBrokers);
    SimProcess& producer = world_.StartProcess("producer");
    auto stream = std::make_shared<Stream>();
    producer.Keep(stream);
    producer.Spawn("stream", [stream, &producer] { return stream->Run(&producer); });
    for (int i = 0; i < kFaults; ++i) {
      world_.RunFor(world_.random().Between(300ms, 4s));
      OneFault();
    }
    Heal();
    stream->stop = true;
    if (!world_.RunUntil([&] { return stream->stopped; }, 300s)) Note("the producer did not end");
    if (!WaitWhole()) Note("the cluster is not whole within 300 s of the last fault");
    result_.counts.acknowledged = stream->acked.size();
    Check(stream->acked);
    return std::move(result_);
  }

 private:
  void Note(std::string what) { result_.violations.push_back(std::move(what)); }

  void OneFault() {
    const int victim = static_cast<int>(world_.random().Below(kBrokers));
    const std::string host = fmt::format("host{}", victim);
    const Duration length = world_.random().Between(200ms, 9s);
    switch (world_.random().Below(6)) {
      case 0:
      case 1:
        Restart(victim, world_.random().Chance(0.5), length);
        break;
      case 2:
        brokers_.process(victim).Pause();
        world_.RunFor(length);
        brokers_.process(victim).Resume();
        break;
      case 3:
        world_.network().Isolate(host);
        world_.RunFor(length);
        world_.network().HealAll();
        break;
      case 4: {
        const auto other = fmt::format("host{}", (victim + 1) % kBrokers);
        world_.network().CutOneWay(host, other);
        world_.RunFor(length);
        world_.network().HealAll();
        break;
      }
      default: {
        const std::vector<int64_t> sessions = world_.zookeeper().sessions();
        if (!sessions.empty()) world_.zookeeper().Expire(sessions[world_.random().Below(sessions.size())]);
      }
    }
  }

  void Restart(int id, bool power_loss, Duration length) {
    CountReplicas(id);
    brokers_.Kill(id, power_loss);
    world_.RunFor(length);
    const Result<> started = brokers_.Start(id);
    if (!started) Note(fmt::format("broker {} did not start: {}", id, started.error().message));
  }

  void CountReplicas(int id) {
    Broker* broker = brokers_.broker(id);
    const auto reports = brokers_.process(id).Await([broker] { return broker->Reports(); });
    for (const ShardReport& report : reports) {
      result_.counts.truncations += report.replicas.truncations;
      result_.counts.fenced += report.replicas.fenced_requests;
    }
  }

  void Heal() {
    world_.network().HealAll();
    world_.RunFor(1s);
  }

  bool WaitWhole() {
    for (const MonoTime deadline = world_.Now() + 300s; world_.Now() < deadline; world_.RunFor(500ms)) {
      const auto topic = brokers_.Metadata(kTopic);
      bool whole = topic.has_value();
      for (int p = 0; whole && p < topic->partitions_size(); ++p) {
        whole = topic->partitions(p).leader() >= 0 && topic->partitions(p).isr_size() == kBrokers;
      }
      if (whole) {
        world_.RunFor(10s);  // followers learn the last high watermark and flush
        return true;
      }
    }
    return false;
  }

  // Who led in which epoch, and how often leaders changed, as ZooKeeper saw it.
  std::vector<LeaderClaim> Claims() {
    std::vector<LeaderClaim> claims;
    std::set<std::pair<PartitionIndex, LeaderEpoch>> seen;
    for (const SimZkRecord& record : world_.zookeeper().history()) {
      for (PartitionIndex p = 0; p < kPartitions; ++p) {
        if (record.path != zkpath::PartitionState(kTopic, p)) continue;
        auto state = DecodePartitionState(record.data);
        if (!state || state->leader() < 0) continue;
        claims.push_back({kTopic, p, state->leader_epoch(), state->leader()});
        // The first leader of a partition is placed, not elected.
        if (seen.insert({p, state->leader_epoch()}).second && state->leader_epoch() > 0)
          ++result_.counts.elections;
      }
    }
    return claims;
  }

  // What a client reads from the leader holds every acknowledged record at its offset.
  void CheckReadBack(PartitionIndex partition, const std::vector<AckedRecord>& acked) {
    const std::vector<std::string> values = brokers_.Consume(kTopic, partition);
    for (const AckedRecord& record : acked) {
      if (record.partition != partition) continue;
      if (record.offset >= values.size() || values[record.offset] != record.value) {
        Note(fmt::format("read back: {}-{} has not {} at offset {}", kTopic, partition, record.value,
                         record.offset));
      }
    }
  }

  void Check(const std::vector<AckedRecord>& acked) {
    for (int id = 0; id < kBrokers; ++id) CountReplicas(id);
    result_.counts.expiries = world_.zookeeper().expiries();
    std::vector<DiskLog> logs;
    for (PartitionIndex p = 0; p < kPartitions; ++p) {
      const int leader = brokers_.LeaderOf(kTopic, p);
      const auto answer =
          leader < 0 ? v1::FetchResponse::Partition() : brokers_.FetchOnce(leader, topic_, p, 0);
      if (leader < 0 || answer.error().code() != v1::NONE) {
        Note(fmt::format("the leader of {}-{} does not say its high watermark: {}", kTopic, p,
                         answer.error().message()));
        continue;
      }
      const Offset end = answer.high_watermark();
      CheckReadBack(p, acked);
      for (int id = 0; id < kBrokers; ++id) {
        logs.push_back(ReadDiskLog(world_.disk(fmt::format("host{}", id)),
                                   fmt::format("/data/{}-{}", kTopic, p), id, kTopic, topic_, p, end,
                                   &result_.violations));
      }
    }
    auto take = [this](Violations found) {
      for (std::string& violation : found) Note(std::move(violation));
    };
    take(CheckNothingLost(acked, logs));
    take(CheckAckedOnce(acked));
    take(CheckReplicasAgree(logs));
    take(CheckOneLeaderPerEpoch(logs, Claims()));
    take(CheckContiguous(logs));
  }

  SimBrokers brokers_;
  SimWorld& world_;
  TopicId topic_;
  RunResult result_;
};

}  // namespace

RunResult RunCluster(uint64_t seed) { return ClusterRun(seed).Run(); }

}  // namespace tidemark
