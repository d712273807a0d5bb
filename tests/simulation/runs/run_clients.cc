#include "tests/simulation/runs/run_clients.h"

#include <fmt/format.h>

#include "client/consumer.h"
#include "client/producer.h"
#include "common/async/wait.h"
#include "common/net/rpc_channel.h"

namespace tidemark {

ClientOptions RunClientOptions(int brokers) {
  ClientOptions options;
  for (int id = 0; id < brokers; ++id) options.bootstrap.push_back({fmt::format("host{}", id), 9092});
  options.request_timeout = 5s;
  return options;
}

ProducerOptions RunProducerOptions(int brokers) {
  ProducerOptions options;
  options.client = RunClientOptions(brokers);
  options.delivery_timeout = 30s;
  options.batch_size = 200;
  return options;
}

Task<void> AckedStream::Run(SimProcess* process) {
  EventLoop& loop = process->main_loop();
  const ProducerOptions options = RunProducerOptions(brokers);
  Cluster cluster(*process, loop, options.client);
  Producer producer(cluster, options);
  for (uint64_t n = 0; !stop; ++n) {
    const std::string value = fmt::format("{}-{}", name, n);
    const ProducerRecord record{
        .topic = topic, .partition = static_cast<PartitionIndex>(n % partitions), .value = value};
    (void)co_await producer.Send(record,
                                 [this, value, at = loop.Now()](const Result<RecordMetadata>& result) {
                                   if (result)
                                     acked.push_back({topic, result->partition, result->offset, value, at});
                                 });
    (void)co_await Sleep(loop, 10ms, "the stream's rate");
  }
  co_await producer.Close();
  co_await cluster.Close();
  stopped = true;
}

Task<void> WatermarkObserver::Run(SimProcess* process) {
  EventLoop& loop = process->main_loop();
  RpcChannel channel(loop, process->transport(), process->random(),
                     Endpoint{fmt::format("host{}", broker), 9092},
                     RpcChannelOptions{.client_id = "observer"});
  while (!stop) {
    (void)co_await Sleep(loop, 100ms, "the observer's rate");
    v1::Request request;
    request.mutable_fetch()->set_max_wait_ms(0);
    auto* wanted = request.mutable_fetch()->add_topics();
    wanted->set_id(topic_id.ToBytes());
    for (PartitionIndex p = 0; p < partitions; ++p) {
      auto* part = wanted->add_partitions();
      part->set_partition(p);
      part->set_fetch_offset(0);
      part->set_max_bytes(1);
    }
    const int asked = life();
    const Result<v1::Response> response = co_await channel.Call(request, 2s, {});
    if (!response || response->fetch().topics_size() == 0 || asked == 0 || life() != asked) continue;
    for (const auto& part : response->fetch().topics(0).partitions()) {
      if (part.error().code() != v1::NONE) continue;
      seen.push_back({static_cast<uint64_t>(asked), topic, part.partition(), part.high_watermark()});
    }
  }
  co_await channel.Close();
  stopped = true;
}

namespace {

Task<Result<>> ReadInto(Consumer& consumer, std::string topic, std::map<PartitionIndex, Offset> ends,
                        MonoTime deadline, EventLoop& loop, ReadBack* out) {
  for (const auto& [partition, end] : ends) {
    TM_CO_RETURN_IF_ERROR(co_await consumer.Assign(topic, partition, {StartPosition::Kind::kBeginning}));
  }
  auto done = [&] {
    for (const auto& [partition, end] : ends) {
      if (consumer.Position(topic, partition).value_or(0) < end) return false;
    }
    return true;
  };
  while (!done() && loop.Now() < deadline) {
    TM_CO_ASSIGN_OR_RETURN(const PolledBatch batch, co_await consumer.Poll(deadline));
    for (const ConsumedRecord& record : batch.records) {
      (*out)[batch.partition][record.view.offset] = std::string(record.view.value.value_or(""));
    }
  }
  co_return Result<>{};
}

}  // namespace

Task<Result<ReadBack>> ReadAll(SimProcess* process, ClientOptions options, std::string topic,
                               std::map<PartitionIndex, Offset> ends, MonoTime deadline) {
  EventLoop& loop = process->main_loop();
  Cluster cluster(*process, loop, options);
  Consumer consumer(cluster, {.client = options});
  ReadBack back;
  const Result<> read = co_await ReadInto(consumer, std::move(topic), std::move(ends), deadline, loop, &back);
  co_await consumer.Close();
  co_await cluster.Close();
  if (!read) co_return std::unexpected(read.error());
  co_return std::move(back);
}

}  // namespace tidemark
