#include "tests/simulation/runs/cluster_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/runs/fault_schedule.h"
#include "tests/simulation/runs/run_clients.h"

namespace tidemark {
namespace {

constexpr int kBrokers = 3;
constexpr uint32_t kPartitions = 3;
constexpr int kProducers = 2;
constexpr int kFaults = 16;
const char kTopic[] = "stream";

// What the seed says of the brokers themselves: small segments roll often, also right before a power loss.
Properties ConfigOf(uint64_t seed) {
  SimRandom random(seed ^ 0xc0f16ULL);
  const char* const segment_bytes[] = {"1073741824", "65536", "16384"};
  return {{"min.insync.replicas", "2"},
          {"replica.lag.time.max.ms", "4000"},
          {"num.shards", random.Chance(0.3) ? "2" : "1"},
          {"log.segment.bytes", segment_bytes[random.Below(3)]}};
}

class ClusterRun {
 public:
  explicit ClusterRun(uint64_t seed)
      : brokers_(seed, kBrokers, ConfigOf(seed)),
        world_(brokers_.world()),
        faults_(brokers_, kBrokers, kTopic, kPartitions, {SimZooKeeper::kHost, "producer0", "producer1"},
                seed) {}

  RunResult Run() {
    faults_.LaunchAll();
    CHECK(world_.RunUntil([this] { return faults_.AllServing(); }, 60s)) << "the cluster does not start";
    topic_ = brokers_.CreateTopic(kTopic, kPartitions, kBrokers);
    StartClients();
    faults_.Run(kFaults);
    faults_.Heal();
    faults_.RunFor(1s);
    if (!WaitServing()) {
      result_.stuck.push_back("not every broker serves within 300 s of the last fault");
      return std::move(result_);
    }
    StopClients();
    if (!WaitWhole()) result_.stuck.push_back("the cluster is not whole within 300 s of the last fault");
    Check();
    result_.trace = world_.trace_hash();
    return std::move(result_);
  }

 private:
  void Note(std::string what) { result_.violations.push_back(std::move(what)); }
  void Take(Violations found) {
    for (std::string& violation : found) Note(std::move(violation));
  }

  void StartClients() {
    for (int i = 0; i < kProducers; ++i) {
      auto stream = std::make_shared<AckedStream>(AckedStream{.name = fmt::format("value{}", i),
                                                              .topic = kTopic,
                                                              .partitions = kPartitions,
                                                              .brokers = kBrokers});
      streams_.push_back(stream);
      SpawnIn(fmt::format("producer{}", i), stream);
    }
    for (int id = 0; id < kBrokers; ++id) {
      auto observer = std::make_shared<WatermarkObserver>(WatermarkObserver{
          .broker = id, .topic = kTopic, .topic_id = topic_, .partitions = kPartitions, .life = [this, id] {
            return faults_.LifeOf(id);
          }});
      observers_.push_back(observer);
      SpawnIn(fmt::format("observer{}", id), observer);
    }
  }

  template <typename Client>
  void SpawnIn(const std::string& host, std::shared_ptr<Client> client) {
    SimProcess& process = world_.StartProcess(host);
    process.Keep(client);
    process.Spawn("client", [client = client.get(), process = &process] { return client->Run(process); });
  }

  void StopClients() {
    for (const auto& stream : streams_) stream->stop = true;
    for (const auto& observer : observers_) observer->stop = true;
    auto stopped = [](const auto& client) { return client->stopped; };
    const bool ended = WaitFor(
        [&] { return std::ranges::all_of(streams_, stopped) && std::ranges::all_of(observers_, stopped); });
    if (!ended) result_.stuck.push_back("a client did not end");
  }

  bool WaitFor(const std::function<bool()>& done) {
    for (const MonoTime deadline = world_.Now() + 300s; world_.Now() < deadline; faults_.RunFor(500ms)) {
      if (done()) return true;
    }
    return done();
  }

  bool WaitServing() {
    return WaitFor([this] { return faults_.AllServing(); });
  }

  std::optional<v1::PartitionStateZnode> StateOf(PartitionIndex partition) {
    const auto node = world_.zookeeper().Peek(zkpath::PartitionState(kTopic, partition));
    if (!node) return std::nullopt;
    auto state = DecodePartitionState(node->data);
    if (!state) return std::nullopt;
    return *state;
  }

