#include "tests/simulation/groups/group_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"
#include "tests/simulation/env/sim_network.h"
#include "tests/simulation/groups/group_history.h"
#include "tests/simulation/groups/group_member.h"
#include "tests/simulation/runs/fault_schedule.h"
#include "tests/simulation/runs/run_clients.h"

namespace tidemark {
namespace {

constexpr int kBrokers = 3;
constexpr int kMembers = 10;
constexpr uint32_t kPartitions = 48;
constexpr int kProducers = 2;
constexpr int kFaults = 6;
const char kTopic[] = "orders";
const char kOffsets[] = "__consumer_offsets";

// Whether the coordinator's broker stands still once in this run.
bool Hangs(uint64_t seed) { return SimRandom(seed ^ 0x4a9eULL).Chance(0.5); }

Properties ConfigOf(uint64_t seed) {
  SimRandom random(seed ^ 0x96071ULL);
  return {{"min.insync.replicas", "2"},
          {"replica.lag.time.max.ms", "4000"},
          // Longer than the standstill: no other broker takes over.
          {"zookeeper.session.timeout.ms", Hangs(seed) ? "26000" : "18000"},
          {"num.shards", random.Chance(0.3) ? "2" : "1"},
          {"offsets.topic.num.partitions", "1"},
          {"group.min.session.timeout.ms", "1000"},
          {"group.consumer.heartbeat.interval.ms", "500"}};
}

std::string HostOf(int member) { return fmt::format("member{}", member); }

std::vector<std::string> OtherHosts() {
  std::vector<std::string> hosts = {SimZooKeeper::kHost, "producer0", "producer1"};
  for (int member = 0; member < kMembers; ++member) hosts.push_back(HostOf(member));
  return hosts;
}

// All that a group's log says, read by a client of its own.
Task<Result<GroupHistory>> ReadHistory(SimProcess* process, TopicId topic) {
  EventLoop& loop = process->main_loop();
  const ClientOptions options = RunClientOptions(kBrokers);
  Cluster cluster(*process, loop, options);
  Consumer consumer(cluster, {.client = options});
  GroupHistory history(topic);
  Result<> outcome = co_await consumer.Assign(kOffsets, 0, {StartPosition::Kind::kBeginning});
  Offset end = 1;
  const MonoTime deadline = loop.Now() + 120s;
  while (outcome && consumer.Position(kOffsets, 0).value_or(0) < end) {
    const auto batch = co_await consumer.Poll(loop.Now() + 2s);
    if (!batch) outcome = std::unexpected(batch.error());
    if (loop.Now() > deadline)
      outcome = Fail(v1::REQUEST_TIMED_OUT, "{} of {} records", history.records(), end);
    if (!outcome || batch->records.empty()) continue;
    end = batch->high_watermark;
    for (const ConsumedRecord& record : batch->records) {
      const auto decoded = DecodeGroupRecord(record.view.key, record.view.value);
      if (!decoded) outcome = std::unexpected(decoded.error());
      if (decoded && *decoded) history.Add(**decoded);
    }
  }
  co_await consumer.Close();
  co_await cluster.Close();
  if (!outcome) co_return std::unexpected(outcome.error());
  co_return std::move(history);
}

class GroupRun {
 public:
  explicit GroupRun(uint64_t seed)
      : brokers_(seed, kBrokers, ConfigOf(seed)),
        world_(brokers_.world()),
        faults_(brokers_, kBrokers, kOffsets, 1, OtherHosts(), seed),
        random_(seed ^ 0x3e3be5ULL),
        reset_(random_.Chance(0.5) ? OffsetReset::kLatest : OffsetReset::kEarliest),
        apart_(random_.Chance(0.5)),
        hangs_(Hangs(seed)),
        slots_(kMembers) {}

