// Shards and their request handlers without the rest of a broker: leadership is told to them by hand. With
// one shard and with three, so that the scattering is seen.
#pragma once

#include <gtest/gtest.h>

#include "broker/server/gather.h"
#include "broker/server/shard.h"
#include "common/net/rpc_channel.h"
#include "common/record/builder.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

inline constexpr BrokerId kSelf = 1;
inline constexpr uint32_t kOrdersPartitions = 6;

inline TopicId OrdersId() {
  std::array<uint8_t, TopicId::kSize> bytes{};
  bytes[3] = 42;
  return TopicId(bytes);
}

class NoControlPlane final : public ControlPlane {
 public:
  Task<Result<v1::Response>> Serve(v1::Request request, bool forwarded) override {
    ++served;
    last_forwarded = forwarded;
    topics_asked_for += request.create_topics().topics_size();
    if (slow != nullptr) co_await Sleep(*slow, 5s, "a slow controller");
    co_return Fail(v1::NOT_CONTROLLER, "no controller here");
  }
  Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition) override {
    co_return Fail(v1::NOT_CONTROLLER, "no controller here");
  }
  Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition, v1::ResignReason) override {
    co_return Result<>();
  }
  void OnDirectoryFailure(size_t, Error) override {}

  int served = 0;
  bool last_forwarded = false;
  int topics_asked_for = 0;
  EventLoop* slow = nullptr;
};

// The part of a broker that owns shards.
class Host {
 public:
  Host(SimProcess& process, size_t shards)
      : process_(process),
        scope_(process.main_loop(), "host"),
        context_{.env = process,
                 .config = *BrokerConfig::FromProperties({{"zookeeper.connect", "none:1"},
                                                          {"log.dirs", "/data"},
                                                          {"max.fetch.partitions", "8"},
                                                          {"auto.create.topics.enable", "true"},
                                                          {"fetch.max.bytes", "2000000"}}),
                 .control_loop = process.main_loop(),
                 .control_scope = scope_,
                 .control = control},
        count_(shards) {}

  Task<bool> Start() {
    dirs_ = std::move(*co_await LogDirs::Open(process_, process_.main_loop(), {"/data"}));
    context_.dirs = dirs_.get();
    context_.live = std::make_shared<const BrokerConfig>(context_.config);
    CHECK((co_await dirs_->Bind(kSelf, "cluster")).has_value());
    for (size_t i = 0; i < count_; ++i) context_.shards.push_back(std::make_unique<Shard>(context_, i));
    co_await OnAll([](Shard& shard) { return shard.Open(); });
    listener_ = std::move(*process_.transport().Listen(
        process_.main_loop(), {process_.host(), 9092}, [this](std::unique_ptr<PendingStream> stream) {
          context_.shards[next_++ % count_]->PostConnection(std::move(stream), "PLAINTEXT", {});
        }));
    co_return true;
  }
  Task<bool> Activate() {
    const BrokerIdentity identity{.cluster_id = "cluster", .broker_id = kSelf};
    co_await OnAll([identity](Shard& shard) {
      return shard.Activate(identity, 5, std::make_shared<TopicSettingsMap>());
    });
    v1::UpdateMetadataRequest update;
    update.set_full(true);
    update.mutable_stamp()->set_controller_epoch(1);
    v1::LiveBroker* self = update.add_live_brokers();
    self->set_id(kSelf);
    self->set_inter_broker_listener("PLAINTEXT");
    self->add_endpoints()->set_listener("PLAINTEXT");
    self->mutable_endpoints(0)->set_host(process_.host());
    self->mutable_endpoints(0)->set_port(9092);
    *update.add_topics() = Orders();
    const auto snapshot = ClusterSnapshot::Apply(*ClusterSnapshot::Empty(), update);
    for (auto& shard : context_.shards) shard->PostSnapshot(snapshot);
    // Each shard takes over what lives on it.
    co_await OnAll([this](Shard& shard) { return Lead(shard); });
    co_return true;
  }
  Task<bool> Stop() {
    listener_.reset();
    co_await OnAll([](Shard& shard) { return shard.CloseConnections(); });
    const bool clean = co_await OnAll([](Shard& shard) { return shard.CloseReplicas(true); });
    co_await OnAll([](Shard& shard) { return shard.CloseScope(); });
    context_.shards.clear();
    co_await scope_.Close();
    CHECK((co_await dirs_->CloseCleanly()).has_value());
    dirs_.reset();
    co_return clean;
  }

  NoControlPlane control;

 private:
  static v1::TopicState Orders() {
    v1::TopicState topic;
    topic.set_name("orders");
    topic.set_id(OrdersId().ToBytes());
    for (uint32_t i = 0; i < kOrdersPartitions; ++i) {
      v1::PartitionState* partition = topic.add_partitions();
      partition->set_partition(i);
      partition->set_leader(kSelf);
      partition->set_leader_epoch(1);
      partition->add_isr(kSelf);
      partition->add_replicas(kSelf);
      partition->set_is_new(true);
    }
    return topic;
  }
  Task<bool> Lead(Shard& shard) {
    v1::TopicState mine = Orders();
    mine.clear_partitions();
    for (const v1::PartitionState& partition : Orders().partitions()) {
      const PartitionKey key{OrdersId(), partition.partition()};
      if (&context_.OwnerOf(key) == &shard) *mine.add_partitions() = partition;
    }
    co_return (co_await shard.table()->ApplyLeaderAndIsr({mine})).empty();
  }
  template <typename F>
  Task<bool> OnAll(F call) {
    Gather<bool> gather(process_.main_loop(), count_);
    for (auto& shard : context_.shards) {
      gather.Start(shard->index(), shard->loop(), shard->life_scope(), "test",
                   [&shard = *shard, call] { return call(shard); });
    }
    (void)co_await gather.Wait("all shards", kNoDeadline, {});
    for (auto& result : gather.results()) CHECK(*result);
    co_return true;
  }

