#include "client/cluster.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <glog/logging.h>

#include "client/backoff.h"
#include "common/async/scope.h"

namespace tidemark {

namespace {
// A broker that does not answer for so long is passed over when any broker will do.
constexpr Duration kMetadataTry = 3s;
}  // namespace

class Cluster::Impl {
 public:
  Impl(Environment& env, EventLoop& loop, ClientOptions options)
      : env_(env), loop_(loop), options_(std::move(options)), scope_(loop, "cluster"), call_ended_(loop) {
    if (!options_.bootstrap.empty()) next_ = env_.random().Below(options_.bootstrap.size());
  }

  Task<Result<>> Refresh(std::string topic, MonoTime deadline, std::stop_token stop);
  Task<Result<v1::Response>> CallAny(v1::Request request, Duration per_try, MonoTime deadline,
                                     std::stop_token stop, CallNotes* notes = nullptr);
  void ApplyHint(const std::string& topic, PartitionIndex partition, const v1::LeaderHint& hint);
  void NoteEpoch(const std::string& topic, const TopicId& id, PartitionIndex partition, LeaderEpoch epoch);
  Task<Result<v1::Response>> AskOther(v1::Request request, BrokerId doubted, MonoTime deadline,
                                      std::stop_token stop);
  Result<PartitionLeader> ReadOpinion(const v1::Response& response, const std::string& topic,
                                      PartitionIndex partition);
  void SetEndpoint(BrokerId id, Endpoint endpoint);
  const TopicPicture* Find(const std::string& topic) const;
  RpcChannel* Channel(BrokerId broker);
  Result<> Merge(const v1::MetadataResponse& response);
  Task<void> Close();

  Environment& env_;
  EventLoop& loop_;
  const ClientOptions options_;
  Scope scope_;

  struct Broker {
    Endpoint endpoint;
    std::unique_ptr<RpcChannel> channel;  // made when first needed
    bool live = false;                    // in the last picture
  };
  std::map<BrokerId, Broker> brokers_;

 private:
  struct Topic {
    TopicPicture picture;
    // Ids that the name had before: a broker that still tells one is behind.
    std::set<TopicId> former_ids;
  };
  // A refresh under way and those who wait for it.
  struct Flight {
    explicit Flight(EventLoop& loop) : done(loop) {}
    Notifier done;
    std::optional<Result<>> result;
  };

  Task<Result<v1::Response>> TryAll(v1::Request request, Duration per_try, MonoTime deadline,
                                    std::stop_token stop, CallNotes* notes);
  Task<void> RunRefresh(std::string topic, std::shared_ptr<Flight> flight);
  Task<void> RefreshByAge();
  Result<> MergeTopic(const v1::TopicMetadata& topic);
  Task<Result<v1::Response>> TryOthers(v1::Request request, BrokerId doubted, MonoTime deadline,
                                       std::stop_token stop);
  std::vector<RpcChannel*> Candidates();
  bool NoFirstContactSince(MonoTime began) const {
    return brokers_.empty() && options_.first_contact_timeout > 0ns &&
           loop_.Now() - began >= options_.first_contact_timeout;
  }
  std::unique_ptr<RpcChannel> MakeChannel(const Endpoint& endpoint, std::optional<BrokerId> id);

