// ServerConnection: the server's end of one connection: cuts frames, checks envelopes, begins requests in
// order, and stops reading when a limit is reached. ServerCall: one request on its way to its answer. Owner:
// the server's table while the stream lives, and every call not yet destroyed; one loop's thread.
//
// Invariants: after Leave() (stream_ is null) nothing is sent and no request begun; what calls hold of the
// budget is given back when they are answered or die, also after that; requests of one connection are begun
// in arrival order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/net/framing.h"
#include "common/net/log_limiter.h"
#include "common/net/rpc_budget.h"
#include "common/net/rpc_server.h"
#include "common/net/transport.h"

namespace tidemark {

class ServerConnection;

// What a server's connections share; it outlives the server as long as calls do.
struct RpcServerCore {
  RpcServerCore(EventLoop& l, RpcServerLimits m, RpcHandler& h);
  const std::shared_ptr<RpcBudget>& BudgetFor(v1::ConnectionPurpose purpose) const;

  EventLoop& loop;
  RpcServerLimits limits;
  RpcHandler& handler;
  RpcServerIdentity identity;
  RpcServerStats stats;
  LogLimiter log_limiter;
  bool closed = false;
  size_t clients = 0;  // connections that have said that they are clients'
  // Parts of frames that muted connections hold. Not of a budget: nothing but time gives them back.
  size_t muted_partial_bytes = 0;
  std::map<uint64_t, std::shared_ptr<ServerConnection>> connections;

 private:
  std::shared_ptr<RpcBudget> client_budget_;
  std::shared_ptr<RpcBudget> replication_budget_;
  std::shared_ptr<RpcBudget> control_budget_;
};

class ServerConnection final : public StreamHandler,
                               public BudgetWaiter,
                               public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(std::shared_ptr<RpcServerCore> core, std::unique_ptr<Stream> stream, std::string listener,
                   ListenerRoles roles);
  ~ServerConnection() override;

  void Start() { stream_->Start(this); }
  uint64_t id() const { return info_.id; }
  // Closes at once. Calls still held answer into the void.
  void CloseNow();
  // Periodic: frees the buffer of a quiet connection; closes one that has been idle too long.
  void Sweep(MonoTime now);

  // For calls.
  ConnectionInfo* info() { return stream_ ? &info_ : nullptr; }
  std::stop_token stop_token() const { return stop_.get_token(); }
  const EventLoop& loop() const { return core_->loop; }
  void Send(const v1::Response& response);
  void BeginCall(size_t bytes);
  void ReleaseBytes(size_t bytes);
  void EndCall();
  void Mute(Duration pause);
  void Unmute();
  Duration TakeTransferTime();

  std::span<char> ReadBuffer() override {
    const std::span<char> buffer = reader_.Buffer();
    offered_ = buffer.size();
    return buffer;
  }
  void OnRead(size_t size) override;
  void OnDrained() override;
  void OnClosed(const Error& reason) override;
  bool OnRoom() override;

 private:
  void Process();
  void HandleFrame(std::string_view frame);
  Result<> Admit(const v1::Request& request, MonoTime begun, MonoTime deadline);
  Result<> FixPurpose(v1::ConnectionPurpose purpose);
  void Refuse(FrameStatus status);
  void RefuseWith(const Error& error);
  void LogBadPeer(const std::string& what);
  void SendTooLarge(uint64_t correlation_id, size_t size, size_t limit);
  void CloseAfterAnswer();
  void Leave();

  bool OverBudget() const;
  bool OverOwnLimits() const;
  bool OverOwnWork() const;
  bool ListensForItsEnd() const;
  bool Muted() const { return muted_until_ != MonoTime{} && core_->loop.Now() < muted_until_; }
  void WaitOutMute();
  void EndMute();
  void CountMutedPartial(size_t bytes);
  void Pause();
  void MaybeResume();
  void Resume();
  void WaitForBudget();
  void CountUnsent();
  void CountPartial(size_t bytes);

  const std::shared_ptr<RpcServerCore> core_;
  std::unique_ptr<Stream> stream_;
  ConnectionInfo info_;
  FrameReader reader_;
  std::shared_ptr<RpcBudget> budget_;
  std::stop_source stop_;
  bool purpose_fixed_ = false;
  bool processing_ = false;
  bool paused_ = false;
  bool resume_scheduled_ = false;
  bool waiting_for_budget_ = false;
  size_t in_flight_ = 0;
  size_t request_bytes_ = 0;  // held by calls
  size_t unsent_bytes_ = 0;   // answers, as last counted
  size_t partial_bytes_ = 0;  // of the frame under way, as last counted
  MonoTime last_read_;        // when the bytes now looked at had arrived
  MonoTime last_activity_;
  size_t offered_ = 0;  // of the buffer that is being read into

  MonoTime muted_until_{};
  MonoTime mute_began_{};
  TimerId mute_timer_ = 0;
  size_t muted_partial_ = 0;  // of the frame under way, while muted
  // What is read until the socket is empty may have lain there since then: a mute that has ended.
  std::optional<MonoTime> waited_since_;
  MonoTime resumed_at_{};
  bool just_resumed_ = false;  // and nothing read since
  bool is_client_ = false;     // counted in core_->clients
  bool timed_ = false;         // encoding; else the clock is not read for it
  Duration encoding_time_{};   // not yet told to TakeTransferTime
};

class ServerCall final : public RpcCall {
 public:
  explicit ServerCall(std::shared_ptr<ServerConnection> connection) : connection_(std::move(connection)) {}
  ~ServerCall() override;

  // Counts it as in flight; before this it may die unnoticed.
  void Begin(size_t bytes, MonoTime begun, MonoTime deadline);

  v1::Request& request() override { return request_; }
  MonoTime begun() const override { return begun_; }
  Duration TakeTransferTime() override { return connection_->TakeTransferTime(); }
  MonoTime deadline() const override { return deadline_; }
  std::stop_token stop_token() const override { return connection_->stop_token(); }
  ConnectionInfo* connection() override { return connection_->info(); }
  void Reply(v1::Response response) override;
  void ReplyError(const Error& error) override;
  void NoReply() override { Finish(); }
  void ReleaseRequestBytes() override;
  size_t request_bytes() const override { return size_; }
  void Mute(Duration pause) override { connection_->Mute(pause); }

 private:
  void Finish();

  const std::shared_ptr<ServerConnection> connection_;
  v1::Request request_;
  uint64_t correlation_id_ = 0;
  MonoTime begun_{};
  MonoTime deadline_ = kNoDeadline;
  size_t size_ = 0;
  size_t bytes_ = 0;  // of these, counted against the budgets
  bool expects_answer_ = false;
  bool pending_ = false;  // begun and not answered
};

}  // namespace tidemark
