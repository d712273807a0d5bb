// RpcChannel::Impl: the connection of a channel, the calls that wait to be sent, and those that wait for an
// answer. Owner: the RpcChannel; its loop's thread. The RpcChannel's comment says what callers are promised.
//
// Invariants: a PendingCall lives in its caller's frame and is in at most one of queue_ and in_flight_; while
// there is a stream, queue_ is non-empty only when in_flight_ is full; while there is none, a non-empty
// queue_ means that a connect is under way; every call's end is a Wake, so no caller's code runs inside a
// call on the channel.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/async/scope.h"
#include "common/async/wait.h"
#include "common/net/framing.h"
#include "common/net/rpc_channel.h"

namespace tidemark {

class RpcChannel::Impl final : public StreamHandler {
 public:
  Impl(EventLoop& loop, Transport& transport, Random& random, Endpoint endpoint, RpcChannelOptions options);
  ~Impl() override;

  Task<Result<v1::Response>> Call(v1::Request request, Duration timeout, std::stop_token stop);
  void SendOneWay(v1::Request request);
  bool connected() const { return stream_ != nullptr; }
  bool silent() const { return silent_; }
  const Endpoint& endpoint() const { return endpoint_; }
  Task<void> Close();

  std::span<char> ReadBuffer() override { return reader_->Buffer(); }
  void OnRead(size_t size) override;
  void OnDrained() override {}
  void OnClosed(const Error& reason) override { Break(reason.message); }

 private:
  enum class Place { kNone, kQueued, kInFlight };
  struct PendingCall {
    PendingCall(Impl& impl, v1::Request request, MonoTime deadline, std::stop_token stop);
    ~PendingCall();
    Impl& impl;
    v1::Request request;  // emptied when sent
    Waiter waiter;
    MonoTime deadline;
    Place place = Place::kNone;
    bool sent = false;
    MonoTime sent_at = MonoTime::min();
    uint64_t correlation_id = 0;
    size_t frame_bytes = 0;
    std::list<PendingCall*>::iterator position;  // in queue_
    std::optional<Result<v1::Response>> result;
  };

  void Pump();
  void Send(PendingCall& call);
  void FillHeader(v1::Request* request, MonoTime deadline);
  void Remove(PendingCall& call);
  void Complete(PendingCall& call, Result<v1::Response> result);
  Error WhyUnanswered(const PendingCall& call, WaitOutcome outcome) const;
  void BreakIfSilent();

  void StartConnect();
  Task<void> Connect();
  void ScheduleNextAttempt();
  void HandleResponse(std::string_view frame);
  void HandleRefusal(const v1::Error& error);
  void Break(const std::string& reason);
  void FailQueued(const Error& error);
  void FailInFlight(const Error& error);

  EventLoop& loop_;
  Transport& transport_;
  Random& random_;
  const Endpoint endpoint_;
  const RpcChannelOptions options_;
  Scope scope_;
  Notifier call_left_;
  size_t calls_ = 0;
  bool closing_ = false;
  bool closed_ = false;

  bool connecting_ = false;
  uint32_t failures_ = 0;  // connections in a row that failed or broke before an answer came
  MonoTime next_attempt_ = MonoTime::min();
  std::string last_failure_;

  std::unique_ptr<Stream> stream_;
  std::optional<FrameReader> reader_;
  uint64_t last_correlation_id_ = 0;
  std::list<PendingCall*> queue_;
  std::unordered_map<uint64_t, PendingCall*> in_flight_;
  MonoTime silent_since_ = MonoTime::min();  // while calls are in flight: nothing has come since
  bool silent_ = false;
};

}  // namespace tidemark
