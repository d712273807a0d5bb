// Failing and damaged logs: the replica goes out of service loudly, asks to be relieved, and, when damaged
// and out of the ISR, begins anew as an empty follower. A sole copy stays where it is, untouched.
#include <algorithm>

#include "broker/replica/partition.h"
#include "broker/replica/partition_use.h"

namespace tidemark {

std::optional<Error> Partition::LogTrouble() const {
  if (log_ == nullptr) return std::nullopt;
  if (log_->failure()) return log_->failure();
  return log_->damage();
}

void Partition::GoOffline(Error error) {
  const bool told = offline_.has_value();
  offline_ = std::move(error);
  if (!told) {
    ++context_.counters.went_offline;
    LOG(ERROR) << name_ << " goes offline in epoch " << leader_epoch_.value_or(0) << ": "
               << ToString(*offline_);
  }
  if (follower_) {
    Park(*offline_);
  } else {
    LeaveRole();
  }
}

void Partition::BackInService() {
  offline_.reset();
  sole_ = false;
}

void Partition::OnLogTrouble() {
  const std::optional<Error> trouble = LogTrouble();
  if (!trouble || closing_) return;
  const bool damaged = !log_->failure();
  GoOffline(*trouble);
  if (leaving_isr_) return;
  scope_.Spawn("leave isr", LeaveIsr(damaged ? v1::RESIGN_REASON_OFFLINE_LOG : v1::RESIGN_REASON_STORAGE));
}

Task<Result<>> Partition::AskForRelief(bool leave_isr, v1::ResignReason reason) {
  v1::ResignLeadershipRequest::Partition request;
  request.set_topic_id(key_.topic.ToBytes());
  request.set_partition(key_.partition);
  request.set_leader_epoch(leader_epoch_.value_or(0));
  request.set_leave_isr(leave_isr);
  ++context_.counters.resignations;
  co_return co_await context_.isr.Resign(std::move(request), reason);
}

Task<void> Partition::LeaveIsr(v1::ResignReason reason) {
  leaving_isr_ = true;
  Duration pause = context_.options.isr_retry;
  while (!closing_ && offline_) {
    const Result<> answer = co_await AskForRelief(true, reason);
    if (closing_ || !offline_) break;
    if (answer) {
      // What is in force is told by the controller; a log that was fetched with is replaced in the epoch that
      // follows.
      co_await RepairIfOut();
      break;
    }
    if (answer.error().code == v1::ELIGIBLE_LEADERS_NOT_AVAILABLE) {
      if (!std::exchange(sole_, true)) {
        LOG(ERROR) << name_ << " stays offline with nothing deleted: it is the only copy in sync ("
                   << offline_->message << ")";
      }
      pause = context_.options.replica_lag_time_max;  // another may come into the ISR
    }
    if (co_await Sleep(context_.loop, pause, "retry of leaving the isr", scope_.stop_token()) ==
        WaitOutcome::kStopped) {
      break;
    }
    pause = std::max(pause, std::min(2 * pause, context_.options.isr_retry_max));
  }
  leaving_isr_ = false;
}

// A damaged follower that is out of the ISR is copied whole from the leader. What keeps its new log from
// being made (a full disk: the damaged one is kept) may pass.
Task<void> Partition::RepairIfOut() {
  Duration pause = context_.options.isr_retry;
  while (!co_await TryRepair()) {
    if (co_await Sleep(context_.loop, pause, "retry of a repair", scope_.stop_token()) ==
        WaitOutcome::kStopped)
      break;
    pause = std::min(2 * pause, context_.options.replica_lag_time_max);
  }
}

// True when there is nothing (more) to repair.
Task<bool> Partition::TryRepair() {
  AsyncLock::Guard guard = co_await transition_.Acquire("replica repair");
  repair_stop_.request_stop();
  co_await DrainReads();
  if (closing_ || !follower_ || follower_->in_isr) co_return true;
  // The leader takes a follower into the ISR by what it last told of its log. A log that was told of in this
  // epoch is replaced by BecomeFollower, in the next.
  if (log_ != nullptr && follower_->fetched) co_return true;
  if (log_ != nullptr && (log_->failure() || !log_->damage())) co_return true;
  if (!co_await SetLogAside()) co_return closing_;
  if (closing_ || !follower_) co_return true;
  BackInService();
  follower_->parked.reset();
  follower_->agreed = false;
  if (follower_->leader != kNoBroker) context_.follow->StartFollowing(*this);
  co_return true;
}

// Under the transition lock, without readers, while nothing fetches.
Task<Result<>> Partition::SetLogAside() {
  if (log_ != nullptr) {
    const std::string reason = log_->damage() ? log_->damage()->message : copy_wanted_->why;
    LOG(ERROR) << name_ << " sets its damaged log aside and copies it anew from the leader: " << reason;
    log_->SetFlushListener(nullptr);
    log_ = nullptr;
    high_watermark_ = 0;
    ++context_.counters.set_aside;
    TM_CO_RETURN_IF_ERROR(co_await context_.logs.SetAside(key_, reason));
    copy_wanted_.reset();  // also when the new log cannot be opened yet: it is not the one that was meant
  }
  co_return co_await OpenLog();
}

Task<Result<>> Partition::OpenLog() {
  auto opened = co_await context_.logs.OpenOrCreate(key_, topic_, settings_.log, LogExpected::kNew);
  if (!opened) {
    LOG(ERROR) << name_ << " has no log: " << ToString(opened.error());
    co_return Fail(v1::KAFKA_STORAGE_ERROR, "{}: {}", name_, opened.error().message);
  }
  AttachLog(*opened);
  co_return Result<>{};
}

}  // namespace tidemark
