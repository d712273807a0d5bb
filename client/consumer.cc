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
  std::map<TopicPartition, Error> Refused() const { return fetcher_.Refused(); }
  StartPosition Start(const std::string& topic, PartitionIndex partition) const;
  std::optional<LeaderEpoch> LastEpoch(const std::string& topic, PartitionIndex partition) const;
  Result<> Begin(const std::string& topic, PartitionIndex partition, StartPosition start);
  void Unassign(const std::string& topic, PartitionIndex partition);
  Result<> SetPaused(const std::string& topic, PartitionIndex partition, bool paused);
  Result<> Restart(const std::string& topic, PartitionIndex partition, StartPosition start);

  Task<void> Close() {
    closed_ = true;
    co_await fetcher_.Close();
  }
  uint64_t bytes_fetched() const { return fetcher_.bytes_fetched(); }
  const TopicPartition& failed() const { return failed_; }

 private:
  Result<internal::AssignmentPtr> Assigned(const std::string& topic, PartitionIndex partition) const;
  void SettleChunk();
  Result<PolledBatch> ReadRecords();
  void FinishChunk();

  Cluster& cluster_;
  const ConsumerOptions options_;
  internal::Fetcher fetcher_;
  // The chunk being polled: views given out point into it or into the scratch buffer.
  std::optional<internal::Chunk> chunk_;
  // The batch at the chunk's position, where some of its records have been given.
  std::optional<RecordReader> reader_;
  BatchView batch_;
  ScratchBuffer scratch_;
  TopicPartition failed_;
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
  std::vector<internal::AssignmentPtr> added;
  for (uint32_t i = partition.value_or(0); i < (partition ? *partition + 1 : count); ++i) {
    TM_CO_RETURN_IF_ERROR(Begin(topic, i, start));
    added.push_back(fetcher_.Find(topic, i));
  }
  // So that "from the end" means the end as of now. Where a leader is missing, the search goes on in the
  // background.
  const MonoTime patience = std::min(deadline, cluster_.loop().Now() + options_.start_patience);
  for (const auto& assignment : added) co_await fetcher_.WaitForStart(assignment, patience);
  co_return Result<>();
}

Result<> Consumer::Impl::Begin(const std::string& topic, PartitionIndex partition, StartPosition start) {
  const TopicPicture* picture = cluster_.Find(topic);
  if (closed_) return Fail(v1::CANCELLED, "the consumer is closed");
  if (picture == nullptr || partition >= picture->partitions.size())
    return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' has no partition {}", topic, partition);
  if (fetcher_.Find(topic, partition) != nullptr)
    return Fail(v1::INVALID_REQUEST, "{}-{} is assigned already; seek in it", topic, partition);
  fetcher_.Add(topic, partition, start);
  return {};
}

void Consumer::Impl::Unassign(const std::string& topic, PartitionIndex partition) {
  if (const auto assignment = fetcher_.Find(topic, partition)) fetcher_.Remove(*assignment);
}

Result<internal::AssignmentPtr> Consumer::Impl::Assigned(const std::string& topic,
                                                         PartitionIndex partition) const {
  internal::AssignmentPtr assignment = fetcher_.Find(topic, partition);
  if (closed_ || assignment == nullptr)
    return Fail(v1::INVALID_REQUEST, "{}-{} is not assigned", topic, partition);
  return assignment;
}

Result<> Consumer::Impl::SetPaused(const std::string& topic, PartitionIndex partition, bool paused) {
  TM_ASSIGN_OR_RETURN(const auto assignment, Assigned(topic, partition));
  fetcher_.SetPaused(*assignment, paused);
  return {};
}

Result<> Consumer::Impl::Restart(const std::string& topic, PartitionIndex partition, StartPosition start) {
  TM_ASSIGN_OR_RETURN(const auto assignment, Assigned(topic, partition));
  fetcher_.Restart(*assignment, start);
  return {};
}

Task<Result<>> Consumer::Impl::Seek(std::string topic, PartitionIndex partition, StartPosition start) {
  TM_CO_RETURN_IF_ERROR(Restart(topic, partition, start));
  co_await fetcher_.WaitForStart(fetcher_.Find(topic, partition),
                                 cluster_.loop().Now() + options_.client.request_timeout);
  co_return Result<>();
}

std::optional<LeaderEpoch> Consumer::Impl::LastEpoch(const std::string& topic,
                                                     PartitionIndex partition) const {
  const auto assignment = fetcher_.Find(topic, partition);
  return assignment == nullptr ? std::nullopt : assignment->last_epoch;
}

std::optional<Offset> Consumer::Impl::Position(const std::string& topic, PartitionIndex partition) const {
  const auto assignment = fetcher_.Find(topic, partition);
  if (assignment == nullptr || (!assignment->fetch_offset && assignment->buffered == 0)) return std::nullopt;
  return assignment->next_offset;
}

StartPosition Consumer::Impl::Start(const std::string& topic, PartitionIndex partition) const {
  if (const auto position = Position(topic, partition))
    return {StartPosition::Kind::kOffset, static_cast<int64_t>(*position), LastEpoch(topic, partition)};
  const auto assignment = fetcher_.Find(topic, partition);
  CHECK(assignment != nullptr) << topic << "-" << partition << " is not assigned";
  return assignment->start;
}

void Consumer::Impl::FinishChunk() {
  fetcher_.Release(*chunk_);
  reader_.reset();
  chunk_.reset();
}

