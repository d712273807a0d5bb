#include "tests/unit/server/sim_brokers.h"

#include <glog/logging.h>

#include "common/record/builder.h"
#include "common/record/reader.h"
#include "tests/simulation/env/sim_disk.h"
#include "tests/simulation/env/sim_network.h"

namespace tidemark {
namespace {

// Requests come from SimBrokers::Http.
class NoAdminServer final : public AdminServer {
 public:
  Endpoint endpoint() const override { return {"127.0.0.1", 1}; }
};

}  // namespace

SimBrokers::SimBrokers(uint64_t seed, int brokers, Properties more)
    : world_(seed), brokers_(brokers), more_(std::move(more)), client_(&world_.StartProcess("client")) {}

SimBrokers::~SimBrokers() {
  for (auto& [key, channel] : channels_) client_->Await([channel] { return channel->Close(); });
}

Result<> SimBrokers::Start(int id) {
  BrokerOptions options;
  options.admin = [this, id](const Endpoint&, AdminHandler handler) -> Result<std::unique_ptr<AdminServer>> {
    admins_[id] = std::move(handler);
    return std::make_unique<NoAdminServer>();
  };
  auto [process, broker] = Launch(id, std::move(options));
  return process->Await([broker = broker] { return broker->Start(); });
}

std::pair<SimProcess*, std::shared_ptr<Broker>> SimBrokers::Launch(int id, BrokerOptions options) {
  Properties properties = {{"broker.id", std::to_string(id)},
                           {"zookeeper.connect", "zookeeper:2181"},
                           {"zookeeper.session.timeout.ms", "6000"},
                           {"log.dirs", "/data"},
                           {"listeners", "PLAINTEXT://" + HostOf(id) + ":9092"},
                           {"num.shards", "2"},
                           // Simulated disks are memory.
                           {"log.dir.reserve.bytes", "0"}};
  for (const auto& [name, value] : more_) properties[name] = value;
  Result<BrokerConfig> config = BrokerConfig::FromProperties(properties);
  CHECK(config) << config.error().message;
  SimProcess& process = world_.StartProcess(HostOf(id));
  auto broker = std::make_shared<Broker>(process, process.main_loop(), *config, std::move(options));
  process.Keep(broker);
  running_[id] = {&process, broker};
  return {&process, broker};
}

AdminReply SimBrokers::Http(int id, AdminRequest request) {
  const auto reply = std::make_shared<std::optional<AdminReply>>();
  admins_.at(id)(request, [reply](AdminReply answer) { *reply = std::move(answer); });
  const MonoTime deadline = world_.Now() + 10s;
  while (!*reply && world_.Now() < deadline) world_.RunFor(10ms);
  return *reply ? **reply : AdminReply{.status = 0};
}

void SimBrokers::StartAll() {
  for (int id = 0; id < brokers_; ++id) {
    const Result<> started = Start(id);
    CHECK(started) << "broker " << id << ": " << started.error().message;
  }
}

void SimBrokers::Kill(int id, bool power_loss) {
  // The process keeps what is left of the broker: it cannot be destroyed.
  running_.at(id).process->Kill(power_loss);
  running_.erase(id);
}

bool SimBrokers::Stop(int id) {
  Running stopping = std::move(running_.at(id));
  running_.erase(id);
  Broker* broker = stopping.broker.get();
  const bool clean = stopping.process->Await([broker] { return broker->Stop(); });
  stopping.broker.reset();
  stopping.process->Exit();
  return clean;
}

Result<v1::Response> SimBrokers::Call(int id, v1::Request request, v1::ConnectionPurpose purpose) {
  std::shared_ptr<RpcChannel>& channel = channels_[{id, static_cast<int>(purpose)}];
  if (!channel) {
    channel = std::make_shared<RpcChannel>(client_->main_loop(), client_->transport(), client_->random(),
                                           Endpoint{HostOf(id), 9092},
                                           RpcChannelOptions{.purpose = purpose, .client_id = "test"});
  }
  return client_->Await([channel = channel, request] { return channel->Call(request, 20s, {}); });
}

TopicId SimBrokers::CreateTopic(const std::string& name, uint32_t partitions, uint32_t replicas,
                                std::map<std::string, std::string> configs) {
  v1::Request request;
  request.mutable_create_topics()->set_timeout_ms(10000);
  auto* topic = request.mutable_create_topics()->add_topics();
  topic->set_name(name);
  topic->set_partitions(partitions);
  topic->set_replication_factor(replicas);
  for (const auto& [key, value] : configs) (*topic->mutable_configs())[key] = value;
  const Result<v1::Response> response = Call(AnyRunning(), request);
  CHECK(response) << response.error().message;
  const auto& answer = response->create_topics().topics(0);
  CHECK_EQ(answer.error().code(), v1::NONE) << answer.error().message();
  return *TopicId::FromBytes(answer.id());
}

std::optional<v1::TopicMetadata> SimBrokers::Metadata(const std::string& name) {
  v1::Request request;
  request.mutable_metadata()->add_topics()->set_name(name);
  for (const auto& [id, running] : running_) {
    const Result<v1::Response> response = Call(id, request);
    if (response && response->metadata().topics(0).error().code() == v1::NONE)
      return response->metadata().topics(0);
  }
  return std::nullopt;
}

bool SimBrokers::WaitForLeaders(const std::string& name, Duration limit) {
  const MonoTime deadline = world_.Now() + limit;
  while (world_.Now() < deadline) {
    const std::optional<v1::TopicMetadata> topic = Metadata(name);
    bool whole = topic && topic->partitions_size() > 0;
    for (int i = 0; whole && i < topic->partitions_size(); ++i) {
      // Named by the metadata, and leading by its own word.
      const v1::PartitionMetadata& partition = topic->partitions(i);
      whole = running_.contains(partition.leader()) &&
              Leads(partition.leader(), *TopicId::FromBytes(topic->id()), partition.partition());
    }
    if (whole) return true;
    world_.RunFor(100ms);
  }
  return false;
}

bool SimBrokers::Leads(int id, TopicId topic, uint32_t partition) {
  v1::Request request;
  auto* wanted = request.mutable_list_offsets()->add_topics();
  wanted->set_id(topic.ToBytes());
  wanted->add_partitions()->set_partition(partition);
  wanted->mutable_partitions(0)->set_timestamp(-1);
  const Result<v1::Response> response = Call(id, request);
  return response && response->list_offsets().topics(0).partitions(0).error().code() == v1::NONE;
}

int SimBrokers::LeaderOf(const std::string& name, uint32_t partition) {
  const std::optional<v1::TopicMetadata> topic = Metadata(name);
  if (!topic || static_cast<uint32_t>(topic->partitions_size()) <= partition) return -1;
  const int leader = topic->partitions(static_cast<int>(partition)).leader();
  return running_.contains(leader) ? leader : -1;
}

v1::ProduceResponse::Partition SimBrokers::ProduceOnce(int id, TopicId topic, uint32_t partition,
                                                       const std::vector<std::string>& values, int acks) {
  BatchBuilder builder;
  for (const std::string& value : values) CHECK(builder.Append(std::nullopt, value, world_.WallNow()));
  const FinishedBatch batch = *builder.Finish(v1::COMPRESSION_NONE);
  v1::Request request;
  request.mutable_produce()->set_acks(acks);
  request.mutable_produce()->set_timeout_ms(10000);
  auto* wanted = request.mutable_produce()->add_topics();
  wanted->set_id(topic.ToBytes());
  wanted->add_partitions()->set_partition(partition);
  wanted->mutable_partitions(0)->add_batches()->set_body(batch.body);
  wanted->mutable_partitions(0)->mutable_batches(0)->set_body_crc(batch.body_crc);
  const Result<v1::Response> response = Call(id, request);
  v1::ProduceResponse::Partition failed;
  if (!response) {
    ToProto(response.error(), failed.mutable_error());
    return failed;
  }
  return response->produce().topics(0).partitions(0);
}

Offset SimBrokers::Produce(const std::string& name, uint32_t partition,
                           const std::vector<std::string>& values) {
  const MonoTime deadline = world_.Now() + 120s;
  std::string last = "no leader";
  while (world_.Now() < deadline) {
    const int leader = LeaderOf(name, partition);
    if (leader >= 0) {
      const TopicId id = *TopicId::FromBytes(Metadata(name)->id());
      const v1::ProduceResponse::Partition answer = ProduceOnce(leader, id, partition, values);
      if (answer.error().code() == v1::NONE) return answer.base_offset();
      last = answer.error().message();
    }
    world_.RunFor(100ms);
  }
  LOG(FATAL) << "nobody took the batch: " << last;
}

v1::FetchResponse::Partition SimBrokers::FetchOnce(int id, TopicId topic, uint32_t partition, Offset from,
                                                   uint32_t max_wait_ms) {
  v1::Request request;
  request.mutable_fetch()->set_max_wait_ms(max_wait_ms);
  auto* wanted = request.mutable_fetch()->add_topics();
  wanted->set_id(topic.ToBytes());
  auto* part = wanted->add_partitions();
  part->set_partition(partition);
  part->set_fetch_offset(from);
  part->set_max_bytes(1 << 20);
  const Result<v1::Response> response = Call(id, request);
  v1::FetchResponse::Partition failed;
  if (!response || response->fetch().topics_size() == 0) {
    ToProto(response ? Error{v1::UNKNOWN_SERVER_ERROR, "no item"} : response.error(), failed.mutable_error());
    return failed;
  }
  return response->fetch().topics(0).partitions(0);
}

std::vector<std::string> SimBrokers::ValuesOf(const std::string& batches) {
  v1::LogSegment segment;
  CHECK(segment.ParseFromString(batches));
  std::vector<std::string> values;
  for (const v1::RecordBatch& batch : segment.batches()) {
    v1::BatchBody body;
    CHECK(body.ParseFromString(batch.body()));
    v1::RecordSet records;
    CHECK(records.ParseFromString(body.records()));
    for (const v1::Record& record : records.records()) values.push_back(record.value());
  }
  return values;
}

std::vector<std::string> SimBrokers::Consume(const std::string& name, uint32_t partition) {
  std::vector<std::string> values;
  const MonoTime deadline = world_.Now() + 120s;
  while (world_.Now() < deadline) {
    const int leader = LeaderOf(name, partition);
    if (leader >= 0) {
      const TopicId id = *TopicId::FromBytes(Metadata(name)->id());
      const v1::FetchResponse::Partition answer = FetchOnce(leader, id, partition, values.size(), 500);
      if (answer.error().code() == v1::NONE) {
        const std::vector<std::string> more = ValuesOf(answer.records());
        values.insert(values.end(), more.begin(), more.end());
        if (values.size() >= answer.high_watermark()) return values;
        continue;
      }
    }
    world_.RunFor(100ms);
  }
  LOG(FATAL) << "nobody served " << name << "-" << partition;
}

}  // namespace tidemark
