#include "tests/simulation/rot/rot_clients.h"

#include <fmt/format.h>

#include "client/producer.h"
#include "common/async/wait.h"
#include "tests/simulation/runs/run_clients.h"

namespace tidemark {
namespace {

std::string Shown(const std::optional<std::string_view>& key, const std::optional<std::string_view>& value) {
  return fmt::format("{}={}", key.value_or(""), value.value_or(""));
}

}  // namespace

Task<void> KeyedStream::Run(SimProcess* process) {
  EventLoop& loop = process->main_loop();
  const ProducerOptions options = RunProducerOptions(brokers);
  Cluster cluster(*process, loop, options.client);
  Producer producer(cluster, options);
  for (uint64_t n = 0; !stop; ++n) {
    const uint64_t drawn = process->random().Below(keys);
    KeyedRecord record{.topic = topic,
                       .partition = static_cast<PartitionIndex>(drawn % partitions),
                       .key = fmt::format("{}-key{}", name, drawn),
                       .value = {},
                       .acked = {}};
    if (process->random().Below(12) != 0) record.value = fmt::format("{}-{}", name, n);
    const size_t index = sent.size();
    sent.push_back(record);
    (void)co_await producer.Send({.topic = topic,
                                  .partition = record.partition,
                                  .key = record.key,
                                  .value = record.value,
                                  .headers = {}},
                                 [this, index](const Result<RecordMetadata>& result) {
                                   if (result) sent[index].acked = result->offset;
                                 });
    (void)co_await Sleep(loop, 10ms, "the stream's rate");
  }
  co_await producer.Close();
  co_await cluster.Close();
  stopped = true;
}

Task<void> Rereader::Run(SimProcess* process) {
  EventLoop& loop = process->main_loop();
  ConsumerOptions options;
  options.client = RunClientOptions(brokers);
  options.auto_offset_reset = OffsetReset::kEarliest;
  options.max_partition_fetch_bytes = 2000;
  while (!stop) {
    Cluster cluster(*process, loop, options.client);
    Consumer consumer(cluster, options);
    const auto partition = static_cast<PartitionIndex>(process->random().Below(partitions));
    const auto& known = read[partition];
    const Offset from = known.empty() ? 0 : process->random().Below(known.rbegin()->first + 1);
    co_await ReadSome(consumer, partition, from, loop, loop.Now() + 3s);
    co_await consumer.Close();
    co_await cluster.Close();
    (void)co_await Sleep(loop, 20ms, "the reader's rate");
  }
  stopped = true;
}

Task<void> Rereader::ReadSome(Consumer& consumer, PartitionIndex partition, Offset from, EventLoop& loop,
                              MonoTime until) {
  const StartPosition start{StartPosition::Kind::kOffset, static_cast<int64_t>(from)};
  if (!co_await consumer.Assign(topic, partition, start)) co_return;
  Offset next = from;
  while (loop.Now() < until && !stop) {
    const Result<PolledBatch> batch = co_await consumer.Poll(until);
    if (!batch && batch.error().code == v1::LOG_TRUNCATED) {
      violations.push_back(fmt::format("a false alarm: {}", batch.error().message));
    }
    if (!batch) co_return;
    for (const ConsumedRecord& record : batch->records) {
      if (dense && record.view.offset > next) {
        violations.push_back(fmt::format("{}-{}: offset {} is read where {} belongs", topic, partition,
                                         record.view.offset, next));
      }
      next = record.view.offset + 1;
      Note(partition, record.view);
    }
  }
}

void Rereader::Note(PartitionIndex partition, const RecordView& record) {
  ++records;
  const std::string now = Shown(record.key, record.value);
  const auto [it, fresh] = read[partition].emplace(record.offset, now);
  if (fresh || it->second == now) return;
  violations.push_back(fmt::format("{}-{}: '{}' is read at offset {}, where '{}' was", topic, partition, now,
                                   record.offset, it->second));
}

Violations CheckReread(const Rereader& reader, const std::vector<DiskLog>& logs) {
  Violations out = reader.violations;
  for (const DiskLog& log : logs) {
    const auto read = reader.read.find(log.partition);
    if (log.topic != reader.topic || read == reader.read.end()) continue;
    for (const LoggedBatch& batch : log.batches) {
      for (const LoggedRecord& record : batch.records) {
        const auto it = read->second.find(record.offset);
        const std::string here = Shown(record.key, record.value);
        if (it == read->second.end() || it->second == here) continue;
        out.push_back(fmt::format("{}-{}: '{}' was read at offset {}, broker {} holds '{}'", log.topic,
                                  log.partition, it->second, record.offset, log.broker, here));
      }
    }
  }
  return out;
}

}  // namespace tidemark
