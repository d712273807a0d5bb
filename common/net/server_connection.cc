#include "common/net/server_connection.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "common/net/request_rules.h"

namespace tidemark {
namespace {

constexpr Duration kLastBytes = 6s;  // that a refused connection's stream is kept for its answer to go out
constexpr size_t kUncounted = 64 * 1024;  // of a frame under way: the ordinary buffer
constexpr ErrorCode kTooManyConnections = v1::BROKER_NOT_AVAILABLE;  // another try may find room
// After a mute: when nothing has been read by then, nothing lay in the socket.
constexpr Duration kSocketRead = 40ms;

constexpr std::string_view kHttpBody =
    "This port speaks the Tidemark protocol (length-prefixed protobuf), not HTTP. "
    "Metrics and health are on the broker's admin.listener.\n";

std::string HttpAnswer() {
  return fmt::format(
      "HTTP/1.1 400 Bad Request: this is a Tidemark protocol port\r\nContent-Type: text/plain\r\n"
      "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
      kHttpBody.size(), kHttpBody);
}

std::atomic<uint64_t> next_connection_id = 1;

}  // namespace

RpcServerCore::RpcServerCore(EventLoop& l, RpcServerLimits m, RpcHandler& h)
    : loop(l),
      limits(m),
      handler(h),
      client_budget_(std::make_shared<RpcBudget>(m.client_budget_bytes)),
      replication_budget_(std::make_shared<RpcBudget>(m.replication_budget_bytes)),
      control_budget_(std::make_shared<RpcBudget>(m.control_budget_bytes)) {}

const std::shared_ptr<RpcBudget>& RpcServerCore::BudgetFor(v1::ConnectionPurpose purpose) const {
  if (purpose == v1::CONNECTION_PURPOSE_REPLICATION) return replication_budget_;
  if (purpose == v1::CONNECTION_PURPOSE_CONTROL) return control_budget_;
  return client_budget_;
}

ServerConnection::ServerConnection(std::shared_ptr<RpcServerCore> core, std::unique_ptr<Stream> stream,
                                   std::string listener, ListenerRoles roles)
    : core_(std::move(core)),
      stream_(std::move(stream)),
      reader_(core_->limits.max_frame_bytes),
      budget_(core_->BudgetFor(v1::CONNECTION_PURPOSE_CLIENT)) {
  info_.id = next_connection_id++;
  info_.peer = stream_->peer();
  info_.listener = std::move(listener);
  info_.roles = roles;
  last_read_ = last_activity_ = core_->loop.Now();
}

ServerConnection::~ServerConnection() { CHECK(!stream_) << "a connection leaves before it dies"; }

void ServerConnection::OnRead(size_t size) {
  auto self = shared_from_this();  // a handler may close the server
  core_->stats.bytes_in += size;
  last_read_ = core_->loop.Now();
  if (std::exchange(just_resumed_, false) && last_read_ - resumed_at_ > kSocketRead) waited_since_.reset();
  const bool drained = size < offered_;
  reader_.Commit(size);
  Process();
  if (drained && !paused_) waited_since_.reset();
}

void ServerConnection::Process() {
  processing_ = true;
  while (stream_) {
    if (OverOwnLimits() || OverBudget()) {
      if (!ListensForItsEnd()) Pause();
      break;
    }
    std::string_view frame;
    const FrameStatus status = reader_.Next(&frame);
    if (status == FrameStatus::kMore) break;
    if (status != FrameStatus::kFrame) {
      Refuse(status);
      break;
    }
    HandleFrame(frame);
  }
  processing_ = false;
  if (!stream_) return;
  const size_t partial = reader_.buffered() > kUncounted ? reader_.buffered() : 0;
  CountPartial(Muted() ? 0 : partial);
  CountMutedPartial(Muted() ? partial : 0);
}

void ServerConnection::HandleFrame(std::string_view frame) {
  const MonoTime begun = core_->loop.Now();
  auto call = std::make_unique<ServerCall>(shared_from_this());
  v1::Request& request = call->request();
  if (!request.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return RefuseWith({v1::INVALID_REQUEST, fmt::format("{} bytes that are not a Request", frame.size())});
  }
  ++core_->stats.requests;
  last_activity_ = last_read_;
  const uint32_t timeout_ms = request.header().timeout_ms();
  // Its time ran while it lay in the socket of a muted connection.
  const MonoTime arrived = std::min(waited_since_.value_or(last_read_), last_read_);
  const MonoTime deadline = timeout_ms == 0 ? kNoDeadline : arrived + std::chrono::milliseconds(timeout_ms);
  Result<> admitted = FixPurpose(request.header().purpose());
  if (!admitted && admitted.error().code == kTooManyConnections) return RefuseWith(admitted.error());
  call->Begin(frame.size() + kFrameHeaderSize, begun, deadline);
  if (admitted) admitted = Admit(request, begun, deadline);
  if (!admitted) return call->ReplyError(admitted.error());
  core_->handler.OnRequest(std::move(call));
}

Result<> ServerConnection::FixPurpose(v1::ConnectionPurpose purpose) {
  if (purpose_fixed_) return {};
  TM_RETURN_IF_ERROR(CheckPurpose(purpose, info_.roles, info_.listener));
  if (purpose == v1::CONNECTION_PURPOSE_CLIENT) {
    if (core_->clients >= core_->limits.max_connections) {
      return Fail(kTooManyConnections,
                  "{} connections of clients are open, the most allowed (max.connections)", core_->clients);
    }
    ++core_->clients;
    is_client_ = true;
  }
  purpose_fixed_ = true;
  info_.purpose = purpose;
  CountPartial(0);
  CHECK_EQ(request_bytes_, 0u) << "the first request to be begun fixes the purpose";
  CountUnsent();
  budget_->Release(std::exchange(unsent_bytes_, 0));
  budget_ = core_->BudgetFor(purpose);
  CountUnsent();
  return {};
}

Result<> ServerConnection::Admit(const v1::Request& request, MonoTime begun, MonoTime deadline) {
  TM_RETURN_IF_ERROR(CheckEnvelope(request, info_.purpose, info_.roles, core_->identity));
  // Only a request that waited while reading was paused can be late here.
  if (deadline != kNoDeadline && deadline <= begun) {
    return Fail(v1::REQUEST_TIMED_OUT, "the deadline passed before the request was begun");
  }
  return {};
}

void ServerConnection::Refuse(FrameStatus status) {
  if (status == FrameStatus::kTooLarge) {
    return RefuseWith(
        {v1::MESSAGE_TOO_LARGE, fmt::format("a frame of {} bytes, the limit is {}", reader_.refused_length(),
                                            core_->limits.max_frame_bytes)});
  }
  ++core_->stats.refused_frames;
  if (status == FrameStatus::kHttp) {
    LogBadPeer("speaks HTTP; closed with an answer that says so");
    stream_->Write(HttpAnswer());
  } else {
    LogBadPeer("began a TLS handshake; this listener is plaintext; closed");
  }
  CloseAfterAnswer();
}

void ServerConnection::RefuseWith(const Error& error) {
  ++core_->stats.refused_frames;
  LogBadPeer(ToString(error));
  v1::Response response;  // its correlation id is 0: it answers no request
  ToProto(error, response.mutable_header()->mutable_error());
  stream_->Write(EncodeFrame(response));
  CloseAfterAnswer();
}

void ServerConnection::LogBadPeer(const std::string& what) {
  std::string note;
  if (core_->log_limiter.Allow(core_->loop.Now(), &note)) {
    LOG(WARNING) << "peer " << info_.peer << " on listener " << info_.listener << ": " << what << note;
  }
}

void ServerConnection::CloseAfterAnswer() {
  stream_->CloseAfterWrites();
  // The stream object is kept until the bytes have had time to go out.
  core_->loop.StartTimerAfter(kLastBytes, [stream = std::move(stream_)] {});
  Leave();
}

void ServerConnection::CloseNow() {
  if (!stream_) return;
  stream_->Close();
  core_->loop.Defer([stream = std::move(stream_)] {});  // this may be a call from the stream itself
  Leave();
}

void ServerConnection::OnClosed(const Error& reason) {
  VLOG(1) << "connection " << info_.id << " from " << info_.peer << " ended: " << reason.message;
  auto self = shared_from_this();
  Leave();
}

// The connection has gone for its calls and for the server. The caller holds a reference.
void ServerConnection::Leave() {
  auto self = shared_from_this();
  stream_.reset();
  reader_.Clear();
  CountPartial(0);
  CountMutedPartial(0);
  core_->loop.CancelTimer(std::exchange(mute_timer_, 0));
  if (std::exchange(is_client_, false)) --core_->clients;
  budget_->Release(std::exchange(unsent_bytes_, 0));
  core_->connections.erase(info_.id);
  stop_.request_stop();
  info_.session.reset();
}

void ServerConnection::Send(const v1::Response& response) {
  const size_t limit = response.has_fetch() ? kMaxMessageBytes : core_->limits.max_response_bytes;
  const MonoTime begun = timed_ ? core_->loop.Now() : MonoTime{};
  auto frame = EncodeFrameWithin(response, limit);
  if (timed_) encoding_time_ += core_->loop.Now() - begun;
  if (!frame) return SendTooLarge(response.header().correlation_id(), frame.error(), limit);
  core_->stats.bytes_out += frame->size();
  stream_->Write(std::move(*frame));
  CountUnsent();
}

Duration ServerConnection::TakeTransferTime() {
  if (!stream_) return {};
  timed_ = true;
  return std::exchange(encoding_time_, {}) + stream_->TakeCallTime();
}

void ServerConnection::SendTooLarge(uint64_t correlation_id, size_t size, size_t limit) {
  const Error error{v1::MESSAGE_TOO_LARGE,
                    fmt::format("the answer would have {} bytes, {} are allowed: ask for less", size, limit)};
  LogBadPeer(ToString(error));
  v1::Response response;
  response.mutable_header()->set_correlation_id(correlation_id);
  ToProto(error, response.mutable_header()->mutable_error());
  stream_->Write(EncodeFrame(response));
  CountUnsent();
}

void ServerConnection::OnDrained() {
  last_activity_ = core_->loop.Now();
  CountUnsent();
  MaybeResume();
}

void ServerConnection::BeginCall(size_t bytes) {
  ++in_flight_;
  request_bytes_ += bytes;
  budget_->Hold(bytes);
}

void ServerConnection::ReleaseBytes(size_t bytes) {
  request_bytes_ -= bytes;
  budget_->Release(bytes);
  MaybeResume();
}

void ServerConnection::EndCall() {
  --in_flight_;
  MaybeResume();
}

void ServerConnection::CountUnsent() {
  if (!stream_) return;
  const size_t now = stream_->unsent_bytes();
  const size_t before = std::exchange(unsent_bytes_, now);
  if (now > before) budget_->Hold(now - before);
  if (now < before) budget_->Release(before - now);
}

void ServerConnection::CountPartial(size_t bytes) {
  budget_->ReleasePartial(std::exchange(partial_bytes_, bytes));
  budget_->HoldPartial(bytes);
}

// Which budget it is only the first request tells: until then none stops it, or clients could stop brokers.
bool ServerConnection::OverBudget() const { return purpose_fixed_ && budget_->full(); }

bool ServerConnection::OverOwnLimits() const { return Muted() || OverOwnWork(); }

bool ServerConnection::OverOwnWork() const {
  return in_flight_ >= core_->limits.max_requests_in_flight ||
         request_bytes_ + unsent_bytes_ >= core_->limits.max_bytes_in_flight;
}

void ServerConnection::Pause() {
  if (!paused_) {
    paused_ = true;
    stream_->PauseReading();
    if (OverBudget()) ++core_->stats.paused_for_budget;
  }
  if (!OverOwnLimits()) WaitForBudget();
}

// A mute may last for minutes, and its client may have gone: as long as nothing is unread, reading goes on
// and would tell. The first bytes end that.
bool ServerConnection::ListensForItsEnd() const {
  return Muted() && !paused_ && reader_.buffered() == 0 && !OverOwnWork() && !OverBudget();
}

void ServerConnection::Mute(Duration pause) {
  if (!stream_ || pause <= Duration::zero()) return;
  const MonoTime now = core_->loop.Now();
  if (!Muted()) mute_began_ = now;
  if (now + pause <= muted_until_) return;
  muted_until_ = now + pause;
  WaitOutMute();
  // Inside Process the limit is looked at before the next request.
  if (processing_) return;
  if (!ListensForItsEnd()) Pause();
  const size_t partial = partial_bytes_;
  CountPartial(0);
  CountMutedPartial(partial);
}

void ServerConnection::Unmute() {
  if (!Muted()) return;
  muted_until_ = {};
  EndMute();
}

void ServerConnection::WaitOutMute() {
  core_->loop.CancelTimer(std::exchange(mute_timer_, 0));
  mute_timer_ = core_->loop.StartTimer(muted_until_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self || !self->stream_) return;
    self->mute_timer_ = 0;
    if (self->Muted()) return self->WaitOutMute();
    self->EndMute();
  });
}

