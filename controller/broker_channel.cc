#include "controller/broker_channel.h"

#include <algorithm>
#include <utility>

#include <glog/logging.h>

namespace tidemark {
namespace {

std::set<PartitionKey> KeysOf(const v1::LeaderAndIsrRequest& request) {
  std::set<PartitionKey> keys;
  for (const v1::TopicState& topic : request.topics()) {
    for (const v1::PartitionState& state : topic.partitions())
      keys.insert({*TopicId::FromBytes(topic.id()), state.partition()});
  }
  return keys;
}

}  // namespace

BrokerChannel::BrokerChannel(EventLoop& loop, Environment& env, Owner& owner, const LiveBrokerContext& broker,
                             Options options)
    : loop_(loop),
      owner_(owner),
      broker_(broker.id),
      epoch_(broker.epoch),
      new_log_dirs_(broker.new_log_dirs),
      endpoint_(broker.control_endpoint),
      options_(std::move(options)),
      rpc_(loop, env.transport(), env.random(), endpoint_,
           {.purpose = v1::CONNECTION_PURPOSE_CONTROL,
            .client_id = options_.client_id,
            .cluster_id = options_.cluster_id,
            .expected_broker = broker.id}),
      scope_(loop, "broker channel"),
      backoff_(options_.backoff) {}

BrokerChannel::~BrokerChannel() { CHECK_EQ(timer_, 0u) << "Close() first"; }

Task<void> BrokerChannel::Close() {
  scope_.RequestStop();
  loop_.CancelTimer(std::exchange(timer_, 0));
  co_await rpc_.Close();
  co_await scope_.Close();
  loop_.CancelTimer(std::exchange(timer_, 0));
}

void BrokerChannel::StopReplica(const PartitionKey& key, ReplicaToStop what) {
  states_.names.erase(key);
  if (!stops_in_flight_.contains(key)) stops_.insert_or_assign(key, std::move(what));
}

bool BrokerChannel::KnowsTopic(const TopicId& id) const {
  return !metadata_.all && !metadata_.all_in_flight && !metadata_.names.contains(id) &&
         !metadata_.in_flight.contains(id);
}

void BrokerChannel::PumpLater(Duration delay) {
  if (timer_ != 0 || scope_.stopping()) return;
  timer_ = loop_.StartTimerAfter(delay, [this] {
    timer_ = 0;
    Pump();
  });
}

void BrokerChannel::Pump() {
  if (scope_.stopping()) return;
  const bool states = (states_.all || !states_.names.empty()) && states_in_flight_ < kMaxStatesInFlight;
  const bool metadata =
      (metadata_.all || !metadata_.names.empty() || brokers_changed_) && !metadata_in_flight_;
  const bool stops = !stops_.empty() && stops_in_flight_.empty();
  if (!states && !metadata && !stops) return;
  if (const MonoTime now = loop_.Now(); now < blocked_until_) return PumpLater(blocked_until_ - now);
  if (!owner_.MayAct()) return PumpLater(options_.backoff_max);

  // Metadata first: it is taken at once, while replicas may take long to open.
  if (metadata) {
    metadata_in_flight_ = true;
    brokers_changed_ = false;
    metadata_.all_in_flight = std::exchange(metadata_.all, false);
    metadata_.in_flight = std::exchange(metadata_.names, {});
    scope_.Spawn("send metadata", SendMetadata(metadata_.all_in_flight, metadata_.in_flight));
  }
  if (states) {
    ++states_in_flight_;
    const bool full = std::exchange(states_.all, false);
    scope_.Spawn("send states", SendStates(full, std::exchange(states_.names, {})));
  }
  if (stops) {
    stops_in_flight_ = std::exchange(stops_, {});
    scope_.Spawn("send stops", SendStops(stops_in_flight_));
  }
}

void BrokerChannel::Failed() {
  ++counters_.failed;
  // Several commands under way fail together: one step.
  if (loop_.Now() < blocked_until_) return;
  blocked_until_ = loop_.Now() + backoff_;
  backoff_ = std::min(2 * backoff_, options_.backoff_max);
}

void BrokerChannel::Succeeded() {
  backoff_ = options_.backoff;
  blocked_until_ = {};
}

Task<Result<v1::Response>> BrokerChannel::Send(v1::Request request) {
  ++counters_.sent;
  co_return co_await rpc_.Call(std::move(request), options_.command_timeout, scope_.stop_token());
}

bool BrokerChannel::Accepted(const v1::Error& whole) {
  if (whole.code() == v1::NONE) return true;
  if (whole.code() == v1::STALE_CONTROLLER_EPOCH) owner_.OnControllerFenced(broker_);
  if (whole.code() == v1::STALE_BROKER_EPOCH) owner_.OnBrokerFenced(broker_);
  return false;
}

Task<void> BrokerChannel::SendMetadata(bool full, std::set<TopicId> topics) {
  v1::Request request;
  *request.mutable_update_metadata() = owner_.MakeUpdateMetadata(full ? nullptr : &topics);
  request.mutable_update_metadata()->set_full(full);
  owner_.Stamp(epoch_, request.mutable_update_metadata()->mutable_stamp());
  const Result<v1::Response> answer = co_await Send(std::move(request));
  metadata_in_flight_ = false;
  metadata_.all_in_flight = false;
  metadata_.in_flight.clear();
  if (scope_.stopping()) co_return;
  if (answer && Accepted(answer->update_metadata().error())) {
    Succeeded();
    owner_.OnProgress();
  } else {
    if (full) metadata_.all = true;
    metadata_.names.merge(topics);
    brokers_changed_ = true;
    Failed();
  }
  Pump();
}

Task<void> BrokerChannel::SendStates(bool full, std::set<PartitionKey> keys) {
  v1::Request request;
  *request.mutable_leader_and_isr() = owner_.MakeLeaderAndIsr(broker_, full ? nullptr : &keys);
  request.mutable_leader_and_isr()->set_full(full);
  // Nothing left of what was named: its topics are gone, or not to be touched.
  if (!full && request.leader_and_isr().topics().empty()) {
    --states_in_flight_;
    co_return;
  }
  std::set<PartitionKey> asked;
  if (new_log_dirs_) asked = KeysOf(request.leader_and_isr());
  owner_.Stamp(epoch_, request.mutable_leader_and_isr()->mutable_stamp());
  const Result<v1::Response> answer = co_await Send(std::move(request));
  --states_in_flight_;
  if (scope_.stopping()) co_return;
  if (answer && Accepted(answer->leader_and_isr().error())) {
    Succeeded();
    TakeStatesAnswer(answer->leader_and_isr());
    NoteReplicasThere(std::move(asked), answer->leader_and_isr());
    owner_.OnProgress();
  } else {
    if (full) states_.all = true;
    states_.names.merge(keys);
    Failed();
  }
  Pump();
}

void BrokerChannel::TakeStatesAnswer(const v1::LeaderAndIsrResponse& answer) {
  bool again = false;
  for (const auto& partition : answer.partitions()) {
    const Result<TopicId> id = TopicId::FromBytes(partition.topic_id());
    if (!id || partition.error().code() == v1::NONE) continue;
    const PartitionKey key{*id, partition.partition()};
    if (partition.error().code() == v1::KAFKA_STORAGE_ERROR ||
        partition.error().code() == v1::CORRUPT_MESSAGE) {
      owner_.OnReplicaFailed(broker_, epoch_, key, FromProto(partition.error()));
      continue;
    }
    if (partition.error().code() == v1::REPLICA_NOT_AVAILABLE) {
      owner_.OnReplicaLost(broker_, epoch_, key, FromProto(partition.error()));
      continue;
    }
    if (partition.error().code() == v1::FENCED_LEADER_EPOCH) owner_.OnStateFenced(key);
    states_.names.insert(key);
    again = true;
  }
  if (again) Failed();
}

void BrokerChannel::NoteReplicasThere(std::set<PartitionKey> asked, const v1::LeaderAndIsrResponse& answer) {
  for (const auto& partition : answer.partitions()) {
    const Result<TopicId> id = TopicId::FromBytes(partition.topic_id());
    if (id && partition.error().code() != v1::NONE) asked.erase({*id, partition.partition()});
  }
  if (!asked.empty()) owner_.OnReplicasThere(broker_, epoch_, asked);
}

Task<void> BrokerChannel::SendStops(std::map<PartitionKey, ReplicaToStop> stops) {
  v1::Request request;
  for (const auto& [key, what] : stops) {
    auto* replica = request.mutable_stop_replica()->add_replicas();
    replica->set_topic_id(key.topic.ToBytes());
    replica->set_partition(key.partition);
    replica->set_leader_epoch(what.leader_epoch);
    replica->set_delete_data(true);
    replica->set_topic_deleted(true);
    replica->set_topic(what.topic);
  }
  owner_.Stamp(epoch_, request.mutable_stop_replica()->mutable_stamp());
  const Result<v1::Response> answer = co_await Send(std::move(request));
  stops_in_flight_.clear();
  if (scope_.stopping()) co_return;
  if (answer && Accepted(answer->stop_replica().error())) {
    Succeeded();
    bool again = false;
    for (const auto& partition : answer->stop_replica().partitions()) {
      const Result<TopicId> id = TopicId::FromBytes(partition.topic_id());
      if (!id || partition.error().code() == v1::NONE) continue;
      const auto it = stops.find({*id, partition.partition()});
      if (it == stops.end()) continue;
      LOG(WARNING) << "broker " << broker_ << " could not delete " << it->second.topic << "-"
                   << it->first.partition << ": " << ToString(FromProto(partition.error()));
      stops_.insert(*it);
      stops.erase(it);
      again = true;
    }
    if (again) Failed();
    for (const auto& [key, what] : stops) owner_.OnReplicaStopped(broker_, key);
    owner_.OnProgress();
  } else {
    stops_.merge(stops);
    Failed();
  }
  Pump();
}

}  // namespace tidemark
