// Fetch, of consumers and followers: each shard concerned polls its slice of the partitions; the first that
// has enough ends the others' wait, and what all have is the answer.
//
// min_bytes over several shards: a shard is asked for its share of what is missing. If all together have less
// than min_bytes when the first is satisfied, a further round asks for shares of the rest, so that nobody
// waits out a deadline while enough is there, and nobody is answered early. No round is begun that nothing
// would wait in: each shard's poll ends with what it was asked for, full, with news, or at the deadline.
#include <algorithm>
#include <any>
#include <unordered_set>

#include "broker/server/fetch_session.h"
#include "broker/server/gather.h"
#include "broker/server/request_router.h"
#include "broker/server/shard.h"

namespace tidemark {
namespace {

constexpr Duration kLongestFetchWait = 300s;
// How long a shard may take beyond the wait asked for.
constexpr Duration kGrace = 10s;
// How long a client over its quota is held at least, or until its quota lets it, whatever max_wait_ms says:
// one that asks again at once must not keep the broker busy.
constexpr Duration kLeastHold = 1s;

struct SliceWork {
  std::vector<FetchWanted> wanted;
  std::vector<PartitionKey> forgotten;
};

struct PollTerms {
  uint64_t handle = 0;
  FetchReader reader;
  size_t max_bytes = 0;
  size_t enough_bytes = 0;
  bool only_changed = false;
  MonoTime deadline{};
};

FetchSliceAnswer NotServed(const Shard& owner, const std::vector<FetchWanted>& wanted) {
  FetchSliceAnswer answer{.urgent = true};
  for (const FetchWanted& one : wanted) {
    FetchSliceAnswer::Item item{.key = one.key};
    ToProto(Error{v1::BROKER_NOT_READY, fmt::format("broker {} is stopping", owner.identity().broker_id)},
            item.response.mutable_error());
    answer.items.push_back(std::move(item));
  }
  return answer;
}

// Bounds that an earlier look found moved are told even if a later look, which sees them unmoved since, has
// records.
void KeepQuietItems(FetchSliceAnswer earlier, FetchSliceAnswer* later) {
  if (earlier.items.empty()) return;
  std::unordered_set<PartitionKey> there;
  for (const FetchSliceAnswer::Item& item : later->items) there.insert(item.key);
  for (FetchSliceAnswer::Item& item : earlier.items) {
    if (item.response.records().empty() && !there.contains(item.key)) later->items.push_back(std::move(item));
  }
}

// On the owning shard. `work` is absent in further rounds of one request.
Task<FetchSliceAnswer> PollOn(Shard& owner, std::optional<SliceWork> work, PollTerms terms) {
  std::optional<FetchReader> make_for;
  if (work) make_for = terms.reader;
  const std::shared_ptr<Shard::Slice> slice = owner.FindSlice(terms.handle, make_for);
  if (!slice) co_return NotServed(owner, work ? work->wanted : std::vector<FetchWanted>());
  slice->cut = std::stop_source();
  if (work) slice->fetch.Update(std::move(work->wanted), work->forgotten);
  FetchSliceAnswer earlier;
  while (true) {
    FetchSliceAnswer answer = co_await slice->fetch.Collect(terms.max_bytes, terms.only_changed);
    if (terms.only_changed) KeepQuietItems(std::move(earlier), &answer);
    if (answer.urgent || answer.full || answer.bytes >= terms.enough_bytes || slice->cut.stop_requested() ||
        owner.loop().Now() >= terms.deadline) {
      co_return answer;
    }
    // Not ready in time: nothing has changed since the look above.
    const WaitOutcome outcome = co_await slice->fetch.WaitReady(terms.deadline, slice->cut.get_token());
    if (outcome == WaitOutcome::kTimedOut) co_return answer;
    earlier = std::move(answer);
  }
}

using Work = std::vector<std::optional<SliceWork>>;  // by shard

Result<Work> Split(Shard& shard, v1::FetchRequest& request, FetchSession& session) {
  BrokerContext& context = shard.context();
  Work work(context.shards.size());
  auto slot = [&](const PartitionKey& key) -> SliceWork& {
    const size_t index = context.OwnerOf(key).index();
    session.Use(index);
    if (!work[index]) work[index].emplace();
    return *work[index];
  };
  for (v1::FetchRequest::Topic& topic : *request.mutable_topics()) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.id()));
    for (v1::FetchRequest::Partition& partition : *topic.mutable_partitions()) {
      const PartitionKey key{id, partition.partition()};
      slot(key).wanted.push_back({.key = key, .request = std::move(partition)});
    }
  }
  for (const v1::FetchRequest::Topic& topic : request.forgotten()) {
    TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.id()));
    for (const v1::FetchRequest::Partition& partition : topic.partitions()) {
      const PartitionKey key{id, partition.partition()};
      slot(key).forgotten.push_back(key);
    }
  }
  // Every shard of the session polls, also those this request says nothing new about.
  for (const size_t index : session.UsedShards()) {
    if (!work[index]) work[index].emplace();
  }
  return work;
}

