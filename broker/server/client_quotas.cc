#include "broker/server/client_quotas.h"

#include <algorithm>
#include <utility>

#include "broker/server/fetch_session.h"
#include "broker/server/shard.h"
#include "common/async/call_on.h"

namespace tidemark {
namespace {

// How long the shard that keeps the count may take; then there is no delay.
constexpr Duration kChargePatience = 100ms;
// That a client is told because of a fetch quota, however much it owes: one that comes back earlier is held,
// and hears so of a quota that was mended.
constexpr Duration kLongestFetchDelayTold = 10s;
// A connection is read again so much before the client was told to go on: what lies in the socket then was
// sent too early, and what comes in time is not taken for it.
constexpr Duration kHeadStart = 50ms;

// FNV-1a: the same on every shard.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

// What one request used, and of what it has a quota.
struct Use {
  std::string client_id;
  bool fetch = false;
  QuotaLimits limits;
  std::array<double, kQuotaKinds> amount{};

  std::optional<double> LimitOf(QuotaKind kind) const {
    if (kind == QuotaKind::kProduce) return limits.produce;
    return kind == QuotaKind::kFetch ? limits.fetch : limits.request;
  }
};

struct Verdict {
  std::array<Duration, kQuotaKinds> delays{};
  Duration Of(QuotaKind kind) const { return delays[static_cast<size_t>(kind)]; }
  // That asks for the longest delay.
  QuotaKind Kind() const { return static_cast<QuotaKind>(std::ranges::max_element(delays) - delays.begin()); }
};

Verdict ChargeHere(ClientQuotas& quotas, const Use& use, MonoTime now) {
  Verdict out;
  for (const QuotaKind kind : {QuotaKind::kProduce, QuotaKind::kFetch, QuotaKind::kRequest}) {
    const std::optional<double> limit = use.LimitOf(kind);
    const double amount = use.amount[static_cast<size_t>(kind)];
    if (!limit) continue;
    Duration& delay = out.delays[static_cast<size_t>(kind)];
    if (amount > 0) {
      delay = quotas.ledger().Charge(kind, use.client_id, amount, *limit, now);
    } else if (kind == QuotaKind::kFetch && use.fetch) {
      delay = quotas.ledger().Owed(kind, use.client_id, *limit, now);
    }
  }
  return out;
}

// On the client's home shard.
Task<Verdict> ChargeOn(Shard& home, Use use) { co_return ChargeHere(home.quotas(), use, home.loop().Now()); }

// What is owed to the fetch quota `limit`, on the client's home shard.
Task<Duration> OwedOn(Shard& home, std::string client_id, double limit) {
  co_return home.quotas().ledger().Owed(QuotaKind::kFetch, client_id, limit, home.loop().Now());
}

Shard& HomeOf(Shard& shard, std::string_view client_id) {
  BrokerContext& context = shard.context();
  return *context.shards[HashOf(client_id) % context.shards.size()];
}

void HoldFetches(Shard& shard, RpcCall& call, Duration delay) {
  ConnectionInfo* connection = call.connection();
  if (connection == nullptr) return;
  ConnectionFetches& fetches = FetchesOf(*connection);
  const uint64_t revision = shard.quotas().revision();
  if (std::exchange(fetches.quotas_revision, revision) != revision) fetches.held_until = {};
  fetches.held_until = std::max(fetches.held_until, shard.loop().Now() + delay);
}

// For the first fetch of a connection under the quotas of now: its client may have used them on others.
// False: the shard that keeps the count does not answer.
Task<bool> AskForDelay(Shard& shard, RpcCall& call, std::string client_id, double limit) {
  const uint64_t revision = shard.quotas().revision();
  Shard& home = HomeOf(shard, client_id);
  Result<Duration> owed = Duration::zero();
  if (&home == &shard) {
    owed = co_await OwedOn(home, std::move(client_id), limit);
  } else {
    owed = co_await CallOn<Duration>(
        shard.loop(), home.loop(), home.scope(), "fetch quota",
        [&home, client_id = std::move(client_id), limit] { return OwedOn(home, client_id, limit); },
        shard.loop().Now() + kChargePatience, call.stop_token());
  }
  if (!owed) co_return false;
  if (shard.quotas().revision() == revision) HoldFetches(shard, call, *owed);
  co_return true;
}

// An answer without any is not charged, or whoever is held would owe the more the more often it asks.
bool HasRecords(const v1::FetchResponse& response) {
  return std::ranges::any_of(response.topics(), [](const v1::FetchResponse::Topic& topic) {
    return std::ranges::any_of(topic.partitions(), [](const auto& part) { return !part.records().empty(); });
  });
}

// Without a response: there is none to send.
void Answer(Shard& shard, RpcCall& call, std::optional<v1::Response> response, Verdict verdict) {
  Duration& fetch = verdict.delays[static_cast<size_t>(QuotaKind::kFetch)];
  if (fetch > Duration::zero()) HoldFetches(shard, call, fetch);
  fetch = std::min<Duration>(fetch, kLongestFetchDelayTold);
  const Duration longest = verdict.Of(verdict.Kind());
  if (longest > Duration::zero()) {
    shard.quotas().NoteThrottled(verdict.Kind(), longest);
    const Duration mute = std::max(verdict.Of(QuotaKind::kProduce), verdict.Of(QuotaKind::kRequest));
    call.Mute(mute - std::min(kHeadStart, mute / 2));
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(longest).count();
    if (response) response->mutable_header()->set_throttle_ms(static_cast<uint32_t>(ms));
  }
  if (response) {
    call.Reply(std::move(*response));
  } else {
    call.NoReply();
  }
}

Task<void> ChargeAndAnswer(Shard& shard, Shard& home, Use use, std::unique_ptr<RpcCall> call,
                           std::optional<v1::Response> response) {
  const uint64_t revision = shard.quotas().revision();
  const Result<Verdict> verdict = co_await CallOn<Verdict>(
      shard.loop(), home.loop(), home.scope(), "charge quota",
      [&home, use = std::move(use)]() mutable { return ChargeOn(home, std::move(use)); },
      shard.loop().Now() + kChargePatience, shard.scope().stop_token());
  // A change of quotas ends all delays, that of this answer too.
  const bool counts = verdict && shard.quotas().revision() == revision;
  Answer(shard, *call, std::move(response), counts ? *verdict : Verdict());
}

// What this request took to receive, and what was answered on its connection before to encode and send: that
// is known too late for its own charge. Nothing of the time before the present quotas.
Duration TransferTime(Shard& shard, RpcCall& call) {
  const Duration time = call.TakeTransferTime();
  const uint64_t revision = shard.quotas().revision();
  const bool counts = std::exchange(FetchesOf(*call.connection()).timed_revision, revision) == revision;
  return counts ? time : Duration();
}

class ChargedCall final : public RpcCall {
 public:
  ChargedCall(Shard& shard, std::unique_ptr<RpcCall> inner, const QuotaLimits& limits)
      : shard_(shard), inner_(std::move(inner)), time_(std::make_shared<CallTime>()) {
    time_->begun = inner_->begun();
    if (limits.request) transfer_ = TransferTime(shard, *inner_);
    use_.client_id = inner_->request().header().client_id();
    use_.fetch = inner_->request().has_fetch();
    if (inner_->request().has_produce()) {
      use_.amount[static_cast<size_t>(QuotaKind::kProduce)] = static_cast<double>(inner_->request_bytes());
    }
  }

