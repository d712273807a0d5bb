#include "broker/replica/isr_decision.h"

#include <algorithm>

namespace tidemark {
namespace {

bool Contains(std::span<const BrokerId> brokers, BrokerId broker) {
  return std::ranges::find(brokers, broker) != brokers.end();
}

bool OutOfSync(const FollowerProgress& follower, const IsrView& view) {
  if (follower.ends) {
    if (follower.ends->log_end < view.high_watermark) return true;
    if (CountedEnd(*follower.ends, view.durability) >= view.leader_log_end) return false;
  }
  return view.now - follower.caught_up_at > view.lag_time_max;
}

}  // namespace

void NoteProgress(FollowerProgress& follower, const ReplicaEnds& ends, const AckTerms& terms,
                  Offset leader_end, MonoTime now) {
  follower.ends = ends;
  const Offset counted = CountedEnd(ends, terms);
  if (counted >= leader_end) {
    follower.caught_up_at = now;
    follower.mark.reset();
    return;
  }
  if (follower.mark && counted >= follower.mark->leader_end) {
    follower.caught_up_at = std::max(follower.caught_up_at, follower.mark->time);
    follower.mark.reset();
  }
  if (!follower.mark) follower.mark = FollowerProgress::Mark{now, leader_end};
}

void NoteLeaderAppend(FollowerProgress& follower, const AckTerms& terms, Offset leader_end, MonoTime now) {
  if (follower.ends && CountedEnd(*follower.ends, terms) >= leader_end) follower.caught_up_at = now;
}

std::vector<BrokerId> ShrinkCandidates(const IsrView& view) {
  std::vector<BrokerId> candidates;
  if (!view.may_shrink) return candidates;
  for (const FollowerProgress& follower : view.followers) {
    if (Contains(view.committed, follower.broker) && OutOfSync(follower, view))
      candidates.push_back(follower.broker);
  }
  return candidates;
}

bool MayJoin(const FollowerProgress& follower, const IsrView& view) {
  if (!follower.ends || follower.broker_epoch == kNoBrokerEpoch) return false;
  if (follower.log_start < view.required_log_start) return false;
  const Offset counted = CountedEnd(*follower.ends, view.durability);
  return counted >= view.high_watermark && counted >= view.epoch_start && !OutOfSync(follower, view);
}

std::vector<BrokerId> ExpandCandidates(const IsrView& view) {
  std::vector<BrokerId> candidates;
  for (const FollowerProgress& follower : view.followers) {
    if (!Contains(view.committed, follower.broker) && MayJoin(follower, view))
      candidates.push_back(follower.broker);
  }
  return candidates;
}

bool LeaderStalled(const StallView& view) {
  if (view.now - view.last_check > 2 * view.check_interval) return true;
  return view.flush_pending_since && view.now - *view.flush_pending_since > view.lag_time_max;
}

}  // namespace tidemark
