#include "client/fetcher.h"

#include <algorithm>

#include "client/fetched_records.h"
#include "client/list_offsets.h"

namespace tidemark::internal {

namespace {
// Partitions whose buffer has room again need not wait for the long poll of the others.
constexpr int kMaxFetchesInFlight = 8;
constexpr size_t kLeastAllowance = 64u << 10;
// Errors that no one foresaw, in a row, before they are believed to last.
constexpr int kMaxUnforeseenFetches = 10;
// How long brokers may not know the topic before that is believed: metadata of a change takes a moment to
// spread.
constexpr Duration kUnknownFetchGrace = 10s;
// How long a damaged range is asked for again: that of one replica is repaired from another within seconds.
constexpr Duration kDamagePatience = 60s;
constexpr Duration kDamagePause = 10s;  // between two looks whether damage that was told of is repaired
}  // namespace

Fetcher::Fetcher(Cluster& cluster, const ConsumerOptions& options)
    : cluster_(cluster),
      loop_(cluster.loop()),
      options_(options),
      scope_(cluster.loop(), "consumer"),
      wake_(cluster.loop()),
      arrived_(cluster.loop()),
      backoff_(options.client) {
  scope_.Spawn("consumer fetcher", Run());
}

std::string Fetcher::Where(const Assignment& assignment) {
  return fmt::format("{}-{}", assignment.topic, assignment.partition);
}

AssignmentPtr Fetcher::Add(const std::string& topic, PartitionIndex partition, StartPosition start) {
  auto assignment = std::make_shared<Assignment>();
  assignment->topic = topic;
  assignment->id = cluster_.Find(topic)->id;
  assignment->partition = partition;
  CHECK(assignments_.emplace(std::pair(topic, partition), assignment).second)
      << Where(*assignment) << " is assigned already";
  Restart(*assignment, start);
  return assignment;
}

AssignmentPtr Fetcher::Find(const std::string& topic, PartitionIndex partition) const {
  const auto found = assignments_.find({topic, partition});
  return found == assignments_.end() ? nullptr : found->second;
}

void Fetcher::Remove(Assignment& assignment) {
  BeginGeneration(assignment);
  assignment.failed = true;
  // The last use of `assignment`: the map's may be the last pointer to it.
  assignments_.erase({assignment.topic, assignment.partition});
  Wake();
  arrived_.NotifyAll();
}

std::map<TopicPartition, Error> Fetcher::Refused() const {
  std::map<TopicPartition, Error> out;
  for (const auto& [key, assignment] : assignments_) {
    if (assignment->failed || assignment->paused) continue;
    const TopicPartition partition{assignment->topic, assignment->partition};
    if (assignment->refused) {
      out.emplace(partition, *assignment->refused);
    } else if (!assignment->fetch_offset) {
      const TopicPicture* picture = cluster_.Find(assignment->topic);
      const bool led = picture == nullptr || assignment->partition >= picture->partitions.size() ||
                       picture->partitions[assignment->partition].leader >= 0;
      out.emplace(partition, led ? Error{v1::OFFSET_NOT_AVAILABLE, "where to begin is not known yet"}
                                 : Error{v1::LEADER_NOT_AVAILABLE, "the partition has no leader"});
    }
  }
  return out;
}

void Fetcher::SetPaused(Assignment& assignment, bool paused) {
  assignment.paused = paused;
  Wake();
  if (!paused) arrived_.NotifyAll();
}

// What was fetched counts no more; a chunk in the consumer's hand keeps only its memory.
void Fetcher::BeginGeneration(Assignment& assignment) {
  ++assignment.generation;
  assignment.damage_told = false;
  assignment.refused.reset();
  assignment.doubt.reset();
  assignment.parted_at.reset();
  assignment.telling = false;
  assignment.reset.reset();
  DropChunks(assignment);
  assignment.buffered = 0;
}

void Fetcher::Abandon(Assignment& assignment, Offset next_offset) {
  BeginGeneration(assignment);
  assignment.failed = true;
  assignment.fetch_offset = assignment.next_offset = next_offset;
  Wake();
}

void Fetcher::DropChunks(const Assignment& assignment) {
  std::deque<Chunk> kept;
  for (Chunk& chunk : chunks_) {
    if (chunk.of.get() == &assignment) {
      Release(chunk);
    } else {
      kept.push_back(std::move(chunk));
    }
  }
  chunks_.swap(kept);
}

AssignmentPtr Fetcher::PointerTo(const Assignment& assignment) const {
  return assignments_.at({assignment.topic, assignment.partition});
}

void Fetcher::Restart(Assignment& assignment, StartPosition start) {
  BeginGeneration(assignment);
  assignment.last_epoch = start.epoch;
  if (start.epoch) cluster_.NoteEpoch(assignment.topic, assignment.id, assignment.partition, *start.epoch);
  assignment.start = start;
  assignment.failed = false;
  assignment.fetch_offset.reset();
  assignment.failures = 0;
  assignment.not_before = loop_.Now();
  if (start.kind == StartPosition::Kind::kOffset) {
    assignment.fetch_offset = assignment.next_offset = static_cast<Offset>(std::max<int64_t>(start.value, 0));
    assignment.history.Begin(assignment.next_offset, start.epoch);
  }
  Wake();
}

Task<void> Fetcher::WaitForStart(AssignmentPtr assignment, MonoTime deadline) {
  while (!assignment->fetch_offset && !assignment->failed && !scope_.stopping()) {
    if (co_await arrived_.Wait("start of a partition", deadline, scope_.stop_token()) ==
        WaitOutcome::kTimedOut)
      break;
  }
}

std::optional<Chunk> Fetcher::Take() {
  for (auto next = chunks_.begin(); next != chunks_.end();) {
    if (next->of->paused && next->generation == next->of->generation) {
      ++next;
      continue;
    }
    Chunk chunk = std::move(*next);
    next = chunks_.erase(next);
    if (chunk.generation == chunk.of->generation) return chunk;
    Release(chunk);
  }
  return std::nullopt;
}

void Fetcher::PutBack(Chunk chunk) { chunks_.push_front(std::move(chunk)); }

void Fetcher::Release(const Chunk& chunk) {
  buffered_ -= chunk.bytes.size();
  if (chunk.generation == chunk.of->generation) chunk.of->buffered -= chunk.bytes.size();
  Wake();
}

Task<WaitOutcome> Fetcher::WaitForChunk(MonoTime deadline, std::stop_token stop) {
  return arrived_.Wait("records", deadline, std::move(stop));
}

Task<void> Fetcher::Close() {
  co_await scope_.Close();
  chunks_.clear();
}

void Fetcher::Wake() {
  dirty_ = true;
  wake_.NotifyAll();
}

Task<void> Fetcher::Run() {
  const std::stop_token stop = scope_.stop_token();
  while (!stop.stop_requested()) {
    dirty_ = false;
    const MonoTime next = Pump();
    if (!dirty_) co_await wake_.Wait("consumer partitions", next, stop);
  }
}

// Begins every fetch that can begin; returns when to look again without being woken.
MonoTime Fetcher::Pump() {
  const MonoTime now = loop_.Now();
  MonoTime next = kNoDeadline;
  std::map<BrokerId, std::vector<std::vector<Asked>>> by_leader;
  for (const auto& [place, owned] : assignments_) {
    Assignment& assignment = *owned;
    if (assignment.failed || assignment.in_flight) continue;
    // One more fetch is begun while the last one is being polled.
    if (assignment.buffered >= options_.max_partition_fetch_bytes) continue;
    if (assignment.not_before > now) {
      next = std::min(next, assignment.not_before);
      continue;
    }
    if (!assignment.fetch_offset) {
      // After a reset: what was fetched before is polled first, and what comes next does not continue it.
      if (assignment.buffered > 0) continue;
      assignment.in_flight = true;
      scope_.Spawn("start of a partition", Resolve(owned, assignment.generation));
      continue;
    }
    if (assignment.paused) continue;
    const PartitionLeader leader = Destination(assignment);
    if (leader.leader != kNoBroker) {
      std::vector<std::vector<Asked>>& requests = by_leader[leader.leader];
      if (requests.empty() || requests.back().size() >= kMostPartitionsAsked) requests.emplace_back();
      requests.back().push_back({owned, assignment.generation, leader});
    } else if (!assignment.failed) {
      next = std::min(next, assignment.not_before);
    }
  }
  for (auto& [leader, requests] : by_leader) {
    if (muted_until_[leader] > now) {
      next = std::min(next, muted_until_[leader]);
      continue;
    }
    for (std::vector<Asked>& asked : requests) BeginFetch(leader, std::move(asked));
  }
  return next;
}

void Fetcher::BeginFetch(BrokerId leader, std::vector<Asked> asked) {
  if (in_flight_[leader] >= kMaxFetchesInFlight) return;  // its next answer wakes us
  size_t allowance = Allowance(asked.size());
  if (allowance == 0 && DropPaused()) allowance = Allowance(asked.size());
  if (allowance == 0) return;  // Release wakes us
  ++in_flight_[leader];
  allowed_ += allowance;
  for (const Asked& one : asked) one.assignment->in_flight = true;
  scope_.Spawn("fetch", Fetch(leader, std::move(asked), allowance));
}

// Makes room for those that are read: what is paused may stay so without end, and is fetched again when it
// goes on. True when something was dropped.
bool Fetcher::DropPaused() {
  const size_t before = buffered_;
  for (const auto& [place, owned] : assignments_) {
    if (!owned->paused || owned->buffered == 0) continue;
    BeginGeneration(*owned);
    owned->failed = false;  // its error stood behind what was dropped: it is found again
    BackToPosition(*owned);
  }
  return buffered_ < before;
}

// How many bytes a fetch of so many partitions may bring; 0: none now.
size_t Fetcher::Allowance(size_t partitions) const {
  const size_t used = buffered_ + allowed_;
  const size_t wanted =
      std::min<size_t>({options_.fetch_max_bytes, partitions * options_.max_partition_fetch_bytes,
                        std::max<size_t>(options_.prefetch_bytes / 4, kLeastAllowance)});
  if (used == 0) return wanted;
  const size_t left = options_.prefetch_bytes > used ? options_.prefetch_bytes - used : 0;
  return left >= std::min(wanted, kLeastAllowance) ? std::min(wanted, left) : 0;
}

// Whom to ask, and in which epoch; kNoBroker: nobody now.
PartitionLeader Fetcher::Destination(Assignment& assignment) {
  const TopicPicture* picture = cluster_.Find(assignment.topic);
  if (picture != nullptr && picture->id != assignment.id) {
    FailPartition(assignment,
                  {v1::UNKNOWN_TOPIC_ID,
                   fmt::format("{}: the topic was deleted and created again", Where(assignment))});
    return {};
  }
  if (picture != nullptr && assignment.partition < picture->partitions.size()) {
    const PartitionLeader leader = picture->partitions[assignment.partition];
    RpcChannel* channel = leader.leader >= 0 ? cluster_.Channel(leader.leader) : nullptr;
    // One that let a fetch go unanswered is asked again only when others have said that it still leads.
    if (channel != nullptr && !(channel->silent() && refreshing_[assignment.topic])) return leader;
    if (channel != nullptr) {
      Delay(assignment,
            Error{v1::REQUEST_TIMED_OUT, fmt::format("broker {} does not answer", leader.leader)});
      return {};
    }
  }
  Delay(assignment, Error{v1::LEADER_NOT_AVAILABLE, "no leader of it is known"});
  RequestRefresh(assignment.topic);
  return {};
}

v1::Request Fetcher::Encode(const std::vector<Asked>& asked, size_t allowance) const {
  v1::Request request;
  v1::FetchRequest* fetch = request.mutable_fetch();
  fetch->set_max_wait_ms(static_cast<uint32_t>(ToMillis(options_.fetch_max_wait)));
  fetch->set_min_bytes(options_.fetch_min_bytes);
  fetch->set_max_bytes(static_cast<uint32_t>(allowance));
  std::map<TopicId, v1::FetchRequest::Topic*> topics;
  for (const Asked& one : asked) {
    const Assignment& assignment = *one.assignment;
    v1::FetchRequest::Topic*& topic = topics[assignment.id];
    if (topic == nullptr) {
      topic = fetch->add_topics();
      topic->set_id(assignment.id.ToBytes());
    }
    v1::FetchRequest::Partition* partition = topic->add_partitions();
    partition->set_partition(assignment.partition);
    partition->set_fetch_offset(*assignment.fetch_offset);
    partition->set_max_bytes(options_.max_partition_fetch_bytes);
    partition->set_leader_epoch(one.leader.epoch);
    if (const auto epoch = assignment.history.last_epoch()) partition->set_last_epoch(*epoch);
  }
  return request;
}

Task<void> Fetcher::Fetch(BrokerId leader, std::vector<Asked> asked, size_t allowance) {
  RpcChannel* channel = cluster_.Channel(leader);
  Result<v1::Response> response = tidemark::Fail(v1::CANCELLED, "the client is closing");
  if (channel != nullptr) {
    response = co_await channel->Call(Encode(asked, allowance),
                                      options_.client.request_timeout + options_.fetch_max_wait,
                                      scope_.stop_token());
  }
  if (response && response->header().throttle_ms() > 0) {
    muted_until_[leader] = loop_.Now() + std::chrono::milliseconds(response->header().throttle_ms());
  }
  --in_flight_[leader];
  allowed_ -= allowance;
  for (const Asked& one : asked) one.assignment->in_flight = false;
  if (scope_.stopping()) co_return;
  std::map<std::pair<std::string, PartitionIndex>, v1::FetchResponse::Partition*> answers;
  if (response) {
    for (v1::FetchResponse::Topic& topic : *response->mutable_fetch()->mutable_topics()) {
      for (auto& partition : *topic.mutable_partitions())
        answers[{topic.id(), partition.partition()}] = &partition;
    }
  }
  for (const Asked& one : asked) {
    Assignment& assignment = *one.assignment;
    if (assignment.generation != one.generation) continue;
    if (!response) {
      Error error = response.error();
      if (error.code == v1::CANCELLED) error.code = v1::NETWORK_EXCEPTION;  // the broker has moved
      HandleError(assignment, std::move(error));
      continue;
    }
    auto found = answers.find({assignment.id.ToBytes(), assignment.partition});
    if (found == answers.end()) {
      FailPartition(assignment, {v1::UNKNOWN_SERVER_ERROR,
                                 fmt::format("broker {} did not answer for {}", leader, Where(assignment))});
      continue;
    }
    Accept(one, found->second);
  }
  Wake();
}

void Fetcher::Accept(const Asked& asked, v1::FetchResponse::Partition* answer) {
  Assignment& assignment = *asked.assignment;
  if (answer->error().code() != v1::NONE) {
    if (answer->has_current_leader()) {
      cluster_.ApplyHint(assignment.topic, assignment.partition, answer->current_leader());
    }
    Error error = FromProto(answer->error());
    if (error.code == v1::OFFSET_OUT_OF_RANGE) return OutOfRange(asked, answer->log_start_offset(), error);
    return HandleError(assignment, std::move(error));
  }
  if (answer->has_diverging()) return Diverging(asked, *answer);
  assignment.failures = 0;
  assignment.unknown_since.reset();
  assignment.damaged_since.reset();
  assignment.damage_told = false;
  assignment.refused.reset();
  assignment.doubt.reset();
  if (assignment.parted_at && !assignment.telling && !TellParted(assignment)) return;
  if (answer->records().empty()) return;
  if (auto good = TakeRecords(assignment, answer); !good) FailPartition(assignment, std::move(good.error()));
  arrived_.NotifyAll();
}

// Up to where damage begins, records are good and are given first.
Result<> Fetcher::TakeRecords(Assignment& assignment, v1::FetchResponse::Partition* answer) {
  bytes_fetched_ += answer->records().size();
  GoodRecords part{.next = *assignment.fetch_offset};
  Result<> good =
      VerifyFetched(answer->records(), assignment.id, assignment.partition, Where(assignment), &part);
  for (const auto& [epoch, offset] : part.changes)
    cluster_.NoteEpoch(assignment.topic, assignment.id, assignment.partition, epoch);
  if (part.next > *assignment.fetch_offset) {
    Chunk chunk;
    chunk.of = PointerTo(assignment);
    chunk.generation = assignment.generation;
    chunk.begin = *assignment.fetch_offset;
    chunk.epoch_before = assignment.history.last_epoch();
    chunk.high_watermark = answer->high_watermark();
    chunk.bytes = std::move(*answer->mutable_records());
    chunk.bytes.resize(part.bytes);
    for (const auto& [epoch, offset] : part.changes) assignment.history.Add(epoch, offset);
    assignment.fetch_offset = part.next;
    assignment.buffered += chunk.bytes.size();
    buffered_ += chunk.bytes.size();
    chunks_.push_back(std::move(chunk));
  } else if (good) {
    Delay(assignment);  // only records that were not asked for: not again at once
  }
  return good;
}

Error Fetcher::AtOffset(const Assignment& assignment, const Error& error) {
  return {error.code, fmt::format("{} at offset {}: {}", Where(assignment), *assignment.fetch_offset,
                                  error.message.empty() ? ErrorMeaning(error.code) : error.message)};
}

void Fetcher::HandleError(Assignment& assignment, Error error) {
  // A broker that is going away may drop a request like this; reading again does no harm. A leader that finds
  // its log damaged has itself relieved by a healthy replica.
  const bool damaged = error.code == v1::CORRUPT_MESSAGE;
  if (damaged && !assignment.damaged_since) assignment.damaged_since = loop_.Now();
  const bool may_pass =
      damaged ? loop_.Now() - *assignment.damaged_since < kDamagePatience
              : error.code == v1::UNKNOWN_SERVER_ERROR && assignment.failures < kMaxUnforeseenFetches;
  if (may_pass || damaged) RequestRefresh(assignment.topic);
  if (damaged && !may_pass) {
    // Told once. It may be repaired at any time, and nobody else reads the partition meanwhile.
    if (!std::exchange(assignment.damage_told, true)) Tell(assignment, AtOffset(assignment, error));
    assignment.refused = std::move(error);
    assignment.not_before = loop_.Now() + kDamagePause;
    return;
  }
  if (!may_pass && !IsRetriable(error.code)) {
    return FailPartition(assignment, AtOffset(assignment, error));
  }
  const bool is_unknown = error.code == v1::UNKNOWN_TOPIC_ID || error.code == v1::UNKNOWN_TOPIC_OR_PARTITION;
  if (!is_unknown) assignment.unknown_since.reset();
  if (is_unknown && !assignment.unknown_since) assignment.unknown_since = loop_.Now();
  if (is_unknown && loop_.Now() - *assignment.unknown_since >= kUnknownFetchGrace) {
    return FailPartition(assignment,
                         {v1::UNKNOWN_TOPIC_ID, fmt::format("{}: the topic is gone", Where(assignment))});
  }
  if (ClassOf(error.code) == v1::ERROR_CLASS_REFRESH_METADATA || error.code == v1::REQUEST_TIMED_OUT) {
    RequestRefresh(assignment.topic);
  }
  Delay(assignment, std::move(error));
}

void Fetcher::FailPartition(Assignment& assignment, Error error) {
  assignment.failed = true;
  Tell(assignment, std::move(error));
}

// After what was fetched before.
void Fetcher::Tell(const Assignment& assignment, Error error, bool goes_back) {
  Chunk chunk;
  chunk.of = PointerTo(assignment);
  chunk.generation = assignment.generation;
  chunk.begin = assignment.fetch_offset.value_or(assignment.next_offset);
  chunk.epoch_before = assignment.history.last_epoch();
  chunk.error = std::move(error);
  chunk.goes_back = goes_back;
  chunks_.push_back(std::move(chunk));
  arrived_.NotifyAll();
}

void Fetcher::Delay(Assignment& assignment, std::optional<Error> why) {
  // Damage lasts; what else is answered meanwhile (its leader hands over) does not hide it.
  const bool hides =
      why && why->code != v1::CORRUPT_MESSAGE && assignment.damaged_since && assignment.refused;
  if (!hides) assignment.refused = std::move(why);
  assignment.not_before =
      loop_.Now() + backoff_.Of(std::min(assignment.failures++, 10), cluster_.env().random());
}

void Fetcher::RequestRefresh(const std::string& topic) {
  if (scope_.stopping() || refreshing_[topic]) return;
  refreshing_[topic] = true;
  scope_.Spawn("consumer metadata", Refresh(topic));
}

Task<void> Fetcher::Refresh(std::string topic) {
  // Its trouble shows when the topic's partitions are fetched.
  (void)co_await cluster_.Refresh(topic, loop_.Now() + options_.client.request_timeout, scope_.stop_token());
  refreshing_[topic] = false;
  Wake();
}

}  // namespace tidemark::internal
