#include "broker/replica/fetcher.h"

#include <algorithm>
#include <map>
#include <utility>

namespace tidemark {
namespace {
constexpr Duration kEarlyEmptyPause = 10ms;
constexpr Duration kReconnectPause = 200ms;  // at most
}  // namespace

Fetcher::Fetcher(ReplicaContext& context, ReplicationChannelFactory& channels, BrokerId source)
    : context_(context),
      channels_(channels),
      source_(source),
      scope_(context.loop, fmt::format("fetcher from broker {}", source)),
      changed_(context.loop),
      self_(std::make_shared<Fetcher*>(this)) {
  scope_.Spawn("fetch loop", Run());
}

Fetcher::~Fetcher() {
  *self_ = nullptr;
  CHECK(channel_ == nullptr && scope_.running() == 0) << scope_.name() << " destroyed before it was closed";
}

Task<void> Fetcher::Close() {
  scope_.RequestStop();
  if (fetch_stop_) fetch_stop_->request_stop();
  co_await scope_.Close();
  items_.clear();
}

void Fetcher::Add(Partition& partition) {
  const PartitionKey key = partition.key();
  Item& item = items_[key];
  // Named again by the next fetch the session keeps it; removed before that it is to be forgotten all the
  // same.
  if (item.in_session) to_forget_.insert(key);
  item = Item{.partition = &partition, .epoch = partition.follower_state()->epoch};
  to_name_.insert(key);
  // A fetch that is parked on idle partitions would delay the first one of this by up to its wait. At most
  // one cut in a while: it costs a new session.
  if (fetch_stop_ && context_.loop.Now() - last_cut_ > 2 * context_.options.fetch_wait_max) {
    last_cut_ = context_.loop.Now();
    cut_ = true;
    fetch_stop_->request_stop();
  }
  changed_.NotifyAll();
}

void Fetcher::Remove(const PartitionKey& key) {
  auto found = items_.find(key);
  if (found == items_.end()) return;
  if (found->second.in_session) to_forget_.insert(key);
  items_.erase(found);
  to_name_.erase(key);
  flushed_.erase(key);
}

void Fetcher::Rename(const PartitionKey& key) {
  to_name_.insert(key);
  changed_.NotifyAll();
}

void Fetcher::FlushedEndMoved(Partition& partition) {
  if (!items_.contains(partition.key())) return;
  Rename(partition.key());
  if (!fetch_stop_) return;
  flushed_.insert(partition.key());
  if (std::exchange(progress_posted_, true)) return;
  // One message for all logs of a group commit.
  context_.loop.Defer([self = self_] {
    if (*self != nullptr) (*self)->SendProgress();
  });
}

void Fetcher::SendProgress() {
  progress_posted_ = false;
  const std::set<PartitionKey> flushed = std::exchange(flushed_, {});
  // When the fetch has been answered meanwhile, the next one tells it.
  if (!fetch_stop_ || channel_ == nullptr) return;
  v1::ReplicaProgressRequest progress;
  progress.set_replica_id(context_.brokers.self());
  progress.set_broker_epoch(session_broker_epoch_);
  for (const PartitionKey& key : flushed) {
    auto found = items_.find(key);
    if (found == items_.end() || !found->second.partition->wants_fetch()) continue;
    auto* told = progress.add_partitions();
    told->set_topic_id(key.topic.ToBytes());
    told->set_partition(key.partition);
    told->set_leader_epoch(found->second.epoch);
    told->set_flushed_end(found->second.partition->log()->flushed_end());
    told->set_log_start_offset(found->second.partition->log()->durable_start());
  }
  if (progress.partitions_size() > 0) channel_->Progress(std::move(progress));
}

Task<void> Fetcher::Pause(Duration delay) {
  co_await Sleep(context_.loop, delay, "fetch back-off", scope_.stop_token());
}

Task<void> Fetcher::Run() {
  while (!scope_.stopping()) {
    if (items_.empty()) {
      co_await ResetSession();
      if (items_.empty()) co_await changed_.Wait("partitions to follow", kNoDeadline, scope_.stop_token());
      continue;
    }
    if (!co_await EnsureChannel()) {
      co_await Pause(std::min(context_.options.fetch_backoff, kReconnectPause));
      continue;
    }
    co_await FetchOnce();
  }
  co_await ResetSession();
}

Task<bool> Fetcher::EnsureChannel() {
  const auto endpoint = context_.brokers.InterBrokerEndpoint(source_);
  const BrokerEpoch broker_epoch = context_.brokers.self_epoch();
  if (channel_ != nullptr && (endpoint != endpoint_ || broker_epoch != session_broker_epoch_))
    co_await ResetSession();
  if (!endpoint || broker_epoch == kNoBrokerEpoch) {
    if (!std::exchange(unreachable_told_, true)) {
      LOG(WARNING) << "cannot fetch from broker " << source_ << ": "
                   << (endpoint ? "this broker is not registered" : "it is not registered");
    }
    co_return false;
  }
  if (channel_ == nullptr) {
    channel_ = channels_.Connect(source_, *endpoint);
    endpoint_ = *endpoint;
    session_broker_epoch_ = broker_epoch;
  }
  co_return true;
}

Task<void> Fetcher::ResetSession() {
  session_epoch_ = 0;
  to_forget_.clear();
  for (auto& [key, item] : items_) {
    item.in_session.reset();
    item.asked = false;
    to_name_.insert(key);
  }
  if (channel_ == nullptr) co_return;
  std::unique_ptr<ReplicationChannel> closing = std::move(channel_);
  co_await closing->Close();
}

Task<void> Fetcher::FetchOnce() {
  bool anything = false;
  v1::FetchRequest request = BuildRequest(&anything);
  if (!anything) {
    co_await changed_.Wait("a partition to fetch", NextRetry().value_or(kNoDeadline), scope_.stop_token());
    co_return;
  }
  cut_ = false;
  fetch_stop_.emplace();
  const MonoTime asked_at = context_.loop.Now();
  const auto response = co_await channel_->Fetch(std::move(request), context_.options.request_timeout,
                                                 fetch_stop_->get_token());
  fetch_stop_.reset();
  if (scope_.stopping()) co_return;
  if (!response) {
    const bool was_cut = std::exchange(cut_, false);
    if (!was_cut && !std::exchange(unreachable_told_, true)) {
      LOG(WARNING) << "fetching from broker " << source_ << " failed: " << ToString(response.error());
    }
    co_await ResetSession();
    if (!was_cut) co_await Pause(std::min(context_.options.fetch_backoff, kReconnectPause));
    co_return;
  }
  unreachable_told_ = false;
  ++session_epoch_;
  ApplyResponse(*response);
  // An empty answer before its time (a leader that stops, say) must not make the two spin.
  if (response->topics_size() == 0 && context_.loop.Now() - asked_at < context_.options.fetch_wait_max / 2) {
    co_await Pause(kEarlyEmptyPause);
  }
}

void Fetcher::AddWanted(const PartitionKey& key, Item& item, Grouped* wanted) {
  if (item.busy || item.not_before > context_.loop.Now() || !item.partition->wants_fetch()) return;
  v1::FetchRequest::Partition fetch = item.partition->NextFetch();
  item.asked_offset = fetch.fetch_offset();
  item.asked = true;
  std::string encoded = fetch.SerializeAsString();
  if (item.in_session == encoded) return;
  item.in_session = std::move(encoded);
  *(*wanted)[key.topic].add_partitions() = std::move(fetch);
}

v1::FetchRequest Fetcher::BuildRequest(bool* anything) {
  v1::FetchRequest request;
  request.mutable_follower()->set_replica_id(context_.brokers.self());
  request.mutable_follower()->set_broker_epoch(session_broker_epoch_);
  request.set_max_wait_ms(static_cast<uint32_t>(ToMillis(context_.options.fetch_wait_max)));
  request.set_min_bytes(context_.options.fetch_min_bytes);
  request.set_max_bytes(context_.options.fetch_response_bytes);
  request.set_session_epoch(session_epoch_ + 1);
  NextRetry();
  Grouped wanted;
  // Those that cannot be asked for now (busy, in back-off) are named again when they can.
  for (const PartitionKey& key : std::exchange(to_name_, {})) {
    auto found = items_.find(key);
    if (found != items_.end()) AddWanted(key, found->second, &wanted);
  }
  Grouped forgotten;
  for (const PartitionKey& key : std::exchange(to_forget_, {})) {
    auto found = items_.find(key);
    if (found != items_.end() && found->second.in_session) continue;
    forgotten[key.topic].add_partitions()->set_partition(key.partition);
  }
  const auto add = [](Grouped& from, auto* to) {
    for (auto& [topic, partitions] : from) {
      partitions.set_id(topic.ToBytes());
      *to->Add() = std::move(partitions);
    }
  };
  add(wanted, request.mutable_topics());
  add(forgotten, request.mutable_forgotten());
  *anything =
      std::ranges::any_of(items_, [](const auto& entry) { return entry.second.in_session.has_value(); });
  // Nothing is asked of a session that holds nothing; the next fetch opens a new one.
  if (!*anything) session_epoch_ = 0;
  return request;
}

void Fetcher::ApplyResponse(const v1::FetchResponse& response) {
  for (const auto& topic : response.topics()) {
    const auto id = TopicId::FromBytes(topic.id());
    if (!id) continue;
    for (const auto& partition : topic.partitions()) {
      const PartitionKey key{*id, partition.partition()};
      auto found = items_.find(key);
      if (found == items_.end() || !found->second.asked || found->second.busy) continue;
      found->second.busy = true;
      // Each by itself: a truncation of one does not hold up the others.
      scope_.Spawn("apply fetched", ApplyOne(key, found->second.epoch, partition));
    }
  }
}

Task<void> Fetcher::ApplyOne(PartitionKey key, LeaderEpoch epoch, v1::FetchResponse::Partition answer) {
  const Item& asked = items_.at(key);
  const Partition* partition = asked.partition;
  const FollowOutcome outcome =
      co_await asked.partition->ApplyFetched(std::move(answer), epoch, asked.asked_offset);
  auto found = items_.find(key);
  // Meanwhile removed, or added again in another epoch.
  if (found == items_.end() || found->second.partition != partition || found->second.epoch != epoch)
    co_return;
  Item& item = found->second;
  item.busy = false;
  if (outcome == FollowOutcome::kParked) {
    Remove(key);
    co_return;
  }
  if (outcome == FollowOutcome::kBackOff) {
    item.not_before = context_.loop.Now() + context_.options.fetch_backoff;
    if (item.in_session) to_forget_.insert(key);
    item.in_session.reset();
    item.asked = false;
    retries_.emplace(item.not_before, key);
    co_return;
  }
  Rename(key);
}

// When the first back-off ends; names those whose back-off has ended.
std::optional<MonoTime> Fetcher::NextRetry() {
  while (!retries_.empty() && retries_.begin()->first <= context_.loop.Now()) {
    to_name_.insert(retries_.begin()->second);
    retries_.erase(retries_.begin());
  }
  if (!to_name_.empty()) return context_.loop.Now();
  if (retries_.empty()) return std::nullopt;
  return retries_.begin()->first;
}

}  // namespace tidemark