  bool WaitWhole() {
    const bool whole = WaitFor([this] {
      for (PartitionIndex p = 0; p < kPartitions; ++p) {
        const auto state = StateOf(p);
        if (!state || state->leader() < 0 || state->isr_size() != kBrokers) return false;
      }
      return true;
    });
    faults_.RunFor(10s);  // followers learn the last high watermark and flush
    return whole;
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

  // The high watermark that each replica holds by its own word.
  std::map<std::pair<int, PartitionIndex>, Offset> HighWatermarks() {
    std::map<std::pair<int, PartitionIndex>, Offset> found;
    for (int id = 0; id < kBrokers; ++id) {
      if (brokers_.broker(id) == nullptr) continue;
      v1::Request request;
      request.mutable_describe_replicas()->add_topic_ids(topic_.ToBytes());
      const Result<v1::Response> response = brokers_.Call(id, request);
      if (!response) continue;
      for (const auto& replica : response->describe_replicas().replicas()) {
        found[{id, replica.partition()}] = replica.high_watermark();
        if (replica.has_offline()) {
          result_.stuck.push_back(fmt::format("{}-{} is offline on broker {}: {}", kTopic,
                                              replica.partition(), id, replica.offline().message()));
        }
      }
    }
    return found;
  }

  // What the client library reads holds every acknowledged record at its offset.
  void CheckReadBack(const std::vector<AckedRecord>& acked, std::map<PartitionIndex, Offset> ends) {
    SimProcess& process = world_.StartProcess("reader");
    const auto back = process.Await([&process, ends, deadline = world_.Now() + 60s] {
      return ReadAll(&process, RunClientOptions(kBrokers), kTopic, ends, deadline);
    });
    if (!back) return Note(fmt::format("read back: {}", ToString(back.error())));
    for (const AckedRecord& record : acked) {
      const auto partition = back->find(record.partition);
      const bool read = partition != back->end() && partition->second.contains(record.offset);
      if (!read || partition->second.at(record.offset) != record.value) {
        Note(fmt::format("read back: {}-{} has not {} at offset {}", kTopic, record.partition, record.value,
                         record.offset));
      }
    }
  }

  std::vector<DiskLog> ReadDisks(std::map<PartitionIndex, Offset>* ends) {
    const auto high_watermarks = HighWatermarks();
    std::vector<DiskLog> logs;
    for (PartitionIndex p = 0; p < kPartitions; ++p) {
      const auto state = StateOf(p);
      for (int id = 0; id < kBrokers; ++id) {
        const auto known = high_watermarks.find({id, p});
        const bool in_sync = state && std::ranges::count(state->isr(), id) > 0;
        if (known == high_watermarks.end() && in_sync) {
          result_.stuck.push_back(
              fmt::format("broker {} does not tell the high watermark of {}-{}", id, kTopic, p));
        }
        const Offset end = known == high_watermarks.end() ? 0 : known->second;
        if (state && state->leader() == id) (*ends)[p] = end;
        logs.push_back(ReadDiskLog(world_.disk(fmt::format("host{}", id)),
                                   fmt::format("/data/{}-{}", kTopic, p), id, kTopic, topic_, p, end,
                                   &result_.violations));
        logs.back().in_sync = in_sync;
      }
    }
    return logs;
  }

  void Check() {
    std::vector<AckedRecord> acked;
    for (const auto& stream : streams_) acked.insert(acked.end(), stream->acked.begin(), stream->acked.end());
    const ReplicaCounters counters = faults_.counters();
    result_.counts.acknowledged = acked.size();
    result_.counts.truncations = counters.truncations;
    result_.counts.fenced = counters.fenced_requests;
    result_.counts.expiries = world_.zookeeper().expiries();
    std::map<PartitionIndex, Offset> ends;
    const std::vector<DiskLog> logs = ReadDisks(&ends);
    Take(CheckNothingLost(acked, logs));
    Take(CheckAckedOnce(acked));
    Take(CheckReplicasAgree(logs));
    Take(CheckOneLeaderPerEpoch(logs, Claims()));
    Take(CheckContiguous(logs));
    for (const auto& observer : observers_) Take(CheckHighWatermarks(observer->seen));
    if (result_.stuck.empty()) CheckReadBack(acked, ends);
  }

  SimBrokers brokers_;
  SimWorld& world_;
  FaultSchedule faults_;
  TopicId topic_;
  std::vector<std::shared_ptr<AckedStream>> streams_;
  std::vector<std::shared_ptr<WatermarkObserver>> observers_;
  RunResult result_;
};

}  // namespace

RunResult RunCluster(uint64_t seed) { return ClusterRun(seed).Run(); }

}  // namespace tidemark