  RunResult Run() {
    faults_.LaunchAll();
    CHECK(world_.RunUntil([this] { return faults_.AllServing(); }, 60s)) << "the cluster does not start";
    topic_ = brokers_.CreateTopic(kTopic, kPartitions, kBrokers);
    if (!WaitCoordinator()) return Stuck("no coordinator is found");
    if (!WaitFor([this] { return CommitStarts(); })) return Stuck("the first offsets are not committed");
    StartProducers();
    for (int member = 0; member < 5; ++member) Join(member);
    NextStep();
    for (int i = 0; i < kFaults; ++i) faults_.Run(1);
    Heal();
    if (!WaitFor([this] { return faults_.AllServing(); })) return Stuck("not every broker serves");
    if (!WaitFor([this] { return Even(); }))
      return Stuck(fmt::format("the members do not share evenly: {}", Shares()));
    if (hangs_) HangCoordinator();
    if (!WaitFor([this] { return Even(); }))
      return Stuck(fmt::format("after a standstill the members do not share evenly: {}", Shares()));
    StopProducers();
    if (!WaitFor([this] { return AllProcessed(); }))
      return Stuck("not all that was produced is processed: " + NotProcessed());
    if (!Even()) result_.violations.push_back(fmt::format("quiet, and yet: {}", Shares()));
    StopMembers();
    Check();
    result_.trace = world_.trace_hash();
    return std::move(result_);
  }

 private:
  struct Slot {
    SimProcess* process = nullptr;  // null: nobody is there
    std::shared_ptr<RunMember> member;
    bool leaving = false;
  };

  RunResult Stuck(std::string what) {
    result_.stuck.push_back(std::move(what));
    Take(witness_.violations());
    return std::move(result_);
  }
  void Take(const Violations& found) {
    result_.violations.insert(result_.violations.end(), found.begin(), found.end());
  }

  bool WaitFor(const std::function<bool()>& done) {
    for (const MonoTime deadline = world_.Now() + 300s; world_.Now() < deadline; faults_.RunFor(500ms)) {
      if (done()) return true;
    }
    return done();
  }

  bool WaitCoordinator() {
    return WaitFor([this] {
      v1::Request request;
      request.mutable_find_coordinator()->add_group_ids("readers");
      const Result<v1::Response> response = brokers_.Call(0, request);
      return response && response->find_coordinator().coordinators_size() == 1 &&
             response->find_coordinator().coordinators(0).error().code() == v1::NONE;
    });
  }

  // So that whoever begins elsewhere than at a commit skips something, or gives it again.
  bool CommitStarts() {
    v1::Request request;
    request.mutable_find_coordinator()->add_group_ids("readers");
    const Result<v1::Response> found = brokers_.Call(0, request);
    if (!found || found->find_coordinator().coordinators(0).broker_id() < 0) return false;
    const int coordinator = found->find_coordinator().coordinators(0).broker_id();
    v1::OffsetCommitRequest& commit = *request.mutable_offset_commit();
    commit.set_group_id("readers");
    commit.set_member_epoch(-1);
    commit.add_topics()->set_topic_id(topic_.ToBytes());
    for (PartitionIndex p = 0; p < kPartitions; ++p)
      commit.mutable_topics(0)->add_partitions()->set_partition(p);
    const Result<v1::Response> committed = brokers_.Call(coordinator, request);
    return committed && std::ranges::none_of(committed->offset_commit().topics(0).partitions(),
                                             [](const auto& one) { return one.has_error(); });
  }

  void StartProducers() {
    for (int i = 0; i < kProducers; ++i) {
      auto stream = std::make_shared<AckedStream>(AckedStream{.name = fmt::format("value{}", i),
                                                              .topic = kTopic,
                                                              .partitions = kPartitions,
                                                              .brokers = kBrokers});
      streams_.push_back(stream);
      SimProcess& process = world_.StartProcess(fmt::format("producer{}", i));
      process.Keep(stream);
      process.Spawn("client", [stream = stream.get(), process = &process] { return stream->Run(process); });
    }
  }

  void StopProducers() {
    for (const auto& stream : streams_) stream->stop = true;
    if (!WaitFor([this] { return std::ranges::all_of(streams_, [](const auto& s) { return s->stopped; }); }))
      result_.stuck.push_back("a producer did not end");
  }

  // ---- the members

  void Join(int slot) {
    if (slots_[slot].process != nullptr) return;
    // Only those that commit in the background have newer commits to send while others are under way.
    const CommitWay ways[] = {CommitWay::kAuto, CommitWay::kSync, CommitWay::kAsync, CommitWay::kAsync};
    const RunMember::Settings settings{.name = fmt::format("member{}.{}", slot, ++counts_.joined),
                                       .topic = kTopic,
                                       .brokers = kBrokers,
                                       .commits = ways[random_.Below(4)],
                                       .by_pattern = random_.Chance(0.3),
                                       .slow_listener = random_.Chance(0.3),
                                       .reset = reset_};
    auto member = std::make_shared<RunMember>(settings, &witness_);
    SimProcess& process = world_.StartProcess(HostOf(slot));
    process.Keep(member);
    process.Spawn("member", [member = member.get(), process = &process] { return member->Run(process); });
    slots_[slot] = {&process, member};
  }

