#include "tests/simulation/runs/cluster_run.h"

#include <fmt/format.h>

#include <memory>
#include <set>

#include "client/producer.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/runs/fault_schedule.h"
#include "tests/unit/server/sim_brokers.h"

namespace tidemark {
namespace {

constexpr int kBrokers = 3;
constexpr uint32_t kPartitions = 3;
constexpr int kProducers = 2;
constexpr int kFaults = 16;
const char kTopic[] = "stream";

// Sends unique values for as long as it is told and notes what was acknowledged. Lives in the producer's
// process.
struct Stream {
  int number = 0;
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
      const std::string value = fmt::format("value-{}-{}", number, n);
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

// Asks one broker over and over what is committed, as a consumer would, and notes what it is told.
struct Reader {
  int broker = 0;
  TopicId topic;
  FaultSchedule* faults = nullptr;
  std::vector<SeenHighWatermark> seen;

  Task<void> Run(SimProcess* process) {
    EventLoop& loop = process->main_loop();
    RpcChannel channel(loop, process->transport(), process->random(), {fmt::format("host{}", broker), 9092},
                       RpcChannelOptions{.client_id = "reader"});
    while (true) {
      v1::Request request;
      auto* wanted = request.mutable_fetch()->add_topics();
      wanted->set_id(topic.ToBytes());
      for (PartitionIndex p = 0; p < kPartitions; ++p) {
        auto* partition = wanted->add_partitions();
        partition->set_partition(p);
        partition->set_max_bytes(1);
      }
      const uint64_t life = faults->life(broker);
      const auto response = co_await channel.Call(std::move(request), 2s, {});
      if (response && faults->life(broker) == life && response->fetch().topics_size() == 1) {
        for (const auto& partition : response->fetch().topics(0).partitions()) {
          if (partition.error().code() != v1::NONE) continue;
          seen.push_back({life * kBrokers + static_cast<uint64_t>(broker), kTopic, partition.partition(),
                          partition.high_watermark()});
        }
      }
      co_await Sleep(loop, 50ms, "the reader's rate");
    }
  }
};

class ClusterRun {
 public:
  explicit ClusterRun(uint64_t seed)
      : brokers_(seed, kBrokers,
                 {{"min.insync.replicas", "2"}, {"replica.lag.time.max.ms", "4000"}, {"num.shards", "1"}}),
        world_(brokers_.world()),
        faults_(brokers_, kBrokers, kTopic, kPartitions, {SimZooKeeper::kHost, "producer0", "producer1"}) {}

  RunResult Run() {
    for (int id = 0; id < kBrokers; ++id) faults_.Launch(id);
    world_.RunFor(2s);
    topic_ = brokers_.CreateTopic(kTopic, kPartitions, kBrokers);
    StartClients();
    faults_.Run(kFaults);
    faults_.Heal();
    for (const auto& stream : streams_) stream->stop = true;
    const auto all_stopped = [&] {
      return std::ranges::all_of(streams_, [](const auto& stream) { return stream->stopped; });
    };
    if (!world_.RunUntil(all_stopped, 300s)) Trouble("a producer did not end");
    if (!WaitWhole()) Trouble("the cluster is not whole within 300 s of the last fault");
    for (const std::string& trouble : faults_.troubles()) Trouble(trouble);
    Check();
    return std::move(result_);
  }

 private:
  void Note(std::string what) { result_.violations.push_back(std::move(what)); }
  void Trouble(std::string what) { result_.troubles.push_back(std::move(what)); }

  void StartClients() {
    for (int n = 0; n < kProducers; ++n) {
      SimProcess& process = world_.StartProcess(fmt::format("producer{}", n));
      auto stream = std::make_shared<Stream>();
      stream->number = n;
      streams_.push_back(stream);
      process.Keep(stream);
      process.Spawn("stream", [stream, &process] { return stream->Run(&process); });
    }
    SimProcess& process = world_.StartProcess("reader");
    for (int id = 0; id < kBrokers; ++id) {
      auto reader = std::make_shared<Reader>();
      reader->broker = id;
      reader->topic = topic_;
      reader->faults = &faults_;
      readers_.push_back(reader);
      process.Keep(reader);
      process.Spawn("reader", [reader, &process] { return reader->Run(&process); });
    }
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

  // Every replica's log as it lies on its disk, with the high watermark that its broker names.
  std::vector<DiskLog> Logs() {
    std::vector<DiskLog> logs;
    for (int id = 0; id < kBrokers; ++id) {
      v1::Request request;
      request.mutable_describe_replicas();
      const auto response = brokers_.Call(id, request);
      if (!response) {
        Trouble(fmt::format("broker {} does not describe its replicas: {}", id, response.error().message));
        continue;
      }
      for (const auto& replica : response->describe_replicas().replicas()) {
        if (replica.has_offline())
          Trouble(fmt::format("{}-{} is offline on broker {}", kTopic, replica.partition(), id));
        logs.push_back(ReadDiskLog(
            world_.disk(fmt::format("host{}", id)), fmt::format("/data/{}-{}", kTopic, replica.partition()),
            id, kTopic, topic_, replica.partition(), replica.high_watermark(), &result_.violations));
      }
    }
    return logs;
  }

  void Check() {
    const RunCounts counted = faults_.Counted();
    result_.counts.truncations = counted.truncations;
    result_.counts.fenced = counted.fenced;
    result_.counts.expiries = world_.zookeeper().expiries();
    std::vector<AckedRecord> acked;
    for (const auto& stream : streams_) acked.insert(acked.end(), stream->acked.begin(), stream->acked.end());
    result_.counts.acknowledged = acked.size();
    // A cluster that does not come back shows nothing of what it holds.
    const bool whole = result_.troubles.empty();
    auto take = [this](Violations found) {
      for (std::string& violation : found) Note(std::move(violation));
    };
    take(CheckAckedOnce(acked));
    for (const auto& reader : readers_) take(CheckHighWatermarks(reader->seen));
    const std::vector<LeaderClaim> claims = Claims();
    if (!whole) return;
    for (PartitionIndex p = 0; p < kPartitions; ++p) CheckReadBack(p, acked);
    const std::vector<DiskLog> logs = Logs();
    take(CheckNothingLost(acked, logs));
    take(CheckReplicasAgree(logs));
    take(CheckOneLeaderPerEpoch(logs, claims));
    take(CheckContiguous(logs));
  }

  SimBrokers brokers_;
  SimWorld& world_;
  FaultSchedule faults_;
  TopicId topic_;
  std::vector<std::shared_ptr<Stream>> streams_;
  std::vector<std::shared_ptr<Reader>> readers_;
  RunResult result_;
};

}  // namespace

RunResult RunCluster(uint64_t seed) { return ClusterRun(seed).Run(); }

}  // namespace tidemark