  std::vector<std::unique_ptr<RpcChannel>> bootstrap_;
  // Channels of addresses that brokers have left; calls may still be ending on them.
  std::vector<std::unique_ptr<RpcChannel>> retired_;
  std::map<std::string, Topic> topics_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;
  // Calls to any broker that are under way; Close waits for them, because they use the channels.
  size_t calls_ = 0;
  Notifier call_ended_;
  std::string cluster_id_;
  size_t next_ = 0;
  // The last refresh brought nothing new. Who asks again cannot reach what it was told, and who told it may
  // be cut off from the cluster and know no better, for ever: another broker is asked next, with a connection
  // or without.
  bool ask_another_ = false;
  bool ages_ = false;
  bool told_no_contact_ = false;
  bool closed_ = false;
};

std::unique_ptr<RpcChannel> Cluster::Impl::MakeChannel(const Endpoint& endpoint, std::optional<BrokerId> id) {
  RpcChannelOptions options;
  options.client_id = options_.client_id;
  options.expected_broker = id;
  if (id) options.cluster_id = cluster_id_;
  options.connect_timeout = std::min<Duration>(options_.request_timeout, 10s);
  return std::make_unique<RpcChannel>(loop_, env_.transport(), env_.random(), endpoint, std::move(options));
}

RpcChannel* Cluster::Impl::Channel(BrokerId broker) {
  auto found = brokers_.find(broker);
  if (found == brokers_.end() || closed_) return nullptr;
  if (!found->second.channel) found->second.channel = MakeChannel(found->second.endpoint, broker);
  return found->second.channel.get();
}

void Cluster::Impl::SetEndpoint(BrokerId id, Endpoint endpoint) {
  Broker& broker = brokers_[id];
  if (broker.endpoint == endpoint) return;
  broker.endpoint = std::move(endpoint);
  if (!broker.channel) return;
  RpcChannel* left = broker.channel.get();
  retired_.push_back(std::move(broker.channel));
  scope_.Spawn("close of a broker's former channel", left->Close());
}

// Known brokers first, those with a connection before the others (but for ask_another_), and last of them
// those that let a call go unanswered; then the bootstrap list.
std::vector<RpcChannel*> Cluster::Impl::Candidates() {
  std::vector<RpcChannel*> candidates;
  std::vector<RpcChannel*> not_connected;
  std::vector<RpcChannel*> silent;
  for (auto& [id, broker] : brokers_) {
    if (!broker.live) continue;
    RpcChannel* channel = Channel(id);
    if (channel->silent()) {
      silent.push_back(channel);
      continue;
    }
    (channel->connected() || ask_another_ ? candidates : not_connected).push_back(channel);
  }
  if (!candidates.empty()) {
    std::rotate(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(next_ % candidates.size()),
                candidates.end());
  }
  candidates.insert(candidates.end(), not_connected.begin(), not_connected.end());
  candidates.insert(candidates.end(), silent.begin(), silent.end());
  if (bootstrap_.empty()) {
    for (const Endpoint& endpoint : options_.bootstrap)
      bootstrap_.push_back(MakeChannel(endpoint, std::nullopt));
  }
  for (size_t i = 0; i < bootstrap_.size(); ++i) {
    candidates.push_back(bootstrap_[(i + next_) % bootstrap_.size()].get());
  }
  return candidates;
}

Task<Result<v1::Response>> Cluster::Impl::CallAny(v1::Request request, Duration per_try, MonoTime deadline,
                                                  std::stop_token stop, CallNotes* notes) {
  ++calls_;
  auto response = co_await TryAll(std::move(request), per_try, deadline, std::move(stop), notes);
  --calls_;
  call_ended_.NotifyAll();
  co_return response;
}

Task<Result<v1::Response>> Cluster::Impl::TryAll(v1::Request request, Duration per_try, MonoTime deadline,
                                                 std::stop_token stop, CallNotes* notes) {
  Error last{v1::BROKER_NOT_AVAILABLE, "no broker is known; set bootstrap.servers"};
  if (deadline <= loop_.Now()) last = {v1::REQUEST_TIMED_OUT, "there was no time left to ask a broker"};
  Backoff backoff(options_);
  const MonoTime began = loop_.Now();
  while (!closed_) {
    // Channels live until the cluster closes, so the list stays good across the calls.
    const std::vector<RpcChannel*> candidates = Candidates();
    for (RpcChannel* channel : candidates) {
      const Duration left = deadline == kNoDeadline ? Duration(per_try) : deadline - loop_.Now();
      if (left <= 0ns) break;
      auto response = co_await channel->Call(request, std::min(left, per_try), stop);
      if (response) co_return response;
      if (notes != nullptr) {
        notes->unknown_outcome |= response.error().unknown_outcome;
        notes->last = response.error();
      }
      if (stop.stop_requested() || closed_) co_return std::unexpected(std::move(response.error()));
      const bool try_next = IsRetriable(response.error().code);
      last = std::move(response.error());
      if (!try_next) co_return std::unexpected(std::move(last));
      ++next_;
      // One that does not even refuse takes its time.
      if (NoFirstContactSince(began)) break;
    }
    if (brokers_.empty() && !candidates.empty() && options_.on_no_contact && !told_no_contact_) {
      told_no_contact_ = true;
      options_.on_no_contact(last);
    }
    if (NoFirstContactSince(began)) {
      last.message = fmt::format("no broker could be reached in {} s; the last try: {}",
                                 options_.first_contact_timeout / 1s, last.message);
      break;
    }
    const Duration pause = backoff.Next(env_.random());
    if (candidates.empty() || (deadline != kNoDeadline && loop_.Now() + pause >= deadline)) break;
    if (co_await Sleep(loop_, pause, "retry of a call to any broker", stop) == WaitOutcome::kStopped) break;
  }
  if (closed_ || stop.stop_requested()) co_return Fail(v1::CANCELLED, "the client is closing");
  co_return std::unexpected(std::move(last));
}

Task<Result<>> Cluster::Impl::Refresh(std::string topic, MonoTime deadline, std::stop_token stop) {
  if (closed_) co_return Fail(v1::CANCELLED, "the client is closed");
  if (!ages_) {
    ages_ = true;
    scope_.Spawn("metadata by age", RefreshByAge());
  }
  std::shared_ptr<Flight> flight;
  if (auto under_way = flights_.find(topic); under_way != flights_.end()) {
    flight = under_way->second;
  } else {
    flight = std::make_shared<Flight>(loop_);
    flights_.emplace(topic, flight);
    scope_.Spawn("metadata refresh", RunRefresh(topic, flight));
  }
  while (!flight->result) {
    const WaitOutcome outcome = co_await flight->done.Wait("metadata", deadline, stop);
    if (flight->result) break;
    if (outcome == WaitOutcome::kTimedOut)
      co_return Fail(v1::REQUEST_TIMED_OUT, "waiting for metadata of '{}'", topic);
    if (outcome == WaitOutcome::kStopped)
      co_return Fail(v1::CANCELLED, "stopped waiting for metadata of '{}'", topic);
  }
  co_return *flight->result;
}

Task<void> Cluster::Impl::RunRefresh(std::string topic, std::shared_ptr<Flight> flight) {
  v1::Request request;
  request.mutable_metadata()->add_topics()->set_name(topic);
  request.mutable_metadata()->set_allow_auto_create(options_.allow_auto_create);
  auto response = co_await CallAny(std::move(request), std::min(kMetadataTry, options_.request_timeout),
                                   loop_.Now() + options_.request_timeout, scope_.stop_token());
  Result<> result;
  if (!response) {
    result = std::unexpected(std::move(response.error()));
  } else if (!response->has_metadata()) {
    result = Fail(v1::UNKNOWN_SERVER_ERROR, "a metadata request was answered with another body");
  } else {
    const TopicPicture* known = Find(topic);
    const auto before = known == nullptr ? std::vector<PartitionLeader>() : known->partitions;
    result = Merge(response->metadata());
    known = Find(topic);
    ask_another_ = known == nullptr || known->partitions == before;
    if (ask_another_) ++next_;
    if (result && Find(topic) == nullptr) {
      result = Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' is missing in the answer", topic);
    }
  }
  flight->result.emplace(std::move(result));
  flights_.erase(topic);
  flight->done.NotifyAll();
}

Task<void> Cluster::Impl::RefreshByAge() {
  const std::stop_token stop = scope_.stop_token();
  while (co_await Sleep(loop_, options_.metadata_max_age, "metadata age", stop) != WaitOutcome::kStopped) {
    std::vector<std::string> names;
    for (const auto& [name, topic] : topics_) names.push_back(name);
    for (const std::string& name : names) {
      // Whatever goes wrong shows itself when the topic is used.
      (void)co_await Refresh(name, loop_.Now() + options_.request_timeout, stop);
    }
  }
}

Result<> Cluster::Impl::Merge(const v1::MetadataResponse& response) {
  if (!cluster_id_.empty() && !response.cluster_id().empty() && response.cluster_id() != cluster_id_) {
    return Fail(v1::INCONSISTENT_CLUSTER_ID,
                "a broker of cluster {} answered; this client talks to cluster {}", response.cluster_id(),
                cluster_id_);
  }
  if (!response.cluster_id().empty()) cluster_id_ = response.cluster_id();
  if (response.brokers_size() > 0) {
    for (auto& [id, broker] : brokers_) broker.live = false;
    for (const v1::BrokerEndpoint& broker : response.brokers()) {
      if (broker.host().empty() || broker.port() == 0 || broker.port() > UINT16_MAX) continue;
      SetEndpoint(broker.id(), Endpoint{broker.host(), static_cast<uint16_t>(broker.port())});
      brokers_[broker.id()].live = true;
    }
  }
  for (const v1::TopicMetadata& topic : response.topics()) TM_RETURN_IF_ERROR(MergeTopic(topic));
  return {};
}

Result<> Cluster::Impl::MergeTopic(const v1::TopicMetadata& topic) {
  if (topic.error().code() != v1::NONE) return std::unexpected(FromProto(topic.error()));
  TM_ASSIGN_OR_RETURN(const TopicId id, TopicId::FromBytes(topic.id()));
  if (topic.deleting()) {
    // It never comes back under this id: as good as gone, for who writes or reads.
    const auto found = topics_.find(topic.name());
    if (found != topics_.end() && found->second.picture.id == id) {
      for (PartitionLeader& leader : found->second.picture.partitions) leader.leader = kNoBroker;
    }
    return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "topic '{}' is being deleted", topic.name());
  }
  Topic& known = topics_[topic.name()];
  if (known.former_ids.contains(id)) {
    return Fail(v1::UNKNOWN_TOPIC_ID, "the broker still tells of a former topic '{}' ({})", topic.name(),
                id.ToBase64());
  }
  if (known.picture.id != id) {
    if (!known.picture.id.IsZero()) known.former_ids.insert(known.picture.id);
    known.picture = TopicPicture{topic.name(), id, {}};
  }
  std::vector<PartitionLeader>& leaders = known.picture.partitions;
  for (const v1::PartitionMetadata& partition : topic.partitions()) {
    // Numbers are dense, so one beyond the count of the answer is nonsense.
    if (partition.partition() >= static_cast<uint32_t>(topic.partitions_size()) &&
        partition.partition() >= leaders.size()) {
      return Fail(v1::UNKNOWN_SERVER_ERROR, "metadata of '{}' names partition {} of {}", topic.name(),
                  partition.partition(), topic.partitions_size());
    }
    if (partition.partition() >= leaders.size()) leaders.resize(partition.partition() + 1);
    PartitionLeader& leader = leaders[partition.partition()];
    if (partition.leader_epoch() >= leader.epoch) leader = {partition.leader(), partition.leader_epoch()};
  }
  return {};
}

