#include "tests/unit/replica/cluster.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace tidemark {
namespace {

bool Contains(const auto& list, BrokerId broker) { return std::ranges::find(list, broker) != list.end(); }

// The leader's side of one fetch: what broker/server does, on one shard.
Task<void> Serve(Node* node, uint64_t session, v1::FetchRequest request,
                 std::shared_ptr<OneShot<v1::FetchResponse>> out) {
  std::shared_ptr<FetchSlice>& slice = node->sessions[session];
  if (request.session_epoch() == 1) {
    slice = std::make_shared<FetchSlice>(
        *node->table, FetchReader{request.follower().replica_id(), request.follower().broker_epoch()});
  }
  const std::shared_ptr<FetchSlice> mine = slice;
  std::vector<FetchWanted> wanted;
  std::vector<PartitionKey> forgotten;
  for (const auto& topic : request.topics()) {
    for (const auto& partition : topic.partitions()) {
      wanted.push_back({{*TopicId::FromBytes(topic.id()), partition.partition()}, partition});
    }
  }
  for (const auto& topic : request.forgotten()) {
    for (const auto& partition : topic.partitions()) {
      forgotten.push_back({*TopicId::FromBytes(topic.id()), partition.partition()});
    }
  }
  mine->Update(std::move(wanted), forgotten);
  const MonoTime deadline = node->cluster.loop.Now() + std::chrono::milliseconds(request.max_wait_ms());
  FetchSliceAnswer answer;
  for (;;) {
    answer = co_await mine->Collect(request.max_bytes(), request.session_epoch() > 1);
    if (answer.urgent || answer.bytes >= request.min_bytes()) break;
    if (co_await mine->WaitReady(deadline, node->serving->stop_token()) != WaitOutcome::kReady) break;
  }
  v1::FetchResponse response;
  for (auto& item : answer.items) {
    auto* topic = response.add_topics();
    topic->set_id(item.key.topic.ToBytes());
    *topic->add_partitions() = std::move(item.response);
  }
  out->Set(std::move(response));
}

class Channel final : public ReplicationChannel {
 public:
  Channel(Node& from, BrokerId to)
      : cluster_(from.cluster), from_(from.id), to_(to), connection_(cluster_.next_connection++) {}

  Task<Result<v1::FetchResponse>> Fetch(v1::FetchRequest request, Duration timeout,
                                        std::stop_token stop) override {
    if (cluster_.on_fetch) cluster_.on_fetch(from_, request);
    auto out = std::make_shared<OneShot<Result<v1::FetchResponse>>>(cluster_.loop);
    cluster_.waits.Spawn("fetch", Exchange(&cluster_, from_, to_, connection_, std::move(request), out));
    auto answer = co_await out->Wait("fetch answer", cluster_.loop.Now() + timeout, stop);
    if (!answer) co_return std::unexpected(answer.error());
    co_return std::move(*answer);
  }
  void Progress(v1::ReplicaProgressRequest request) override {
    cluster_.waits.Spawn("progress", Tell(&cluster_, from_, to_, std::move(request)));
  }
  Task<void> Close() override {
    if (cluster_.nodes.contains(to_)) cluster_[to_].sessions.erase(connection_);
    co_return;
  }

 private:
  static Task<void> Exchange(Cluster* cluster, BrokerId from, BrokerId to, uint64_t session,
                             v1::FetchRequest request,
                             std::shared_ptr<OneShot<Result<v1::FetchResponse>>> out) {
    auto served = std::make_shared<OneShot<v1::FetchResponse>>(cluster->loop);
    if (co_await cluster->Pass(Hop::kFetch, from, to) && (*cluster)[to].up() &&
        !cluster->dying.contains(to)) {
      Node& node = (*cluster)[to];
      // A delayed request of a connection that is no more.
      const bool known = request.session_epoch() == 1 || node.sessions.contains(session);
      if (known) {
        node.serving->Spawn("serve fetch", Serve(&node, session, std::move(request), served));
        auto answer = co_await served->Wait("served", kNoDeadline, node.serving->stop_token());
        if (answer && co_await cluster->Pass(Hop::kFetchAnswer, to, from)) {
          out->Set(std::move(*answer));
          co_return;
        }
      }
    }
    out->Set(Fail(v1::NETWORK_EXCEPTION, "connection refused"));
  }
  static Task<void> Tell(Cluster* cluster, BrokerId from, BrokerId to, v1::ReplicaProgressRequest request) {
    if (co_await cluster->Pass(Hop::kProgress, from, to) && (*cluster)[to].up()) {
      (*cluster)[to].table->ReplicaProgress(request);
    }
  }

