#include "tests/simulation/rot/rot_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "tests/simulation/rot/rot_clients.h"
#include "tests/simulation/rot/rot_faults.h"
#include "tests/simulation/runs/cluster_view.h"
#include "tests/simulation/runs/fault_schedule.h"
#include "tests/simulation/runs/run_clients.h"

namespace tidemark {
namespace {

constexpr int kBrokers = 3;
constexpr uint32_t kPartitions = 2;  // of each topic
constexpr int kProducers = 2;        // of each topic
constexpr int kFaults = 12;
constexpr Duration kQuietLimit = 900s;
constexpr Duration kRetention = 20s;
const char kPlain[] = "plain";
const char kCompacted[] = "compacted";

// What the seed says of the cluster.
struct Shape {
  Properties broker;
  std::map<std::string, std::string> plain, compacted;
  bool retention = false;
  std::string hunted;  // the topic whose leaders the faults look for
};

Shape ShapeOf(uint64_t seed) {
  SimRandom random(seed ^ 0x5047e0ULL);
  const char* const segment_bytes[] = {"2048", "8192", "65536"};
  const auto segments = [&] { return std::string(segment_bytes[random.Below(3)]); };
  Shape shape;
  shape.broker = {{"min.insync.replicas", "2"},
                  {"replica.lag.time.max.ms", "4000"},
                  {"num.shards", random.Chance(0.3) ? "2" : "1"},
                  {"log.scrub.interval.ms", random.Chance(0.5) ? "1000" : "5000"},
                  {"log.scrub.bytes.per.second", "100000000"},
                  {"log.retention.check.interval.ms", "1000"},
                  {"log.cleaner.backoff.ms", "500"}};
  shape.retention = random.Chance(0.3);
  shape.plain = {{"segment.bytes", segments()},
                 {"retention.ms", shape.retention ? std::to_string(ToMillis(kRetention)) : "-1"}};
  shape.compacted = {{"segment.bytes", segments()},
                     {"cleanup.policy", "compact"},
                     {"min.cleanable.dirty.ratio", "0.2"},
                     {"delete.retention.ms", random.Chance(0.5) ? "1000" : "20000"}};
  shape.hunted = random.Chance(0.5) ? kPlain : kCompacted;
  return shape;
}

std::vector<std::string> OtherHosts() {
  return {SimZooKeeper::kHost, "producer0", "producer1", "keyed0", "keyed1"};
}

class RotRun {
 public:
  explicit RotRun(uint64_t seed)
      : seed_(seed),
        shape_(ShapeOf(seed)),
        brokers_(seed, kBrokers, shape_.broker),
        world_(brokers_.world()),
        faults_(brokers_, kBrokers, shape_.hunted, kPartitions, OtherHosts(), seed),
        random_(seed ^ 0x57814eULL) {}

  RunResult Run() {
    faults_.LaunchAll();
    CHECK(world_.RunUntil([this] { return faults_.AllServing(); }, 60s)) << "the cluster does not start";
    plain_ = brokers_.CreateTopic(kPlain, kPartitions, kBrokers, shape_.plain);
    compacted_ = brokers_.CreateTopic(kCompacted, kPartitions, kBrokers, shape_.compacted);
    rot_.emplace(brokers_, kBrokers,
                 std::vector<RotTopic>{{kPlain, plain_, kPartitions, false},
                                       {kCompacted, compacted_, kPartitions, true}},
                 seed_);
    StartClients();
    faults_.RunFor(6s);  // until checkpoints are written
    NextStrike();
    for (int i = 0; i < kFaults; ++i) faults_.Run(1);
    faults_.Heal();
    faults_.RunFor(1s);
    if (!WaitFor([this] { return faults_.AllServing(); })) {
      result_.stuck.push_back("not every broker serves");
      return std::move(result_);
    }
    StopClients();
    if (!WaitFor([this] { return Whole(); })) TellWhatIsNotWhole();
    faults_.RunFor(10s);  // followers learn the last high watermark and flush
    Check();
    result_.trace = world_.trace_hash();
    return std::move(result_);
  }

