#include "tests/unit/client/fake_brokers.h"

#include <gtest/gtest.h>

#include "broker/replica/divergence.h"
#include "common/record/reader.h"

namespace tidemark::testing {

struct FakeBrokers::Broker final : RpcHandler {
  Broker(FakeBrokers& brokers, BrokerId broker_id)
      : all(brokers), id(broker_id), scope(brokers.env_.loop, "broker") {}

  Endpoint endpoint() const { return {"broker" + std::to_string(id), 9092}; }

  void Open() {
    server = std::make_unique<RpcServer>(all.env_.loop, RpcServerLimits(), *this);
    server->SetIdentity({"AAAAAAAAAAAAAAAAAAAAAA", id});
    auto opened = all.env_.transport().Listen(
        all.env_.loop, endpoint(),
        [this](std::unique_ptr<PendingStream> stream) { server->Attach(std::move(stream), "TEST", {}); });
    listener = std::move(*opened);
  }
  void Shut() {
    listener.reset();
    if (server) all.env_.Run(server->Close());
    server.reset();
  }

  void OnRequest(std::unique_ptr<RpcCall> call) override { scope.Spawn("request", Serve(std::move(call))); }

  Task<void> Serve(std::unique_ptr<RpcCall> call) {
    v1::Request& request = call->request();
    v1::Request seen = request;
    if (seen.has_produce()) {
      for (auto& topic : *seen.mutable_produce()->mutable_topics()) {
        for (auto& partition : *topic.mutable_partitions()) {
          for (auto& batch : *partition.mutable_batches()) batch.clear_body();
        }
      }
    }
    all.requests.push_back(std::move(seen));
    if (all.frozen.contains(id)) {
      co_await Sleep(all.env_.loop, 300s, "silence", call->stop_token());
      co_return call->NoReply();
    }
    v1::Response response;
    switch (request.body_case()) {
      case v1::Request::kApiVersions:
        response.mutable_api_versions()->set_broker_id(id);
        break;
      case v1::Request::kMetadata:
        Metadata(request.metadata(), response.mutable_metadata());
        if (all.on_metadata) all.on_metadata(id, response.mutable_metadata());
        break;
      case v1::Request::kProduce: {
        all.most_produce_in_flight = std::max(all.most_produce_in_flight, ++all.produce_in_flight);
        if (all.produce_delay > 0ns) co_await Sleep(all.env_.loop, all.produce_delay, "slow broker");
        --all.produce_in_flight;
        const bool answers = Produce(request.produce(), response.mutable_produce());
        if (request.produce().acks() == 0) {
          call->NoReply();
          co_return;
        }
        if (!answers) {  // until the connection goes
          co_await Sleep(all.env_.loop, 300s, "silence", call->stop_token());
          co_return call->NoReply();
        }
        response.mutable_header()->set_throttle_ms(static_cast<uint32_t>(ToMillis(all.produce_throttle)));
        call->Mute(all.produce_throttle - std::min<Duration>(all.produce_throttle, 50ms));
        break;
      }
      case v1::Request::kFetch: {
        const MonoTime until = all.env_.loop.Now() + std::chrono::milliseconds(request.fetch().max_wait_ms());
        while (!Fetch(request.fetch(), response.mutable_fetch()) && all.env_.loop.Now() < until &&
               !call->stop_token().stop_requested()) {
          response.Clear();
          co_await Sleep(all.env_.loop, 10ms, "long poll", call->stop_token());
        }
        break;
      }
      case v1::Request::kListOffsets:
        ListOffsets(request.list_offsets(), response.mutable_list_offsets());
        break;
      default: {
        auto answer =
            all.on_other ? all.on_other(id, request) : Fail(v1::INVALID_REQUEST, "the fake does not do that");
        if (!answer && answer.error().code == v1::CANCELLED) {
          co_await Sleep(all.env_.loop, 300s, "silence", call->stop_token());
          co_return call->NoReply();
        }
        if (!answer) co_return call->ReplyError(answer.error());
        response = std::move(*answer);
      }
    }
    call->Reply(std::move(response));
  }

  void Metadata(const v1::MetadataRequest& request, v1::MetadataResponse* out) {
    for (auto& [broker_id, broker] : all.brokers_) {
      if (!broker->listener) continue;
      v1::BrokerEndpoint* endpoint = out->add_brokers();
      endpoint->set_id(broker_id);
      endpoint->set_host(broker->endpoint().host);
      endpoint->set_port(broker->endpoint().port);
    }
    out->set_cluster_id("AAAAAAAAAAAAAAAAAAAAAA");
    for (const auto& wanted : request.topics()) {
      v1::TopicMetadata* topic = out->add_topics();
      topic->set_name(wanted.name());
      auto found = Topics().find(wanted.name());
      if (found == Topics().end()) {
        ToProto({v1::UNKNOWN_TOPIC_OR_PARTITION, "did you mean 'orders'?"}, topic->mutable_error());
        continue;
      }
      topic->set_id(found->second.id.ToBytes());
      for (size_t i = 0; i < found->second.partitions.size(); ++i) {
        v1::PartitionMetadata* partition = topic->add_partitions();
        partition->set_partition(static_cast<uint32_t>(i));
        partition->set_leader(found->second.partitions[i].leader);
        partition->set_leader_epoch(found->second.partitions[i].epoch);
      }
    }
  }

