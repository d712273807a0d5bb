// A partition as follower: what it asks of its leader and what it does with the answers.
#include <algorithm>
#include <utility>

#include "broker/replica/partition.h"
#include "broker/replica/partition_use.h"
#include "common/record/batch.h"

namespace tidemark {

bool Partition::FollowsIn(LeaderEpoch epoch) const {
  return wants_fetch() && leader_epoch_ == epoch && follower_->epoch == epoch;
}

bool Partition::HasRoomToFollow() const {
  return log_->RoomFor(IsInternalTopic(topic_) ? SpaceUse::kInternal : SpaceUse::kFollow).has_value();
}

v1::FetchRequest::Partition Partition::NextFetch() {
  CHECK(wants_fetch()) << name_;
  follower_->fetched = true;
  v1::FetchRequest::Partition fetch;
  fetch.set_partition(key_.partition);
  fetch.set_fetch_offset(log_->end_offset());
  // Without room one batch is asked for: what comes of it is dropped, and there is nothing to come while
  // idle.
  fetch.set_max_bytes(HasRoomToFollow() ? context_.options.fetch_partition_bytes : 1);
  fetch.set_leader_epoch(follower_->epoch);
  fetch.set_flushed_end(log_->flushed_end());
  fetch.set_log_start_offset(log_->durable_start());
  if (auto last = LastRecordEpoch({log_->start_offset(), log_->end_offset(), &log_->epochs()})) {
    fetch.set_last_epoch(*last);
  }
  return fetch;
}

Task<FollowOutcome> Partition::ApplyFetched(v1::FetchResponse::Partition answer, LeaderEpoch epoch,
                                            Offset fetch_offset) {
  Use use(*this);
  if (!FollowsIn(epoch) || log_->end_offset() != fetch_offset) co_return FollowOutcome::kStale;
  if (answer.error().code() == v1::OFFSET_OUT_OF_RANGE && answer.leader_epoch() == epoch &&
      answer.log_start_offset() > fetch_offset) {
    co_return co_await RestartAtLeaders(answer.log_start_offset(), epoch,
                                        "it ends below its leader's log start");
  }
  // FENCED_LEADER_EPOCH and the like mend themselves: LeaderAndIsr is on its way to one of the two.
  if (answer.error().code() != v1::NONE || answer.leader_epoch() != epoch) co_return FollowOutcome::kBackOff;
  if (answer.has_diverging()) co_return co_await Diverge(answer.diverging(), epoch);
  if (answer.missed_tombstones()) {
    co_return co_await RestartAtLeaders(
        answer.log_start_offset(), epoch,
        fmt::format("its leader has dropped tombstones below {} that it may lack",
                    answer.tombstones_dropped_below()));
  }
  if (const auto known = co_await RememberDroppedTombstones(answer); !known) {
    if (LogTrouble()) OnLogTrouble();
    co_return FollowsIn(epoch) ? FollowOutcome::kBackOff : FollowOutcome::kParked;
  }
  if (!FollowsIn(epoch) || log_->end_offset() != fetch_offset) co_return FollowOutcome::kStale;
  if (const auto base = BatchAroundEnd(answer.records())) {
    const FollowOutcome restarted = co_await RestartAtLeaders(
        *base, epoch, "its leader's log start is inside of a batch, which is copied whole");
    if (restarted != FollowOutcome::kTruncated) co_return restarted;
  }
  co_return AppendFetched(answer);
}

// An empty log begins at its leader's log start, which DeleteRecords may have put inside of a batch: where
// that batch begins. The log start is adopted again when the batch is here.
std::optional<Offset> Partition::BatchAroundEnd(std::string_view records) const {
  BatchView batch;
  if (log_->start_offset() != log_->end_offset() || records.empty() ||
      ParseBatch(records, &batch, nullptr, nullptr) != BatchParse::kOk ||
      batch.base_offset >= log_->end_offset()) {
    return std::nullopt;
  }
  const auto body = ParseBody(batch.body);
  if (!body || batch.base_offset + body->last_offset_delta < log_->end_offset()) return std::nullopt;
  return batch.base_offset;
}

// The records lack those tombstones; whoever led with this copy would have to know it.
Task<Result<>> Partition::RememberDroppedTombstones(const v1::FetchResponse::Partition& answer) {
  const Offset below = answer.tombstones_dropped_below();
  const bool lacks = !answer.records().empty() && log_->end_offset() < below;
  if (!lacks || below <= log_->tombstone_drops().below()) co_return Result<>{};
  co_return co_await log_->AdoptDroppedTombstones(below);
}

// At ack.durability=synced at once. With flush.messages alone the log flushes by itself when so many are not
// on disk, and fewer hold up nobody.
void Partition::FlushFetched(const v1::FetchResponse::Partition& answer) {
  const bool by_count = settings_.log.durability == AckDurability::kReplicated &&
                        settings_.log.flush_messages < AckTerms::kEndlessFlushMessages;
  if (answer.flushed_ends_count() && !by_count) log_->RequestFlush();
}

FollowOutcome Partition::AppendFetched(const v1::FetchResponse::Partition& answer) {
  if (!answer.records().empty()) {
    // It falls behind and leaves the ISR; the directory's watch says why.
    if (!HasRoomToFollow()) return FollowOutcome::kBackOff;
    const auto appended = log_->AppendAsFollower(answer.records());
    if (!appended) {
      if (LogTrouble()) {
        OnLogTrouble();
        return FollowOutcome::kParked;
      }
      // There is room again soon; a move to another directory is over in a moment.
      if (appended.error().code == v1::DISK_FULL || appended.error().code == v1::BROKER_NOT_READY)
        return FollowOutcome::kBackOff;
      LOG(ERROR) << name_ << " cannot append what broker " << follower_->leader << " sent for offset "
                 << log_->end_offset() << ": " << ToString(appended.error());
      return FollowOutcome::kBackOff;
    }
    context_.counters.replicated_in_bytes += appended->bytes;
    FlushFetched(answer);
  }
  follower_->agreed = true;
  AdoptBounds(answer);
  return answer.records().empty() ? FollowOutcome::kNothing : FollowOutcome::kAppended;
}

void Partition::AdoptBounds(const v1::FetchResponse::Partition& answer) {
  CHECK(follower_->agreed) << name_;
  SetHighWatermark(AdoptedHighWatermark(high_watermark_, answer.high_watermark(), log_->end_offset()));
  follower_->leader_log_start = answer.log_start_offset();
  follower_->log_start_wanted = answer.log_start_wanted();
  AdoptLogStart();
}

// A cut below the own high watermark loses what was committed: only right after an unclean election.
bool Partition::MayCutTo(Offset end) {
  if (end >= high_watermark_) return true;
  if (!follower_->recovering) {
    GoOffline(
        {v1::KAFKA_STORAGE_ERROR,
         fmt::format(
             "the leader of epoch {}, broker {}, has another history below the high watermark: it would cut "
             "{} to offset {}, committed up to {}, log end {}",
             follower_->epoch, follower_->leader, name_, end, high_watermark_, log_->end_offset())});
    // It holds what this leader does not: it must not hold up the high watermark as a member of the ISR.
    if (follower_->in_isr && !leaving_isr_)
      scope_.Spawn("leave isr", LeaveIsr(v1::RESIGN_REASON_OFFLINE_LOG));
    return false;
  }
  LOG(WARNING) << name_ << " lowers its high watermark from " << high_watermark_ << " to " << end
               << " after an unclean election";
  high_watermark_ = end;
  log_->SetHighWatermark(end);
  return true;
}

Task<FollowOutcome> Partition::Diverge(const v1::EpochEnd& boundary, LeaderEpoch epoch) {
  const Offset asked = log_->end_offset();
  AsyncLock::Guard guard = co_await transition_.Acquire("truncation");
  if (!FollowsIn(epoch) || log_->end_offset() != asked) co_return FollowOutcome::kStale;
  // Once the histories agreed in an epoch, they grow alike.
  if (follower_->agreed) {
    LOG(ERROR) << name_ << ": broker " << follower_->leader << " contradicts its own history of epoch "
               << epoch;
    co_return FollowOutcome::kBackOff;
  }
  const auto cut = TruncationPoint({log_->start_offset(), log_->end_offset(), &log_->epochs()},
                                   {boundary.epoch(), boundary.end_offset()});
  if (!cut) {
    LOG(ERROR) << name_ << ": broker " << follower_->leader << " answers divergence at epoch "
               << boundary.epoch() << " offset " << boundary.end_offset()
               << ", which cuts nothing of a log that ends at " << asked;
    co_return FollowOutcome::kBackOff;
  }
  if (!MayCutTo(cut->end)) co_return FollowOutcome::kParked;
  LOG(INFO) << name_ << " truncates from " << asked << " to " << cut->end << " following broker "
            << follower_->leader << " in epoch " << epoch << " (high watermark " << high_watermark_ << ")";
  ++context_.counters.truncations;
  const Result<> done =
      cut->restart ? co_await log_->RestartAt(cut->end) : co_await log_->TruncateTo(cut->end);
  if (!done) {
    if (LogTrouble()) OnLogTrouble();
    co_return FollowsIn(epoch) ? FollowOutcome::kBackOff : FollowOutcome::kParked;
  }
  co_return FollowsIn(epoch) ? FollowOutcome::kTruncated : FollowOutcome::kStale;
}

Task<FollowOutcome> Partition::RestartAtLeaders(Offset leader_log_start, LeaderEpoch epoch, std::string why) {
  const Offset asked = log_->end_offset();
  AsyncLock::Guard guard = co_await transition_.Acquire("restart at the leader's log start");
  if (!FollowsIn(epoch) || log_->end_offset() != asked) co_return FollowOutcome::kStale;
  LOG(INFO) << name_ << " ends at " << asked << " and begins anew at " << leader_log_start << ": " << why;
  ++context_.counters.restarts;
  if (auto done = co_await log_->RestartAt(leader_log_start); !done) {
    if (LogTrouble()) OnLogTrouble();
    co_return FollowsIn(epoch) ? FollowOutcome::kBackOff : FollowOutcome::kParked;
  }
  // A leader drops only what is committed.
  if (high_watermark_ < leader_log_start) SetHighWatermark(leader_log_start);
  if (high_watermark_ > leader_log_start) {
    high_watermark_ = leader_log_start;
    log_->SetHighWatermark(leader_log_start);
  }
  co_return FollowsIn(epoch) ? FollowOutcome::kTruncated : FollowOutcome::kStale;
}

void Partition::Park(Error error) {
  const bool fetched = !follower_->parked;
  follower_->parked = std::move(error);
  if (fetched) context_.follow->StopFollowing(*this);
}

}  // namespace tidemark