// Adds what the shards know to the response: topics together, leaders' addresses filled in.
class ResponseBuilder {
 public:
  ResponseBuilder(Shard& shard, std::string listener) : shard_(shard), listener_(std::move(listener)) {}

  void Add(FetchSliceAnswer answer) {
    for (FetchSliceAnswer::Item& item : answer.items) {
      item.response.set_partition(item.key.partition);
      Decorate(item);
      *TopicOf(item.key.topic)->add_partitions() = std::move(item.response);
    }
  }
  v1::Response Take() { return std::move(response_); }

 private:
  v1::FetchResponse::Topic* TopicOf(const TopicId& id) {
    const auto it = topics_.find(id);
    if (it != topics_.end()) return response_.mutable_fetch()->mutable_topics(it->second);
    topics_[id] = response_.fetch().topics_size();
    v1::FetchResponse::Topic* topic = response_.mutable_fetch()->add_topics();
    topic->set_id(id.ToBytes());
    return topic;
  }

  void Decorate(FetchSliceAnswer::Item& item) {
    switch (item.response.error().code()) {
      case v1::NOT_LEADER_OR_FOLLOWER:
      case v1::FENCED_LEADER_EPOCH:
      case v1::REPLICA_NOT_AVAILABLE:
      case v1::UNKNOWN_TOPIC_OR_PARTITION:
      case v1::UNKNOWN_TOPIC_ID:
        break;
      default:
        return;
    }
    // Where there is no replica here, the snapshot says why.
    const bool known = item.response.has_current_leader();
    if (!known) {
      ToProto(shard_.snapshot().WhyNotHere(item.key, shard_.self()), item.response.mutable_error());
    }
    v1::LeaderHint hint;
    shard_.snapshot().FillHint(item.key, listener_,
                               known ? item.response.current_leader().leader() : kNoBroker,
                               known ? item.response.current_leader().leader_epoch() : 0, &hint);
    *item.response.mutable_current_leader() = std::move(hint);
  }

  Shard& shard_;
  const std::string listener_;
  v1::Response response_;
  std::unordered_map<TopicId, int> topics_;
};

struct RequestTerms {
  size_t min_bytes = 0;
  size_t max_bytes = 0;  // 0: bounds and errors only
  bool only_changed = false;
  MonoTime deadline{};
};