  // Once it is answered, the inner call is on its way to its end.
  v1::Request& request() override { return inner_->request(); }
  MonoTime begun() const override { return time_->begun; }
  Duration TakeTransferTime() override { return inner_ ? inner_->TakeTransferTime() : Duration(); }
  MonoTime deadline() const override { return inner_->deadline(); }
  std::stop_token stop_token() const override { return inner_->stop_token(); }
  ConnectionInfo* connection() override { return inner_ ? inner_->connection() : nullptr; }
  void ReleaseRequestBytes() override {
    if (inner_) inner_->ReleaseRequestBytes();
  }
  size_t request_bytes() const override { return inner_->request_bytes(); }
  void Mute(Duration pause) override {
    if (inner_) inner_->Mute(pause);
  }

  void Reply(v1::Response response) override { Finish(std::move(response)); }
  void ReplyError(const Error& error) override {
    v1::Response response;
    ToProto(error, response.mutable_header()->mutable_error());
    Finish(std::move(response));
  }
  void NoReply() override { Finish(std::nullopt); }

  const std::shared_ptr<CallTime>& time() const { return time_; }

 private:
  void Finish(std::optional<v1::Response> response) {
    // By the quotas of now: those it was begun under may have been the mistake that was mended since.
    const std::optional<QuotaLimits> limits = shard_.quotas().For(use_.client_id);
    std::unique_ptr<RpcCall> call = std::move(inner_);
    if (!limits) return Answer(shard_, *call, std::move(response), {});
    use_.limits = *limits;
    if (use_.fetch && use_.limits.fetch && response && HasRecords(response->fetch())) {
      use_.amount[static_cast<size_t>(QuotaKind::kFetch)] = static_cast<double>(response->ByteSizeLong());
    }
    const MonoTime now = shard_.loop().Now();
    const Duration busy = transfer_ + time_->to_first_wait.value_or(now - time_->begun);
    // In percent of a second.
    use_.amount[static_cast<size_t>(QuotaKind::kRequest)] = std::chrono::duration<double>(busy).count() * 100;
    Shard& home = HomeOf(shard_, use_.client_id);
    if (&home == &shard_ || shard_.scope().stopping()) {
      Answer(shard_, *call, std::move(response), ChargeHere(shard_.quotas(), use_, now));
    } else {
      shard_.scope().Spawn("charge quota", ChargeAndAnswer(shard_, home, std::move(use_), std::move(call),
                                                           std::move(response)));
    }
  }

