// Life and transitions of a partition.
#include "broker/replica/partition.h"

#include <algorithm>
#include <utility>

#include "broker/replica/partition_use.h"
#include "common/fault.h"

namespace tidemark {

Partition::Partition(ReplicaContext& context, PartitionKey key, std::string topic, ReplicaLog* log,
                     TopicSettings settings)
    : context_(context),
      key_(key),
      topic_(std::move(topic)),
      name_(fmt::format("{}-{}", topic_, key.partition)),
      settings_(settings),
      scope_(context.loop, name_),
      transition_(context.loop),
      idle_(context.loop),
      own_flushed_(context.loop),
      log_starts_moved_(context.loop) {
  AttachLog(log);
  high_watermark_ = std::clamp(log_->checkpointed_high_watermark(), log_->start_offset(), log_->end_offset());
}

Partition::~Partition() { CHECK(closing_ && uses_ == 0 && reads_ == 0) << name_ << " destroyed in use"; }

void Partition::AttachLog(ReplicaLog* log) {
  log_ = log;
  damaged_ranges_seen_ = 0;
  if (log_ == nullptr) return;
  log_->SetConfig(settings_.log);
  log_->SetFlushListener([this] { OnFlushed(); });
}

Result<bool> Partition::CheckTransition(const v1::PartitionState& state) const {
  if (closing_) return Fail(v1::CANCELLED, "{} is closing", name_);
  if (leader_epoch_) {
    if (state.leader_epoch() < *leader_epoch_) {
      ++context_.counters.fenced_requests;
      return Fail(v1::FENCED_LEADER_EPOCH, "{} is in leader epoch {}, the command in {}", name_,
                  *leader_epoch_, state.leader_epoch());
    }
    if (state.leader_epoch() == *leader_epoch_) return state.partition_epoch() > partition_epoch_;
  }
  // Epochs on disk are floors: ZooKeeper has forgotten something when it names a lower one.
  if (const auto latest = log_ != nullptr ? log_->epochs().latest() : std::nullopt;
      latest && *latest > state.leader_epoch()) {
    LOG(ERROR) << name_ << " refuses leader epoch " << state.leader_epoch()
               << ": its log has records or a start of epoch " << *latest;
    return Fail(v1::FENCED_LEADER_EPOCH, "the log of {} knows leader epoch {}, the command names {}", name_,
                *latest, state.leader_epoch());
  }
  return true;
}

Task<Result<>> Partition::ApplyLeaderAndIsr(v1::PartitionState state) {
  Use use(*this);
  AsyncLock::Guard guard = co_await transition_.Acquire("partition transition");
  TM_CO_ASSIGN_OR_RETURN(const bool newer, CheckTransition(state));
  const bool sole = state.isr_size() == 1 && state.isr(0) == context_.brokers.self();
  // Told again, the state of a replica that cannot serve is answered as the first time.
  if (!newer) co_return StorageState(sole);
  // One that stepped back has no role although it knows the epoch: it goes through the whole transition.
  if (leader_epoch_ == state.leader_epoch() && (role_ != PartitionRole::kNone || offline_)) {
    AdoptSameEpoch(state);
    co_return StorageState(sole);
  }
  LeaveRole();
  leader_known_ = {state.leader(), state.leader_epoch()};
  co_await DrainReads();
  if (log_ == nullptr) TM_CO_RETURN_IF_ERROR(co_await OpenLog());
  if (log_->failure()) {
    GoOffline(*log_->failure());
    co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}: {}", name_, log_->failure()->message);
  }
  const bool lead = state.leader() == context_.brokers.self();
  TM_CO_RETURN_IF_ERROR(lead ? co_await BecomeLeader(state) : co_await BecomeFollower(state));
  // Last: a transition that failed half-way is retried by the same command.
  leader_epoch_ = state.leader_epoch();
  partition_epoch_ = state.partition_epoch();
  if (LogTrouble()) {
    OnLogTrouble();
  } else if (leading()) {
    RequestFlushIfSynced();
    AdvanceHighWatermark();
    MaybeUpdateIsr();
  } else if (wants_fetch() && follower_->leader != kNoBroker) {
    context_.follow->StartFollowing(*this);
  }
  RepairIfDamaged();
  NotifyWatchers(PartitionChange::kRole);
  co_return StorageState(sole);
}