  SimProcess& process_;
  Scope scope_;
  BrokerContext context_;
  const size_t count_;
  size_t next_ = 0;
  std::unique_ptr<LogDirs> dirs_;
  std::unique_ptr<Listener> listener_;
};

class ShardTest : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override {
    process = &world.StartProcess("broker");
    host = std::make_shared<Host>(*process, GetParam());
    process->Await([this] { return host->Start(); });
    client = &world.StartProcess("client");
    channel = std::make_shared<RpcChannel>(client->main_loop(), client->transport(), client->random(),
                                           Endpoint{"broker", 9092}, RpcChannelOptions{.client_id = "test"});
  }
  void TearDown() override {
    client->Await([this] { return channel->Close(); });
    EXPECT_TRUE(process->Await([this] { return host->Stop(); }));
    host.reset();
  }
  void Activate() {
    process->Await([this] { return host->Activate(); });
  }

  Result<v1::Response> Call(v1::Request request) {
    return client->Await([this, request] { return channel->Call(request, 20s, {}); });
  }
  // Starts a call; its answer comes into the slot.
  std::shared_ptr<std::optional<Result<v1::Response>>> Begin(v1::Request request) {
    auto slot = std::make_shared<std::optional<Result<v1::Response>>>();
    client->Spawn("call", [this, request, slot] { return Into(channel, request, slot); });
    return slot;
  }
  static Task<void> Into(std::shared_ptr<RpcChannel> channel, v1::Request request,
                         std::shared_ptr<std::optional<Result<v1::Response>>> slot) {
    slot->emplace(co_await channel->Call(std::move(request), 20s, {}));
  }

  static v1::Request Produce(const std::vector<std::pair<uint32_t, std::string>>& records, int acks = -1) {
    v1::Request request;
    request.mutable_produce()->set_acks(acks);
    auto* topic = request.mutable_produce()->add_topics();
    topic->set_id(OrdersId().ToBytes());
    for (const auto& [partition, value] : records) {
      BatchBuilder builder;
      CHECK(builder.Append(std::nullopt, value, 1));
      FinishedBatch batch = *builder.Finish(v1::COMPRESSION_NONE);
      auto* part = topic->add_partitions();
      part->set_partition(partition);
      part->add_batches()->set_body(batch.body);
      part->mutable_batches(0)->set_body_crc(batch.body_crc);
    }
    return request;
  }
  static v1::Request Fetch(const std::vector<std::pair<uint32_t, Offset>>& wanted, uint32_t max_wait_ms = 0,
                           uint64_t session_epoch = 0, uint32_t min_bytes = 1) {
    v1::Request request;
    request.mutable_fetch()->set_max_wait_ms(max_wait_ms);
    request.mutable_fetch()->set_session_epoch(session_epoch);
    request.mutable_fetch()->set_min_bytes(min_bytes);
    if (wanted.empty()) return request;
    auto* topic = request.mutable_fetch()->add_topics();
    topic->set_id(OrdersId().ToBytes());
    for (const auto& [partition, offset] : wanted) {
      auto* part = topic->add_partitions();
      part->set_partition(partition);
      part->set_fetch_offset(offset);
      part->set_max_bytes(1 << 20);
    }
    return request;
  }
  static std::map<uint32_t, v1::FetchResponse::Partition> ByPartition(const Result<v1::Response>& response) {
    CHECK(response) << response.error().message;
    std::map<uint32_t, v1::FetchResponse::Partition> out;
    for (const auto& topic : response->fetch().topics()) {
      for (const auto& partition : topic.partitions()) out[partition.partition()] = partition;
    }
    return out;
  }
  static std::vector<std::string> Values(const std::string& batches) {
    v1::LogSegment segment;
    CHECK(segment.ParseFromString(batches));
    std::vector<std::string> values;
    for (const v1::RecordBatch& batch : segment.batches()) {
      v1::BatchBody body;
      v1::RecordSet records;
      CHECK(body.ParseFromString(batch.body()) && records.ParseFromString(body.records()));
      for (const v1::Record& record : records.records()) values.push_back(record.value());
    }
    return values;
  }

  // The record with the greatest timestamp.
  static v1::Request ListGreatest(const std::vector<uint32_t>& partitions) {
    v1::Request request;
    auto* topic = request.mutable_list_offsets()->add_topics();
    topic->set_id(OrdersId().ToBytes());
    for (const uint32_t partition : partitions) {
      topic->add_partitions()->set_partition(partition);
      topic->mutable_partitions()->rbegin()->set_timestamp(-3);
    }
    return request;
  }
  // Who waits for this on the shards.
  size_t Waits(std::string_view name) {
    size_t count = 0;
    for (size_t i = 0; i < GetParam(); ++i) {
      for (const auto& wait : process->LoopNamed("shard-" + std::to_string(i)).waits().Snapshot())
        count += wait.name == name ? 1 : 0;
    }
    return count;
  }
  // The client leaves, and another comes.
  void Leave() {
    client->Await([this] { return channel->Close(); });
    channel = std::make_shared<RpcChannel>(client->main_loop(), client->transport(), client->random(),
                                           Endpoint{"broker", 9092}, RpcChannelOptions{.client_id = "test"});
    world.RunFor(1s);
  }

  SimWorld world{11};
  SimProcess* process = nullptr;
  SimProcess* client = nullptr;
  std::shared_ptr<Host> host;
  std::shared_ptr<RpcChannel> channel;
};

}  // namespace tidemark