void ServerConnection::EndMute() {
  core_->loop.CancelTimer(std::exchange(mute_timer_, 0));
  if (!paused_) return;  // it was being read, so nothing has waited
  waited_since_ = std::min(waited_since_.value_or(mute_began_), mute_began_);
  MaybeResume();
}

// A muted connection's part of a frame stops nobody's reading, because no peer but its own could give it
// back. Where there are too many of them, the last one goes: its client sends again what was not answered.
void ServerConnection::CountMutedPartial(size_t bytes) {
  core_->muted_partial_bytes -= std::exchange(muted_partial_, bytes);
  core_->muted_partial_bytes += bytes;
  if (bytes == 0 || core_->muted_partial_bytes <= core_->limits.client_budget_bytes) return;
  LogBadPeer("is over a quota in the midst of a frame, as are too many others; closed");
  CloseNow();
}

void ServerConnection::WaitForBudget() {
  if (std::exchange(waiting_for_budget_, true)) return;
  budget_->WaitForRoom(weak_from_this());
}

bool ServerConnection::OnRoom() {
  waiting_for_budget_ = false;
  MaybeResume();
  return resume_scheduled_;
}

void ServerConnection::MaybeResume() {
  if (!stream_ || !paused_ || resume_scheduled_ || OverOwnLimits()) return;
  if (OverBudget()) return WaitForBudget();
  resume_scheduled_ = true;
  // Not here: this is inside some handler's answer, possibly inside Process itself.
  core_->loop.Defer([weak = weak_from_this(), budget = budget_] {
    if (auto self = weak.lock(); self && self->stream_) self->Resume();
    budget->WakeNext();  // whoever waits behind this connection has its turn, too
  });
}

void ServerConnection::Resume() {
  CHECK(!processing_);
  resume_scheduled_ = false;
  paused_ = false;
  resumed_at_ = core_->loop.Now();
  just_resumed_ = true;
  Process();
  if (!stream_) return;
  if (paused_) return;  // Process found a limit reached again
  stream_->ResumeReading();
}

void ServerConnection::Sweep(MonoTime now) {
  if (!stream_) return;
  if (now - last_read_ > 10s) reader_.ReleaseIfEmpty();
  if (Muted()) last_activity_ = now;
  if (in_flight_ == 0 && now - last_activity_ >= core_->limits.idle_timeout) {
    VLOG(1) << "connection " << info_.id << " from " << info_.peer << " closed: idle";
    CloseNow();
  }
}

}  // namespace tidemark