void Cluster::Impl::ApplyHint(const std::string& topic, PartitionIndex partition,
                              const v1::LeaderHint& hint) {
  auto found = topics_.find(topic);
  if (found == topics_.end() || partition >= found->second.picture.partitions.size()) return;
  PartitionLeader& leader = found->second.picture.partitions[partition];
  if (hint.leader_epoch() < leader.epoch) return;
  leader = {hint.leader(), hint.leader_epoch()};
  if (hint.leader() >= 0 && !hint.host().empty() && hint.port() > 0 && hint.port() <= UINT16_MAX) {
    SetEndpoint(hint.leader(), Endpoint{hint.host(), static_cast<uint16_t>(hint.port())});
  }
}

void Cluster::Impl::NoteEpoch(const std::string& topic, const TopicId& id, PartitionIndex partition,
                              LeaderEpoch epoch) {
  auto found = topics_.find(topic);
  if (found == topics_.end() || found->second.picture.id != id) return;
  std::vector<PartitionLeader>& leaders = found->second.picture.partitions;
  // What is taken from here on is not older: MergeTopic, ApplyHint.
  if (partition < leaders.size() && leaders[partition].epoch < epoch) leaders[partition] = {kNoBroker, epoch};
}

Task<Result<v1::Response>> Cluster::Impl::AskOther(v1::Request request, BrokerId doubted, MonoTime deadline,
                                                   std::stop_token stop) {
  if (closed_) co_return Fail(v1::CANCELLED, "the client is closed");
  ++calls_;
  auto response = co_await TryOthers(std::move(request), doubted, deadline, std::move(stop));
  --calls_;
  call_ended_.NotifyAll();
  co_return response;
}