 private:
  using Partition = std::pair<std::string, PartitionIndex>;

  void Take(const Violations& found) {
    result_.violations.insert(result_.violations.end(), found.begin(), found.end());
  }

  template <typename Client>
  void SpawnIn(const std::string& host, std::shared_ptr<Client> client) {
    SimProcess& process = world_.StartProcess(host);
    process.Keep(client);
    process.Spawn("client", [client = client.get(), process = &process] { return client->Run(process); });
    stop_.push_back([client] { client->stop = true; });
    stopped_.push_back([client] { return client->stopped; });
  }

  void StartClients() {
    for (int i = 0; i < kProducers; ++i) {
      streams_.push_back(std::make_shared<AckedStream>(AckedStream{.name = fmt::format("value{}", i),
                                                                   .topic = kPlain,
                                                                   .partitions = kPartitions,
                                                                   .brokers = kBrokers}));
      SpawnIn(fmt::format("producer{}", i), streams_.back());
      keyed_.push_back(std::make_shared<KeyedStream>(KeyedStream{.name = fmt::format("keyed{}", i),
                                                                 .topic = kCompacted,
                                                                 .partitions = kPartitions,
                                                                 .brokers = kBrokers,
                                                                 .keys = 40}));
      SpawnIn(fmt::format("keyed{}", i), keyed_.back());
    }
    for (const auto& [topic, id] : {std::pair{kPlain, plain_}, std::pair{kCompacted, compacted_}}) {
      readers_.push_back(std::make_shared<Rereader>());
      readers_.back()->topic = topic;
      readers_.back()->partitions = kPartitions;
      readers_.back()->brokers = kBrokers;
      readers_.back()->dense = topic == kPlain && !shape_.retention;
      SpawnIn(fmt::format("reader of {}", topic), readers_.back());
      for (int broker = 0; broker < kBrokers; ++broker) {
        observers_.push_back(std::make_shared<WatermarkObserver>(
            WatermarkObserver{.broker = broker,
                              .topic = topic,
                              .topic_id = id,
                              .partitions = kPartitions,
                              .life = [this, broker] { return faults_.LifeOf(broker); }}));
        SpawnIn(fmt::format("observer{} of {}", broker, topic), observers_.back());
      }
    }
  }

  void StopClients() {
    for (const auto& stop : stop_) stop();
    if (!WaitFor([this] { return std::ranges::all_of(stopped_, [](const auto& done) { return done(); }); }))
      result_.stuck.push_back("a client did not end");
  }

  void NextStrike() {
    faults_.After(random_.Between(100ms, 2500ms), [this] {
      rot_->Strike();
      NextStrike();
    });
  }

  bool WaitFor(const std::function<bool()>& done) {
    for (const MonoTime deadline = world_.Now() + kQuietLimit; world_.Now() < deadline;
         faults_.RunFor(500ms)) {
      if (done()) return true;
    }
    return done();
  }

  // By the brokers' own word.
  size_t DamagedRanges() {
    size_t sum = 0;
    for (int id = 0; id < kBrokers; ++id) {
      if (brokers_.broker(id) == nullptr) return 1;
      const auto reports =
          brokers_.process(id).Await([broker = brokers_.broker(id)] { return broker->Reports(); });
      for (const ShardReport& report : reports) sum += report.damaged_ranges + report.offline;
    }
    return sum;
  }

  // The only member in sync is damaged as a whole: it came back from a crash without the end of its log,
  // before anybody else was in the ISR again. It stays offline, with nothing deleted, until an operator has
  // another replica elected.
  bool Stranded(const Partition& partition) {
    const auto& [topic, p] = partition;
    const auto state = PartitionStateOf(world_, topic, p);
    if (!state || state->isr_size() != 1) return false;
    const ReplicaViews views = DescribeReplicas(brokers_, kBrokers, topic == kPlain ? plain_ : compacted_);
    const auto view = views.find({state->isr(0), p});
    return view != views.end() && view->second.has_offline();
  }

