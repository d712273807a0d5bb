// A partition's log start: retention and DeleteRecords as leader, adopting the leader's as follower.
//
// Only the leader decides. Followers take its log start from fetch answers, never past their own high
// watermark or what is on their disk. What was answered to a deleter of records is promised for good: the
// leader answers when its own log start and those of all that may be elected (the ISR, with members not yet
// sure) are on their disks; who joins the ISR later has it on disk first (isr_decision.h), and a new leader
// begins its epoch with requiring what it has itself.
#include <algorithm>
#include <utility>

#include "broker/replica/partition.h"
#include "broker/replica/partition_use.h"

namespace tidemark {
namespace {

// Between two looks where nothing tells that the own log start can move (the log is being changed).
constexpr Duration kStartRetry = 20ms;
constexpr int64_t kRetentionRetryMillis = 1000;

std::string_view Word(RetentionReason reason) {
  switch (reason) {
    case RetentionReason::kTime:
      return "retention.ms";
    case RetentionReason::kSize:
      return "retention.bytes";
    case RetentionReason::kTimeAndSize:
      return "retention.ms and retention.bytes";
    case RetentionReason::kNone:
      break;
  }
  return "nothing";
}

Offset StartToAdopt(const FollowerState& follower, Offset high_watermark) {
  return std::min(follower.leader_log_start, high_watermark);
}

// What is not on disk yet is adopted when it is, unless the leader waits for it.
bool LogStartSettled(const FollowerState& follower, const ReplicaLog& log, Offset high_watermark) {
  const Offset start = StartToAdopt(follower, high_watermark);
  if (follower.log_start_wanted) return log.durable_start() >= start;
  return log.start_offset() >= std::min(start, log.flushed_end());
}

}  // namespace

// --- leader

void Partition::MoveLogStart(Offset offset) {
  CHECK_LE(offset, high_watermark_) << name_ << ": only what is committed is deleted";
  const Offset before = log_->start_offset();
  log_->AdvanceStartTo(offset);
  if (log_->start_offset() == before) return;
  log_starts_moved_.NotifyAll();
  NotifyWatchers(PartitionChange::kLogStart);
}

Task<std::optional<WallMillis>> Partition::CheckRetention() {
  Use use(*this);
  while (leading() && !closing_ && !LogTrouble() && settings_.retention.limits_anything()) {
    std::optional<Offset> append_time_wanted;
    if (log_->surveyed()) {
      const WallMillis now = context_.clock.WallNow();
      const RetentionDecision decision = DecideRetention(log_->DescribeSegments(), settings_.retention, now,
                                                         log_->start_offset(), high_watermark_);
      append_time_wanted = decision.append_time_wanted;
      if (!append_time_wanted) co_return ApplyRetention(decision, now);
    }
    ReadUse read_use(*this);
    const auto learnt =
        append_time_wanted ? co_await log_->LearnAppendTime(*append_time_wanted) : co_await log_->Survey();
    if (learnt) continue;
    LOG(WARNING) << name_ << ": retention cannot read how old its segments are: " << ToString(learnt.error());
    if (LogTrouble()) OnLogTrouble();
    break;
  }
  co_return std::nullopt;
}

std::optional<WallMillis> Partition::ApplyRetention(const RetentionDecision& decision, WallMillis now) {
  const Offset before = log_->start_offset();
  if (decision.log_start > before) MoveLogStart(decision.log_start);
  if (log_->start_offset() > before) {
    LOG(INFO) << name_ << " deletes the records from offset " << before << " to " << log_->start_offset()
              << " by " << Word(decision.reason) << ": " << decision.segments << " segments, "
              << decision.bytes << " bytes";
  }
  // The log is being changed, or the rest is not on disk yet. What was not moved yet is rolled with the rest.
  if (log_->start_offset() < decision.log_start) {
    log_->RequestFlush();
    return now + kRetentionRetryMillis;
  }
  if (decision.roll_active) {
    const auto rolled = log_->RollActive();
    LOG_IF(WARNING, !rolled) << name_
                             << ": retention cannot roll its active segment: " << ToString(rolled.error());
    if (LogTrouble()) OnLogTrouble();
  }
  return decision.next;
}

Result<Offset> Partition::CheckDeletion(std::optional<Offset> before,
                                        std::optional<LeaderEpoch> epoch) const {
  TM_RETURN_IF_ERROR(CheckLeader(epoch));
  if (!settings_.retention.deletes) {
    return Fail(v1::POLICY_VIOLATION,
                "records of {} can not be deleted: its cleanup.policy does not contain 'delete'", name_);
  }
  // As for ListOffsets: more may be committed than is known here yet.
  if (high_watermark_ < leader_->epoch_start()) {
    return Fail(v1::OFFSET_NOT_AVAILABLE, "{} does not know yet how far it is committed: {} of {}", name_,
                high_watermark_, leader_->epoch_start());
  }
  if (before && *before > high_watermark_) {
    return Fail(v1::OFFSET_OUT_OF_RANGE, "{} cannot delete up to offset {}, it is committed up to {}", name_,
                *before, high_watermark_);
  }
  return before.value_or(high_watermark_);
}

Offset Partition::LowWatermark() const {
  const std::optional<Offset> least = leader_->LeastLogStart();
  return least ? std::min(*least, log_->durable_start()) : log_->durable_start();
}

std::unexpected<Error> Partition::DeletionTimedOut(Offset offset) const {
  std::string waits_for;
  for (const BrokerId broker : leader_->MaximalIsr()) {
    const auto follower = std::ranges::find(leader_->followers(), broker, &FollowerProgress::broker);
    if (follower == leader_->followers().end() || (follower->ends && follower->log_start >= offset)) continue;
    waits_for += fmt::format("{}broker {}", waits_for.empty() ? "" : ", ", broker);
  }
  return Fail(v1::REQUEST_TIMED_OUT, "{} is deleted up to {} on its leader, waiting for {}", name_,
              log_->start_offset(), waits_for.empty() ? "its own disk" : waits_for);
}

Task<Result<Offset>> Partition::DeleteRecords(std::optional<Offset> before, std::optional<LeaderEpoch> epoch,
                                              MonoTime deadline, std::stop_token stop) {
  Use use(*this);
  TM_CO_ASSIGN_OR_RETURN(const Offset offset, CheckDeletion(before, epoch));
  const LeaderEpoch leading_epoch = *leader_epoch_;
  if (offset > log_->start_offset()) {
    LOG(INFO) << name_ << " deletes the records from offset " << log_->start_offset() << " to " << offset
              << " as asked";
  }
  leader_->RequireLogStart(offset);
  for (;;) {
    if (closing_ || !LeadsIn(leading_epoch)) co_return NotLeader();
    if (log_->start_offset() < offset) MoveLogStart(offset);
    const bool moved = log_->start_offset() >= offset;
    // The log start is never above what is on disk.
    if (!moved) log_->RequestFlush();
    if (moved && log_->durable_start() < offset) {
      ReadUse read_use(*this);
      TM_CO_RETURN_IF_ERROR(co_await log_->CheckpointStart());
      continue;
    }
    if (moved && LowWatermark() >= offset) co_return LowWatermark();
    // Those who have the log start already are told again that it is waited for.
    NotifyWatchers(PartitionChange::kLogStart);
    const MonoTime until = moved ? deadline : std::min(deadline, context_.loop.Now() + kStartRetry);
    const WaitOutcome outcome = co_await log_starts_moved_.Wait("log start of the replicas", until, stop);
    if (outcome == WaitOutcome::kStopped)
      co_return Fail(v1::CANCELLED, "the wait for {} was given up", name_);
    if (outcome == WaitOutcome::kTimedOut && context_.loop.Now() >= deadline && LeadsIn(leading_epoch)) {
      co_return DeletionTimedOut(offset);
    }
  }
}

bool Partition::WantsLogStartOf(BrokerId replica) const {
  if (!leading()) return false;
  const auto follower = std::ranges::find(leader_->followers(), replica, &FollowerProgress::broker);
  return follower != leader_->followers().end() && follower->ends &&
         follower->log_start < leader_->required_log_start();
}

void Partition::NoteLogStart(FollowerProgress& follower, Offset log_start) {
  if (follower.log_start == log_start) return;
  follower.log_start = log_start;
  log_starts_moved_.NotifyAll();
}

// --- follower

// What the leader has dropped is dropped here too, but never anything that is not committed.
void Partition::AdoptLogStart() {
  if (!follower_ || !follower_->agreed) return;
  log_->AdvanceStartTo(StartToAdopt(*follower_, high_watermark_));
  if (LogStartSettled(*follower_, *log_, high_watermark_)) return;
  if (!std::exchange(persisting_start_, true)) scope_.Spawn("adopt log start", PersistLogStart());
}

// Where it could not be adopted at once, or is waited for on disk. Nobody may tell again.
Task<void> Partition::PersistLogStart() {
  while (!closing_ && wants_fetch() && follower_->agreed &&
         !LogStartSettled(*follower_, *log_, high_watermark_)) {
    const Offset start = StartToAdopt(*follower_, high_watermark_);
    Duration pause = context_.options.isr_retry;
    log_->AdvanceStartTo(start);
    if (log_->start_offset() < start) log_->RequestFlush();
    if (follower_->log_start_wanted && log_->durable_start() < log_->start_offset()) {
      ReadUse read_use(*this);
      const auto done = co_await log_->CheckpointStart();
      if (done) continue;
      LOG(WARNING) << name_ << ": its log start cannot be checkpointed: " << ToString(done.error());
      pause = context_.options.isr_retry_max;
    }
    co_await Sleep(context_.loop, pause, "log start to adopt", scope_.stop_token());
  }
  persisting_start_ = false;
  if (!closing_ && wants_fetch()) context_.follow->FollowerFlushed(*this);
}

}  // namespace tidemark
