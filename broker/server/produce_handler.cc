// Produce: validates and appends on the shards that own the partitions, in arrival order, and answers when
// acks is met.
//
// Order: this handler runs up to its first wait in the order of the connection's requests; slices for one
// shard are posted in that order and each appends before its first wait, so requests of one connection to one
// partition append in arrival order whatever they wait for afterwards.
#include <algorithm>

#include "broker/server/gather.h"
#include "broker/server/request_cut.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"
#include "common/record/validate.h"

namespace tidemark {
namespace {

constexpr Duration kDefaultTimeout = 30s;
constexpr Duration kLongestTimeout = 300s;

// One partition's part of a request.
struct Part {
  int topic = 0;      // index in the request
  int partition = 0;  // index in the topic
  PartitionKey key;
  std::vector<v1::ProducerBatch> batches;
  std::optional<LeaderEpoch> epoch;
};

struct Outcome {
  int topic = 0;
  int partition = 0;
  PartitionKey key;
  std::optional<Error> error;
  Offset base_offset = 0;
  Offset end_offset = 0;
  LeaderEpoch epoch = 0;
  WallMillis append_time = 0;
  Offset log_start = 0;
  // acks=1, and flush.messages demands that it is on disk first.
  bool flush_awaited = false;
  // Who leads, where this replica knows.
  LeaderKnown leader;
};

struct Terms {
  int acks = 1;
  MonoTime not_begun_after = kNoDeadline;
  MonoTime commit_deadline = kNoDeadline;
};

Result<AppendResult> ValidateAndAppend(Shard& owner, Partition& partition, const Part& part, int acks) {
  if (IsInternalTopic(partition.topic())) {
    return Fail(v1::INVALID_TOPIC_EXCEPTION, "{} is internal: only brokers append to it", partition.topic());
  }
  if (part.batches.empty()) return Fail(v1::INVALID_REQUEST, "batches: none for {}", partition.name());
  const ValidationLimits limits{.max_message_bytes = partition.settings().log.max_message_bytes,
                                .require_keys = partition.settings().log.compaction.enabled};
  std::vector<UnstampedBatch> batches;
  batches.reserve(part.batches.size());
  for (const v1::ProducerBatch& batch : part.batches) {
    TM_ASSIGN_OR_RETURN(const BodyInfo info,
                        ValidateProducerBatch(batch.body(), batch.body_crc(), limits, owner.scratch()));
    batches.push_back({.body = batch.body(),
                       .body_crc = batch.body_crc(),
                       .last_offset_delta = info.last_offset_delta,
                       .max_timestamp = info.max_timestamp});
  }
  return partition.Append(batches, acks, part.epoch);
}

Outcome AppendPart(Shard& owner, const Part& part, const Terms& terms) {
  Outcome out{.topic = part.topic, .partition = part.partition, .key = part.key};
  Partition* partition =
      owner.active() && !owner.scope().stopping() ? owner.table()->Find(part.key) : nullptr;
  if (partition == nullptr) {
    out.error = owner.snapshot().WhyNotHere(part.key, owner.self());
    return out;
  }
  if (owner.loop().Now() > terms.not_begun_after) {
    out.error = Error{v1::REQUEST_TIMED_OUT, "the deadline passed before the append; nothing was appended"};
    return out;
  }
  Result<AppendResult> appended = ValidateAndAppend(owner, *partition, part, terms.acks);
  out.leader = partition->leader_known();
  if (!appended) {
    out.error = std::move(appended.error());
    return out;
  }
  out.base_offset = appended->base_offset;
  out.end_offset = appended->end_offset;
  out.append_time = appended->append_time;
  out.log_start = partition->log_start();
  out.epoch = *partition->leader_epoch();
  out.flush_awaited = terms.acks == 1 && !partition->FlushedAsConfigured(out.end_offset);
  return out;
}

// On the owning shard: appends every part at once, then (acks=-1) waits until each is committed, or (acks=1)
// until it is on disk where flush.messages says so. `appended` is called on this loop when the payloads have
// been dropped.
Task<std::vector<Outcome>> ProduceOn(Shard& owner, std::vector<Part> parts, Terms terms, std::stop_source cut,
                                     Callback appended) {
  const WorkStop stop(owner, std::move(cut));
  std::vector<Outcome> outcomes;
  outcomes.reserve(parts.size());
  for (const Part& part : parts) outcomes.push_back(AppendPart(owner, part, terms));
  parts = {};
  appended();
  for (Outcome& outcome : outcomes) {
    if (outcome.error || (terms.acks != -1 && !outcome.flush_awaited)) continue;
    Partition* partition = owner.active() ? owner.table()->Find(outcome.key) : nullptr;
    if (partition == nullptr) {
      outcome.error =
          Error{v1::NOT_LEADER_OR_FOLLOWER, "the replica went away before the batch was acknowledged"};
      continue;
    }
    const MonoTime until = terms.commit_deadline;
    Result<> done;
    if (outcome.flush_awaited) {
      done = co_await partition->WaitFlushed(outcome.end_offset, outcome.epoch, until, stop.token());
    } else {
      done = co_await partition->WaitCommitted(outcome.end_offset, outcome.epoch, until, stop.token());
    }
    if (!done) outcome.error = std::move(done.error());
  }
  co_return outcomes;
}

struct Plan {
  std::vector<std::vector<Part>> by_shard;
  v1::ProduceResponse response;  // every partition asked, in order
  size_t shards_used = 0;
};

Plan MakePlan(Shard& shard, v1::ProduceRequest& request) {
  BrokerContext& context = shard.context();
  Plan plan;
  plan.by_shard.resize(context.shards.size());
  for (int t = 0; t < request.topics_size(); ++t) {
    v1::ProduceRequest::Topic& topic = *request.mutable_topics(t);
    v1::ProduceResponse::Topic* answer = plan.response.add_topics();
    answer->set_id(topic.id());
    const Result<TopicId> id = TopicId::FromBytes(topic.id());
    for (int p = 0; p < topic.partitions_size(); ++p) {
      v1::ProduceRequest::Partition& wanted = *topic.mutable_partitions(p);
      v1::ProduceResponse::Partition* slot = answer->add_partitions();
      slot->set_partition(wanted.partition());
      if (!id) {
        ToProto(id.error(), slot->mutable_error());
        continue;
      }
      Part part{.topic = t, .partition = p, .key = {*id, wanted.partition()}};
      if (wanted.has_leader_epoch()) part.epoch = wanted.leader_epoch();
      part.batches.reserve(static_cast<size_t>(wanted.batches_size()));
      for (v1::ProducerBatch& batch : *wanted.mutable_batches()) part.batches.push_back(std::move(batch));
      std::vector<Part>& slice = plan.by_shard[context.OwnerOf(part.key).index()];
      if (slice.empty()) ++plan.shards_used;
      slice.push_back(std::move(part));
    }
  }
  return plan;
}

void FillOutcome(Shard& shard, const std::string& listener, const Outcome& outcome,
                 v1::ProduceResponse* response) {
  v1::ProduceResponse::Partition* slot =
      response->mutable_topics(outcome.topic)->mutable_partitions(outcome.partition);
  if (outcome.error) {
    ToProto(*outcome.error, slot->mutable_error());
    if (outcome.error->code == v1::NOT_LEADER_OR_FOLLOWER || outcome.error->code == v1::FENCED_LEADER_EPOCH) {
      shard.snapshot().FillHint(outcome.key, listener, outcome.leader.leader, outcome.leader.epoch,
                                slot->mutable_current_leader());
    }
    return;
  }
  slot->set_base_offset(outcome.base_offset);
  slot->set_append_time(outcome.append_time);
  slot->set_log_start_offset(outcome.log_start);
}

void FillMissing(const Plan& plan, size_t shard, WaitOutcome why, v1::ProduceResponse* response) {
  const Error error = why == WaitOutcome::kTimedOut
                          ? Error{v1::REQUEST_TIMED_OUT, "no answer in time; the outcome is unknown"}
                          : Error{v1::BROKER_NOT_READY, "the broker is stopping; the outcome is unknown"};
  for (const Part& part : plan.by_shard[shard]) {
    ToProto(error, response->mutable_topics(part.topic)->mutable_partitions(part.partition)->mutable_error());
  }
}

// Counts slices whose payloads are gone; the last one gives the request's bytes back to the connection's
// budget.
struct Payloads {
  RpcCall* call = nullptr;
  size_t slices = 0;
  OneShot<bool> gone;
  void OneGone() {
    if (--slices > 0) return;
    if (call != nullptr) call->ReleaseRequestBytes();
    gone.Set(true);
  }
};

// They move to the owner; their places stay for the case that it does not answer.
std::vector<Part> TakeParts(std::vector<Part>* places) {
  std::vector<Part> parts = std::exchange(*places, {});
  for (const Part& part : parts) places->push_back({.topic = part.topic, .partition = part.partition});
  return parts;
}

// To be called on the owner's loop when a slice's payloads have been dropped there.
Callback NoteGone(const std::shared_ptr<Payloads>& payloads, Shard& shard, Shard& owner) {
  return [&home = shard.loop(), same = &owner == &shard, weak = std::weak_ptr<Payloads>(payloads)]() mutable {
    auto note = [weak = std::move(weak)] {
      if (const auto held = weak.lock()) held->OneGone();
    };
    if (same) {
      note();
    } else {
      home.Post(std::move(note));
    }
  };
}

}  // namespace

Task<void> HandleProduce(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::ProduceRequest& request = *call->request().mutable_produce();
  const int acks = request.acks();
  if (acks < -1 || acks > 1) {
    call->ReplyError({v1::INVALID_REQUIRED_ACKS, fmt::format("acks={} is not 0, 1 or -1", acks)});
    co_return;
  }
  const Duration asked = std::chrono::milliseconds(request.timeout_ms());
  const Duration timeout = request.timeout_ms() == 0 ? kDefaultTimeout : std::min(asked, kLongestTimeout);
  const MonoTime now = shard.loop().Now();
  const Terms terms{.acks = acks, .not_begun_after = call->deadline(), .commit_deadline = now + timeout};
  const std::string listener = call->connection() == nullptr ? std::string() : call->connection()->listener;
  BrokerContext& context = shard.context();
  Plan plan = MakePlan(shard, request);
  auto payloads = std::make_shared<Payloads>(call.get(), plan.shards_used, OneShot<bool>(shard.loop()));
  Gather<std::vector<Outcome>> gather(shard.loop(), plan.shards_used);
  RequestCut cut;
  std::vector<size_t> shard_of;
  for (size_t i = 0; i < plan.by_shard.size(); ++i) {
    if (plan.by_shard[i].empty()) continue;
    Shard& owner = *context.shards[i];
    std::vector<Part> parts = TakeParts(&plan.by_shard[i]);
    Callback appended = NoteGone(payloads, shard, owner);
    shard_of.push_back(i);
    gather.Start(shard_of.size() - 1, owner.loop(), owner.scope(), "produce",
                 [&owner, parts = std::move(parts), terms, stop_here = cut.For(owner),
                  appended = std::move(appended)]() mutable {
                   return ProduceOn(owner, std::move(parts), terms, std::move(stop_here),
                                    std::move(appended));
                 });
  }
  // A little longer than the slices themselves wait, so that their own answers come first. The outcome of
  // acks=0 is counted also when the client has left by then.
  const WaitOutcome waited = co_await gather.Wait(
      "produce", terms.commit_deadline + 5s, acks == 0 ? shard.scope().stop_token() : call->stop_token());
  if (waited != WaitOutcome::kReady) cut.Cut();
  const bool left = acks != 0 && call->connection() == nullptr;
  // The append goes on all the same, and until then the payloads count.
  if (left && payloads->slices > 0) {
    (void)co_await payloads->gone.Wait("payloads of a client that left", terms.commit_deadline + 5s,
                                       shard.scope().stop_token());
  }
  payloads->call = nullptr;
  if (left) {
    call->NoReply();
    co_return;
  }
  for (size_t i = 0; i < shard_of.size(); ++i) {
    if (!gather.results()[i]) {
      FillMissing(plan, shard_of[i], waited, &plan.response);
      continue;
    }
    for (const Outcome& outcome : *gather.results()[i]) FillOutcome(shard, listener, outcome, &plan.response);
  }
  v1::Response response;
  *response.mutable_produce() = std::move(plan.response);
  if (acks == 0) {
    // Nobody is told; it shows in what the broker counts.
    shard.metrics().Of(v1::Request::kProduce).CountErrors(response);
    call->NoReply();
    co_return;
  }
  call->Reply(std::move(response));
}

}  // namespace tidemark
