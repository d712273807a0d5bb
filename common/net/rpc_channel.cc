#include "common/net/rpc_channel.h"

#include "common/net/channel_impl.h"

namespace tidemark {
namespace {

constexpr uint32_t kProtocolVersion = 1;
// One-way requests beyond this many unsent bytes are dropped: nobody waits for them, so nothing else bounds
// them.
constexpr size_t kMaxUnsentForOneWay = 32u << 20;

}  // namespace

RpcChannel::RpcChannel(EventLoop& loop, Transport& transport, Random& random, Endpoint endpoint,
                       RpcChannelOptions options)
    : impl_(std::make_unique<Impl>(loop, transport, random, std::move(endpoint), std::move(options))) {}

RpcChannel::~RpcChannel() = default;

Task<Result<v1::Response>> RpcChannel::Call(v1::Request request, Duration timeout, std::stop_token stop) {
  return impl_->Call(std::move(request), timeout, std::move(stop));
}

void RpcChannel::SendOneWay(v1::Request request) { impl_->SendOneWay(std::move(request)); }
bool RpcChannel::connected() const { return impl_->connected(); }
bool RpcChannel::silent() const { return impl_->silent(); }
const Endpoint& RpcChannel::endpoint() const { return impl_->endpoint(); }
Task<void> RpcChannel::Close() { return impl_->Close(); }

RpcChannel::Impl::PendingCall::PendingCall(Impl& owner, v1::Request r, MonoTime when, std::stop_token stop)
    : impl(owner),
      request(std::move(r)),
      waiter(owner.loop_, "rpc answer", when, std::move(stop)),
      deadline(when) {
  ++impl.calls_;
}

RpcChannel::Impl::PendingCall::~PendingCall() {
  impl.Remove(*this);
  if (--impl.calls_ == 0) impl.call_left_.NotifyAll();
}

Task<Result<v1::Response>> RpcChannel::Impl::Call(v1::Request request, Duration timeout,
                                                  std::stop_token stop) {
  loop_.CheckOwner();
  if (closing_) co_return Fail(v1::CANCELLED, "the channel to {} is closed", ToString(endpoint_));
  const MonoTime now = loop_.Now();
  const MonoTime deadline = timeout < kNoDeadline - now ? now + timeout : kNoDeadline;
  PendingCall call(*this, std::move(request), deadline, std::move(stop));
  call.position = queue_.insert(queue_.end(), &call);
  call.place = Place::kQueued;
  Pump();
  const WaitOutcome outcome = co_await call.waiter;
  if (call.result) co_return std::move(*call.result);
  Error error = WhyUnanswered(call, outcome);
  const bool was_sent = call.sent;
  Remove(call);
  if (outcome == WaitOutcome::kTimedOut && was_sent) {
    silent_ = silent_ || silent_since_ <= call.sent_at;
    BreakIfSilent();
  }
  Pump();  // it may have freed a place
  co_return std::unexpected(std::move(error));
}

Error RpcChannel::Impl::WhyUnanswered(const PendingCall& call, WaitOutcome outcome) const {
  const std::string to = ToString(endpoint_);
  if (outcome == WaitOutcome::kStopped)
    return {v1::CANCELLED, fmt::format("stopped waiting for {}", to), call.sent};
  if (call.sent) return {v1::REQUEST_TIMED_OUT, fmt::format("no answer from {} in time", to), true};
  if (stream_) return {v1::REQUEST_TIMED_OUT, fmt::format("not sent: too many requests in flight to {}", to)};
  const std::string& why = last_failure_.empty() ? "still connecting" : last_failure_;
  return {v1::NETWORK_EXCEPTION, fmt::format("not sent: no connection to {}: {}", to, why)};
}

void RpcChannel::Impl::Remove(PendingCall& call) {
  if (call.place == Place::kQueued) queue_.erase(call.position);
  if (call.place == Place::kInFlight) in_flight_.erase(call.correlation_id);
  call.place = Place::kNone;
}

void RpcChannel::Impl::Complete(PendingCall& call, Result<v1::Response> result) {
  Remove(call);
  // A call that has timed out or was stopped in this very turn keeps that end: the waiter's outcome was
  // first.
  call.result.emplace(std::move(result));
  call.waiter.Wake();
}

void RpcChannel::Impl::Pump() {
  if (closing_) return;
  while (stream_ && !queue_.empty() && in_flight_.size() < options_.max_in_flight) Send(*queue_.front());
  if (!stream_ && !queue_.empty()) StartConnect();
}

void RpcChannel::Impl::FillHeader(v1::Request* request, MonoTime deadline) {
  v1::RequestHeader& header = *request->mutable_header();
  header.set_correlation_id(++last_correlation_id_);
  header.set_protocol_version(kProtocolVersion);
  header.set_purpose(options_.purpose);
  if (!options_.client_id.empty()) header.set_client_id(options_.client_id);
  if (!options_.cluster_id.empty()) header.set_cluster_id(options_.cluster_id);
  if (options_.expected_broker) header.set_expected_broker_id(*options_.expected_broker);
  if (deadline == kNoDeadline) return;
  const int64_t left = std::max<int64_t>(1, ToMillis(deadline - loop_.Now()));
  header.set_timeout_ms(static_cast<uint32_t>(std::min<int64_t>(left, UINT32_MAX)));
}

void RpcChannel::Impl::Send(PendingCall& call) {
  Remove(call);
  FillHeader(&call.request, call.deadline);
  call.correlation_id = last_correlation_id_;
  std::string frame = EncodeFrame(call.request);
  call.request = v1::Request();  // its payload is in the frame now
  call.frame_bytes = frame.size();
  call.sent = true;
  call.place = Place::kInFlight;
  call.sent_at = loop_.Now();
  if (in_flight_.empty()) silent_since_ = call.sent_at;
  in_flight_.emplace(call.correlation_id, &call);
  stream_->Write(std::move(frame));
}

void RpcChannel::Impl::SendOneWay(v1::Request request) {
  loop_.CheckOwner();
  if (closing_) return;
  if (!stream_) return StartConnect();  // this one is lost, the next ones will not be
  if (stream_->unsent_bytes() > kMaxUnsentForOneWay) return;
  FillHeader(&request, kNoDeadline);
  stream_->Write(EncodeFrame(request));
}

}  // namespace tidemark