Result<> Partition::StorageState(bool sole) {
  if (log_ != nullptr && log_->failure())
    return Fail(v1::KAFKA_STORAGE_ERROR, "{}: {}", name_, log_->failure()->message);
  if (!offline_) return {};
  sole_ = sole_ || sole;
  if (!sole_) return {};  // it asks to leave the ISR, and somebody else leads
  return Fail(v1::CORRUPT_MESSAGE, "{}: {}", name_, offline_->message);
}

// The caller holds the lock, has left the former role and drained the log's readers.
Task<Result<>> Partition::BecomeLeader(const v1::PartitionState& state) {
  const LeaderEpoch epoch = state.leader_epoch();
  const Offset start = log_->end_offset();
  copy_wanted_.reset();
  if (!log_->damage()) {
    if (auto begun = co_await log_->BeginEpoch(epoch); !begun) {
      // Of a full disk nothing has failed: the command is sent again until there is room.
      if (begun.error().code == v1::DISK_FULL) co_return begun;
      GoOffline(begun.error());
      co_return Fail(v1::KAFKA_STORAGE_ERROR, "{} cannot begin epoch {}: {}", name_, epoch,
                     begun.error().message);
    }
    if (closing_) co_return Fail(v1::CANCELLED, "{} is closing", name_);
    CHECK_EQ(log_->end_offset(), start) << name_ << " was appended to during a transition";
    BackInService();
  }
  leader_.emplace(state, context_.brokers.self(), start, context_.loop.Now(), log_->start_offset());
  role_ = PartitionRole::kLeader;
  ++context_.counters.became_leader;
  LOG(INFO) << name_ << " leads in epoch " << epoch << " from offset " << start << ", high watermark "
            << high_watermark_ << ", partition epoch " << state.partition_epoch();
  co_return Result<>{};
}

// As BecomeLeader.
Task<Result<>> Partition::BecomeFollower(const v1::PartitionState& state) {
  FollowerState follower(state, context_.brokers.self());
  // The leader knows nothing of this log in the epoch that begins: only now may it be replaced. Another
  // leader than the one that has shown its log may have holes where this one has none.
  const bool copy = copy_wanted_ && copy_wanted_->leader == state.leader();
  if ((log_->damage() || copy) && !follower.in_isr) TM_CO_RETURN_IF_ERROR(co_await SetLogAside());
  copy_wanted_.reset();
  if (TM_BUG("truncate-to-hw")) TM_CO_RETURN_IF_ERROR(co_await log_->TruncateTo(high_watermark_));
  if (closing_) co_return Fail(v1::CANCELLED, "{} is closing", name_);
  follower_.emplace(std::move(follower));
  role_ = PartitionRole::kFollower;
  if (!log_->damage()) BackInService();
  ++context_.counters.became_follower;
  LOG(INFO) << name_ << " follows broker " << state.leader() << " in epoch " << state.leader_epoch()
            << " from offset " << log_->end_offset() << ", high watermark " << high_watermark_;
  co_return Result<>{};
}

void Partition::AdoptSameEpoch(const v1::PartitionState& state) {
  // A leader that has registered anew is not told that it leads until it is elected anew; until then it is
  // what it was.
  if (state.leader() == kNoBroker && leading()) return;
  if (state.leader() != leader_known_.leader && leader_known_.epoch == state.leader_epoch()) {
    LOG(ERROR) << name_ << " is told of leader " << state.leader() << " and knows " << leader_known_.leader
               << " in the same epoch " << state.leader_epoch() << "; ignored";
    return;
  }
  partition_epoch_ = state.partition_epoch();
  if (leader_) {
    const std::vector<BrokerId> before = leader_->isr();
    if (leader_->Adopt(state)) AfterIsrChange(before);
  } else if (follower_) {
    follower_->Adopt(state);
    if (follower_->parked && !follower_->in_isr && (log_ == nullptr || log_->damage()))
      scope_.Spawn("replica repair", RepairIfOut());
  }
}

void Partition::LeaveRole() {
  if (role_ == PartitionRole::kNone) return;
  repair_stop_.request_stop();
  if (role_ == PartitionRole::kFollower) context_.follow->StopFollowing(*this);
  role_ = PartitionRole::kNone;
  leader_.reset();
  follower_.reset();
  flush_pending_since_.reset();
  leader_stalled_ = false;
  WakeAllCommitWaits();
  NotifyWatchers(PartitionChange::kRole);
}

Task<void> Partition::DrainReads() {
  while (reads_ > 0) co_await idle_.Wait("partition readers");
}