  std::map<std::string, FakeTopic>& Topics() {
    const auto own = all.former.find(id);
    return own == all.former.end() ? all.topics : own->second;
  }

  FakePartition* Find(const std::string& topic_id, uint32_t partition) {
    for (auto& [name, topic] : Topics()) {
      if (topic.id.ToBytes() == topic_id && partition < topic.partitions.size())
        return &topic.partitions[partition];
    }
    return nullptr;
  }

  // The error of a partition that is not here, or not in that epoch; sets the hint.
  template <typename P>
  bool Lead(FakePartition* partition, P* answer, std::optional<LeaderEpoch> epoch = std::nullopt) {
    if (partition == nullptr) {
      ToProto({v1::UNKNOWN_TOPIC_ID, ""}, answer->mutable_error());
      return false;
    }
    const bool leads = partition->leader == id;
    if (leads && epoch.value_or(partition->epoch) == partition->epoch) return true;
    ToProto({!leads                      ? v1::NOT_LEADER_OR_FOLLOWER
             : *epoch < partition->epoch ? v1::FENCED_LEADER_EPOCH
                                         : v1::UNKNOWN_LEADER_EPOCH,
             ""},
            answer->mutable_error());
    if (all.tell_leaders) {
      answer->mutable_current_leader()->set_leader(partition->leader);
      answer->mutable_current_leader()->set_leader_epoch(partition->epoch);
    }
    return false;
  }

  template <typename P>
  static std::optional<LeaderEpoch> EpochOf(const P& wanted) {
    return wanted.has_leader_epoch() ? std::optional<LeaderEpoch>(wanted.leader_epoch()) : std::nullopt;
  }

  bool Produce(const v1::ProduceRequest& request, v1::ProduceResponse* out) {
    bool answers = true;
    for (const auto& topic : request.topics()) {
      v1::ProduceResponse::Topic* told = out->add_topics();
      told->set_id(topic.id());
      for (const auto& wanted : topic.partitions()) {
        v1::ProduceResponse::Partition* answer = told->add_partitions();
        answer->set_partition(wanted.partition());
        FakePartition* partition = Find(topic.id(), wanted.partition());
        if (!Lead(partition, answer)) continue;
        EXPECT_EQ(wanted.batches_size(), 1);
        const v1::ProducerBatch& batch = wanted.batches(0);
        ScratchBuffer scratch;
        auto info = ValidateProducerBatch(batch.body(), batch.body_crc(), {all.max_message_bytes}, scratch);
        if (!info) {
          ToProto(info.error(), answer->mutable_error());
          continue;
        }
        Verdict verdict;
        if (all.on_produce) verdict = all.on_produce(id, wanted.partition(), batch);
        answer->set_base_offset(partition->next);
        if (verdict.append) {
          TopicId topic_id = *TopicId::FromBytes(topic.id());
          const BatchPrefix prefix =
              StampBatch(batch.body(), batch.body_crc(), partition->next, partition->epoch,
                         all.env_.WallNow(), topic_id, wanted.partition());
          partition->batches.push_back(std::string(prefix.view()) + batch.body());
          partition->bases.push_back(partition->next);
          partition->sizes.push_back(info->record_count);
          partition->next += info->record_count;
        }
        if (verdict.error != v1::NONE) ToProto({verdict.error, "as the test wants"}, answer->mutable_error());
        if (verdict.swallow) answers = false;
      }
    }
    return answers;
  }

  // Whether the reader has read another history.
  static bool Parts(const FakePartition& partition, const v1::FetchRequest::Partition& wanted,
                    v1::FetchResponse::Partition* answer) {
    if (!wanted.has_last_epoch() || wanted.fetch_offset() <= partition.log_start) return false;
    if (wanted.last_epoch() > partition.epoch) {
      ToProto({v1::UNKNOWN_LEADER_EPOCH, ""}, answer->mutable_error());
      return true;
    }
    EpochTable epochs;
    for (size_t i = 0; i < partition.batches.size(); ++i) {
      BatchView batch;
      EXPECT_EQ(ParseBatch(partition.batches[i], &batch, nullptr, nullptr), BatchParse::kOk);
      epochs.Begin(batch.leader_epoch, partition.bases[i]);
    }
    epochs.Begin(partition.epoch, partition.next);
    const LeaderAnswer found = AnswerFollowerFetch({partition.log_start, partition.next, &epochs},
                                                   {wanted.fetch_offset(), wanted.last_epoch()});
    if (found.verdict != FetchVerdict::kDiverging) return false;
    answer->mutable_diverging()->set_epoch(found.diverging.epoch);
    answer->mutable_diverging()->set_end_offset(found.diverging.end_offset);
    return true;
  }

