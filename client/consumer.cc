#include "client/consumer.h"

#include <algorithm>

#include <glog/logging.h>

#include "client/fetcher.h"
#include "client/list_offsets.h"
#include "common/record/reader.h"

namespace tidemark {

class Consumer::Impl {
 public:
  Impl(Cluster& cluster, ConsumerOptions options)
      : cluster_(cluster), options_(std::move(options)), fetcher_(cluster, options_) {}
  ~Impl() { CHECK(closed_) << "a Consumer is closed before it dies"; }

  Task<Result<>> Assign(std::string topic, std::optional<PartitionIndex> partition, StartPosition start);
  Task<Result<>> Seek(std::string topic, PartitionIndex partition, StartPosition start);
  Task<Result<PolledBatch>> Poll(MonoTime deadline, std::stop_token stop);
  std::optional<Offset> Position(const std::string& topic, PartitionIndex partition) const;

  Task<void> Close() {
    closed_ = true;
    co_await fetcher_.Close();
  }
  uint64_t bytes_fetched() const { return fetcher_.bytes_fetched(); }

 private:
  Result<PolledBatch> ReadBatch();
  void FinishChunk();

  Cluster& cluster_;
  const ConsumerOptions options_;
  internal::Fetcher fetcher_;
  // The chunk being polled: views given out point into it or into the scratch buffer.
  std::optional<internal::Chunk> chunk_;
  size_t position_ = 0;
  ScratchBuffer scratch_;
  bool closed_ = false;
};

Task<Result<>> Consumer::Impl::Assign(std::string topic, std::optional<PartitionIndex> partition,
                                      StartPosition start) {
  if (closed_) co_return Fail(v1::CANCELLED, "the consumer is closed");
  const MonoTime deadline = cluster_.loop().Now() + options_.client.request_timeout;
  TM_CO_RETURN_IF_ERROR(co_await EnsureTopic(cluster_, topic, deadline, {}));
  const auto count = static_cast<uint32_t>(cluster_.Find(topic)->partitions.size());
  if (partition && *partition >= count) {
    co_return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' has {} partitions, no {}", topic, count,
                   *partition);
  }
  std::vector<internal::Assignment*> added;
  for (uint32_t i = partition.value_or(0); i < (partition ? *partition + 1 : count); ++i) {
    if (fetcher_.Find(topic, i) != nullptr) {
      co_return Fail(v1::INVALID_REQUEST, "{}-{} is assigned already; seek in it", topic, i);
    }
    added.push_back(&fetcher_.Add(topic, i, start));
  }
  // So that "from the end" means the end as of now. Where a leader is missing, the search goes on in the
  // background.
  for (internal::Assignment* assignment : added) co_await fetcher_.WaitForStart(*assignment, deadline);
  co_return Result<>();
}

Task<Result<>> Consumer::Impl::Seek(std::string topic, PartitionIndex partition, StartPosition start) {
  internal::Assignment* assignment = fetcher_.Find(topic, partition);
  if (closed_ || assignment == nullptr)
    co_return Fail(v1::INVALID_REQUEST, "{}-{} is not assigned", topic, partition);
  fetcher_.Restart(*assignment, start);
  co_await fetcher_.WaitForStart(*assignment, cluster_.loop().Now() + options_.client.request_timeout);
  co_return Result<>();
}

std::optional<Offset> Consumer::Impl::Position(const std::string& topic, PartitionIndex partition) const {
  const internal::Assignment* assignment = fetcher_.Find(topic, partition);
  if (assignment == nullptr || (!assignment->fetch_offset && assignment->buffered == 0)) return std::nullopt;
  return assignment->next_offset;
}

void Consumer::Impl::FinishChunk() {
  internal::Assignment& assignment = *chunk_->of;
  fetcher_.Release(*chunk_);
  // After a reset the start was found while former records were still to be polled.
  if (assignment.buffered == 0 && assignment.fetch_offset) assignment.next_offset = *assignment.fetch_offset;
  chunk_.reset();
  position_ = 0;
}

