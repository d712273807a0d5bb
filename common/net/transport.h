// Transport: the seam to the network, as byte streams. The real one is non-blocking TCP over libevent
// (common/net/tcp_transport.h): keepalive, TCP_USER_TIMEOUT, TCP_NODELAY. The simulated one delays, reorders
// between connections, cuts and half-opens. Both pass tests/unit/net's contract suite.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/result.h"
#include "common/time.h"

namespace tidemark {

struct Endpoint {
  std::string host;   // name or address; empty when listening: all addresses
  uint16_t port = 0;  // 0 when listening: any free one
  auto operator<=>(const Endpoint&) const = default;
};
// "host:port", IPv6 addresses in brackets.
std::string ToString(const Endpoint& endpoint);
// Accepts "host:port" and "[v6]:port"; INVALID_REQUEST says what is wrong.
Result<Endpoint> ParseEndpoint(std::string_view text);

// Receives what happens on a stream. Called on the stream's loop, never from inside a call on the stream.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // Where the next bytes are to go; at least one byte. The stream reads straight into it.
  virtual std::span<char> ReadBuffer() = 0;
  // `size` bytes (>= 1) were put at the start of the last ReadBuffer. May close the stream.
  virtual void OnRead(size_t size) = 0;
  // All written bytes have been handed to the network (after there were some that had not).
  virtual void OnDrained() = 0;
  // The stream has ended: the peer closed (NETWORK_EXCEPTION "closed by peer") or it broke. Last call; the
  // stream may be destroyed in it. Not called after Close().
  virtual void OnClosed(const Error& reason) = 0;
};

// A connected byte stream of one loop. Destroying it closes it.
class Stream {
 public:
  virtual ~Stream() = default;
  // Sets who receives; reading starts. Once.
  virtual void Start(StreamHandler* handler) = 0;
  // Queues the bytes; never blocks; written in order. Ignored after the end.
  virtual void Write(std::string bytes) = 0;
  // Bytes queued and not yet handed to the network.
  virtual size_t unsent_bytes() const = 0;
  // Back-pressure: nothing is read from the network until resumed.
  virtual void PauseReading() = 0;
  virtual void ResumeReading() = 0;
  // Sends what is queued, then closes; the handler hears nothing more.
  virtual void CloseAfterWrites() = 0;
  // Closes at once; the handler hears nothing more.
  virtual void Close() = 0;
  // "10.0.0.1:4711", for logs.
  virtual const std::string& peer() const = 0;
  // How long the network's calls that read and write this stream have kept the loop since this was last
  // asked. Measured from the first time it is asked on: zero then.
  virtual Duration TakeCallTime() = 0;
};

// An accepted connection that no loop owns yet; may be moved to another thread before Attach.
class PendingStream {
 public:
  virtual ~PendingStream() = default;
  // Called on `loop`'s thread.
  virtual std::unique_ptr<Stream> Attach(EventLoop& loop) = 0;
};

class Listener {
 public:
  virtual ~Listener() = default;
  // The address bound, with the port chosen.
  virtual Endpoint endpoint() const = 0;
};

class Transport {
 public:
  using AcceptCallback = std::function<void(std::unique_ptr<PendingStream>)>;
  virtual ~Transport() = default;
  // Binds and listens; `on_accept` is called on `loop`. Destroy the listener on that loop.
  virtual Result<std::unique_ptr<Listener>> Listen(EventLoop& loop, const Endpoint& endpoint,
                                                   AcceptCallback on_accept) = 0;
  // Resolves and connects. NETWORK_EXCEPTION names the phase (resolve, connect) and the address.
  virtual Task<Result<std::unique_ptr<Stream>>> Connect(EventLoop& loop, Endpoint endpoint, MonoTime deadline,
                                                        std::stop_token stop) = 0;
};

}  // namespace tidemark