// Polls the shards until the terms are met. Empty when a shard did not answer at all, or the reader has gone.
Task<std::optional<std::vector<FetchSliceAnswer>>> Poll(Shard& shard, std::shared_ptr<FetchSession> session,
                                                        Work work, RequestTerms terms, std::stop_token stop) {
  BrokerContext& context = shard.context();
  const std::vector<size_t> used = session->UsedShards();
  // Nothing is wanted of anybody: rounds with no shard to wait for would follow one another up to the
  // deadline.
  if (used.empty()) co_return std::vector<FetchSliceAnswer>();
  std::vector<size_t> have(used.size(), 0);
  size_t total = 0;
  std::vector<FetchSliceAnswer> earlier(used.size());
  for (bool first = true;; first = false) {
    Gather<FetchSliceAnswer> gather(shard.loop(), used.size());
    if (used.size() > 1) {
      gather.SetListener([&context, used, handle = session->handle(), told = false](size_t index) mutable {
        if (!std::exchange(told, true)) FetchSession::CutSlices(context, used, handle, used[index]);
      });
    }
    const size_t missing = terms.min_bytes > total ? terms.min_bytes - total : 0;
    for (size_t i = 0; i < used.size(); ++i) {
      Shard& owner = *context.shards[used[i]];
      const PollTerms poll{
          .handle = session->handle(),
          .reader = session->reader(),
          .max_bytes = terms.max_bytes == 0 ? 0 : std::max<size_t>(1, terms.max_bytes / used.size()),
          .enough_bytes = have[i] + (missing + used.size() - 1) / used.size(),
          .only_changed = terms.only_changed,
          .deadline = terms.deadline};
      std::optional<SliceWork> part = first ? std::move(work[used[i]]) : std::nullopt;
      gather.Start(i, owner.loop(), owner.scope(), "fetch", [&owner, part = std::move(part), poll]() mutable {
        return PollOn(owner, std::move(part), poll);
      });
    }
    if (co_await gather.Wait("fetch", terms.deadline + kGrace, stop) != WaitOutcome::kReady)
      co_return std::nullopt;
    std::vector<FetchSliceAnswer> answers;
    bool urgent = false, full = false;
    total = 0;
    for (size_t i = 0; i < used.size(); ++i) {
      answers.push_back(std::move(*gather.results()[i]));
      if (terms.only_changed) KeepQuietItems(std::move(earlier[i]), &answers[i]);
      have[i] = answers[i].bytes;
      total += have[i];
      urgent = urgent || answers[i].urgent;
      full = full || answers[i].full;
    }
    if (urgent || full || total >= terms.min_bytes || session->cut() ||
        shard.loop().Now() >= terms.deadline || shard.scope().stopping()) {
      co_return answers;
    }
    earlier = std::move(answers);
  }
}

Result<FetchReader> ReaderOf(const v1::FetchRequest& request, const ConnectionInfo& connection) {
  if (!request.has_follower()) return FetchReader{};
  // Only a broker may speak for a replica: what it says moves the high watermark.
  if (!connection.roles.inter_broker || connection.purpose != v1::CONNECTION_PURPOSE_REPLICATION) {
    return Fail(v1::LISTENER_FORBIDDEN,
                "a follower's fetch needs a replication connection on the inter-broker listener");
  }
  if (request.follower().replica_id() < 0) {
    return Fail(v1::INVALID_REQUEST, "follower.replica_id {} is no broker", request.follower().replica_id());
  }
  return FetchReader{.replica = request.follower().replica_id(),
                     .broker_epoch = request.follower().broker_epoch()};
}

// The session of this request: the connection's, a new one for it, or one for this request alone.
Result<std::shared_ptr<FetchSession>> SessionFor(Shard& shard, const v1::FetchRequest& request,
                                                 ConnectionInfo* connection) {
  TM_ASSIGN_OR_RETURN(const FetchReader reader, ReaderOf(request, *connection));
  const uint64_t epoch = request.session_epoch();
  ConnectionFetches& fetches = FetchesOf(*connection);
  if (epoch == 0) return std::make_shared<FetchSession>(shard, reader, fetches.holding);
  if (epoch == 1) {
    if (fetches.session) fetches.session->Cut();
    fetches.session = std::make_shared<FetchSession>(shard, reader, fetches.holding);
    fetches.session->epoch = 1;
    return fetches.session;
  }
  if (!fetches.session) return Fail(v1::FETCH_SESSION_ID_NOT_FOUND, "this connection has no fetch session");
  std::shared_ptr<FetchSession> session = fetches.session;
  const bool same_reader =
      session->reader().replica == reader.replica && session->reader().broker_epoch == reader.broker_epoch;
  if (epoch != session->epoch + 1 || !same_reader) {
    session->Cut();
    fetches.session.reset();
    return Fail(v1::INVALID_FETCH_SESSION_EPOCH, "session epoch {} after {}{}; open a new session", epoch,
                session->epoch, same_reader ? "" : " by another reader");
  }
  session->epoch = epoch;
  return session;
}

