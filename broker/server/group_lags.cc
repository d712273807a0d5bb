#include "broker/server/group_lags.h"

#include "broker/server/gather.h"
#include "broker/server/list_offsets.h"
#include "broker/server/shard.h"

namespace tidemark {
namespace {

constexpr Duration kLagPatience = 5s;

Task<CommittedPositions> PositionsOn(Shard& shard, size_t most) {
  if (!shard.active() || shard.scope().stopping()) co_return CommittedPositions();
  co_return co_await shard.groups()->Positions(most);
}

}  // namespace

GroupLags::GroupLags(BrokerContext& context, Scope& scope, BrokerIdentity self, SnapshotSource snapshot)
    : context_(context),
      loop_(context.control_loop),
      scope_(scope),
      self_(std::move(self)),
      snapshot_(std::move(snapshot)) {}

GroupLags::~GroupLags() {
  CHECK(peers_.empty()) << "the lags of groups were destroyed before they were closed";
}

void GroupLags::Start() {
  if (context_.config.groups.lag_interval > Duration{}) scope_.Spawn("group lags", Rounds());
}

Task<void> GroupLags::Close() {
  for (auto& [broker, peer] : std::exchange(peers_, {})) co_await peer.channel->Close();
}

Task<void> GroupLags::Rounds() {
  while (co_await Sleep(loop_, context_.config.groups.lag_interval, "group lags", scope_.stop_token()) !=
         WaitOutcome::kStopped) {
    co_await Round();
  }
}

Task<std::vector<CommittedPositions>> GroupLags::Committed() {
  const size_t shards = context_.shards.size();
  Gather<CommittedPositions> gather(loop_, shards);
  for (const auto& shard : context_.shards) {
    gather.Start(shard->index(), shard->loop(), shard->scope(), "group positions",
                 [&shard = *shard, shards] { return PositionsOn(shard, kMostLagsFollowed / shards); });
  }
  (void)co_await gather.Wait("group positions", loop_.Now() + kLagPatience, scope_.stop_token());
  std::vector<CommittedPositions> all;
  for (auto& some : gather.results()) {
    if (some) all.push_back(std::move(*some));
  }
  co_return all;
}

Task<void> GroupLags::Round() {
  LagRound round(co_await Committed(), append_times_);
  if (scope_.stopping()) co_return;
  const ClusterSnapshot::Ptr snapshot = snapshot_();
  auto questions = round.Questions([&snapshot](const PartitionKey& key) {
    const TopicInfo* topic = snapshot->Topic(key.topic);
    if (topic == nullptr || topic->deleting || !topic->partitions.contains(key.partition)) return kNoBroker;
    return topic->partitions.at(key.partition).leader;
  });
  Gather<std::vector<Answered>> gather(loop_, questions.size());
  size_t next = 0;
  for (auto& [broker, requests] : questions) {
    gather.Start(next++, loop_, scope_, "group lags",
                 [this, broker = broker, requests = std::move(requests)]() mutable {
                   return Ask(broker, std::move(requests));
                 });
  }
  // Each of them is bounded itself, so none is left behind for the next round.
  (void)co_await gather.Wait("lags of groups", kNoDeadline, scope_.stop_token());
  if (scope_.stopping()) co_return;
  for (const auto& some : gather.results()) {
    if (!some) continue;
    for (const Answered& one : *some) round.Answer(one.asked, one.answer);
  }
  table_ = round.Tell(context_.env.clock().WallNow());
  append_times_ = round.append_times();
  told_at_ = loop_.Now();
}

Task<std::vector<GroupLags::Answered>> GroupLags::Ask(BrokerId broker,
                                                      std::vector<v1::ListOffsetsRequest> questions) {
  std::vector<Answered> out;
  const MonoTime deadline = loop_.Now() + kLagPatience;
  for (v1::ListOffsetsRequest& question : questions) {
    if (scope_.stopping() || loop_.Now() >= deadline) break;
    if (broker == self_.broker_id) {
      auto answer = co_await ListOffsetsHere(context_, loop_, question, deadline, scope_.stop_token());
      out.push_back({std::move(question), std::move(answer)});
      continue;
    }
    const std::shared_ptr<RpcChannel> channel = co_await ChannelTo(broker);
    if (channel == nullptr) break;
    v1::Request request;
    *request.mutable_list_offsets() = question;
    auto response = co_await channel->Call(std::move(request), deadline - loop_.Now(), scope_.stop_token());
    if (!response) break;
    out.push_back({std::move(question), std::move(*response->mutable_list_offsets())});
  }
  co_return out;
}

// Null when nobody knows where it is. A broker that has moved gets a new one.
Task<std::shared_ptr<RpcChannel>> GroupLags::ChannelTo(BrokerId broker) {
  const BrokerInfo* info = snapshot_()->Broker(broker);
  const Endpoint* endpoint = info == nullptr ? nullptr : info->InterBroker();
  const auto known = peers_.find(broker);
  if (known != peers_.end() && endpoint != nullptr && known->second.endpoint == *endpoint)
    co_return known->second.channel;
  std::shared_ptr<RpcChannel> former;
  if (known != peers_.end()) former = peers_.extract(known).mapped().channel;
  std::shared_ptr<RpcChannel> channel;
  if (endpoint != nullptr) {
    channel = std::make_shared<RpcChannel>(
        loop_, context_.env.transport(), context_.env.random(), *endpoint,
        RpcChannelOptions{.purpose = v1::CONNECTION_PURPOSE_CONTROL,
                          .client_id = fmt::format("broker-{}-group-lags", self_.broker_id),
                          .cluster_id = self_.cluster_id,
                          .expected_broker = broker});
    peers_[broker] = {*endpoint, channel};
  }
  if (former) co_await former->Close();
  co_return channel;
}

void GroupLags::AddMetrics(const std::map<PartitionKey, LeaderEpoch>& serving, Exposition* out) const {
  // Rounds that did not end for so long that what the last one found out says nothing any more.
  const Duration interval = context_.config.groups.lag_interval;
  if (told_at_ == MonoTime{} || loop_.Now() - told_at_ > 2 * interval + 4 * kLagPatience) return;
  for (const GroupLag& lag : table_.lags) {
    const auto place = serving.find(lag.position.place);
    if (place == serving.end() || place->second != lag.position.epoch) continue;
    const Exposition::Labels labels = {{"group", lag.position.group},
                                       {"topic", lag.position.topic},
                                       {"partition", std::to_string(lag.position.at.partition)}};
    out->Gauge("tidemark_group_lag_records", static_cast<double>(lag.records), labels);
    if (lag.age)
      out->Gauge("tidemark_group_lag_seconds", std::chrono::duration<double>(*lag.age).count(), labels);
  }
  out->Gauge("tidemark_group_lag_unknown", static_cast<double>(table_.unknown));
  out->Gauge("tidemark_group_lag_left_out", static_cast<double>(table_.left_out));
}

}  // namespace tidemark