// Makes the chunk in hand one to be polled: another one, where it is at its end, was dropped by a seek, or is
// of a partition that was paused.
void Consumer::Impl::SettleChunk() {
  if (chunk_ && (chunk_->position >= chunk_->bytes.size() || chunk_->generation != chunk_->of->generation)) {
    FinishChunk();
  } else if (chunk_ && chunk_->of->paused) {
    // What was given of its batch is passed over by its offsets when it is read again.
    chunk_->begin = std::max(chunk_->begin, chunk_->of->next_offset);
    chunk_->epoch_before = chunk_->of->last_epoch;
    reader_.reset();
    fetcher_.PutBack(std::move(*chunk_));
    chunk_.reset();
  }
  if (chunk_) return;
  chunk_ = fetcher_.Take();
  if (!chunk_ || (chunk_->error && !chunk_->goes_back)) return;
  internal::Assignment& assignment = *chunk_->of;
  assignment.next_offset = chunk_->begin;
  assignment.last_epoch = chunk_->epoch_before;
  if (chunk_->goes_back) assignment.parted_at.reset();
}

// Records of the batch at the position; none when all lie below the wanted offset.
Result<PolledBatch> Consumer::Impl::ReadRecords() {
  internal::Assignment& assignment = *chunk_->of;
  if (!reader_) {
    CHECK(ParseBatch(std::string_view(chunk_->bytes).substr(chunk_->position), &batch_, nullptr, nullptr) ==
          BatchParse::kOk)
        << "the fetcher hands on verified batches only";
    TM_ASSIGN_OR_RETURN(reader_, RecordReader::Open(batch_, scratch_));
  }
  PolledBatch polled;
  polled.topic = assignment.topic;
  polled.partition = assignment.partition;
  polled.high_watermark = chunk_->high_watermark;
  polled.position_before = assignment.next_offset;
  polled.epoch_before = assignment.last_epoch;
  polled.records.reserve(
      std::min<size_t>({reader_->info().record_count, batch_.body.size(), options_.max_poll_records}));
  const Offset before = assignment.next_offset;
  RecordView record;
  while (polled.records.size() < options_.max_poll_records) {
    if (!reader_->Next(&record)) {
      // What was decoded before it is given first, and the error with the next call.
      if (reader_->error() && polled.records.empty()) return std::unexpected(*reader_->error());
      if (reader_->error()) break;
      const Offset end = batch_.base_offset + reader_->info().last_offset_delta + 1;
      assignment.next_offset = std::max(assignment.next_offset, end);
      chunk_->position += batch_.bytes.size();
      reader_.reset();
      break;
    }
    if (record.offset < assignment.next_offset) continue;
    polled.records.push_back({record, assignment.partition, batch_.leader_epoch});
    assignment.next_offset = record.offset + 1;
  }
  // Also where none of its records is left: the position is behind it.
  if (assignment.next_offset > before) assignment.last_epoch = batch_.leader_epoch;
  return polled;
}

Task<Result<PolledBatch>> Consumer::Impl::Poll(MonoTime deadline, std::stop_token stop) {
  while (true) {
    if (closed_) co_return Fail(v1::CANCELLED, "the consumer is closed");
    SettleChunk();
    if (!chunk_) {
      const WaitOutcome outcome = co_await fetcher_.WaitForChunk(deadline, stop);
      if (outcome == WaitOutcome::kReady) continue;
      if (outcome == WaitOutcome::kStopped) co_return Fail(v1::CANCELLED, "the poll was stopped");
      co_return PolledBatch();
    }
    if (chunk_->error) {
      Error error = std::move(*chunk_->error);
      failed_ = {chunk_->of->topic, chunk_->of->partition};
      chunk_.reset();
      co_return std::unexpected(std::move(error));
    }
    const internal::AssignmentPtr assignment = chunk_->of;
    auto polled = ReadRecords();
    if (!polled) {
      failed_ = {assignment->topic, assignment->partition};
      fetcher_.Abandon(*assignment, assignment->next_offset);
      co_return Fail(v1::CORRUPT_MESSAGE, "{}-{}: {}", assignment->topic, assignment->partition,
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
std::map<TopicPartition, Error> Consumer::Refused() const { return impl_->Refused(); }
Task<Result<>> Consumer::Seek(std::string topic, PartitionIndex partition, StartPosition start) {
  return impl_->Seek(std::move(topic), partition, start);
}
StartPosition Consumer::Start(const std::string& topic, PartitionIndex partition) const {
  return impl_->Start(topic, partition);
}
std::optional<LeaderEpoch> Consumer::LastEpoch(const std::string& topic, PartitionIndex partition) const {
  return impl_->LastEpoch(topic, partition);
}
Result<> Consumer::Begin(const std::string& topic, PartitionIndex partition, StartPosition start) {
  return impl_->Begin(topic, partition, start);
}
void Consumer::Unassign(const std::string& topic, PartitionIndex partition) {
  impl_->Unassign(topic, partition);
}
Result<> Consumer::Pause(const std::string& topic, PartitionIndex partition) {
  return impl_->SetPaused(topic, partition, true);
}
Result<> Consumer::Resume(const std::string& topic, PartitionIndex partition) {
  return impl_->SetPaused(topic, partition, false);
}
Result<> Consumer::Restart(const std::string& topic, PartitionIndex partition, StartPosition start) {
  return impl_->Restart(topic, partition, start);
}
const TopicPartition& Consumer::failed() const { return impl_->failed(); }
uint64_t Consumer::bytes_fetched() const { return impl_->bytes_fetched(); }
Task<void> Consumer::Close() { return impl_->Close(); }

}  // namespace tidemark