  bool InSync(const Partition& partition) {
    const auto state = PartitionStateOf(world_, partition.first, partition.second);
    return state && state->leader() >= 0 && state->isr_size() == kBrokers;
  }

  bool Whole() {
    if (!faults_.AllServing()) return false;
    stranded_.clear();
    for (const char* topic : {kPlain, kCompacted}) {
      for (PartitionIndex p = 0; p < kPartitions; ++p) {
        if (InSync({topic, p})) continue;
        if (!Stranded({topic, p})) return false;
        stranded_.insert({topic, p});
      }
    }
    return Unrepaired().empty() && (!stranded_.empty() || DamagedRanges() == 0);
  }

  bool IsStranded(const std::string& topic, PartitionIndex p) const { return stranded_.contains({topic, p}); }

  Violations Unrepaired() {
    Violations found = rot_->Unrepaired();
    EraseStranded(&found);
    return found;
  }
  // What is said of their replicas is known.
  void EraseStranded(Violations* found) const {
    std::erase_if(*found, [this](const std::string& what) {
      return std::ranges::any_of(stranded_, [&what](const Partition& partition) {
        return what.find(fmt::format("{}-{}", partition.first, partition.second)) != std::string::npos;
      });
    });
  }

  void TellWhatIsNotWhole() {
    Take(Unrepaired());
    result_.stuck.push_back(
        fmt::format("the cluster is not whole within {} s of the last fault", ToMillis(kQuietLimit) / 1000));
    for (const char* topic : {kPlain, kCompacted}) {
      for (PartitionIndex p = 0; p < kPartitions; ++p) {
        const auto state = PartitionStateOf(world_, topic, p);
        result_.stuck.push_back(fmt::format("{}-{}: {}", topic, p, state ? state->ShortDebugString() : "?"));
      }
    }
    result_.stuck.push_back(fmt::format("{} damaged ranges", DamagedRanges()));
  }

  // The logs of the partitions that are to be whole. Of a stranded one, some replica must have everything, up
  // to its end: an operator may have it elected.
  template <typename Judge>
  std::vector<DiskLog> ReadLogs(const std::string& topic, const TopicId& id, const Judge& lost) {
    Violations wrong, stuck;
    std::vector<DiskLog> logs = ReadTopic(brokers_, kBrokers, topic, id, kPartitions, &wrong, &stuck).logs;
    EraseStranded(&wrong);
    EraseStranded(&stuck);
    Take(wrong);
    result_.stuck.insert(result_.stuck.end(), stuck.begin(), stuck.end());
    for (PartitionIndex p = 0; p < kPartitions; ++p) {
      if (!IsStranded(topic, p)) continue;
      ++result_.rot.stranded;
      Violations least;
      for (DiskLog log : logs) {
        if (log.partition != p) continue;
        log.in_sync = true;
        log.high_watermark = log.end();
        const Violations missing = lost(log);
        if (missing.empty()) {
          least.clear();
          break;
        }
        if (least.empty() || missing.size() < least.size()) least = missing;
      }
      Take(least);
    }
    std::erase_if(logs, [&](const DiskLog& log) { return IsStranded(topic, log.partition); });
    return logs;
  }

  // Records are below a log's start only where retention may have taken them.
  void CheckLogStarts(const std::vector<AckedRecord>& acked, const std::vector<DiskLog>& logs) {
    for (const auto& [topic, id] : {std::pair{kPlain, plain_}, std::pair{kCompacted, compacted_}}) {
      const ReplicaViews views = DescribeReplicas(brokers_, kBrokers, id);
      for (const DiskLog& log : logs) {
        const auto view = views.find({log.broker, log.partition});
        if (log.topic != topic || view == views.end()) continue;
        const Offset start = view->second.log_start_offset();
        const bool files_missing = !log.batches.empty() && log.start > start;
        if (files_missing || (start > 0 && !(shape_.retention && topic == kPlain))) {
          result_.violations.push_back(fmt::format("{}-{} on broker {} starts at {}, on disk at {}", topic,
                                                   log.partition, log.broker, start, log.start));
        }
        for (const AckedRecord& record : acked) {
          if (record.topic == topic && record.partition == log.partition && record.offset < start &&
              record.at + kRetention > world_.Now()) {
            result_.violations.push_back(
                fmt::format("{}-{} on broker {} starts at {}: {} went before its time", topic, log.partition,
                            log.broker, start, record.offset));
            break;
          }
        }
      }
    }
  }

