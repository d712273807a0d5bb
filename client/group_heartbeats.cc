// The group consumer's membership: heartbeats while the application works, leaving when it does not, and what
// a fence means.
#include <algorithm>

#include "client/group_consumer_impl.h"

namespace tidemark {

using internal::MemberSession;

// A member that nobody polls, or whose listener does not return, reads nothing: its partitions are better
// with others.
MonoTime GroupConsumer::Impl::IdleDeadline() const {
  const MonoTime called_out = call_begun_ + options_.max_poll_interval;
  if (calling_) return closing_ ? std::min(called_out, std::max(close_by_, call_begun_ + 1s)) : called_out;
  if (polling_ || closing_) return loop_.Now() + options_.max_poll_interval;
  return last_poll_ + options_.max_poll_interval;
}

// Several tries fit into a session, so that one lost answer does not end it.
Duration GroupConsumer::Impl::HeartbeatLimit() const {
  return std::min<Duration>(options_.client.request_timeout,
                            std::max<Duration>(options_.session_timeout / 3, 500ms));
}

Task<void> GroupConsumer::Impl::Beat() {
  const std::stop_token stop = beats_.stop_token();
  while (!stop.stop_requested()) {
    const MonoTime now = loop_.Now();
    if (!session_.active()) {
      co_await wake_.Wait("a subscription", kNoDeadline, stop);
    } else if (IdleDeadline() <= now) {
      co_await LeaveForIdling();
    } else if (session_.due() <= now) {
      co_await BeatOnce();
    } else {
      co_await wake_.Wait("the next heartbeat", std::min(session_.due(), IdleDeadline()), stop);
    }
  }
}

Task<void> GroupConsumer::Impl::BeatOnce() {
  v1::Request request;
  const bool stalled = session_.Stalled(loop_.Now());
  *request.mutable_consumer_group_heartbeat() = session_.Begin(loop_.Now());
  const uint64_t serial = session_serial_;
  auto response = co_await link_.Try(std::move(request), HeartbeatLimit(), beats_.stop_token());
  // It has left meanwhile, and perhaps joined again.
  if (beats_.stopping() || serial != session_serial_ || !session_.active()) co_return;
  const MonoTime now = loop_.Now();
  if (response) {
    backoff_.Reset();
    const v1::ConsumerGroupHeartbeatResponse& answer = response->consumer_group_heartbeat();
    session_.OnAnswer(answer, now);
    work_ |= answer.has_assignment();
    if (answer.has_assignment() || stalled) Interrupt();
    co_return;
  }
  const bool was_member = session_.stage() == MemberSession::Stage::kMember;
  switch (session_.OnError(response.error(), now, backoff_.Next(cluster_.env().random()))) {
    case MemberSession::Verdict::kGoOn:
      break;
    case MemberSession::Verdict::kFenced:
      Lose(response.error());
      break;
    case MemberSession::Verdict::kFailed:
      Lose(response.error());
      // The coordinator still counts it, with its partitions. One that was fenced is another's place by now.
      if (was_member && response.error().code != v1::FENCED_INSTANCE_ID) {
        v1::Request farewell;
        *farewell.mutable_consumer_group_heartbeat() = session_.Farewell();
        (void)co_await link_.Try(std::move(farewell), HeartbeatLimit(), beats_.stop_token());
      }
      break;
  }
}

void GroupConsumer::Impl::BeginCall() {
  calling_ = true;
  call_begun_ = loop_.Now();
  wake_.NotifyAll();
}

Task<void> GroupConsumer::Impl::LeaveForIdling() {
  const char* what = calling_ ? "in a call of its rebalance listener" : "without a poll";
  Lose({v1::UNKNOWN_MEMBER_ID,
        closing_ ? fmt::format("the consumer left group '{}': its rebalance listener outlasted the close",
                               options_.group_id)
                 : fmt::format("the consumer left group '{}': max.poll.interval.ms={} passed {}",
                               options_.group_id, ToMillis(options_.max_poll_interval), what)});
  ++session_serial_;
  idled_out_ = true;
  v1::Request request;
  *request.mutable_consumer_group_heartbeat() = session_.Leave(last_loss_);
  (void)co_await link_.Try(std::move(request), HeartbeatLimit(), beats_.stop_token());
}

// Others may hold all of it by now.
void GroupConsumer::Impl::Lose(const Error& why) {
  for (const auto& [key, held] : held_) {
    lost_.insert({held.topic, key.partition});
    consumer_.Unassign(held.topic, key.partition);
  }
  held_.clear();
  names_.clear();
  revoking_.reset();
  revoked_ = false;
  last_loss_ = why;
  commits_.DropAll(why);
  work_ = true;
  Interrupt();
}

}  // namespace tidemark
