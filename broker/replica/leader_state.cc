#include "broker/replica/leader_state.h"

#include <algorithm>

#include <glog/logging.h>

namespace tidemark {
namespace {

bool Contains(const std::vector<BrokerId>& brokers, BrokerId broker) {
  return std::ranges::find(brokers, broker) != brokers.end();
}

void AddOnce(std::vector<BrokerId>* brokers, BrokerId broker) {
  if (!Contains(*brokers, broker)) brokers->push_back(broker);
}

}  // namespace

LeaderState::LeaderState(const v1::PartitionState& state, BrokerId self, Offset epoch_start, MonoTime now,
                         Offset log_start)
    : self_(self), epoch_(state.leader_epoch()), epoch_start_(epoch_start), required_log_start_(log_start) {
  SetState(state);
  for (FollowerProgress& follower : followers_) follower.caught_up_at = now;
}

void LeaderState::SetState(const v1::PartitionState& state) {
  partition_epoch_ = state.partition_epoch();
  isr_.assign(state.isr().begin(), state.isr().end());
  // A leader is in its ISR; a state that says otherwise is repaired by the next wish.
  AddOnce(&isr_, self_);
  if (state.replicas_size() > 0) replicas_.assign(state.replicas().begin(), state.replicas().end());
  AddOnce(&replicas_, self_);
  recovering_ = state.recovery_state() == v1::LEADER_RECOVERY_STATE_RECOVERING;
  std::vector<FollowerProgress> followers;
  for (BrokerId broker : replicas_) {
    if (broker == self_) continue;
    FollowerProgress* known = FindFollower(broker);
    followers.push_back(known != nullptr ? *known : FollowerProgress{.broker = broker});
  }
  followers_ = std::move(followers);
  wished_.clear();
  in_doubt_ = false;
}

bool LeaderState::IsMember(BrokerId broker) const { return Contains(isr_, broker); }

FollowerProgress* LeaderState::FindFollower(BrokerId broker) {
  auto found = std::ranges::find(followers_, broker, &FollowerProgress::broker);
  return found == followers_.end() ? nullptr : &*found;
}

std::vector<BrokerId> LeaderState::MaximalIsr() const {
  std::vector<BrokerId> all = isr_;
  for (BrokerId broker : wished_) AddOnce(&all, broker);
  return all;
}

std::optional<Offset> LeaderState::LeastLogStart() const {
  std::optional<Offset> least;
  for (const BrokerId broker : MaximalIsr()) {
    if (broker == self_) continue;
    const auto follower = std::ranges::find(followers_, broker, &FollowerProgress::broker);
    const bool known = follower != followers_.end() && follower->ends;
    least = std::min(least.value_or(~Offset{0}), known ? follower->log_start : 0);
  }
  return least;
}

bool LeaderState::InSyncEnough(const TopicSettings& settings) const {
  return isr_.size() >= RequiredInSync(settings.min_insync_replicas, replicas_.size());
}

Offset LeaderState::HighWatermark(Offset current, const ReplicaEnds& own,
                                  const TopicSettings& settings) const {
  const AckTerms terms(settings.log);
  std::vector<std::optional<Offset>> counted{CountedEnd(own, terms)};
  const auto count = [&](BrokerId broker) {
    if (broker == self_) return;
    auto follower = std::ranges::find(followers_, broker, &FollowerProgress::broker);
    if (follower == followers_.end() || !follower->ends) {
      counted.emplace_back(std::nullopt);
    } else {
      counted.emplace_back(CountedEnd(*follower->ends, terms));
    }
  };
  for (BrokerId broker : isr_) count(broker);
  for (BrokerId broker : wished_) count(broker);
  return NextHighWatermark(current, counted, isr_.size(),
                           RequiredInSync(settings.min_insync_replicas, replicas_.size()));
}

Result<FollowerProgress*> LeaderState::NoteFetchFrom(BrokerId broker, BrokerEpoch broker_epoch) {
  FollowerProgress* follower = FindFollower(broker);
  if (follower == nullptr) return Fail(v1::REPLICA_NOT_AVAILABLE, "broker {} has no replica of it", broker);
  if (broker_epoch < follower->broker_epoch) {
    return Fail(v1::STALE_BROKER_EPOCH, "broker {} has fetched with broker epoch {} since {}", broker,
                follower->broker_epoch, broker_epoch);
  }
  if (broker_epoch > follower->broker_epoch) {
    // Another life of that broker: its disk may be another one, so what the former had counts no more.
    const MonoTime caught_up_at = follower->caught_up_at;
    *follower =
        FollowerProgress{.broker = broker, .broker_epoch = broker_epoch, .caught_up_at = caught_up_at};
    refused_until_.erase(broker);
  }
  return follower;
}

void LeaderState::BeforeAppend(const AckTerms& terms, Offset log_end, MonoTime now) {
  for (FollowerProgress& follower : followers_) NoteLeaderAppend(follower, terms, log_end, now);
}

bool LeaderState::Adopt(const v1::PartitionState& state) {
  CHECK_EQ(state.leader_epoch(), epoch_) << "a state of another epoch was to be adopted";
  if (state.partition_epoch() <= partition_epoch_) return false;
  SetState(state);
  one_by_one_ = false;
  std::erase_if(refused_until_, [&](const auto& refused) { return IsMember(refused.first); });
  return true;
}

IsrView LeaderState::View(const AckTerms& terms, Offset log_end, Offset high_watermark, MonoTime now,
                          Duration lag_max, bool may_shrink) const {
  return {.leader = self_,
          .committed = isr_,
          .followers = followers_,
          .durability = terms,
          .leader_log_end = log_end,
          .high_watermark = high_watermark,
          .epoch_start = epoch_start_,
          .required_log_start = required_log_start_,
          .now = now,
          .lag_time_max = lag_max,
          .may_shrink = may_shrink};
}

std::optional<LeaderState::Wish> LeaderState::NextWish(const IsrView& view) const {
  Wish wish{.base = partition_epoch_};
  const std::vector<BrokerId> leaving = ShrinkCandidates(view);
  for (BrokerId broker : isr_) {
    if (!Contains(leaving, broker)) wish.isr.push_back(broker);
  }
  for (BrokerId broker : ExpandCandidates(view)) {
    auto refused = refused_until_.find(broker);
    if (refused != refused_until_.end() && refused->second > view.now) continue;
    wish.joining.push_back(broker);
  }
  if (one_by_one_ && wish.joining.size() > 1) {
    const auto last_refused = [&](BrokerId broker) {
      auto refused = refused_until_.find(broker);
      return refused == refused_until_.end() ? MonoTime::min() : refused->second;
    };
    wish.joining = {*std::ranges::min_element(wish.joining, {}, last_refused)};
  }
  wish.isr.insert(wish.isr.end(), wish.joining.begin(), wish.joining.end());
  // The loss of an unclean election is worked off when every replica has the leader's history.
  wish.recovering = recovering_ && wish.isr.size() < replicas_.size();
  if (wish.isr == isr_ && wish.recovering == recovering_ && !in_doubt_) return std::nullopt;
  CHECK(Contains(wish.isr, self_)) << "a leader wished itself out of the ISR";
  return wish;
}

bool LeaderState::AnyRefused(const IsrView& view) const {
  return std::ranges::any_of(ExpandCandidates(view), [&](BrokerId b) { return refused_until_.contains(b); });
}

bool LeaderState::MissedTombstones(const TombstoneDrops& drops, BrokerId broker, BrokerEpoch broker_epoch,
                                   const FetchPosition& position) const {
  // It holds no record yet.
  if (!position.last_epoch) return false;
  if (IsMember(broker) || Contains(wished_, broker)) return false;
  const auto follower = std::ranges::find(followers_, broker, &FollowerProgress::broker);
  std::optional<TombstoneDrops::Mark> mark;
  // In another life its disk may be another one.
  if (follower != followers_.end() && follower->broker_epoch == broker_epoch) mark = follower->tombstones;
  return !drops.SeenBy(mark, position.fetch_offset);
}

Offset LeaderState::TombstonesWantedFrom(MonoTime now, Duration recent) const {
  Offset least = ~Offset{0};
  for (const FollowerProgress& follower : followers_) {
    const bool on_its_way = follower.begins_anew || follower.tombstones;
    if (!on_its_way || IsMember(follower.broker) || now - follower.fetched_at > recent) continue;
    least = std::min(least, follower.begins_anew ? 0 : follower.tombstones->offset);
  }
  return least;
}

bool LeaderState::Settled(const FollowerProgress& follower, Offset high_watermark) const {
  return IsMember(follower.broker) && follower.ends && follower.ends->log_end >= high_watermark && !in_doubt_;
}

v1::AlterPartitionRequest::Partition LeaderState::BeginWish(const Wish& wish, const PartitionKey& key,
                                                            BrokerEpoch self_epoch) {
  v1::AlterPartitionRequest::Partition request;
  request.set_topic_id(key.topic.ToBytes());
  request.set_partition(key.partition);
  request.set_leader_epoch(epoch_);
  request.set_partition_epoch(partition_epoch_);
  request.set_recovery_state(wish.recovering ? v1::LEADER_RECOVERY_STATE_RECOVERING
                                             : v1::LEADER_RECOVERY_STATE_RECOVERED);
  for (BrokerId broker : wish.isr) {
    auto* member = request.add_isr();
    member->set_broker_id(broker);
    const FollowerProgress* follower = broker == self_ ? nullptr : FindFollower(broker);
    member->set_broker_epoch(broker == self_       ? self_epoch
                             : follower != nullptr ? follower->broker_epoch
                                                   : kNoBrokerEpoch);
    if (!IsMember(broker)) AddOnce(&wished_, broker);
  }
  return request;
}

WishOutcome LeaderState::EndWish(const Wish& wish,
                                 const Result<v1::AlterPartitionResponse::Partition>& answer, MonoTime now,
                                 Duration pause) {
  // A newer state came meanwhile: the wish can no longer be granted, and its answer tells nothing new unless
  // newer still.
  const bool overtaken = partition_epoch_ > wish.base;
  if (!answer) {
    if (!overtaken) in_doubt_ = true;
    return WishOutcome::kUnknown;
  }
  switch (answer->error().code()) {
    case v1::NONE:
    case v1::INVALID_UPDATE_VERSION:
      if (answer->has_state()) {
        const WishOutcome outcome = TakeState(wish, answer->state());
        // A state of the wish's own base proves nothing: an earlier wish may still be under way to the
        // controller, and is void only when the partition epoch has risen.
        if (outcome != WishOutcome::kUnknown || partition_epoch_ > wish.base) return outcome;
      }
      if (!overtaken) in_doubt_ = true;
      return WishOutcome::kUnknown;
    case v1::FENCED_LEADER_EPOCH:
    case v1::NOT_LEADER_OR_FOLLOWER:
      return WishOutcome::kDeposed;
    case v1::INELIGIBLE_REPLICA:
    case v1::INVALID_REQUEST:
      if (overtaken) return WishOutcome::kRefused;
      // Only sure when no earlier try of this base may have been granted.
      if (!in_doubt_) wished_.clear();
      return Refuse(wish, now, pause);
    default:
      if (!overtaken) in_doubt_ = true;
      return WishOutcome::kUnknown;
  }
}

WishOutcome LeaderState::TakeState(const Wish& wish, const v1::PartitionState& state) {
  if (state.leader_epoch() > epoch_) return WishOutcome::kDeposed;
  if (state.leader_epoch() < epoch_) return WishOutcome::kUnknown;  // from a controller behind the times
  if (state.leader() != self_) return WishOutcome::kDeposed;
  if (Adopt(state)) return WishOutcome::kAdopted;
  if (partition_epoch_ > wish.base) return WishOutcome::kAdopted;
  return WishOutcome::kUnknown;
}

WishOutcome LeaderState::Refuse(const Wish& wish, MonoTime now, Duration pause) {
  if (wish.joining.size() > 1) {
    one_by_one_ = true;
  } else {
    for (BrokerId broker : wish.joining) refused_until_[broker] = now + pause;
  }
  return WishOutcome::kRefused;
}

}  // namespace tidemark