// The records of the batch at the position; none when all lie below the wanted offset.
Result<PolledBatch> Consumer::Impl::ReadBatch() {
  internal::Assignment& assignment = *chunk_->of;
  BatchView batch;
  CHECK(ParseBatch(std::string_view(chunk_->bytes).substr(position_), &batch, nullptr, nullptr) ==
        BatchParse::kOk)
      << "the fetcher hands on verified batches only";
  position_ += batch.bytes.size();
  PolledBatch polled;
  polled.topic = assignment.topic;
  polled.partition = assignment.partition;
  polled.high_watermark = chunk_->high_watermark;
  TM_ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, scratch_));
  const Offset end = batch.base_offset + reader.info().last_offset_delta + 1;
  polled.records.reserve(std::min<size_t>(reader.info().record_count, batch.body.size()));
  RecordView record;
  while (reader.Next(&record)) {
    if (record.offset < assignment.next_offset) continue;
    polled.records.push_back({record, assignment.partition, batch.leader_epoch});
  }
  if (reader.error()) return std::unexpected(*reader.error());
  assignment.next_offset = std::max(assignment.next_offset, end);
  return polled;
}

Task<Result<PolledBatch>> Consumer::Impl::Poll(MonoTime deadline, std::stop_token stop) {
  while (true) {
    if (closed_) co_return Fail(v1::CANCELLED, "the consumer is closed");
    // A seek since the last poll makes the chunk worthless.
    if (chunk_ && (position_ >= chunk_->bytes.size() || chunk_->generation != chunk_->of->generation))
      FinishChunk();
    if (!chunk_) {
      chunk_ = fetcher_.Take();
      position_ = 0;
      if (chunk_ && !chunk_->error) chunk_->of->next_offset = chunk_->begin;
    }
    if (!chunk_) {
      const WaitOutcome outcome = co_await fetcher_.WaitForChunk(deadline, stop);
      if (outcome == WaitOutcome::kReady) continue;
      if (outcome == WaitOutcome::kStopped) co_return Fail(v1::CANCELLED, "the poll was stopped");
      co_return PolledBatch();
    }
    if (chunk_->error) {
      Error error = std::move(*chunk_->error);
      chunk_.reset();
      co_return std::unexpected(std::move(error));
    }
    internal::Assignment& assignment = *chunk_->of;
    auto polled = ReadBatch();
    if (!polled) {
      assignment.failed = true;
      ++assignment.generation;  // what was fetched behind it is dropped
      co_return Fail(v1::CORRUPT_MESSAGE, "{}-{}: {}", assignment.topic, assignment.partition,
                     polled.error().message);
    }
    if (!polled->records.empty()) co_return polled;
  }
}

Consumer::Consumer(Cluster& cluster, ConsumerOptions options)
    : impl_(std::make_unique<Impl>(cluster, std::move(options))) {}
Consumer::~Consumer() = default;
Task<Result<>> Consumer::Assign(std::string topic, PartitionIndex partition, StartPosition start) {
  return impl_->Assign(std::move(topic), partition, start);
}
Task<Result<>> Consumer::AssignAll(std::string topic, StartPosition start) {
  return impl_->Assign(std::move(topic), std::nullopt, start);
}
Task<Result<PolledBatch>> Consumer::Poll(MonoTime deadline, std::stop_token stop) {
  return impl_->Poll(deadline, std::move(stop));
}
std::optional<Offset> Consumer::Position(const std::string& topic, PartitionIndex partition) const {
  return impl_->Position(topic, partition);
}
Task<Result<>> Consumer::Seek(std::string topic, PartitionIndex partition, StartPosition start) {
  return impl_->Seek(std::move(topic), partition, start);
}
uint64_t Consumer::bytes_fetched() const { return impl_->bytes_fetched(); }
Task<void> Consumer::Close() { return impl_->Close(); }

}  // namespace tidemark
