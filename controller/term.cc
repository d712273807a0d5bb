#include "controller/term.h"

#include <utility>

#include <glog/logging.h>

#include "common/zk/zk_recipes.h"
#include "controller/command_maker.h"

namespace tidemark {
namespace {

constexpr Duration kRetryPause = 100ms;
constexpr Duration kLeasePause = 200ms;
constexpr Duration kLaterPause = 1s;
// A request that the loop has not come to by then is answered as timed out.
constexpr Duration kQueuePatience = 30s;
// Of an admin request while the controller may not write.
constexpr Duration kOutagePatience = 3s;
constexpr Duration kMaxWait = std::chrono::minutes(10);
// What a turn may take while others wait.
constexpr Duration kShare = 50ms;
// Then those of admins have a share, or they would wait for the end of any turmoil.
constexpr int kBrokersInARow = 32;

bool IsAdmin(const v1::Request& request) {
  return request.has_create_topics() || request.has_delete_topics() || request.has_create_partitions() ||
         request.has_alter_configs();
}

}  // namespace

ControllerTerm::ControllerTerm(const ControllerOptions& options, ZkKeeper& keeper, Seat seat,
                               ControllerCounters& counters, std::function<void()> on_end)
    : options_(options),
      keeper_(keeper),
      loop_(options.loop),
      seat_(std::move(seat)),
      counters_(counters),
      on_end_(std::move(on_end)),
      scope_(options.loop, "controller term"),
      writer_(keeper, seat_.session, seat_.fence_version, [this] { End("another controller was elected"); }),
      reader_(options.loop, seat_.session, options.broker_properties,
              [this](const HintSet& hint) { Hint(hint); }),
      wake_(options.loop),
      progress_(options.loop) {}

ControllerTerm::~ControllerTerm() { CHECK(channels_.empty()) << "Close() first"; }

void ControllerTerm::Start() {
  hints_.full = true;
  scope_.Spawn("controller", Run());
}

void ControllerTerm::End(std::string why) {
  if (ended()) return;
  why_ended_ = std::move(why);
  LOG(INFO) << "broker " << options_.broker_id << " ends its term as controller of epoch " << seat_.epoch
            << ": " << why_ended_;
  writer_.Shut();
  scope_.RequestStop();
  wake_.NotifyAll();
  progress_.NotifyAll();
  on_end_();
}

Task<void> ControllerTerm::Close() {
  End("closed");
  while (!channels_.empty()) RemoveChannel(channels_.begin()->first);
  co_await scope_.Close();
  brokers_queue_.clear();
  admins_queue_.clear();
  counters_.fenced_writes += writer_.fenced();
  counters_.unknown_writes += writer_.unknown();
}

void ControllerTerm::OnReconnected() { Hint({.full = true, .verify = true}); }

void ControllerTerm::Hint(const HintSet& hint) {
  hints_.Merge(hint);
  wake_.NotifyAll();
}

void ControllerTerm::HintLater(HintSet hint) {
  scope_.Spawn("hint later", [](ControllerTerm* self, HintSet later) -> Task<void> {
    const WaitOutcome outcome =
        co_await Sleep(self->loop_, kLaterPause, "hint later", self->scope_.stop_token());
    if (outcome != WaitOutcome::kStopped) self->Hint(later);
  }(this, std::move(hint)));
}

Task<void> ControllerTerm::Run() {
  while (!ended()) {
    if (!hints_.Any() && brokers_queue_.empty() && admins_queue_.empty()) {
      (void)co_await wake_.Wait("controller event", kNoDeadline, scope_.stop_token());
    } else if (!MayAct()) {
      // Suspended, or past the lease. Either the connection comes back and everything is read again, or it
      // expires.
      (void)co_await Sleep(loop_, kLeasePause, "controller lease", scope_.stop_token());
    } else {
      co_await Work();
    }
  }
}

Task<void> ControllerTerm::Work() {
  ++counters_.events;
  turn_began_ = loop_.Now();
  // What is not known to be so any more, and who lives, is read first.
  const bool requests = !brokers_queue_.empty() || !admins_queue_.empty();
  const bool serves = !hints_.Any() || (followed_hints_ && requests && !hints_.full && !hints_.brokers);
  followed_hints_ = !serves;
  if (serves) {
    const bool admin =
        brokers_queue_.empty() || (!admins_queue_.empty() && brokers_in_a_row_ >= kBrokersInARow);
    brokers_in_a_row_ = admin || admins_queue_.empty() ? 0 : brokers_in_a_row_ + 1;
    co_await ServeNext(admin ? admins_queue_ : brokers_queue_);
    co_return;
  }
  const HintSet hints = std::exchange(hints_, {});
  const bool refreshed = co_await Refresh(hints);
  if (ended()) co_return;
  if (!refreshed) {
    hints_.Merge(hints);
    followed_hints_ = false;
    (void)co_await Sleep(loop_, kRetryPause, "controller retry", scope_.stop_token());
    co_return;
  }
  co_await Decide();
  if (!ready_ && !ended() && !hints_.full) {
    ready_ = true;
    LOG(INFO) << "broker " << options_.broker_id << " is the controller, epoch " << seat_.epoch << ", of "
              << cluster_.brokers.size() << " live brokers and " << cluster_.topics.size() << " topics";
  }
}

bool ControllerTerm::GivesWay(MonoTime began) const {
  return (hints_.Any() || !brokers_queue_.empty()) && loop_.Now() - began >= kShare;
}

Task<void> ControllerTerm::ServeNext(std::deque<std::shared_ptr<Pending>>& queue) {
  const std::shared_ptr<Pending> pending = std::move(queue.front());
  queue.pop_front();
  if (pending->given_up) co_return;
  pending->begun = true;
  const Step step = co_await Serve(*pending);
  if (step == Step::kDone || ended()) co_return;
  if (step == Step::kGiveWay) {
    // What is done of it is followed up, also if nobody waits for the rest.
    Hint({.decide = true});
    queue.push_front(pending);
    co_return;
  }
  if (step == Step::kLater) {
    ++pending->attempts;
    queue.push_front(pending);
    co_return;
  }
  if (++pending->attempts < kMaxAttempts) {
    queue.push_front(pending);
  } else {
    v1::Response response;
    ToProto(
        {v1::REQUEST_TIMED_OUT, "ZooKeeper did not confirm what was written, the outcome is unknown", true},
        response.mutable_header()->mutable_error());
    pending->answer.Set(std::move(response));
  }
  hints_.full = true;
}

Task<ControllerTerm::Step> ControllerTerm::Serve(Pending& pending) {
  switch (pending.request.body_case()) {
    case v1::Request::kCreateTopics:
      return ServeCreateTopics(pending);
    case v1::Request::kDeleteTopics:
      return ServeDeleteTopics(pending);
    case v1::Request::kCreatePartitions:
      return ServeCreatePartitions(pending);
    case v1::Request::kAlterConfigs:
      return ServeAlterConfigs(pending);
    case v1::Request::kAlterPartition:
      return ServeAlterPartition(pending);
    case v1::Request::kResignLeadership:
      return ServeResignLeadership(pending);
    case v1::Request::kControlledShutdown:
      return ServeControlledShutdown(pending);
    default:
      LOG(FATAL) << "Handle lets no other request in";
  }
}

// Whoever sent an admin request is told early when nothing can be written, and it is not begun after that.
Task<Result<v1::Response>> ControllerTerm::AwaitAnswer(std::shared_ptr<ControllerTerm> self,
                                                       std::shared_ptr<Pending> pending) {
  const MonoTime begun = self->loop_.Now();
  const bool admin = IsAdmin(pending->request);
  while (true) {
    const MonoTime deadline = std::max(begun, pending->moved_at) + kQueuePatience;
    const MonoTime until = admin ? std::min(deadline, self->loop_.Now() + kOutagePatience) : deadline;
    Result<v1::Response> answer =
        co_await pending->answer.Wait("controller request", until, self->scope_.stop_token());
    if (answer) co_return answer;
    Error error = answer.error();
    if (self->ended()) {
      error = {v1::NOT_CONTROLLER, fmt::format("the controller's term ended: {}", self->why_ended())};
    } else if (error.code == v1::REQUEST_TIMED_OUT && admin &&
               !(self->MayAct() && self->keeper_.connected())) {
      error = {v1::BROKER_NOT_READY,
               fmt::format("the controller, broker {}, has no connection to ZooKeeper; {}",
                           self->options_.broker_id,
                           pending->begun ? "the outcome is unknown" : "nothing was changed")};
    } else if (error.code == v1::REQUEST_TIMED_OUT &&
               self->loop_.Now() < std::max(begun, pending->moved_at) + kQueuePatience) {
      continue;
    }
    pending->given_up = admin;
    // What brokers ask does no harm when it is asked again.
    error.unknown_outcome = admin && pending->begun;
    co_return std::unexpected(std::move(error));
  }
}

Task<Result<v1::Response>> ControllerTerm::Handle(std::shared_ptr<ControllerTerm> self, v1::Request request) {
  switch (request.body_case()) {
    case v1::Request::kDescribeTopics:
      co_return self->DescribeTopics(request.describe_topics());
    case v1::Request::kCreateTopics:
    case v1::Request::kDeleteTopics:
    case v1::Request::kCreatePartitions:
    case v1::Request::kAlterConfigs:
    case v1::Request::kAlterPartition:
    case v1::Request::kResignLeadership:
    case v1::Request::kControlledShutdown:
      break;
    default:
      co_return Fail(v1::INVALID_REQUEST, "the controller does not serve this request");
  }
  // It is a broker that asks for the system's topics.
  const bool admin = IsAdmin(request) && !request.create_topics().internal();
  auto& queue = admin ? self->admins_queue_ : self->brokers_queue_;
  if (queue.size() >= kMaxQueued) {
    co_return Fail(v1::BROKER_NOT_READY, "the controller has {} requests to serve before this", queue.size());
  }
  const MonoTime begun = self->loop_.Now();
  auto pending = std::make_shared<Pending>(self->loop_, std::move(request));
  queue.push_back(pending);
  self->wake_.NotifyAll();
  Result<v1::Response> answer = co_await AwaitAnswer(self, pending);
  if (!answer) co_return answer;
  if (answer->header().has_error()) co_return std::unexpected(FromProto(answer->header().error()));
  // The queue is free; what remains is to see the cluster follow.
  const auto until = [&](uint32_t timeout_ms) {
    return begun + std::min<Duration>(std::chrono::milliseconds(timeout_ms), kMaxWait);
  };
  if (pending->request.has_create_topics() && !pending->request.create_topics().validate_only()) {
    const MonoTime deadline = until(pending->request.create_topics().timeout_ms());
    co_await self->AwaitCreated(answer->mutable_create_topics(), deadline);
  } else if (pending->request.has_create_partitions() &&
             !pending->request.create_partitions().validate_only()) {
    const MonoTime deadline = until(pending->request.create_partitions().timeout_ms());
    co_await self->AwaitGrown(answer->mutable_create_partitions(), deadline);
  } else if (pending->request.has_delete_topics()) {
    const MonoTime deadline = until(pending->request.delete_topics().timeout_ms());
    co_await self->AwaitDeleted(answer->mutable_delete_topics(), pending->given_ids, deadline);
  }
  co_return answer;
}

Task<bool> ControllerTerm::StillController() {
  if (!co_await reader_.Sync()) co_return false;
  const ZkResult<int32_t> version = co_await reader_.ReadFenceVersion();
  if (version && *version == seat_.fence_version) co_return true;
  if (version || version.error() == ZkCode::kNoNode) End("/controller_epoch has moved on");
  co_return false;
}

void ControllerTerm::Stamp(BrokerEpoch broker_epoch, v1::ControllerStamp* stamp) const {
  stamp->set_controller_id(options_.broker_id);
  stamp->set_controller_epoch(seat_.epoch);
  stamp->set_broker_epoch(broker_epoch);
}

v1::LeaderAndIsrRequest ControllerTerm::MakeLeaderAndIsr(BrokerId broker,
                                                         const std::set<PartitionKey>* keys) const {
  return tidemark::MakeLeaderAndIsr(cluster_, broker, keys);
}

v1::UpdateMetadataRequest ControllerTerm::MakeUpdateMetadata(const std::set<TopicId>* topics) {
  v1::UpdateMetadataRequest request = tidemark::MakeUpdateMetadata(cluster_, topics);
  request.set_sequence(++metadata_sequence_);
  return request;
}

void ControllerTerm::OnReplicasThere(BrokerId broker, BrokerEpoch epoch, const std::set<PartitionKey>& keys) {
  const auto live = cluster_.brokers.find(broker);
  if (live == cluster_.brokers.end() || live->second.epoch != epoch) return;
  for (const PartitionKey& key : keys) {
    const auto failed = cluster_.failed_replicas.find({broker, key});
    if (failed == cluster_.failed_replicas.end() || !failed->second.log_damaged) continue;
    cluster_.failed_replicas.erase(failed);
    MarkTopic(key.topic);
    Hint({.decide = true});
  }
  const size_t before = live->second.proven.size();
  live->second.proven.insert(keys.begin(), keys.end());
  if (live->second.proven.size() > before) Hint({.decide = true});
}

void ControllerTerm::OnReplicaFailed(BrokerId broker, BrokerEpoch epoch, const PartitionKey& key,
                                     const Error& error) {
  if (cluster_.ReplicaFailed(broker, key)) return;
  cluster_.failed_replicas.insert_or_assign(
      {broker, key}, FailedReplica{.broker_epoch = epoch, .log_damaged = error.code == v1::CORRUPT_MESSAGE});
  const auto name = cluster_.topic_names.find(key.topic);
  LOG(WARNING) << "the replica of "
               << (name == cluster_.topic_names.end() ? key.topic.ToBase64() : name->second) << "-"
               << key.partition << " on broker " << broker << " is offline: " << ToString(error);
  MarkTopic(key.topic);
  Hint({.decide = true});
}

void ControllerTerm::OnReplicaLost(BrokerId broker, BrokerEpoch epoch, const PartitionKey& key,
                                   const Error& error) {
  const auto name = cluster_.topic_names.find(key.topic);
  if (name == cluster_.topic_names.end()) return;
  const TopicContext& topic = cluster_.topics.at(name->second);
  const auto partition = topic.partitions.find(key.partition);
  if (partition == topic.partitions.end() || !partition->second.state) return;
  // Out of the ISR meanwhile: the state now in force lets it begin anew.
  if (partition->second.state->Member(broker) == nullptr) return MarkPartition(topic, key.partition);
  if (cluster_.ReplicaLost(broker, key)) return;
  cluster_.lost_replicas.insert_or_assign({broker, key}, epoch);
  LOG(ERROR) << "broker " << broker << " has lost its log of " << name->second << "-" << key.partition
             << ", which is in sync: it leaves the ISR (" << ToString(error) << ")";
  MarkTopic(key.topic);
  Hint({.decide = true});
}

void ControllerTerm::OnReplicaStopped(BrokerId broker, const PartitionKey& key) {
  const auto name = cluster_.topic_names.find(key.topic);
  if (name == cluster_.topic_names.end()) return;
  const auto deletion = deletions_.find(name->second);
  if (deletion == deletions_.end()) return;
  deletion->second.stopped.insert({broker, key.partition});
  Hint({.decide = true});
}

void ControllerTerm::OnControllerFenced(BrokerId broker) {
  LOG(WARNING) << "broker " << broker << " knows of a controller epoch above " << seat_.epoch;
  Hint({.verify = true});
}

void ControllerTerm::OnBrokerFenced(BrokerId) { Hint({.brokers = true}); }

void ControllerTerm::OnStateFenced(const PartitionKey& key) {
  const auto name = cluster_.topic_names.find(key.topic);
  if (name == cluster_.topic_names.end()) return;
  HintLater({.verify = true, .topic_names = {name->second}});
}

void ControllerTerm::FillStatus(ControllerStatus* out) const {
  out->counters.fenced_writes += writer_.fenced();
  out->counters.unknown_writes += writer_.unknown();
  for (const auto& [id, channel] : channels_) {
    out->counters.commands_sent += channel->counters().sent;
    out->counters.commands_failed += channel->counters().failed;
  }
  out->live_brokers = cluster_.brokers.size();
  out->topics = cluster_.topics.size();
  out->queued_events = brokers_queue_.size() + admins_queue_.size() + (hints_.Any() ? 1 : 0);
  for (const auto& [name, topic] : cluster_.topics) {
    out->partitions += topic.partitions.size();
    for (const auto& [index, partition] : topic.partitions) {
      if (!partition.state || partition.state->leader == kNoBroker) ++out->offline_partitions;
      if (!partition.state || partition.state->isr.size() < partition.replicas.size()) {
        ++out->under_replicated_partitions;
      }
    }
    if (!topic.quarantine.empty()) out->quarantined.push_back({"topic " + name, topic.quarantine});
  }
  for (const auto& [name, why] : cluster_.unreadable_topics)
    out->quarantined.push_back({"topic " + name, why});
  for (const auto& [name, why] : cluster_.unreadable_brokers)
    out->quarantined.push_back({"broker " + name, why});
  for (const auto& [name, deletion] : deletions_) out->deletions.push_back({name, deletion.waits_for});
}

}  // namespace tidemark
