// The group consumer's partitions: letting go of what is asked back, taking on what is given, and where
// reading of it begins.
#include <algorithm>
#include <utility>

#include "client/group_consumer_impl.h"

namespace tidemark {

GroupConsumer::Partitions GroupConsumer::Impl::assignment() const {
  Partitions partitions;
  for (const auto& [at, key] : names_) partitions.push_back(at);
  return partitions;
}

GroupConsumer::Partitions GroupConsumer::Impl::NamesOf(const Keys& keys) const {
  Partitions names;
  for (const PartitionKey& key : keys) {
    if (held_.contains(key)) names.push_back(NameOf(key));
  }
  std::ranges::sort(names);
  return names;
}

GroupConsumer::Impl::Keys GroupConsumer::Impl::Surplus() const {
  Keys keys;
  for (const auto& [key, held] : held_) {
    if (!session_.target().contains(key)) keys.insert(key);
  }
  return keys;
}

internal::NamedPartitions GroupConsumer::Impl::Missing() const {
  internal::NamedPartitions missing;
  for (const auto& [key, topic] : session_.target()) {
    // A topic that was made anew waits until its former self is released.
    if (!held_.contains(key) && !names_.contains({topic, key.partition})) missing.emplace(key, topic);
  }
  return missing;
}

void GroupConsumer::Impl::SayHeld() {
  Keys keys;
  for (const auto& [key, held] : held_) keys.insert(key);
  session_.SetHeld(std::move(keys), loop_.Now());
  wake_.NotifyAll();
}

// What Poll does about the membership before it gives records.
Task<void> GroupConsumer::Impl::Work() {
  work_ = false;
  if (!lost_.empty()) co_await TellLosses();
  if (revoking_ && revoked_) {
    const Keys keys = *revoking_;
    if (listener_ == nullptr ||
        std::ranges::all_of(keys, [&](const auto& key) { return held_.at(key).told; })) {
      Release(keys);
    } else {
      co_await TellRevoked(keys);
      // All was lost during the call: that is told before anything is taken on again.
      if (!lost_.empty()) co_return;
      revoked_ = false;
      scope_.Spawn("commits of a listener", SettleRevoked(keys, loop_.Now() + options_.default_api_timeout));
    }
  }
  if (!session_.active()) co_return;
  if (!revoking_) {
    Keys surplus = Surplus();
    if (!surplus.empty()) BeginRevocation(std::move(surplus));
  }
  internal::NamedPartitions missing = Missing();
  if (!missing.empty()) co_await TakeOn(std::move(missing));
}

Task<void> GroupConsumer::Impl::TellLosses() {
  const Partitions partitions(lost_.begin(), lost_.end());
  lost_.clear();
  if (listener_ == nullptr) co_return;
  BeginCall();
  co_await listener_->OnLost(partitions, *last_loss_);
  calling_ = false;
}

// Nothing more of them is given. Their commits go on beside the reading of the other partitions.
void GroupConsumer::Impl::BeginRevocation(Keys keys) {
  for (const PartitionKey& key : keys) {
    Held& held = held_.at(key);
    held.revoking = true;
    if (held.begun) (void)consumer_.Pause(held.topic, key.partition);
  }
  revoking_ = keys;
  revoked_ = false;
  scope_.Spawn("commits before a release",
               CommitRevoked(std::move(keys), loop_.Now() + options_.default_api_timeout));
}

Task<void> GroupConsumer::Impl::CommitRevoked(Keys keys, MonoTime deadline) {
  // What could not be committed will be read again by the next owner.
  (void)co_await CommitFor(keys, deadline);
  RevocationIsReady(keys);
}

// The next step of a revocation is Poll's, unless they were lost meanwhile.
void GroupConsumer::Impl::RevocationIsReady(const Keys& keys) {
  if (revoking_ != keys) return;
  revoked_ = true;
  work_ = true;
  Interrupt();
}

Task<Result<>> GroupConsumer::Impl::CommitFor(Keys keys, MonoTime deadline) {
  Result<> committed;
  if (options_.enable_auto_commit) committed = co_await Commit(Positions(&keys), deadline);
  co_await commits_.Settle(std::move(keys), deadline);
  co_return committed;
}

// Those that it has not been told yet.
Task<void> GroupConsumer::Impl::TellRevoked(Keys keys) {
  std::erase_if(keys, [&](const PartitionKey& key) {
    const auto held = held_.find(key);
    return held == held_.end() || std::exchange(held->second.told, true);
  });
  if (listener_ == nullptr || keys.empty()) co_return;
  BeginCall();
  co_await listener_->OnRevoked(NamesOf(keys));
  calling_ = false;
}

// What the listener committed in the background ends before they are let go.
Task<void> GroupConsumer::Impl::SettleRevoked(Keys keys, MonoTime deadline) {
  co_await commits_.Settle(keys, deadline);
  RevocationIsReady(keys);
}

void GroupConsumer::Impl::Release(const Keys& keys) {
  // Those that were lost while the listener was called have gone already.
  for (const PartitionKey& key : keys) {
    const auto found = held_.find(key);
    if (found == held_.end()) continue;
    const TopicPartition at = NameOf(key);
    consumer_.Unassign(at.topic, at.partition);
    names_.erase(at);
    held_.erase(found);
  }
  commits_.Drop(keys, {v1::PARTITION_NOT_OWNED, "the partition was given back before this was committed"});
  revoking_.reset();
  revoked_ = false;
  work_ = true;
  SayHeld();
}

Task<Result<>> GroupConsumer::Impl::ReleaseAll(MonoTime deadline) {
  Result<> lost;
  if (!lost_.empty()) {
    lost = std::unexpected(*last_loss_);
    co_await TellLosses();
  }
  Keys keys;
  for (auto& [key, held] : held_) {
    keys.insert(key);
    held.revoking = true;
    if (held.begun) (void)consumer_.Pause(held.topic, key.partition);
  }
  Result<> committed = co_await CommitFor(keys, deadline);
  co_await TellRevoked(keys);
  co_await commits_.Settle(keys, deadline);
  Release(keys);
  if (!lost_.empty()) co_await TellLosses();
  work_ = false;
  errors_.clear();
  co_return lost ? committed : lost;
}

Task<void> GroupConsumer::Impl::TakeOn(internal::NamedPartitions added) {
  Tokens tokens;
  Partitions names;
  for (const auto& [key, topic] : added) {
    tokens[key] = ++last_token_;
    held_[key] = {.topic = topic, .token = last_token_};
    names_[{topic, key.partition}] = key;
    names.push_back({topic, key.partition});
  }
  SayHeld();
  std::ranges::sort(names);
  if (listener_ != nullptr) {
    BeginCall();
    co_await listener_->OnAssigned(std::move(names));
    calling_ = false;
  }
  while (!tokens.empty()) {
    Tokens some;
    while (!tokens.empty() && some.size() < kMostPartitionsAsked) some.insert(tokens.extract(tokens.begin()));
    scope_.Spawn("starts of partitions", FindStarts(std::move(some)));
  }
}

// Those that are still held as they were taken on, and not read yet.
GroupConsumer::Impl::Tokens GroupConsumer::Impl::Waiting(Tokens tokens) const {
  std::erase_if(tokens, [&](const auto& one) {
    const auto held = held_.find(one.first);
    return held == held_.end() || held->second.token != one.second || held->second.begun ||
           held->second.revoking;
  });
  return tokens;
}

Task<void> GroupConsumer::Impl::FindStarts(Tokens tokens) {
  Backoff backoff(options_.client);
  bool told = false;
  while (!(tokens = Waiting(std::move(tokens))).empty() && !scope_.stopping()) {
    v1::Request request;
    auto* group = request.mutable_offset_fetch()->add_groups();
    group->set_group_id(options_.group_id);
    group->set_member_id(session_.member_id());
    group->set_member_epoch(session_.epoch());
    for (const auto& [key, token] : tokens) {
      auto* topic = group->add_topics();
      topic->set_topic_id(key.topic.ToBytes());
      topic->add_partitions(key.partition);
    }
    auto answer =
        co_await link_.Call(std::move(request), loop_.Now() + HeartbeatLimit(), scope_.stop_token());
    tokens = Waiting(std::move(tokens));
    if (answer && answer->offset_fetch().groups().empty())
      answer = Fail(v1::UNKNOWN_SERVER_ERROR, "the coordinator did not answer for the group");
    if (answer) {
      for (const auto& topic : answer->offset_fetch().groups(0).topics()) {
        const Result<TopicId> id = TopicId::FromBytes(topic.topic_id());
        for (const auto& offset : topic.partitions()) {
          if (!id || !tokens.contains({*id, offset.partition()})) continue;
          Held& held = held_.at({*id, offset.partition()});
          held.looked_up = true;
          if (offset.has_offset()) held.committed = offset.offset();
          if (offset.has_leader_epoch()) held.committed_epoch = offset.leader_epoch();
        }
      }
      break;
    }
    // What no retry mends is told once, as that of a partition is.
    const v1::ErrorClass kind = ClassOf(answer.error().code);
    if (!tokens.empty() && !std::exchange(told, told || kind == v1::ERROR_CLASS_FIX_REQUEST) &&
        kind == v1::ERROR_CLASS_FIX_REQUEST && !scope_.stopping()) {
      errors_.push_back(answer.error());
      Interrupt();
    }
    // A member that was fenced learns it by its next heartbeat; then nothing of this is held.
    if (session_.active()) session_.Hurry(loop_.Now());
    wake_.NotifyAll();
    co_await Sleep(loop_, backoff.Next(cluster_.env().random()), "retry of committed offsets",
                   scope_.stop_token());
  }
  std::map<TopicId, Tokens> by_topic;
  for (const auto& [key, token] : tokens) by_topic[key.topic][key] = token;
  for (auto& [id, some] : by_topic) {
    const std::string topic = held_.at(some.begin()->first).topic;
    scope_.Spawn("start of a topic", BeginTopic(topic, id, std::move(some)));
  }
}

// Begins to read as soon as the cluster's picture shows the topic under this id.
Task<void> GroupConsumer::Impl::BeginTopic(std::string topic, TopicId id, Tokens tokens) {
  Backoff backoff(options_.client);
  const auto is_known = [&] {
    const TopicPicture* picture = cluster_.Find(topic);
    return picture != nullptr && picture->id == id &&
           tokens.rbegin()->first.partition < picture->partitions.size();
  };
  while (!(tokens = Waiting(std::move(tokens))).empty() && !scope_.stopping()) {
    if (is_known()) {
      for (const auto& [key, token] : tokens) BeginPartition(key);
      co_return;
    }
    // Its trouble shows in the next round.
    (void)co_await cluster_.Refresh(topic, loop_.Now() + options_.client.request_timeout,
                                    scope_.stop_token());
    if ((tokens = Waiting(std::move(tokens))).empty() || is_known()) continue;
    co_await Sleep(loop_, backoff.Next(cluster_.env().random()), "metadata of a topic of the group",
                   scope_.stop_token());
  }
}

void GroupConsumer::Impl::BeginPartition(const PartitionKey& key) {
  using Kind = StartPosition::Kind;
  Held& held = held_.at(key);
  const auto topic = cluster_.Find(held.topic);
  const size_t met =
      partitions_met_.try_emplace(key.topic, topic == nullptr ? 0 : topic->partitions.size()).first->second;
  StartPosition start;
  if (held.start) {
    start = *held.start;
  } else if (!held.looked_up) {
    return;  // a Seek elsewhere brought us here; what is committed is still being asked
  } else if (held.committed) {
    start = {Kind::kOffset, static_cast<int64_t>(*held.committed), held.committed_epoch};
  } else if (options_.auto_offset_reset == OffsetReset::kNone) {
    errors_.push_back({v1::OFFSET_OUT_OF_RANGE,
                       fmt::format("group '{}' has committed nothing for {} and auto.offset.reset=none",
                                   options_.group_id, ToString(NameOf(key)))});
    return Interrupt();
  } else {
    // A partition that was added while its topic was read has no record from before: "latest" would pass over
    // what was written to it until somebody here began it.
    const bool whole = options_.auto_offset_reset == OffsetReset::kEarliest || key.partition >= met;
    start.kind = whole ? Kind::kBeginning : Kind::kEnd;
  }
  const Result<> begun = consumer_.Begin(held.topic, key.partition, start);
  CHECK(begun || begun.error().code == v1::CANCELLED) << ToString(begun.error());
  held.begun = begun.has_value();
  // Once begun, what the consumer says counts.
  if (held.begun) held.start.reset();
  if (held.begun && held.paused) (void)consumer_.Pause(held.topic, key.partition);
}

// The brokers say that the topic is gone or another one, which the coordinator will say too, unless they err.
void GroupConsumer::Impl::BeginAnew(const TopicPartition& at) {
  const auto name = names_.find(at);
  if (name == names_.end()) return;
  Held& held = held_.at(name->second);
  if (!held.begun) return;
  held.start = consumer_.Start(at.topic, at.partition);
  consumer_.Unassign(at.topic, at.partition);
  held.begun = false;
  scope_.Spawn("start of a topic", BeginTopic(at.topic, name->second.topic, {{name->second, held.token}}));
}

}  // namespace tidemark