  void Leave(int slot) {
    if (slots_[slot].process == nullptr || slots_[slot].leaving) return;
    slots_[slot].leaving = true;
    slots_[slot].member->Stop();
  }

  void Kill(int slot) {
    if (slots_[slot].process == nullptr) return;
    slots_[slot].process->Kill(random_.Chance(0.3));
    slots_[slot].member->Killed();
    slots_[slot] = {};
    ++counts_.killed;
  }

  void Pause(int slot, Duration length) {
    SimProcess* process = slots_[slot].process;
    if (process == nullptr || process->paused()) return;
    process->Pause();
    ++counts_.paused;
    faults_.After(length, [this, slot, process] {
      if (slots_[slot].process == process) process->Resume();
    });
  }

  // From some of the brokers, perhaps from all.
  void CutOff(int slot, Duration length) {
    for (int id = 0; id < kBrokers; ++id) {
      if (random_.Chance(0.6)) faults_.CutLink(HostOf(slot), fmt::format("host{}", id), length);
    }
  }

  // A broker that neither the others nor ZooKeeper see, and that every client sees: it leads on as it did.
  void StandApart(int id, Duration length) {
    const std::string host = fmt::format("host{}", id);
    faults_.CutLink(host, SimZooKeeper::kHost, length);
    for (int other = 0; other < kBrokers; ++other) {
      if (other != id) faults_.CutLink(host, fmt::format("host{}", other), length);
    }
  }

  // So long that its clients give their connections up and make new ones: it then finds what they sent over
  // both. Nothing else happens to the cluster, so that they have much to commit; a member leaves and one
  // joins.
  void HangCoordinator() {
    const Duration length = random_.Between(12s, 17s);
    faults_.Pause(faults_.SomeLeader(), length);
    for (int i = 0; i < 2; ++i) {
      faults_.After(
          random_.Between(100ms, length),
          [this, i, slot = static_cast<int>(random_.Below(kMembers))] { i == 0 ? Leave(slot) : Join(slot); });
    }
    faults_.RunFor(length + 1s);
    ++counts_.hung;
  }

  // Those that have left make room.
  void Reap() {
    for (Slot& slot : slots_) {
      if (slot.process == nullptr || !slot.member->stopped()) continue;
      if (slot.member->failed())
        result_.violations.push_back(
            fmt::format("{}: {}", slot.member->name(), ToString(*slot.member->failed())));
      witness_.Gone(slot.member->id());
      slot.process->Exit();
      slot = {};
      ++counts_.left;
    }
  }

  void NextStep() {
    faults_.After(random_.Between(100ms, 1500ms), [this] {
      Reap();
      const int slot = static_cast<int>(random_.Below(kMembers));
      switch (random_.Below(8)) {
        case 0:
          Leave(slot);
          break;
        case 1:
          Kill(slot);
          break;
        case 2:
          Pause(slot, random_.Between(200ms, 9s));
          break;
        case 3:
          CutOff(slot, random_.Between(200ms, 9s));
          break;
        case 4:
          if (apart_) StandApart(static_cast<int>(random_.Below(kBrokers)), random_.Between(3s, 15s));
          break;
        default:
          Join(slot);
      }
      NextStep();
    });
  }

  void Heal() {
    faults_.Heal();  // also ends the steps
    for (Slot& slot : slots_) {
      if (slot.process != nullptr && slot.process->paused()) slot.process->Resume();
    }
    Join(static_cast<int>(random_.Below(kMembers)));
    Join(static_cast<int>(random_.Below(kMembers)));
    faults_.RunFor(1s);
  }

  size_t Running() const {
    return static_cast<size_t>(
        std::ranges::count_if(slots_, [](const Slot& s) { return s.process != nullptr; }));
  }

