#include "client/accumulator.h"

#include <algorithm>

#include <glog/logging.h>

#include "common/record/reader.h"

namespace tidemark::internal {

size_t Accumulator::Cost(const ProducerRecord& record) {
  return BatchBuilder::MaxRecordBytes(record.key, record.value, record.headers) + sizeof(PendingRecord);
}

PartitionQueue& Accumulator::Queue(std::string_view topic, PartitionIndex partition) {
  auto partitions = queues_.find(topic);
  if (partitions == queues_.end()) partitions = queues_.try_emplace(std::string(topic)).first;
  std::unique_ptr<PartitionQueue>& queue = partitions->second[partition];
  if (!queue) {
    queue = std::make_unique<PartitionQueue>();
    queue->topic = topic;
    queue->partition = partition;
  }
  return *queue;
}

bool Accumulator::FitsOpenBatch(const PartitionQueue& queue, const ProducerRecord& record) const {
  if (queue.batches.empty()) return false;
  const PendingBatch& last = *queue.batches.back();
  return !last.finished && last.builder.EstimatedBodyBytes() +
                                   BatchBuilder::MaxRecordBytes(record.key, record.value, record.headers) <=
                               std::min(options_.batch_size, options_.max_request_size);
}

std::unique_ptr<PendingBatch> Accumulator::NewBatch(uint64_t id, MonoTime now) {
  auto batch = std::make_unique<PendingBatch>();
  batch->id = id;
  batch->created = now;
  batch->not_before = now;
  undecided_.insert(batch->id);
  return batch;
}

bool Accumulator::Append(PartitionQueue& queue, const ProducerRecord& record, WallMillis timestamp,
                         Producer::DeliveryCallback callback, MonoTime now) {
  const bool begins = !FitsOpenBatch(queue, record);
  if (begins) {
    queue.batches.push_back(NewBatch(next_id_++, now));
    active_.insert(&queue);
  }
  PendingBatch& batch = *queue.batches.back();
  CHECK(batch.builder.Append(record.key, record.value, timestamp, record.headers))
      << "a record over the limit was not refused before";
  batch.records.push_back({std::move(callback), timestamp});
  const size_t cost = Cost(record);
  batch.reserved_bytes += cost;
  reserved_bytes_ += cost;
  return begins || IsFull(batch);
}

MonoTime Accumulator::ReadyAt(const PartitionQueue& queue, bool pressure) const {
  if (queue.batches.empty() || queue.in_flight) return kNoDeadline;
  const PendingBatch& batch = *queue.batches.front();
  const bool at_once =
      batch.finished || queue.batches.size() > 1 || IsFull(batch) || pressure || batch.id < flush_before_;
  return at_once ? batch.not_before : std::max(batch.not_before, batch.created + options_.linger);
}

Result<> Accumulator::CloseFirst(PartitionQueue& queue) {
  PendingBatch& batch = *queue.batches.front();
  if (batch.finished) return {};
  TM_ASSIGN_OR_RETURN(batch.finished, batch.builder.Finish(options_.compression));
  return {};
}

std::unique_ptr<PendingBatch> Accumulator::TakeFirst(PartitionQueue& queue) {
  std::unique_ptr<PendingBatch> batch = std::move(queue.batches.front());
  queue.batches.pop_front();
  if (queue.batches.empty()) active_.erase(&queue);
  CHECK_GE(reserved_bytes_, batch->reserved_bytes);
  reserved_bytes_ -= batch->reserved_bytes;
  return batch;
}

Result<> Accumulator::SplitFirst(PartitionQueue& queue) {
  PendingBatch& whole = *queue.batches.front();
  CHECK(whole.finished && whole.records.size() > 1);
  TM_ASSIGN_OR_RETURN(const BodyInfo info, ParseBody(whole.finished->body));
  ScratchBuffer scratch;
  TM_ASSIGN_OR_RETURN(const std::string_view records,
                      Decompress(info.compression, info.records, info.records_size, scratch));
  RecordReader reader(records, info, 0, 0);
  std::unique_ptr<PendingBatch> halves[2] = {NewBatch(whole.id, whole.created),
                                             NewBatch(whole.id, whole.created)};
  const size_t half = whole.records.size() / 2;
  RecordView record;
  for (size_t i = 0; reader.Next(&record); ++i) {
    std::vector<HeaderView> headers;
    HeaderView header;
    for (HeaderCursor cursor = record.headers(); cursor.Next(&header);) headers.push_back(header);
    PendingBatch& part = *halves[i < half ? 0 : 1];
    CHECK(part.builder.Append(record.key, record.value, record.timestamp, headers));
  }
  CHECK(!reader.error()) << "our own batch cannot be read: " << reader.error()->message;
  for (size_t i = 0; i < whole.records.size(); ++i) {
    halves[i < half ? 0 : 1]->records.push_back(std::move(whole.records[i]));
  }
  for (auto& part : halves) {
    CHECK_EQ(part->builder.record_count(), part->records.size());
    part->sent_to = whole.sent_to;
    part->tries = whole.tries;
    part->last_error = whole.last_error;
    TM_ASSIGN_OR_RETURN(part->finished, part->builder.Finish(options_.compression));
  }
  halves[0]->reserved_bytes = whole.reserved_bytes / 2;
  halves[1]->reserved_bytes = whole.reserved_bytes - halves[0]->reserved_bytes;
  Decided(whole.id);
  queue.batches.pop_front();
  queue.batches.push_front(std::move(halves[1]));
  queue.batches.push_front(std::move(halves[0]));
  return {};
}

}  // namespace tidemark::internal
