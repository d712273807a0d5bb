#include "client/producer.h"

#include <algorithm>
#include <map>

#include <glog/logging.h>

#include "client/accumulator.h"
#include "client/list_offsets.h"
#include "client/sender.h"
#include "common/record/murmur2.h"

namespace tidemark {

class Producer::Impl {
 public:
  Impl(Cluster& cluster, ProducerOptions options)
      : cluster_(cluster),
        loop_(cluster.loop()),
        options_(std::move(options)),
        accumulator_(options_),
        sender_(cluster, options_, accumulator_, stats_,
                [this] {
                  changed_.NotifyAll();
                  WakeFirst();
                }),
        changed_(loop_) {}
  ~Impl() { CHECK(closed_ && sends_ == 0) << "a Producer is closed before it dies"; }

  Task<Result<>> Send(ProducerRecord record, DeliveryCallback callback);
  // Tries as the waiting call `ticket` (0: a new call, which does not overtake waiting ones).
  bool Try(const ProducerRecord& record, DeliveryCallback& callback, uint64_t ticket, Result<>* error);
  Task<void> Flush();
  Task<void> Close();

  ProducerStats stats() const {
    ProducerStats stats = stats_;
    stats.buffered_bytes = accumulator_.reserved_bytes();
    return stats;
  }

 private:
  // A call's place among those that wait for memory; whoever leaves hands on.
  class Place;

  Result<> Check(const ProducerRecord& record) const;
  void WakeFirst();
  Task<Result<>> WaitForMemory(const ProducerRecord& record, DeliveryCallback& callback, MonoTime deadline);
  internal::PartitionQueue& Choose(const ProducerRecord& record, const TopicPicture& picture);
  internal::PartitionQueue& ChooseSticky(const ProducerRecord& record, const TopicPicture& picture);

  Cluster& cluster_;
  EventLoop& loop_;
  const ProducerOptions options_;
  ProducerStats stats_;
  internal::Accumulator accumulator_;
  internal::Sender sender_;
  Notifier changed_;  // something was decided, or the last call has ended; for Flush and Close
  // Calls that wait for memory, in the order of their coming, and what each waits with (null: it is awake).
  // The first goes first, so only it is woken.
  std::map<uint64_t, Waiter*> waiting_;
  uint64_t next_ticket_ = 1;
  size_t sends_ = 0;
  std::map<std::string, PartitionIndex, std::less<>> sticky_;
  std::stop_source stop_;
  bool closed_ = false;
};

Result<> Producer::Impl::Check(const ProducerRecord& record) const {
  if (closed_) return Fail(v1::CANCELLED, "the producer is closed");
  const size_t size = BatchBuilder::MaxRecordBytes(record.key, record.value, record.headers);
  const size_t most = std::min<size_t>(options_.max_request_size, kMaxRecordsBytes);
  if (size > most) {
    return Fail(v1::MESSAGE_TOO_LARGE, "a record of {} bytes for '{}'; max.request.size is {}", size,
                record.topic, most);
  }
  if (internal::Accumulator::Cost(record) > options_.buffer_memory) {
    return Fail(v1::MESSAGE_TOO_LARGE, "a record of {} bytes for '{}'; buffer.memory is {}", size,
                record.topic, options_.buffer_memory);
  }
  return {};
}

// Another partition each time the one in use takes no more records into its batch.
internal::PartitionQueue& Producer::Impl::ChooseSticky(const ProducerRecord& record,
                                                       const TopicPicture& picture) {
  auto sticky = sticky_.find(record.topic);
  if (sticky != sticky_.end() && sticky->second < picture.partitions.size()) {
    internal::PartitionQueue& queue = accumulator_.Queue(record.topic, sticky->second);
    if (accumulator_.FitsOpenBatch(queue, record)) return queue;
  }
  std::vector<PartitionIndex> led;
  for (size_t i = 0; i < picture.partitions.size(); ++i) {
    if (picture.partitions[i].leader >= 0) led.push_back(static_cast<PartitionIndex>(i));
  }
  if (led.empty()) {
    for (size_t i = 0; i < picture.partitions.size(); ++i) led.push_back(static_cast<PartitionIndex>(i));
  }
  if (led.size() > 1 && sticky != sticky_.end()) std::erase(led, sticky->second);
  const PartitionIndex chosen = led[cluster_.env().random().Below(led.size())];
  sticky_.insert_or_assign(std::string(record.topic), chosen);
  return accumulator_.Queue(record.topic, chosen);
}

internal::PartitionQueue& Producer::Impl::Choose(const ProducerRecord& record, const TopicPicture& picture) {
  if (record.partition) return accumulator_.Queue(record.topic, *record.partition);
  if (record.key) {
    const auto partitions = static_cast<uint32_t>(picture.partitions.size());
    return accumulator_.Queue(record.topic, PartitionForKey(*record.key, partitions));
  }
  return ChooseSticky(record, picture);
}

bool Producer::Impl::Try(const ProducerRecord& record, DeliveryCallback& callback, uint64_t ticket,
                         Result<>* error) {
  *error = Check(record);
  if (!*error) return true;
  const TopicPicture* picture = cluster_.Find(std::string(record.topic));
  if (picture == nullptr || picture->partitions.empty()) return false;
  if (record.partition && *record.partition >= picture->partitions.size()) {
    *error = Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' has {} partitions, no {}", record.topic,
                  picture->partitions.size(), *record.partition);
    return true;
  }
  const bool is_its_turn = waiting_.empty() || waiting_.begin()->first == ticket;
  if (!is_its_turn || !accumulator_.HasRoom(internal::Accumulator::Cost(record))) return false;
  const WallMillis timestamp = record.timestamp == -1 ? cluster_.env().clock().WallNow() : record.timestamp;
  ++stats_.records;
  if (accumulator_.Append(Choose(record, *picture), record, timestamp, std::move(callback), loop_.Now())) {
    sender_.Wake();
  }
  return true;
}

