#include "client/sender.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

#include "client/slow_call.h"

namespace tidemark::internal {

namespace {
// Enough to keep a broker busy while answers travel; further batches gather into larger requests.
constexpr int kMaxRequestsInFlight = 5;
// To a broker that has delayed this client: each costs a delay, and is sent before that of another is known.
constexpr int kMaxDelayedInFlight = 1;
// Tries after which an error that no one foresaw is believed to last.
constexpr uint32_t kMaxUnforeseenTries = 10;
// A delay that lasts longer is asked about: the quota may be mended long before it is over.
constexpr Duration kLongDelay = 5s;
// What comes right after its end the broker takes for sent before it.
constexpr Duration kAfterDelay = 50ms;

std::string Where(const PartitionQueue& queue) { return fmt::format("{}-{}", queue.topic, queue.partition); }
}  // namespace

Sender::Sender(Cluster& cluster, const ProducerOptions& options, Accumulator& accumulator,
               ProducerStats& stats, std::function<void()> on_decided)
    : cluster_(cluster),
      loop_(cluster.loop()),
      options_(options),
      accumulator_(accumulator),
      stats_(stats),
      on_decided_(std::move(on_decided)),
      scope_(cluster.loop(), "producer"),
      wake_(cluster.loop()),
      backoff_(options.client) {
  scope_.Spawn("producer sender", Run());
}

void Sender::Wake() {
  dirty_ = true;
  wake_.NotifyAll();
}

Task<void> Sender::Close() {
  co_await scope_.Close();
  // What is left was not decided by its deadline, because the owner did not wait for it.
  for (PartitionQueue* queue : accumulator_.Active()) {
    while (!queue->batches.empty()) Fail(*queue, {v1::CANCELLED, "the producer was closed"});
  }
  RunCallbacks();
}

Task<void> Sender::Run() {
  const std::stop_token stop = scope_.stop_token();
  while (!stop.stop_requested()) {
    dirty_ = false;
    const MonoTime next = Drain();
    RunCallbacks();
    if (!dirty_) co_await wake_.Wait("producer batches", next, stop);
  }
}

// Sends what is ready; returns when to look again without being woken.
MonoTime Sender::Drain() {
  const MonoTime now = loop_.Now();
  MonoTime next = kNoDeadline;
  std::map<BrokerId, std::vector<Load>> loads;
  std::map<BrokerId, size_t> load_bytes;
  for (PartitionQueue* queue : accumulator_.Active()) {
    if (Expire(*queue, now)) continue;
    TellIfSlow(*queue, now);
    next = std::min(next, queue->batches.front()->created + options_.delivery_timeout);
    const MonoTime ready = accumulator_.ReadyAt(*queue, pressure_);
    if (ready > now) {
      next = std::min(next, ready);
      continue;
    }
    const BrokerId leader = Destination(*queue);
    if (leader == kNoBroker) {
      if (!queue->batches.empty()) next = std::min(next, queue->batches.front()->not_before);
      continue;
    }
    if (muted_until_[leader] > now) {
      // It does not read what would be sent: batches go on growing.
      queue->batches.front()->last_error = {
          v1::REQUEST_TIMED_OUT, fmt::format("broker {} delays this client because of a quota", leader)};
      next = std::min(next, muted_until_[leader]);
      continue;
    }
    const size_t size = queue->batches.front()->BodyBytes();
    std::vector<Load>& of_leader = loads[leader];
    const bool opens = of_leader.empty() || load_bytes[leader] + size > options_.max_request_size;
    // Where the broker has its fill of requests, batches go on growing until one has been answered.
    const int most = delaying_.contains(leader) ? kMaxDelayedInFlight : kMaxRequestsInFlight;
    if (opens && in_flight_[leader] + static_cast<int>(of_leader.size()) >= most) continue;
    if (auto closed = accumulator_.CloseFirst(*queue); !closed) {
      Fail(*queue, std::move(closed.error()));
      continue;
    }
    if (opens) {
      of_leader.emplace_back();
      load_bytes[leader] = 0;
    }
    load_bytes[leader] += size;
    of_leader.back().push_back(queue);
  }
  for (auto& [leader, of_leader] : loads) {
    for (Load& load : of_leader) {
      ++in_flight_[leader];
      for (PartitionQueue* queue : load) queue->in_flight = true;
      scope_.Spawn("produce", Send(leader, std::move(load)));
    }
  }
  return next;
}

// Fails what has passed delivery.timeout.ms; true when nothing is left to send.
bool Sender::Expire(PartitionQueue& queue, MonoTime now) {
  while (!queue.in_flight && !queue.batches.empty() &&
         now >= queue.batches.front()->created + options_.delivery_timeout) {
    const Error& last = queue.batches.front()->last_error;
    Fail(queue, {v1::REQUEST_TIMED_OUT,
                 fmt::format("{}: not acknowledged within delivery.timeout.ms={}; last: {}", Where(queue),
                             ToMillis(options_.delivery_timeout), ToString(last))});
  }
  return queue.in_flight || queue.batches.empty();
}

void Sender::TellIfSlow(const PartitionQueue& queue, MonoTime now) {
  const PendingBatch& batch = *queue.batches.front();
  // Those that wait for others, or for more records, are in no trouble.
  const bool tried = batch.tries > 0 || batch.waits > 0;
  const bool slow = tried && now - batch.created >= internal::kSlow;
  if (!slow || now < slow_told_until_ || !options_.client.on_slow_call) return;
  slow_told_until_ = now + options_.delivery_timeout;
  options_.client.on_slow_call(batch.last_error, batch.created + options_.delivery_timeout - now);
}

BrokerId Sender::Destination(PartitionQueue& queue) {
  PendingBatch& batch = *queue.batches.front();
  const TopicPicture* picture = cluster_.Find(queue.topic);
  std::string missing;
  if (picture == nullptr) {
    missing = fmt::format("topic '{}' is not known", queue.topic);
  } else if (batch.sent_to && *batch.sent_to != picture->id) {
    // It may be in the former topic; to append it to the new one would be a surprise.
    Fail(queue,
         {v1::UNKNOWN_TOPIC_ID, fmt::format("topic '{}' was deleted and created again while a batch for "
                                            "partition {} was in flight; last: {}",
                                            queue.topic, queue.partition, ToString(batch.last_error))});
    return kNoBroker;
  } else if (queue.partition >= picture->partitions.size()) {
    Fail(queue,
         {v1::UNKNOWN_TOPIC_OR_PARTITION, fmt::format("topic '{}' has {} partitions, no {}", queue.topic,
                                                      picture->partitions.size(), queue.partition)});
    return kNoBroker;
  } else {
    const BrokerId leader = picture->partitions[queue.partition].leader;
    RpcChannel* channel = leader >= 0 ? cluster_.Channel(leader) : nullptr;
    // One that let a batch go unanswered gets it again only when others have said that it still leads.
    if (channel != nullptr && !(channel->silent() && refreshing_.contains(queue.topic))) return leader;
    missing = leader < 0 ? fmt::format("no leader for {}", Where(queue))
              : channel != nullptr
                  ? fmt::format("broker {}, leader of {}, does not answer", leader, Where(queue))
                  : fmt::format("the address of broker {}, leader of {}, is not known", leader, Where(queue));
  }
  batch.last_error = {v1::LEADER_NOT_AVAILABLE, std::move(missing)};
  batch.not_before =
      loop_.Now() + backoff_.Of(static_cast<int>(std::min(batch.waits++, 10u)), cluster_.env().random());
  RequestRefresh(queue.topic);
  return kNoBroker;
}

v1::Request Sender::Encode(const Load& load) const {
  v1::Request request;
  v1::ProduceRequest* produce = request.mutable_produce();
  produce->set_acks(options_.acks);
  produce->set_timeout_ms(static_cast<uint32_t>(ToMillis(options_.client.request_timeout)));
  std::map<TopicId, v1::ProduceRequest::Topic*> topics;
  for (const PartitionQueue* queue : load) {
    PendingBatch& batch = *queue->batches.front();
    v1::ProduceRequest::Topic*& topic = topics[*batch.sent_to];
    if (topic == nullptr) {
      topic = produce->add_topics();
      topic->set_id(batch.sent_to->ToBytes());
    }
    v1::ProduceRequest::Partition* partition = topic->add_partitions();
    partition->set_partition(queue->partition);
    v1::ProducerBatch* wire = partition->add_batches();
    wire->set_body_crc(batch.finished->body_crc);
    wire->set_body(batch.finished->body);
  }
  return request;
}

Task<void> Sender::Send(BrokerId leader, Load load) {
  const MonoTime now = loop_.Now();
  Duration timeout = 0ns;
  for (PartitionQueue* queue : load) {
    PendingBatch& batch = *queue->batches.front();
    batch.sent_to = cluster_.Find(queue->topic)->id;
    if (batch.tries++ > 0) ++stats_.retries;
    timeout = std::max<Duration>(timeout, batch.created + options_.delivery_timeout - now);
  }
  ++stats_.batches;
  timeout = std::min(timeout, options_.client.request_timeout);
  RpcChannel* channel = cluster_.Channel(leader);
  Result<v1::Response> response = v1::Response();
  if (channel == nullptr) {
    response = tidemark::Fail(v1::CANCELLED, "the client is closing");
  } else if (options_.acks == 0) {
    response = co_await SendWithoutAnswer(*channel, Encode(load));
  } else {
    response = co_await channel->Call(Encode(load), timeout, scope_.stop_token());
  }
  if (response && response->header().throttle_ms() > 0) {
    const Duration throttle = std::chrono::milliseconds(response->header().throttle_ms());
    // The same value for both: by it AwaitEndOfDelay knows that this is still the delay that it is about.
    const MonoTime until = loop_.Now() + throttle;
    muted_until_[leader] = until;
    stats_.throttled += throttle;
    delaying_.insert(leader);
    if (throttle > kLongDelay) scope_.Spawn("long delay", AwaitEndOfDelay(leader, until));
  } else if (response) {
    delaying_.erase(leader);
  }
  --in_flight_[leader];
  for (PartitionQueue* queue : load) queue->in_flight = false;
  Decide(load, response, now);
  RunCallbacks();
  Wake();
}

// The broker does not read this connection until then, unless the quotas change: whatever is answered says
// that the delay is over. Not asked at once, so that one who leaves soon leaves nothing to be read.
Task<void> Sender::AwaitEndOfDelay(BrokerId leader, MonoTime until) {
  const std::stop_token stop = scope_.stop_token();
  if (co_await Sleep(loop_, kLongDelay, "long delay", stop) == WaitOutcome::kStopped) co_return;
  RpcChannel* channel = cluster_.Channel(leader);
  if (channel == nullptr || muted_until_[leader] != until) co_return;
  v1::Request hello;
  hello.mutable_api_versions()->set_software_name("tidemark");
  const Duration patience = until - loop_.Now() + options_.client.request_timeout;
  const auto answer = co_await channel->Call(std::move(hello), patience, stop);
  if (!answer || muted_until_[leader] != until) co_return;
  muted_until_[leader] = std::min(until, loop_.Now() + kAfterDelay);
  Wake();
}

// acks=0: sent is decided. What is sent without a connection is lost, so one is made first.
Task<Result<v1::Response>> Sender::SendWithoutAnswer(RpcChannel& channel, v1::Request request) {
  if (!channel.connected()) {
    v1::Request hello;
    hello.mutable_api_versions()->set_software_name("tidemark");
    auto greeted =
        co_await channel.Call(std::move(hello), options_.client.request_timeout, scope_.stop_token());
    if (!greeted) co_return greeted;
  }
  channel.SendOneWay(std::move(request));
  co_return v1::Response();
}

void Sender::Decide(const Load& load, const Result<v1::Response>& response, MonoTime sent_at) {
  if (!response) {
    for (PartitionQueue* queue : load) {
      Error error = response.error();
      // A channel that closes because its broker has moved is no reason to give up.
      if (error.code == v1::CANCELLED && !scope_.stopping()) error.code = v1::NETWORK_EXCEPTION;
      RetryOrFail(*queue, std::move(error));
    }
    return;
  }
  if (options_.acks == 0) {
    for (PartitionQueue* queue : load) Succeed(*queue, 0);
    return;
  }
  std::map<std::pair<std::string, PartitionIndex>, const v1::ProduceResponse::Partition*> answers;
  for (const v1::ProduceResponse::Topic& topic : response->produce().topics()) {
    for (const auto& partition : topic.partitions())
      answers[{topic.id(), partition.partition()}] = &partition;
  }
  for (PartitionQueue* queue : load) {
    auto found = answers.find({queue->batches.front()->sent_to->ToBytes(), queue->partition});
    DecideOne(*queue, found == answers.end() ? nullptr : found->second);
  }
  VLOG(2) << "produce answered after " << ToMillis(loop_.Now() - sent_at) << " ms";
}

void Sender::DecideOne(PartitionQueue& queue, const v1::ProduceResponse::Partition* answer) {
  if (answer == nullptr) {
    return Fail(queue,
                {v1::UNKNOWN_SERVER_ERROR, fmt::format("the broker's answer leaves {} out", Where(queue))});
  }
  if (answer->error().code() == v1::NONE) return Succeed(queue, answer->base_offset());
  if (answer->has_current_leader())
    cluster_.ApplyHint(queue.topic, queue.partition, answer->current_leader());
  if (answer->error().code() == v1::MESSAGE_TOO_LARGE && queue.batches.front()->records.size() > 1) {
    // Only the record that is too large by itself is to fail.
    if (auto split = accumulator_.SplitFirst(queue); !split) Fail(queue, std::move(split.error()));
    return;
  }
  RetryOrFail(queue, FromProto(answer->error()));
}

void Sender::Succeed(PartitionQueue& queue, Offset base_offset) {
  completions_.push_back({accumulator_.TakeFirst(queue), queue.partition, base_offset});
}

void Sender::Fail(PartitionQueue& queue, Error error) {
  dirty_ = true;  // the batch behind it is to be looked at
  completions_.push_back({accumulator_.TakeFirst(queue), queue.partition, std::unexpected(std::move(error))});
}

void Sender::RetryOrFail(PartitionQueue& queue, Error error) {
  PendingBatch& batch = *queue.batches.front();
  // A broker that is going away may drop a request like this: an unknown outcome, so it is sent again.
  const bool may_pass = error.code == v1::UNKNOWN_SERVER_ERROR && batch.tries <= kMaxUnforeseenTries;
  if (may_pass) RequestRefresh(queue.topic);
  if ((!may_pass && !IsRetriable(error.code)) || scope_.stopping()) {
    error.message =
        fmt::format("{}: {}", Where(queue), error.message.empty() ? ErrorMeaning(error.code) : error.message);
    return Fail(queue, std::move(error));
  }
  if (batch.tries > options_.retries) {
    error.message =
        fmt::format("{}: given up after {} retries: {}", Where(queue), options_.retries, error.message);
    return Fail(queue, std::move(error));
  }
  if (ClassOf(error.code) == v1::ERROR_CLASS_REFRESH_METADATA || error.code == v1::REQUEST_TIMED_OUT) {
    RequestRefresh(queue.topic);
  }
  batch.last_error = std::move(error);
  const int tries = static_cast<int>(std::min(batch.tries, 11u)) - 1;
  batch.not_before = loop_.Now() + backoff_.Of(std::max(tries, 0), cluster_.env().random());
}

void Sender::RunCallbacks() {
  if (completions_.empty()) return;
  for (Completion& completion : std::exchange(completions_, {})) {
    PendingBatch& batch = *completion.batch;
    (completion.base_offset ? stats_.acknowledged : stats_.failed) += batch.records.size();
    for (size_t i = 0; i < batch.records.size(); ++i) {
      if (!batch.records[i].callback) continue;
      if (!completion.base_offset) {
        batch.records[i].callback(std::unexpected(completion.base_offset.error()));
        continue;
      }
      const Offset offset = options_.acks == 0 ? 0 : *completion.base_offset + i;
      batch.records[i].callback(RecordMetadata{completion.partition, offset, batch.records[i].timestamp});
    }
    accumulator_.Decided(batch.id);
  }
  on_decided_();
}

void Sender::RequestRefresh(const std::string& topic) {
  if (scope_.stopping() || !refreshing_.insert(topic).second) return;
  scope_.Spawn("producer metadata", Refresh(topic));
}

Task<void> Sender::Refresh(std::string topic) {
  auto refreshed =
      co_await cluster_.Refresh(topic, loop_.Now() + options_.client.request_timeout, scope_.stop_token());
  refreshing_.erase(topic);
  if (!refreshed) {
    for (PartitionQueue* queue : accumulator_.Active()) {
      if (queue->topic == topic && !queue->in_flight) queue->batches.front()->last_error = refreshed.error();
    }
  }
  Wake();
}

}  // namespace tidemark::internal