  Shard& shard_;
  std::unique_ptr<RpcCall> inner_;
  const std::shared_ptr<CallTime> time_;
  Duration transfer_{};
  Use use_;
};

}  // namespace

QuotaCounters& QuotaCounters::operator+=(const QuotaCounters& other) {
  for (size_t i = 0; i < kQuotaKinds; ++i) {
    throttled[i] += other.throttled[i];
    delay[i] += other.delay[i];
  }
  clients += other.clients;
  return *this;
}

void AddQuotaMetrics(const QuotaCounters& counters, Exposition* out) {
  static constexpr std::array kNames = {"produce", "fetch", "request"};
  for (size_t i = 0; i < kQuotaKinds; ++i) {
    const Exposition::Labels quota = {{"quota", kNames[i]}};
    out->Counter("tidemark_throttled_requests_total", counters.throttled[i], quota);
    out->Amount("tidemark_throttle_seconds_total", std::chrono::duration<double>(counters.delay[i]).count(),
                quota);
  }
  out->Gauge("tidemark_quota_clients", static_cast<double>(counters.clients));
}

std::optional<QuotaLimits> ClientQuotas::For(std::string_view client_id) const {
  if (!picture_->any()) return std::nullopt;
  const QuotaLimits limits = picture_->Of(client_id);
  return limits.any() ? std::optional(limits) : std::nullopt;
}

size_t ClientQuotas::FetchBytes(std::string_view client_id, size_t most) const {
  const std::optional<QuotaLimits> limits = For(client_id);
  if (!limits || !limits->fetch) return most;
  const Duration span = std::max<Duration>((windows_.samples - 1) * windows_.length, windows_.length);
  const double bytes = *limits->fetch * std::chrono::duration<double>(span).count();
  return bytes >= static_cast<double>(most) ? most : std::max<size_t>(1, static_cast<size_t>(bytes));
}

void ClientQuotas::Set(std::shared_ptr<const QuotaPicture> picture) {
  picture_ = std::move(picture);
  ++revision_;
  changed_.NotifyAll();
}

void ClientQuotas::NoteThrottled(QuotaKind kind, Duration delay) {
  ++counters_.throttled[static_cast<size_t>(kind)];
  counters_.delay[static_cast<size_t>(kind)] += delay;
}

QuotaCounters ClientQuotas::counters() const {
  QuotaCounters out = counters_;
  out.clients = ledger_.size();
  return out;
}

std::unique_ptr<RpcCall> UnderQuotas(Shard& shard, std::unique_ptr<RpcCall> call,
                                     std::shared_ptr<CallTime>* time) {
  ConnectionInfo* connection = call->connection();
  if (connection == nullptr || connection->purpose != v1::CONNECTION_PURPOSE_CLIENT) return call;
  const auto limits = shard.quotas().For(call->request().header().client_id());
  if (!limits) return call;
  auto charged = std::make_unique<ChargedCall>(shard, std::move(call), *limits);
  *time = charged->time();
  return charged;
}

Task<bool> WaitOutFetchQuota(Shard& shard, RpcCall& call, MonoTime most) {
  while (true) {
    // Anew after each wait: the connection may have gone, and with it what is kept of it.
    ConnectionInfo* connection = call.connection();
    if (connection == nullptr) co_return false;
    if (connection->purpose != v1::CONNECTION_PURPOSE_CLIENT) co_return true;
    const std::string& client_id = call.request().header().client_id();
    const std::optional<QuotaLimits> limits = shard.quotas().For(client_id);
    if (!limits || !limits->fetch) co_return true;
    const ConnectionFetches& fetches = FetchesOf(*connection);
    const MonoTime now = shard.loop().Now();
    const bool told = fetches.quotas_revision == shard.quotas().revision();
    if (told && fetches.held_until <= now) co_return true;
    if (now >= most) co_return false;
    if (!told) {
      // One that counts and does not say is no reason to wait.
      if (!co_await AskForDelay(shard, call, client_id, *limits->fetch)) co_return true;
      continue;
    }
    (void)co_await shard.quotas().changed().Wait("fetch quota", std::min(fetches.held_until, most),
                                                 call.stop_token());
  }
}

}  // namespace tidemark