  // False when there is nothing to tell yet.
  bool Fetch(const v1::FetchRequest& request, v1::FetchResponse* out) {
    bool any = false;
    for (const auto& topic : request.topics()) {
      v1::FetchResponse::Topic* told = out->add_topics();
      told->set_id(topic.id());
      for (const auto& wanted : topic.partitions()) {
        v1::FetchResponse::Partition* answer = told->add_partitions();
        answer->set_partition(wanted.partition());
        FakePartition* partition = Find(topic.id(), wanted.partition());
        if (!Lead(partition, answer, EpochOf(wanted))) {
          any = true;
          continue;
        }
        answer->set_log_start_offset(partition->log_start);
        if (Parts(*partition, wanted, answer)) {
          any = true;
          continue;
        }
        if (wanted.fetch_offset() < partition->log_start || wanted.fetch_offset() > partition->next) {
          ToProto({v1::OFFSET_OUT_OF_RANGE, ""}, answer->mutable_error());
          any = true;
          continue;
        }
        if (const auto refused = partition->refused.find(wanted.fetch_offset());
            refused != partition->refused.end()) {
          ToProto({refused->second, "as the test wants"}, answer->mutable_error());
          any = true;
          continue;
        }
        answer->set_high_watermark(partition->next);
        std::string records;
        for (size_t i = 0; i < partition->batches.size(); ++i) {
          if (partition->bases[i] + partition->sizes[i] <= wanted.fetch_offset()) continue;
          if (!records.empty() && records.size() + partition->batches[i].size() > wanted.max_bytes()) break;
          records += partition->batches[i];
        }
        if (!records.empty()) any = true;
        if (!records.empty() && all.on_fetch) all.on_fetch(wanted.partition(), &records);
        answer->set_records(std::move(records));
        if (all.on_answer) all.on_answer(answer);
      }
    }
    return any;
  }

  void ListOffsets(const v1::ListOffsetsRequest& request, v1::ListOffsetsResponse* out) {
    for (const auto& topic : request.topics()) {
      v1::ListOffsetsResponse::Topic* told = out->add_topics();
      told->set_id(topic.id());
      for (const auto& wanted : topic.partitions()) {
        v1::ListOffsetsResponse::Partition* answer = told->add_partitions();
        answer->set_partition(wanted.partition());
        FakePartition* partition = Find(topic.id(), wanted.partition());
        if (!Lead(partition, answer, EpochOf(wanted))) continue;
        answer->set_timestamp(-1);
        if (wanted.timestamp() == -1) answer->set_offset(partition->next);
        if (wanted.timestamp() == -2) answer->set_offset(partition->log_start);
        // Timestamps of the fake's records are their offsets.
        if (wanted.timestamp() >= 0 && wanted.timestamp() < static_cast<int64_t>(partition->next)) {
          answer->set_offset(static_cast<Offset>(wanted.timestamp()));
        }
      }
    }
  }

  FakeBrokers& all;
  BrokerId id;
  Scope scope;
  std::unique_ptr<RpcServer> server;
  std::unique_ptr<Listener> listener;
};

FakeBrokers::FakeBrokers(MemoryEnvironment& env, int count) : env_(env) {
  for (int id = 1; id <= count; ++id) {
    brokers_[id] = std::make_unique<Broker>(*this, id);
    brokers_[id]->Open();
  }
}

FakeBrokers::~FakeBrokers() {
  for (auto& [id, broker] : brokers_) {
    broker->Shut();
    env_.Run(broker->scope.Close());
  }
}

FakeTopic& FakeBrokers::AddTopic(const std::string& name, size_t partitions, uint8_t seed) {
  std::array<uint8_t, 16> bytes{};
  bytes.fill(seed);
  FakeTopic& topic = topics[name];
  topic.id = TopicId(bytes);
  topic.partitions.clear();
  topic.partitions.resize(partitions);
  for (size_t i = 0; i < partitions; ++i) {
    topic.partitions[i].leader = static_cast<BrokerId>(i % brokers_.size() + 1);
  }
  return topic;
}

void FakeBrokers::Stop(BrokerId id) { brokers_[id]->Shut(); }
void FakeBrokers::Start(BrokerId id) { brokers_[id]->Open(); }

void FakeBrokers::EndDelays() {
  for (auto& [id, broker] : brokers_) {
    if (broker->server) broker->server->Unmute();
  }
}

std::vector<Endpoint> FakeBrokers::bootstrap() const {
  std::vector<Endpoint> endpoints;
  for (const auto& [id, broker] : brokers_) endpoints.push_back(broker->endpoint());
  return endpoints;
}

std::vector<std::string> FakeBrokers::Values(const std::string& topic, PartitionIndex partition) {
  std::vector<std::string> values;
  for (const std::string& bytes : topics[topic].partitions[partition].batches) {
    BatchView batch;
    EXPECT_EQ(ParseBatch(bytes, &batch, nullptr, nullptr), BatchParse::kOk);
    ScratchBuffer scratch;
    auto reader = RecordReader::Open(batch, scratch);
    RecordView record;
    while (reader->Next(&record)) values.emplace_back(record.value.value_or("(absent)"));
  }
  return values;
}

}  // namespace tidemark::testing