  Cluster& cluster_;
  BrokerId from_;
  BrokerId to_;
  const uint64_t connection_;
};

}  // namespace

Node::Node(Cluster& c, BrokerId i) : cluster(c), id(i) {}
Node::~Node() { CHECK(!up()); }

std::optional<Endpoint> Node::InterBrokerEndpoint(BrokerId broker) const {
  if (!cluster[broker].up()) return std::nullopt;
  return Endpoint{"broker", static_cast<uint16_t>(broker)};
}

std::unique_ptr<ReplicationChannel> Node::Connect(BrokerId broker, const Endpoint&) {
  return std::make_unique<Channel>(*this, broker);
}

Task<Result<ReplicaLog*>> Node::OpenOrCreate(PartitionKey, std::string topic, LogConfig, LogExpected) {
  if (disk == nullptr) disk = std::make_unique<MemoryLog>(std::move(topic));
  co_return disk.get();
}

Task<Result<>> Node::Delete(PartitionKey, std::string) {
  if (disk == nullptr) co_return Fail(v1::NOT_FOUND);
  disk.reset();
  co_return Result<>{};
}

Task<Result<>> Node::SetAside(PartitionKey, std::string) {
  aside = std::move(disk);
  co_return Result<>{};
}

Task<Result<>> Node::Resign(v1::ResignLeadershipRequest::Partition wish, v1::ResignReason reason) {
  resigned.push_back(reason);
  auto& state = cluster.state;
  if (sole_copy || state.isr_size() == 1) co_return Fail(v1::ELIGIBLE_LEADERS_NOT_AVAILABLE);
  const auto member = std::ranges::find(*state.mutable_isr(), id);
  if (wish.leave_isr() && member != state.mutable_isr()->end()) state.mutable_isr()->erase(member);
  state.set_partition_epoch(state.partition_epoch() + 1);
  if (state.leader() == id) {
    state.set_leader(state.isr(0) == id ? state.isr(1) : state.isr(0));
    state.set_leader_epoch(state.leader_epoch() + 1);
  } else if (wish.leave_isr() &&
             (reason == v1::RESIGN_REASON_DAMAGED_LOG || reason == v1::RESIGN_REASON_OFFLINE_LOG) &&
             wish.leader_epoch() == state.leader_epoch()) {
    state.set_leader_epoch(state.leader_epoch() + 1);
  }
  co_return Result<>{};
}

Task<Result<v1::AlterPartitionResponse::Partition>> Node::AlterPartition(
    v1::AlterPartitionRequest::Partition wish) {
  ++cluster.alters;
  cluster.most_alters_in_flight = std::max(cluster.most_alters_in_flight, ++cluster.alters_in_flight);
  Cluster& c = cluster;
  const BrokerId from = id;
  const bool arrived = co_await c.Pass(Hop::kAlter, from, 0);
  v1::AlterPartitionResponse::Partition answer;
  auto& state = c.state;
  const auto eligible = [&](const auto& member) {
    return c[member.broker_id()].up() && (member.broker_epoch() == kNoBrokerEpoch ||
                                          member.broker_epoch() == c[member.broker_id()].broker_epoch);
  };
  if (!arrived) {
    --c.alters_in_flight;
    co_return Fail(v1::REQUEST_TIMED_OUT);
  }
  if (wish.leader_epoch() < state.leader_epoch()) {
    answer.mutable_error()->set_code(v1::FENCED_LEADER_EPOCH);
  } else if (wish.partition_epoch() != state.partition_epoch()) {
    answer.mutable_error()->set_code(v1::INVALID_UPDATE_VERSION);
  } else if (!std::ranges::all_of(wish.isr(), eligible)) {
    answer.mutable_error()->set_code(v1::INELIGIBLE_REPLICA);
  } else {
    state.clear_isr();
    for (const auto& member : wish.isr()) state.add_isr(member.broker_id());
    state.set_recovery_state(wish.recovery_state());
    state.set_partition_epoch(state.partition_epoch() + 1);
  }
  if (answer.error().code() != v1::INELIGIBLE_REPLICA) *answer.mutable_state() = state;
  const bool answered = co_await c.Pass(Hop::kAlterAnswer, 0, from);
  --c.alters_in_flight;
  if (!answered) co_return Fail(v1::REQUEST_TIMED_OUT);
  co_return std::move(answer);
}