Task<void> Partition::Close() {
  closing_ = true;
  scope_.RequestStop();
  {
    AsyncLock::Guard guard = co_await transition_.Acquire("partition close");
    LeaveRole();
    WakeAllCommitWaits();
    NotifyWatchers(PartitionChange::kGone);
    watchers_.clear();
  }
  co_await scope_.Close();
  while (uses_ > 0 || reads_ > 0) co_await idle_.Wait("partition uses");
  if (log_ != nullptr) log_->SetFlushListener(nullptr);
}

void Partition::UpdateSettings(const TopicSettings& settings) {
  settings_ = settings;
  if (log_ != nullptr) log_->SetConfig(settings.log);
  if (!leading()) return;
  flush_pending_since_.reset();
  own_flushed_.NotifyAll();
  RequestFlushIfSynced();
  AdvanceHighWatermark();
  CheckMinIsr();
}

void Partition::RequestFlushIfSynced() {
  if (settings_.log.durability != AckDurability::kSynced || log_->flushed_end() >= log_->end_offset()) return;
  if (!flush_pending_since_) flush_pending_since_ = context_.loop.Now();
  log_->RequestFlush();
}

void Partition::OnFlushed() {
  if (closing_) return;
  if (LogTrouble()) {
    OnLogTrouble();
    return;
  }
  const uint64_t found = log_->damaged_ranges_found();
  context_.counters.damaged_ranges += found - std::exchange(damaged_ranges_seen_, found);
  RepairIfDamaged();
  log_starts_moved_.NotifyAll();
  own_flushed_.NotifyAll();
  if (leading()) {
    if (log_->flushed_end() >= log_->end_offset()) {
      flush_pending_since_.reset();
    } else if (flush_pending_since_) {
      flush_pending_since_ = context_.loop.Now();  // it moves; the rest has been asked for since
    }
    AdvanceHighWatermark();
  } else if (wants_fetch()) {
    // The log start moves up to what is on disk only.
    AdoptLogStart();
    context_.follow->FollowerFlushed(*this);
  }
}

void Partition::NotifyWatchers(PartitionChange change) {
  for (PartitionWatcher* watcher : watchers_) watcher->OnPartitionChange(key_, change);
}

void Partition::WakeAllCommitWaits() {
  for (auto& [end, waiter] : commit_waits_) waiter->Wake();
  own_flushed_.NotifyAll();
  log_starts_moved_.NotifyAll();
}

std::unexpected<Error> Partition::NotLeader() const {
  if (offline_) return Fail(v1::KAFKA_STORAGE_ERROR, "{} is offline: {}", name_, offline_->message);
  if (leader_known_.leader == kNoBroker || leader_known_.leader == context_.brokers.self()) {
    return Fail(v1::NOT_LEADER_OR_FOLLOWER, "{} has no leader here now", name_);
  }
  return Fail(v1::NOT_LEADER_OR_FOLLOWER, "broker {} leads {} in epoch {}", leader_known_.leader, name_,
              leader_known_.epoch);
}

void Partition::Describe(v1::DescribeReplicasResponse::Replica* out) const {
  out->set_topic_id(key_.topic.ToBytes());
  out->set_topic(topic_);
  out->set_partition(key_.partition);
  out->set_leader(leader_known_.leader);
  out->set_leader_epoch(leader_epoch_.value_or(0));
  out->set_partition_epoch(partition_epoch_);
  out->set_high_watermark(high_watermark_);
  if (log_ != nullptr) {
    out->set_log_start_offset(log_->start_offset());
    out->set_log_end_offset(log_->end_offset());
    out->set_flushed_end(log_->flushed_end());
    out->set_size_bytes(log_->size_bytes());
    out->set_log_dir(log_->directory());
  }
  if (offline_) *out->mutable_offline() = ToProto(*offline_);
  if (follower_) out->mutable_isr()->Add(follower_->isr.begin(), follower_->isr.end());
  if (!leader_) return;
  out->mutable_isr()->Add(leader_->isr().begin(), leader_->isr().end());
  const MonoTime now = context_.loop.Now();
  for (const FollowerProgress& follower : leader_->followers()) {
    auto* told = out->add_followers();
    told->set_broker_id(follower.broker);
    if (!follower.ends) continue;
    told->set_log_end_offset(follower.ends->log_end);
    told->set_flushed_end(follower.ends->flushed_end);
    const bool caught_up = CountedEnd(*follower.ends, AckTerms(settings_.log)) >= log_->end_offset();
    if (!caught_up) {
      told->set_caught_up_ms_ago(static_cast<uint64_t>(ToMillis(now - follower.caught_up_at)));
    }
  }
}

}  // namespace tidemark
