#include <algorithm>

#include "common/net/channel_impl.h"

namespace tidemark {
RpcChannel::Impl::Impl(EventLoop& loop, Transport& transport, Random& random, Endpoint endpoint,
                       RpcChannelOptions options)
    : loop_(loop),
      transport_(transport),
      random_(random),
      endpoint_(std::move(endpoint)),
      options_(std::move(options)),
      scope_(loop, "channel to " + ToString(endpoint_)),
      call_left_(loop) {}

RpcChannel::Impl::~Impl() { CHECK(closed_) << "the channel to " << ToString(endpoint_) << " died unclosed"; }

void RpcChannel::Impl::StartConnect() {
  if (std::exchange(connecting_, true)) return;
  scope_.Spawn("connect", Connect());
}

Task<void> RpcChannel::Impl::Connect() {
  const MonoTime now = loop_.Now();
  if (next_attempt_ > now)
    co_await Sleep(loop_, next_attempt_ - now, "reconnect back-off", scope_.stop_token());
  if (closing_) co_return;
  auto stream = co_await transport_.Connect(loop_, endpoint_, loop_.Now() + options_.connect_timeout,
                                            scope_.stop_token());
  if (closing_) co_return;
  connecting_ = false;
  if (!stream) {
    last_failure_ = stream.error().message;
    ScheduleNextAttempt();
    FailQueued({v1::NETWORK_EXCEPTION, fmt::format("not sent: {}", last_failure_)});
    co_return;
  }
  last_failure_.clear();
  stream_ = std::move(*stream);
  reader_.emplace(options_.max_response_bytes);
  stream_->Start(this);
  Pump();
}

// Exponential, with jitter of a fifth either way so that many channels do not come back in step.
void RpcChannel::Impl::ScheduleNextAttempt() {
  Duration backoff = options_.reconnect_backoff * (int64_t{1} << std::min(failures_, 20u));
  backoff = std::min(backoff, options_.reconnect_backoff_max);
  backoff += backoff / 1000 * (static_cast<int64_t>(random_.Below(401)) - 200);
  next_attempt_ = loop_.Now() + backoff;
  ++failures_;
}

void RpcChannel::Impl::OnRead(size_t size) {
  silent_since_ = loop_.Now();
  silent_ = false;
  reader_->Commit(size);
  while (stream_) {
    std::string_view frame;
    const FrameStatus status = reader_->Next(&frame);
    if (status == FrameStatus::kMore) break;
    if (status == FrameStatus::kFrame) {
      HandleResponse(frame);
    } else if (status == FrameStatus::kTooLarge) {
      Break(fmt::format("an answer of {} bytes, the limit is {}", reader_->refused_length(),
                        options_.max_response_bytes));
    } else {
      Break("the peer does not speak the Tidemark protocol");
    }
  }
  Pump();  // answers have freed places
}

void RpcChannel::Impl::HandleResponse(std::string_view frame) {
  v1::Response response;
  if (!response.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return Break(fmt::format("{} bytes that are not a Response", frame.size()));
  }
  const v1::ResponseHeader& header = response.header();
  const bool failed = header.has_error() && header.error().code() != v1::NONE;
  if (header.correlation_id() == 0 && failed) return HandleRefusal(header.error());
  failures_ = 0;
  auto found = in_flight_.find(header.correlation_id());
  if (found == in_flight_.end()) return;  // nobody waits for it any more
  if (failed) {
    Complete(*found->second, std::unexpected(FromProto(header.error())));
  } else {
    Complete(*found->second, std::move(response));
  }
}

// The peer refuses the connection's bytes and will close. When a frame was too large it was the largest one,
// or that one would be refused as well: its caller is told so and does not try again for ever.
void RpcChannel::Impl::HandleRefusal(const v1::Error& error) {
  if (error.code() == v1::MESSAGE_TOO_LARGE && !in_flight_.empty()) {
    auto largest = std::max_element(in_flight_.begin(), in_flight_.end(), [](const auto& a, const auto& b) {
      return a.second->frame_bytes < b.second->frame_bytes;
    });
    Complete(*largest->second, std::unexpected(FromProto(error)));
  }
  Break(fmt::format("refused by the peer: {}", ToString(FromProto(error))));
}

void RpcChannel::Impl::Break(const std::string& reason) {
  if (!stream_) return;
  stream_->Close();
  loop_.Defer([stream = std::move(stream_)] {});  // this may be a call from the stream itself
  last_failure_ = reason;
  ScheduleNextAttempt();
  FailInFlight(
      {v1::NETWORK_EXCEPTION,
       fmt::format("the connection to {} broke, the outcome is unknown: {}", ToString(endpoint_), reason),
       true});
  Pump();
}

void RpcChannel::Impl::BreakIfSilent() {
  if (!stream_ || loop_.Now() - silent_since_ < options_.silence_timeout) return;
  Break(fmt::format("nothing came for {} ms", ToMillis(loop_.Now() - silent_since_)));
}

void RpcChannel::Impl::FailQueued(const Error& error) {
  while (!queue_.empty()) Complete(*queue_.front(), std::unexpected(error));
}

void RpcChannel::Impl::FailInFlight(const Error& error) {
  while (!in_flight_.empty()) Complete(*in_flight_.begin()->second, std::unexpected(error));
}

Task<void> RpcChannel::Impl::Close() {
  closing_ = true;
  const Error cancelled{v1::CANCELLED, fmt::format("the channel to {} is closing", ToString(endpoint_))};
  FailQueued(cancelled);
  FailInFlight({cancelled.code, cancelled.message, true});
  if (stream_) {
    stream_->Close();
    loop_.Defer([stream = std::move(stream_)] {});
  }
  co_await scope_.Close();
  while (calls_ > 0) co_await call_left_.Wait("channel close");
  closed_ = true;
}

}  // namespace tidemark
