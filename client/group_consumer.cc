#include "client/group_consumer.h"

#include <algorithm>

#include "client/group_consumer_impl.h"

namespace tidemark {
namespace {

// How often a consumer that waits looks whether it has something to commit, at most.
constexpr Duration kShortestLook = 100ms;
// How long an application on the loop may poll what was fetched ahead before others have their turn.
constexpr Duration kLongestTurn = 100ms;
// What a leave may take beyond the commits before it.
constexpr Duration kLeaveLimit = 5s;

internal::MemberSession::Settings SessionSettings(const ConsumerOptions& options, Random& random) {
  return {.group = options.group_id,
          .member_id = internal::MakeMemberId(options.client.client_id, random),
          .instance_id = options.group_instance_id,
          .rack = options.rack,
          .assignor = options.assignor,
          .session_timeout = options.session_timeout,
          .rebalance_timeout = options.max_poll_interval};
}

}  // namespace

Task<void> RebalanceListener::OnAssigned(std::vector<TopicPartition>) { co_return; }
Task<void> RebalanceListener::OnRevoked(std::vector<TopicPartition>) { co_return; }
Task<void> RebalanceListener::OnLost(std::vector<TopicPartition>, Error) { co_return; }

GroupConsumer::Impl::Impl(Cluster& cluster, ConsumerOptions options, RebalanceListener* listener)
    : cluster_(cluster),
      loop_(cluster.loop()),
      options_(std::move(options)),
      listener_(listener),
      consumer_(cluster, options_),
      link_(cluster, options_.group_id),
      session_(SessionSettings(options_, cluster.env().random())),
      backoff_(options_.client),
      commits_(cluster, link_,
               {.committer = [this]() -> std::optional<internal::CommitQueue::Committer> {
                  if (session_.stage() != internal::MemberSession::Stage::kMember) return std::nullopt;
                  return internal::CommitQueue::Committer{session_.member_id(), session_.instance_id(),
                                                          session_.epoch()};
                },
                .committed = [this](const internal::CommitItems& items) { OnCommitted(items); },
                .fenced =
                    [this] {
                      if (session_.active()) session_.Hurry(loop_.Now());
                      wake_.NotifyAll();
                    }}),
      beats_(loop_, "heartbeats"),
      scope_(loop_, "group consumer"),
      wake_(loop_),
      changed_(loop_) {
  beats_.Spawn("heartbeats", Beat());
}

// The listener must not call what waits for itself.
Result<> GroupConsumer::Impl::CheckOutside(const char* call) const {
  if (closing_) return Fail(v1::CANCELLED, "the consumer is closed");
  if (calling_) return Fail(v1::INVALID_REQUEST, "{} cannot be used in a rebalance listener", call);
  if (polling_) return Fail(v1::INVALID_REQUEST, "{}: another poll is under way", call);
  return {};
}

Result<> GroupConsumer::Impl::Subscribe(v1::GroupSubscription subscription) {
  if (closing_) return Fail(v1::CANCELLED, "the consumer is closed");
  if (options_.group_id.empty()) return Fail(v1::INVALID_GROUP_ID, "group.id is not set");
  const MonoTime now = loop_.Now();
  if (!session_.active()) {
    last_poll_ = now;
    next_auto_commit_ = now + options_.auto_commit_interval;
  }
  idled_out_ = false;
  session_.Subscribe(std::move(subscription), now);
  wake_.NotifyAll();
  return {};
}

Task<Result<>> GroupConsumer::Impl::Unsubscribe() {
  TM_CO_RETURN_IF_ERROR(CheckOutside("Unsubscribe"));
  const MonoTime deadline = loop_.Now() + options_.default_api_timeout;
  Result<> released = co_await ReleaseAll(deadline);
  co_await Leave(deadline);
  if (idled_out_) (void)session_.Leave();  // it is out already, and that is no problem any more
  idled_out_ = false;
  partitions_met_.clear();
  co_return released;
}

void GroupConsumer::Impl::Interrupt() {
  interrupt_.request_stop();
  changed_.NotifyAll();
}

Task<Result<PolledBatch>> GroupConsumer::Impl::Poll(MonoTime deadline, std::stop_token stop) {
  TM_CO_RETURN_IF_ERROR(CheckOutside("Poll"));
  polling_ = true;
  AutoCommit();
  // Polls of what was fetched ahead do not wait for anything by themselves.
  if (const MonoTime now = loop_.Now();
      now - last_turn_ >= kLongestTurn || (session_.active() && session_.due() <= now)) {
    co_await Sleep(loop_, Duration(1), "others' turn");
    last_turn_ = loop_.Now();
  }
  auto result = co_await PollUntil(deadline, std::move(stop));
  polling_ = false;
  last_poll_ = loop_.Now();
  changed_.NotifyAll();
  co_return result;
}

MonoTime GroupConsumer::Impl::NextLook(MonoTime deadline) const {
  if (!options_.enable_auto_commit) return deadline;
  return std::min(deadline, std::max(next_auto_commit_, loop_.Now() + kShortestLook));
}

Task<Result<PolledBatch>> GroupConsumer::Impl::PollUntil(MonoTime deadline, std::stop_token stop) {
  while (true) {
    while (work_ && !closing_) co_await Work();
    if (closing_) co_return Fail(v1::CANCELLED, "the consumer is closed");
    // It left while nobody polled, or within this poll while the listener was called.
    if (idled_out_) {
      idled_out_ = false;
      session_.Rejoin(loop_.Now());
      wake_.NotifyAll();
    }
    if (stop.stop_requested()) co_return Fail(v1::CANCELLED, "the poll was stopped");
    if (!errors_.empty()) {
      Error error = std::move(errors_.front());
      errors_.pop_front();
      co_return std::unexpected(std::move(error));
    }
    if (session_.stage() == internal::MemberSession::Stage::kFailed)
      co_return std::unexpected(*session_.problem());
    auto batch = co_await PollOnce(NextLook(deadline), stop);
    if (batch && !batch->records.empty()) co_return batch;
    if (!batch && batch.error().code == v1::UNKNOWN_TOPIC_ID) {
      // Where the topic is gone the coordinator takes it away.
      BeginAnew(consumer_.failed());
    } else if (!batch && batch.error().code != v1::CANCELLED) {
      co_return batch;
    }
    if (batch && loop_.Now() >= deadline) co_return PolledBatch();
    AutoCommit();
  }
}

Task<Result<PolledBatch>> GroupConsumer::Impl::PollOnce(MonoTime until, std::stop_token stop) {
  interrupt_ = std::stop_source();
  const std::stop_callback stops(stop, [this] { interrupt_.request_stop(); });
  if (session_.Stalled(loop_.Now())) {
    co_await changed_.Wait("a heartbeat after a standstill", until, interrupt_.get_token());
    co_return PolledBatch();
  }
  auto batch = co_await consumer_.Poll(until, interrupt_.get_token());
  if (batch && !batch->records.empty() && session_.Stalled(loop_.Now())) {
    // This process has stood still: others may read the partition by now.
    (void)consumer_.Restart(batch->topic, batch->partition,
                            {.kind = StartPosition::Kind::kOffset,
                             .value = static_cast<int64_t>(batch->position_before),
                             .epoch = batch->epoch_before});
    co_return PolledBatch();
  }
  co_return batch;
}

Task<Result<>> GroupConsumer::Impl::Close(Duration limit) {
  if (closing_) co_return Fail(v1::CANCELLED, "the consumer is closed");
  if (calling_) co_return Fail(v1::INVALID_REQUEST, "Close cannot be used in a rebalance listener");
  const MonoTime deadline = loop_.Now() + limit;
  closing_ = true;
  close_by_ = deadline;
  Interrupt();
  wake_.NotifyAll();
  // While the listener does not return, this waits for it; the heartbeats leave the group when it is time.
  while (polling_) co_await changed_.Wait("the end of a poll");
  Result<> released = co_await ReleaseAll(deadline);
  co_await beats_.Close();
  co_await Leave(std::max(deadline, loop_.Now() + 1s));
  co_await commits_.Close();
  co_await scope_.Close();
  co_await consumer_.Close();
  closed_ = true;
  co_return released;
}

Task<void> GroupConsumer::Impl::Leave(MonoTime deadline) {
  if (!session_.active()) co_return;
  ++session_serial_;
  const bool joined = session_.stage() == internal::MemberSession::Stage::kMember;
  v1::Request request;
  *request.mutable_consumer_group_heartbeat() = session_.Leave();
  const MonoTime until = std::min(deadline, loop_.Now() + kLeaveLimit);
  // Who has never been in perhaps cannot reach anybody; a join that came through is found out by its silence.
  if (joined) {
    (void)co_await link_.Call(std::move(request), until, {});
  } else {
    (void)co_await link_.Try(std::move(request), 1s, {});
  }
}

GroupConsumer::GroupConsumer(Cluster& cluster, ConsumerOptions options, RebalanceListener* listener)
    : impl_(std::make_unique<Impl>(cluster, std::move(options), listener)) {}
GroupConsumer::~GroupConsumer() = default;
Result<> GroupConsumer::Subscribe(std::vector<std::string> topics) {
  v1::GroupSubscription subscription;
  for (std::string& topic : topics) {
    TM_RETURN_IF_ERROR(ValidateTopicName(topic));
    subscription.add_topics(std::move(topic));
  }
  return impl_->Subscribe(std::move(subscription));
}
Result<> GroupConsumer::SubscribePattern(std::string regex) {
  v1::GroupSubscription subscription;
  subscription.set_regex(std::move(regex));
  return impl_->Subscribe(std::move(subscription));
}
Task<Result<>> GroupConsumer::Unsubscribe() { return impl_->Unsubscribe(); }
Task<Result<PolledBatch>> GroupConsumer::Poll(MonoTime deadline, std::stop_token stop) {
  return impl_->Poll(deadline, std::move(stop));
}
GroupConsumer::Partitions GroupConsumer::assignment() const { return impl_->assignment(); }
std::optional<Error> GroupConsumer::problem() const { return impl_->session().problem(); }
const std::string& GroupConsumer::member_id() const { return impl_->session().member_id(); }
int32_t GroupConsumer::member_epoch() const { return impl_->session().epoch(); }
std::optional<Offset> GroupConsumer::Position(const TopicPartition& at) const { return impl_->Position(at); }
std::map<TopicPartition, Error> GroupConsumer::Refused() const { return impl_->Refused(); }
Result<> GroupConsumer::Seek(const TopicPartition& at, StartPosition start) { return impl_->Seek(at, start); }
Result<> GroupConsumer::Pause(const Partitions& partitions) { return impl_->SetPaused(partitions, true); }
Result<> GroupConsumer::Resume(const Partitions& partitions) { return impl_->SetPaused(partitions, false); }
Task<Result<>> GroupConsumer::CommitSync() { return impl_->CommitSync(std::nullopt); }
Task<Result<>> GroupConsumer::CommitSync(OffsetsToCommit offsets) {
  return impl_->CommitSync(std::move(offsets));
}
void GroupConsumer::CommitAsync(CommitCallback done) { impl_->CommitAsync(std::nullopt, std::move(done)); }
void GroupConsumer::CommitAsync(OffsetsToCommit offsets, CommitCallback done) {
  impl_->CommitAsync(std::move(offsets), std::move(done));
}
Task<Result<OffsetsToCommit>> GroupConsumer::Committed(Partitions partitions) {
  return impl_->Committed(std::move(partitions));
}
Task<std::map<TopicPartition, Result<std::optional<Offset>>>> GroupConsumer::OffsetsForTimes(
    std::map<TopicPartition, int64_t> times) {
  return impl_->OffsetsForTimes(std::move(times));
}
Task<Result<>> GroupConsumer::Close(Duration limit) { return impl_->Close(limit); }

}  // namespace tidemark