void Node::Start() {
  CHECK(!up());
  broker_epoch = cluster.next_broker_epoch++;
  serving = std::make_unique<Scope>(cluster.loop, "serving");
  table =
      std::make_unique<ReplicaTable>(cluster.loop, cluster.clock, *this, *this, *this, *this, cluster.options,
                                     [this](const std::string&) { return cluster.settings; });
  table->Start();
}

void Node::Kill(bool power_cut, bool lost_disk) {
  cluster.dying.insert(id);
  cluster.released.NotifyAll();
  serving->RequestStop();
  cluster.loop.Run(serving->Close());
  sessions.clear();
  std::unique_ptr<ReplicaTable> dying = std::move(table);
  cluster.loop.Run(dying->Close());
  dying.reset();
  serving.reset();
  cluster.dying.erase(id);
  if (disk != nullptr && power_cut) disk->Crash();
  if (lost_disk) disk.reset();
}

Partition& Node::replica() const {
  Partition* partition = table->Find(cluster.key);
  CHECK(partition != nullptr);
  return *partition;
}

Cluster::Cluster(int brokers, TopicSettings topic_settings, std::string topic)
    : settings(topic_settings), topic_name(std::move(topic)), released(loop), waits(loop, "waits") {
  state.set_leader(1);
  state.set_is_new(true);
  for (BrokerId id = 1; id <= brokers; ++id) {
    nodes[id] = std::make_unique<Node>(*this, id);
    nodes[id]->Start();
    state.add_replicas(id);
    state.add_isr(id);
  }
  Send();
  Run();
}

Cluster::~Cluster() {
  held.clear();
  released.NotifyAll();
  for (auto& [id, node] : nodes) {
    if (node->up()) node->Kill();
  }
  waits.RequestStop();
  loop.Run(waits.Close());
  nodes.clear();
}

Task<bool> Cluster::Pass(Hop hop, BrokerId from, BrokerId to) {
  const auto is_held = [&] {
    return held.contains({hop, from, to}) || held.contains({hop, from, 0}) || held.contains({hop, 0, to});
  };
  while (is_held()) {
    const bool own = hop == Hop::kAlter || hop == Hop::kAlterAnswer;
    if (own && (dying.contains(from) || dying.contains(to))) co_return false;
    if (co_await released.Wait("held up", kNoDeadline, waits.stop_token()) == WaitOutcome::kStopped)
      co_return false;
  }
  co_return true;
}

void Cluster::Send(std::vector<BrokerId> to, bool expect_ok) {
  v1::TopicState topic;
  topic.set_name(topic_name);
  topic.set_id(key.topic.ToBytes());
  *topic.add_partitions() = state;
  for (auto& [id, node] : nodes) {
    if (!node->up() || (!to.empty() && !Contains(to, id))) continue;
    const auto failed = loop.Run(node->table->ApplyLeaderAndIsr({topic}));
    EXPECT_EQ(failed.empty(), expect_ok) << (failed.empty() ? "" : failed.front().ShortDebugString());
  }
}

void Cluster::Elect(BrokerId leader, std::vector<BrokerId> tell, bool tell_anybody) {
  state.set_leader(leader);
  state.set_is_new(false);
  state.set_leader_epoch(state.leader_epoch() + 1);
  state.set_partition_epoch(state.partition_epoch() + 1);
  std::vector<BrokerId> isr;
  for (BrokerId member : Isr()) {
    if (nodes.at(member)->up()) isr.push_back(member);
  }
  state.mutable_isr()->Assign(isr.begin(), isr.end());
  if (tell_anybody) Send(std::move(tell));
}

Result<AppendResult> Cluster::Produce(BrokerId to, const std::string& body, int acks) {
  UnstampedBatch batch{.body = body};
  return (*this)[to].replica().Append(std::span(&batch, 1), acks, std::nullopt);
}

std::shared_ptr<std::optional<Result<>>> Cluster::Await(BrokerId at, Offset end) {
  auto result = std::make_shared<std::optional<Result<>>>();
  const auto keep = [](Task<Result<>> task, std::shared_ptr<std::optional<Result<>>> out) -> Task<void> {
    out->emplace(co_await std::move(task));
  };
  Partition& partition = (*this)[at].replica();
  waits.Spawn("produce",
              keep(partition.WaitCommitted(end, *partition.leader_epoch(), kNoDeadline, {}), result));
  return result;
}

}  // namespace tidemark
