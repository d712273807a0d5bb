#include "tests/simulation/runs/cluster_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "tests/simulation/runs/cluster_view.h"
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

  bool WaitWhole() {
    const bool whole = WaitFor([this] {
      for (PartitionIndex p = 0; p < kPartitions; ++p) {
        const auto state = PartitionStateOf(world_, kTopic, p);
        if (!state || state->leader() < 0 || state->isr_size() != kBrokers) return false;
      }
      return true;
    });
    faults_.RunFor(10s);  // followers learn the last high watermark and flush
    return whole;
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

  void Check() {
    std::vector<AckedRecord> acked;
    for (const auto& stream : streams_) acked.insert(acked.end(), stream->acked.begin(), stream->acked.end());
    const ReplicaCounters counters = faults_.counters();
    result_.counts.acknowledged = acked.size();
    result_.counts.truncations = counters.truncations;
    result_.counts.fenced = counters.fenced_requests;
    result_.counts.expiries = world_.zookeeper().expiries();
    const auto [logs, ends] =
        ReadTopic(brokers_, kBrokers, kTopic, topic_, kPartitions, &result_.violations, &result_.stuck);
    Take(CheckNothingLost(acked, logs));
    Take(CheckAckedOnce(acked));
    Take(CheckReplicasAgree(logs));
    Take(
        CheckOneLeaderPerEpoch(logs, LeaderClaimsOf(world_, kTopic, kPartitions, &result_.counts.elections)));
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