Task<Result<v1::Response>> Cluster::Impl::TryOthers(v1::Request request, BrokerId doubted, MonoTime deadline,
                                                    std::stop_token stop) {
  std::vector<RpcChannel*> others;
  for (const auto& [id, broker] : brokers_) {
    if (broker.live && id != doubted) others.push_back(Channel(id));
  }
  if (!others.empty())
    std::ranges::rotate(others, others.begin() + static_cast<ptrdiff_t>(next_ % others.size()));
  if (others.empty() && Channel(doubted) != nullptr) others.push_back(Channel(doubted));
  Error last{v1::BROKER_NOT_AVAILABLE, "no broker is known"};
  if (deadline <= loop_.Now()) last = {v1::REQUEST_TIMED_OUT, "there was no time left to ask a broker"};
  for (RpcChannel* channel : others) {
    const Duration left = deadline - loop_.Now();
    if (left <= 0ns || closed_ || stop.stop_requested()) break;
    ++next_;  // somebody else the next time
    auto response = co_await channel->Call(
        request, std::min({left, kMetadataTry, Duration(options_.request_timeout)}), stop);
    if (response) co_return response;
    last = std::move(response.error());
  }
  co_return std::unexpected(std::move(last));
}

// What the broker itself says, which may be older than the picture that it is merged into.
Result<PartitionLeader> Cluster::Impl::ReadOpinion(const v1::Response& response, const std::string& topic,
                                                   PartitionIndex partition) {
  if (response.metadata().topics_size() != 1 || response.metadata().topics(0).name() != topic)
    return Fail(v1::UNKNOWN_SERVER_ERROR, "a broker did not answer for topic '{}'", topic);
  TM_RETURN_IF_ERROR(Merge(response.metadata()));
  for (const v1::PartitionMetadata& told : response.metadata().topics(0).partitions()) {
    if (told.partition() == partition) return PartitionLeader{told.leader(), told.leader_epoch()};
  }
  return Fail(v1::UNKNOWN_TOPIC_OR_PARTITION, "a broker does not know {}-{}", topic, partition);
}