Task<Result<>> Producer::Impl::Send(ProducerRecord record, DeliveryCallback callback) {
  Result<> error;
  if (Try(record, callback, 0, &error)) co_return error;
  ++sends_;
  // max.block.ms=0 is about memory; where a topic's leaders are has to be asked at least once.
  const Duration patience = options_.max_block > 0ns ? options_.max_block : options_.client.request_timeout;
  const MonoTime now = loop_.Now();
  error = co_await EnsureTopic(cluster_, std::string(record.topic), now + patience, stop_.get_token());
  if (error) error = co_await WaitForMemory(record, callback, now + options_.max_block);
  if (--sends_ == 0) changed_.NotifyAll();
  co_return error;
}

class Producer::Impl::Place {
 public:
  explicit Place(Impl& impl) : impl_(impl), ticket_(impl.next_ticket_++) {
    impl_.waiting_.emplace(ticket_, nullptr);
  }
  ~Place() {
    impl_.waiting_.erase(ticket_);
    if (impl_.waiting_.empty()) impl_.sender_.set_pressure(false);
    impl_.WakeFirst();
  }
  uint64_t ticket() const { return ticket_; }
  // Until it is the first and something was decided, or the deadline.
  Task<void> Wait(MonoTime deadline) {
    Waiter waiter(impl_.loop_, "memory of the producer", deadline, impl_.stop_.get_token());
    impl_.waiting_.at(ticket_) = &waiter;
    co_await waiter;
    impl_.waiting_.at(ticket_) = nullptr;
  }

 private:
  Impl& impl_;
  const uint64_t ticket_;
};

void Producer::Impl::WakeFirst() {
  if (waiting_.empty()) return;
  if (Waiter* waiter = waiting_.begin()->second) waiter->Wake();
}

Task<Result<>> Producer::Impl::WaitForMemory(const ProducerRecord& record, DeliveryCallback& callback,
                                             MonoTime deadline) {
  Place place(*this);
  Result<> error;
  bool decided = Try(record, callback, place.ticket(), &error);
  while (!decided) {
    sender_.set_pressure(true);
    sender_.Wake();
    if (loop_.Now() >= deadline) {
      error = Fail(v1::BUFFER_EXHAUSTED, "buffer.memory={} is full; waited max.block.ms={}",
                   options_.buffer_memory, ToMillis(options_.max_block));
      break;
    }
    co_await place.Wait(deadline);
    decided = Try(record, callback, place.ticket(), &error);
  }
  co_return error;
}

Task<void> Producer::Impl::Flush() {
  const uint64_t mark = accumulator_.StartFlush();
  sender_.Wake();
  while (!accumulator_.FlushedUpTo(mark)) co_await changed_.Wait("flush of the producer");
}

Task<void> Producer::Impl::Close() {
  if (closed_) co_return;
  closed_ = true;
  stop_.request_stop();
  while (sends_ > 0) co_await changed_.Wait("sends of the producer");
  co_await Flush();
  co_await sender_.Close();
}

Producer::Producer(Cluster& cluster, ProducerOptions options)
    : impl_(std::make_unique<Impl>(cluster, std::move(options))) {}
Producer::~Producer() = default;
Task<Result<>> Producer::Send(ProducerRecord record, DeliveryCallback callback) {
  return impl_->Send(record, std::move(callback));
}
bool Producer::TrySend(const ProducerRecord& record, DeliveryCallback callback, Result<>* error) {
  return impl_->Try(record, callback, 0, error);
}
Task<void> Producer::Flush() { return impl_->Flush(); }
Task<void> Producer::Close() { return impl_->Close(); }
ProducerStats Producer::stats() const { return impl_->stats(); }

}  // namespace tidemark