  // Each running member has its share by its own word, and each partition one member.
  bool Even() {
    Reap();
    const auto holdings = witness_.Holdings();
    size_t most = 0, least = kPartitions, all = 0;
    std::set<PartitionIndex> held;
    for (const auto& [member, partitions] : holdings) {
      most = std::max(most, partitions.size());
      least = std::min(least, partitions.size());
      all += partitions.size();
      held.insert(partitions.begin(), partitions.end());
    }
    return holdings.size() == Running() && held.size() == kPartitions && all == kPartitions &&
           most - least <= 1;
  }

  std::string Shares() const {
    std::string out;
    for (const auto& [member, partitions] : witness_.Holdings())
      out += fmt::format("{}: {} ", member, partitions.size());
    return fmt::format("{} members run; {}", Running(), out);
  }

  std::vector<AckedRecord> Acked() const {
    std::vector<AckedRecord> acked;
    for (const auto& stream : streams_) acked.insert(acked.end(), stream->acked.begin(), stream->acked.end());
    return acked;
  }

  bool AllProcessed() {
    Reap();
    return std::ranges::all_of(Acked(), [this](const AckedRecord& record) {
      return witness_.processed_end(record.partition) > record.offset;
    });
  }

  std::string NotProcessed() {
    std::map<PartitionIndex, Offset> last;
    for (const AckedRecord& record : Acked()) {
      if (witness_.processed_end(record.partition) <= record.offset)
        last[record.partition] = std::max(last[record.partition], record.offset);
    }
    std::string out;
    for (const auto& [partition, offset] : last) {
      out += fmt::format("{} acknowledged to {}, processed below {}; ", partition, offset,
                         witness_.processed_end(partition));
    }
    return out;
  }

  void StopMembers() {
    for (int slot = 0; slot < kMembers; ++slot) Leave(slot);
    const bool ended = WaitFor([this] {
      Reap();
      return Running() == 0;
    });
    if (!ended) result_.stuck.push_back("a member did not end");
  }

  void Check() {
    const auto coordinators = CoordinatorChanges();
    SimProcess& process = world_.StartProcess("reader");
    const auto history = process.Await([this, process = &process] { return ReadHistory(process, topic_); });
    Take(witness_.violations());
    Take(witness_.CheckNothingSkipped(Acked()));
    if (!history)
      return result_.violations.push_back(fmt::format("the group's log: {}", ToString(history.error())));
    Take(history->violations());
    Take(history->Judge(witness_.overlaps()));
    Take(history->Judge(witness_.early_starts()));
    for (PartitionIndex p = 0; p < kPartitions; ++p) {
      const Offset end = history->committed(p);
      if (end < witness_.acknowledged(p)) {
        result_.violations.push_back(fmt::format("partition {} is committed at {}, and {} was acknowledged",
                                                 p, end, witness_.acknowledged(p)));
      }
      // All have left, each with a commit of what it had processed.
      if (end != witness_.processed_end(p)) {
        result_.violations.push_back(
            fmt::format("partition {} is committed at {} in the end, and processed up to {}", p, end,
                        witness_.processed_end(p)));
      }
    }
    GroupRunCounts counts = witness_.counts();
    counts += counts_;
    counts.rebalances = history->group_epoch();
    counts.fenced = history->fenced();
    counts.coordinators = coordinators;
    result_.groups = counts;
  }

  uint64_t CoordinatorChanges() {
    std::set<LeaderEpoch> epochs;
    for (const SimZkRecord& record : world_.zookeeper().history()) {
      if (record.path != zkpath::PartitionState(kOffsets, 0)) continue;
      const auto state = DecodePartitionState(record.data);
      if (state && state->leader() >= 0 && state->leader_epoch() > 0) epochs.insert(state->leader_epoch());
    }
    return epochs.size();
  }

  SimBrokers brokers_;
  SimWorld& world_;
  FaultSchedule faults_;
  SimRandom random_;  // of what happens to members
  const OffsetReset reset_;
  const bool apart_;  // brokers stand apart in this run
  const bool hangs_;
  TopicId topic_;
  GroupWitness witness_;
  std::vector<Slot> slots_;
  std::vector<std::shared_ptr<AckedStream>> streams_;
  GroupRunCounts counts_;
  RunResult result_;
};

}  // namespace

RunResult RunGroup(uint64_t seed) { return GroupRun(seed).Run(); }

}  // namespace tidemark