const TopicPicture* Cluster::Impl::Find(const std::string& topic) const {
  auto found = topics_.find(topic);
  return found == topics_.end() || found->second.picture.id.IsZero() ? nullptr : &found->second.picture;
}

Task<void> Cluster::Impl::Close() {
  closed_ = true;
  scope_.RequestStop();
  std::vector<RpcChannel*> channels;
  for (auto& [id, broker] : brokers_) {
    if (broker.channel) channels.push_back(broker.channel.get());
  }
  for (auto& channel : bootstrap_) channels.push_back(channel.get());
  for (RpcChannel* channel : channels) co_await channel->Close();
  co_await scope_.Close();
  while (calls_ > 0) co_await call_ended_.Wait("calls of the cluster");
}

Cluster::Cluster(Environment& env, EventLoop& loop, ClientOptions options)
    : impl_(std::make_unique<Impl>(env, loop, std::move(options))) {}
Cluster::~Cluster() = default;
EventLoop& Cluster::loop() { return impl_->loop_; }
Environment& Cluster::env() { return impl_->env_; }
const ClientOptions& Cluster::options() const { return impl_->options_; }
const TopicPicture* Cluster::Find(const std::string& topic) const { return impl_->Find(topic); }
Task<Result<>> Cluster::Refresh(std::string topic, MonoTime deadline, std::stop_token stop) {
  return impl_->Refresh(std::move(topic), deadline, std::move(stop));
}
void Cluster::ApplyHint(const std::string& topic, PartitionIndex partition, const v1::LeaderHint& hint) {
  impl_->ApplyHint(topic, partition, hint);
}
void Cluster::NoteEpoch(const std::string& topic, const TopicId& id, PartitionIndex partition,
                        LeaderEpoch epoch) {
  impl_->NoteEpoch(topic, id, partition, epoch);
}
Task<Result<v1::Response>> Cluster::AskOther(v1::Request request, BrokerId doubted, MonoTime deadline,
                                             std::stop_token stop) {
  return impl_->AskOther(std::move(request), doubted, deadline, std::move(stop));
}
Task<Result<PartitionLeader>> Cluster::SecondOpinion(std::string topic, PartitionIndex partition,
                                                     BrokerId doubted, MonoTime deadline,
                                                     std::stop_token stop) {
  v1::Request request;
  request.mutable_metadata()->add_topics()->set_name(topic);
  const auto response = co_await impl_->AskOther(std::move(request), doubted, deadline, std::move(stop));
  if (!response) co_return std::unexpected(response.error());
  co_return impl_->ReadOpinion(*response, topic, partition);
}
RpcChannel* Cluster::Channel(BrokerId broker) { return impl_->Channel(broker); }
RpcChannel* Cluster::Channel(BrokerId broker, const Endpoint& endpoint) {
  impl_->SetEndpoint(broker, endpoint);
  return impl_->Channel(broker);
}
std::vector<BrokerId> Cluster::brokers() const {
  std::vector<BrokerId> ids;
  for (const auto& [id, broker] : impl_->brokers_) {
    if (broker.live) ids.push_back(id);
  }
  return ids;
}
Task<Result<v1::Response>> Cluster::CallAny(v1::Request request, MonoTime deadline, std::stop_token stop,
                                            Duration longest, CallNotes* notes) {
  return impl_->CallAny(std::move(request), std::max(impl_->options_.request_timeout, longest), deadline,
                        std::move(stop), notes);
}
Task<Result<v1::Response>> Cluster::AskAny(v1::Request request, MonoTime deadline, std::stop_token stop) {
  return impl_->CallAny(std::move(request), std::min(kMetadataTry, impl_->options_.request_timeout), deadline,
                        std::move(stop));
}
Task<void> Cluster::Close() { return impl_->Close(); }

Task<Result<v1::MetadataResponse>> Cluster::Metadata(v1::MetadataRequest request, MonoTime deadline,
                                                     std::stop_token stop) {
  v1::Request call;
  *call.mutable_metadata() = std::move(request);
  auto response = co_await impl_->CallAny(std::move(call), kMetadataTry, deadline, std::move(stop));
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!response->has_metadata()) {
    co_return Fail(v1::UNKNOWN_SERVER_ERROR, "a metadata request was answered with another body");
  }
  // What it says of single topics is the caller's to read; of the brokers and the cluster it is for all to
  // know.
  v1::MetadataResponse about_brokers = response->metadata();
  about_brokers.clear_topics();
  TM_CO_RETURN_IF_ERROR(impl_->Merge(about_brokers));
  co_return std::move(*response->mutable_metadata());
}

}  // namespace tidemark