  void CheckPlain(std::vector<AckedRecord> acked) {
    const auto logs = ReadLogs(kPlain, plain_, [&](const DiskLog& log) {
      std::vector<AckedRecord> of_partition = acked;
      std::erase_if(of_partition, [&](const AckedRecord& r) { return r.partition != log.partition; });
      return CheckNothingLost(of_partition, {log});
    });
    std::erase_if(acked, [this](const AckedRecord& record) { return IsStranded(kPlain, record.partition); });
    Take(CheckNothingLost(acked, logs));
    Take(CheckAckedOnce(acked));
    Take(CheckReplicasAgree(logs));
    Take(CheckOneLeaderPerEpoch(logs, LeaderClaimsOf(world_, kPlain, kPartitions, &result_.rot.elections)));
    Take(CheckContiguous(logs));
    Take(CheckReread(*readers_[0], logs));
    CheckLogStarts(acked, logs);
  }

  void CheckCompacted(const std::vector<KeyedRecord>& sent) {
    const auto logs =
        ReadLogs(kCompacted, compacted_, [&](const DiskLog& log) { return CheckLastValues(sent, {log}); });
    Take(CheckLastValues(sent, logs));
    Take(CheckContiguousBatches(logs));
    Take(CheckSameRecords(logs));
    Take(CheckOneLeaderPerEpoch({}, LeaderClaimsOf(world_, kCompacted, kPartitions, &result_.rot.elections)));
    Take(CheckReread(*readers_[1], logs));
    CheckLogStarts({}, logs);
  }

  void Check() {
    std::vector<AckedRecord> acked;
    for (const auto& stream : streams_) acked.insert(acked.end(), stream->acked.begin(), stream->acked.end());
    std::vector<KeyedRecord> sent;
    for (const auto& stream : keyed_) sent.insert(sent.end(), stream->sent.begin(), stream->sent.end());
    const ReplicaCounters counters = faults_.counters();
    result_.rot = rot_->counts();
    result_.rot.acknowledged = acked.size();
    result_.rot.found = counters.damaged_ranges;
    result_.rot.repaired = counters.repaired;
    result_.rot.resigned = counters.resignations;
    result_.rot.set_aside = counters.set_aside;
    for (const auto& reader : readers_) result_.rot.reread += reader->records;
    CheckPlain(acked);
    CheckCompacted(sent);
    for (const auto& observer : observers_) Take(CheckHighWatermarks(observer->seen));
  }

  const uint64_t seed_;
  const Shape shape_;
  SimBrokers brokers_;
  SimWorld& world_;
  FaultSchedule faults_;
  SimRandom random_;  // when rot strikes
  TopicId plain_, compacted_;
  std::optional<RotFaults> rot_;
  std::vector<std::shared_ptr<AckedStream>> streams_;
  std::vector<std::shared_ptr<KeyedStream>> keyed_;
  std::vector<std::shared_ptr<Rereader>> readers_;  // of the plain topic, of the compacted one
  std::vector<std::shared_ptr<WatermarkObserver>> observers_;
  std::set<Partition> stranded_;
  std::vector<std::function<void()>> stop_;
  std::vector<std::function<bool()>> stopped_;
  RunResult result_;
};

}  // namespace

RunResult RunWithRot(uint64_t seed) { return RotRun(seed).Run(); }

}  // namespace tidemark