// What the reader believes of the session is not so any more. Those of its requests that wait are refused: a
// slice that a shard still reads must not be changed under it.
void EndSession(ConnectionInfo* connection, const std::shared_ptr<FetchSession>& session) {
  session->MarkOver();
  if (connection == nullptr) return;
  auto* fetches = std::any_cast<ConnectionFetches>(&connection->session);
  if (fetches != nullptr && fetches->session == session) fetches->session.reset();
}

RequestTerms TermsOf(Shard& shard, const v1::FetchRequest& request, const std::string& client_id,
                     MonoTime call_deadline) {
  const BrokerConfig& config = shard.config();
  RequestTerms terms;
  const Duration wait =
      std::min<Duration>(std::chrono::milliseconds(request.max_wait_ms()), kLongestFetchWait);
  const MonoTime now = shard.loop().Now();
  // The answer must reach a reader that still waits.
  terms.deadline = std::min(now + wait, call_deadline);
  terms.min_bytes = request.max_wait_ms() == 0 ? 0 : std::max<size_t>(1, request.min_bytes());
  terms.max_bytes = request.max_bytes() == 0 ? config.fetch_max_bytes
                                             : std::min<size_t>(request.max_bytes(), config.fetch_max_bytes);
  if (!request.has_follower()) terms.max_bytes = shard.quotas().FetchBytes(client_id, terms.max_bytes);
  terms.only_changed = request.session_epoch() > 1;
  return terms;
}

}  // namespace

Task<void> HandleFetch(Shard& shard, std::unique_ptr<RpcCall> call) {
  v1::FetchRequest& request = *call->request().mutable_fetch();
  ConnectionInfo* connection = call->connection();
  if (connection == nullptr) co_return;
  const std::string listener = connection->listener;
  Result<std::shared_ptr<FetchSession>> made = SessionFor(shard, request, connection);
  if (!made) {
    call->ReplyError(made.error());
    co_return;
  }
  const std::shared_ptr<FetchSession> session = std::move(*made);
  if (!co_await session->Begin(call->stop_token())) co_return;
  if (session->over()) {
    session->End();
    call->ReplyError({v1::FETCH_SESSION_ID_NOT_FOUND, "the session ended with a request before this one"});
    co_return;
  }
  RequestTerms terms = TermsOf(shard, request, call->request().header().client_id(), call->deadline());
  if (!session->reader().follower() &&
      !co_await WaitOutFetchQuota(
          shard, *call,
          std::min(std::max(terms.deadline, shard.loop().Now() + kLeastHold), call->deadline()))) {
    // Told what a poll that found nothing is told, and throttle_ms.
    terms.min_bytes = terms.max_bytes = 0;
  }
  Result<Work> work = Work();
  if (const auto held = session->Hold(request); !held) {
    work = std::unexpected(held.error());
  } else {
    work = Split(shard, request, *session);
  }
  if (!work) {
    EndSession(call->connection(), session);
    session->End();
    call->ReplyError(work.error());
    co_return;
  }
  const FetchAllowance allowance(session->holding(), terms.max_bytes, shard.config().fetch_max_bytes);
  terms.max_bytes = allowance.bytes();
  terms.min_bytes = std::min(terms.min_bytes, terms.max_bytes);
  std::optional<std::vector<FetchSliceAnswer>> answers =
      co_await Poll(shard, session, std::move(*work), terms, call->stop_token());
  // Before the next request is woken: its slices may be at anything.
  if (!answers) EndSession(call->connection(), session);
  session->End();
  if (!answers) {
    call->ReplyError({v1::REQUEST_TIMED_OUT, "a shard did not answer"});
    co_return;
  }
  ResponseBuilder builder(shard, listener);
  for (FetchSliceAnswer& answer : *answers) builder.Add(std::move(answer));
  v1::Response response = builder.Take();
  response.mutable_fetch();
  call->Reply(std::move(response));
}

}  // namespace tidemark
