// TcpStream: a connected TCP socket as a Stream. The socket, its events and its queue are a TcpConnection,
// which outlives its TcpStream in two cases: while an event callback that destroyed the stream unwinds, and
// while it sends the last bytes after CloseAfterWrites. One loop; its thread only.
//
// Writes are queued and go out together, in one writev, at the end of the loop's turn. Handler calls come
// from event callbacks and the end of the turn only, never from inside a call on the stream. Invariants:
// after Close() the handler is null and hears nothing; unsent_ is the sum of the queued bytes.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/async/libevent_loop.h"
#include "common/net/socket.h"
#include "common/net/transport.h"

struct event;

namespace tidemark {

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
 public:
  TcpConnection(LibeventLoop& loop, Socket socket, std::string peer);
  ~TcpConnection();

  void Start(StreamHandler* handler);
  void Write(std::string bytes);
  size_t unsent_bytes() const { return unsent_; }
  void PauseReading();
  void ResumeReading();
  void CloseAfterWrites();
  void Close();
  // The stream object has gone: closes, unless last bytes are still being sent.
  void Abandon();
  const std::string& peer() const { return peer_; }
  Duration TakeCallTime() {
    timed_ = true;
    return std::exchange(call_time_, {});
  }

 private:
  enum class State { kOpen, kLastWrites, kDraining, kClosed };

  static void OnReadable(int fd, short what, void* self);
  static void OnWritable(int fd, short what, void* self);
  void Read();
  void ReadAndDiscard();
  void ScheduleFlush();
  void Flush();
  // Returns the errno of a broken connection, 0 otherwise.
  int SendQueued();
  void DropSent(size_t bytes);
  void FinishSending();
  void Break(Error reason);
  void WatchReads(bool on);
  void WatchWrites(bool on);
  MonoTime CallBegins() const { return timed_ ? loop_.Now() : MonoTime{}; }
  void CallEnded(MonoTime begun) {
    if (timed_) call_time_ += loop_.Now() - begun;
  }

  LibeventLoop& loop_;
  Socket socket_;
  const std::string peer_;
  State state_ = State::kOpen;
  StreamHandler* handler_ = nullptr;
  event* read_event_ = nullptr;
  event* write_event_ = nullptr;
  bool watching_reads_ = false;
  bool watching_writes_ = false;
  bool paused_ = false;
  bool flush_scheduled_ = false;
  std::deque<std::string> queue_;
  size_t front_sent_ = 0;  // bytes of queue_.front() that went out
  size_t unsent_ = 0;
  TimerId linger_timer_ = 0;
  bool timed_ = false;  // else the clock is not read
  Duration call_time_{};
};

class TcpStream final : public Stream {
 public:
  TcpStream(LibeventLoop& loop, Socket socket, std::string peer)
      : connection_(std::make_shared<TcpConnection>(loop, std::move(socket), std::move(peer))) {}
  ~TcpStream() override { connection_->Abandon(); }
  void Start(StreamHandler* handler) override { connection_->Start(handler); }
  void Write(std::string bytes) override { connection_->Write(std::move(bytes)); }
  size_t unsent_bytes() const override { return connection_->unsent_bytes(); }
  void PauseReading() override { connection_->PauseReading(); }
  void ResumeReading() override { connection_->ResumeReading(); }
  void CloseAfterWrites() override { connection_->CloseAfterWrites(); }
  void Close() override { connection_->Close(); }
  const std::string& peer() const override { return connection_->peer(); }
  Duration TakeCallTime() override { return connection_->TakeCallTime(); }

 private:
  std::shared_ptr<TcpConnection> connection_;
};

// The loop as what the TCP transport needs; a CHECK when it is another kind.
LibeventLoop& RequireLibeventLoop(EventLoop& loop);

}  // namespace tidemark
