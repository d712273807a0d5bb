// A leader's changes of the ISR: one AlterPartition in flight, its members counting from the moment it is
// sent, a shrink taking effect only when it is committed, an unknown outcome asked about until it is known.
#include <algorithm>
#include <utility>

#include <fmt/ranges.h>

#include "broker/replica/partition.h"
#include "broker/replica/partition_use.h"

namespace tidemark {

IsrView Partition::CurrentView() const {
  return leader_->View(AckTerms(settings_.log), log_->end_offset(), high_watermark_, context_.loop.Now(),
                       context_.options.replica_lag_time_max, !leader_stalled_ && !Stalled());
}

bool Partition::Stalled() const {
  return LeaderStalled({.now = context_.loop.Now(),
                        .last_check = context_.last_isr_check,
                        .check_interval = context_.isr_check_interval(),
                        .flush_pending_since = flush_pending_since_,
                        .lag_time_max = context_.options.replica_lag_time_max});
}

void Partition::CheckIsr() {
  if (!leading()) return;
  leader_stalled_ = Stalled();
  MaybeUpdateIsr();
}

void Partition::MaybeUpdateIsr() {
  if (!leading() || isr_updating_ || closing_) return;
  const IsrView view = CurrentView();
  if (!leader_->NextWish(view) && !leader_->AnyRefused(view)) return;
  isr_updating_ = true;
  scope_.Spawn("isr update", UpdateIsr(*leader_epoch_));
}

Task<void> Partition::UpdateIsr(LeaderEpoch epoch) {
  Duration pause = context_.options.isr_retry;
  while (LeadsIn(epoch) && !closing_) {
    const BrokerEpoch self_epoch = context_.brokers.self_epoch();
    if (self_epoch != kNoBrokerEpoch) {
      const auto wish = leader_->NextWish(CurrentView());
      if (!wish) {
        // Somebody who was refused is asked for again, as long as he could join.
        if (!leader_->AnyRefused(CurrentView())) break;
        if (co_await Sleep(context_.loop, context_.options.isr_retry_max, "isr retry", scope_.stop_token()) ==
            WaitOutcome::kStopped) {
          break;
        }
        continue;
      }
      auto request = leader_->BeginWish(*wish, key_, self_epoch);
      const auto answer = co_await context_.isr.AlterPartition(std::move(request));
      if (!LeadsIn(epoch) || closing_) break;
      const std::vector<BrokerId> before = leader_->isr();
      const WishOutcome outcome =
          leader_->EndWish(*wish, answer, context_.loop.Now(), context_.options.isr_retry_max);
      if (outcome == WishOutcome::kAdopted) {
        partition_epoch_ = leader_->partition_epoch();
        pause = context_.options.isr_retry;
        AfterIsrChange(before);
        continue;
      }
      ++context_.counters.isr_failed_updates;
      if (outcome == WishOutcome::kDeposed) {
        StepBack(answer);
        break;
      }
      // What no longer may be granted need not be waited for.
      AdvanceHighWatermark();
    }
    if (co_await Sleep(context_.loop, pause, "isr retry", scope_.stop_token()) == WaitOutcome::kStopped)
      break;
    pause = std::min(2 * pause, context_.options.isr_retry_max);
  }
  isr_updating_ = false;
  // Leadership was lost and won again meanwhile: the new epoch's wishes had to wait for this one's answer.
  if (!closing_ && leading() && *leader_epoch_ != epoch) MaybeUpdateIsr();
}

void Partition::AfterIsrChange(const std::vector<BrokerId>& before) {
  const std::vector<BrokerId>& isr = leader_->isr();
  const auto lost =
      std::ranges::count_if(before, [&](BrokerId b) { return std::ranges::find(isr, b) == isr.end(); });
  const auto won =
      std::ranges::count_if(isr, [&](BrokerId b) { return std::ranges::find(before, b) == before.end(); });
  if (lost > 0) ++context_.counters.isr_shrinks;
  if (won > 0) ++context_.counters.isr_expands;
  if (lost > 0 || won > 0) {
    LOG(INFO) << name_ << " has ISR [" << fmt::format("{}", fmt::join(isr, ",")) << "] instead of ["
              << fmt::format("{}", fmt::join(before, ",")) << "] in epoch " << *leader_epoch_
              << ", partition epoch " << leader_->partition_epoch() << ", high watermark " << high_watermark_;
  }
  AdvanceHighWatermark();
  CheckMinIsr();
  log_starts_moved_.NotifyAll();
  MaybeUpdateIsr();
}

// Another epoch is in force: serve nothing until LeaderAndIsr tells what this replica is in it.
void Partition::StepBack(const Result<v1::AlterPartitionResponse::Partition>& answer) {
  LOG(WARNING) << name_ << " learns that it no longer leads in epoch " << *leader_epoch_
               << "; waits for its new role";
  if (answer->has_state() && answer->state().leader_epoch() > *leader_epoch_) {
    leader_known_ = {answer->state().leader(), answer->state().leader_epoch()};
  } else {
    leader_known_ = {kNoBroker, *leader_epoch_};
  }
  LeaveRole();
}

}  // namespace tidemark
