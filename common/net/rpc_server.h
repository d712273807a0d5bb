// RpcServer: the broker's side of connections. An RpcServer belongs to one shard's loop and owns the
// connections attached to it; accepted connections are handed to the shard that is to own them
// (broker/server's listeners do).
//
// Promises: requests of one connection are begun in order, each on the loop, synchronously up to its first
// wait; answers go out as they come. A connection over its limits (requests in flight, bytes in flight, or
// its purpose's memory budget), or muted for a while, is not read until then; nothing is dropped. The length
// prefix is checked before anything is allocated, and a frame's memory grows only as its bytes arrive. A
// frame over the limit, bytes that do not parse and other protocols' greetings (HTTP, TLS) get one readable
// answer or log line and a close.
#pragma once

#include <any>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/async/event_loop.h"
#include "common/async/scope.h"
#include "common/net/transport.h"
#include "common/types.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

// What a listener serves; a single listener has both roles.
struct ListenerRoles {
  bool client = true;
  bool inter_broker = true;
};

// Facts about a connection that handlers may use, and a place for state that lives as long as it (fetch
// sessions).
struct ConnectionInfo {
  uint64_t id = 0;  // unique in the process
  std::string peer;
  std::string listener;
  ListenerRoles roles;
  v1::ConnectionPurpose purpose = v1::CONNECTION_PURPOSE_CLIENT;  // fixed by the first request
  std::any session;  // destroyed with the connection, on its loop
};

// One request and its answer. Move it into the handler's coroutine; destroying it unanswered sends
// UNKNOWN_SERVER_ERROR (unless the request expects no answer), so that no path leaves a client waiting.
class RpcCall {
 public:
  virtual ~RpcCall() = default;
  // Handlers may move payloads out of it.
  virtual v1::Request& request() = 0;
  // When the loop began with it, before it was parsed.
  virtual MonoTime begun() const = 0;
  // How long receiving, encoding and sending for this connection have kept its loop since this was last
  // asked. Measured from the first time it is asked on: zero then, and when the connection has gone.
  virtual Duration TakeTransferTime() = 0;
  // kNoDeadline if none. Work not begun by then is dropped by the server itself.
  virtual MonoTime deadline() const = 0;
  // Stopped when the connection has gone: a parked request gives up.
  virtual std::stop_token stop_token() const = 0;
  // Null when the connection has gone.
  virtual ConnectionInfo* connection() = 0;
  // Exactly one of these, once. The header's correlation id is filled here. Reply after the connection has
  // gone: no-op. An answer over the server's limit goes out as MESSAGE_TOO_LARGE.
  virtual void Reply(v1::Response response) = 0;
  virtual void ReplyError(const Error& error) = 0;
  // For requests that get no answer (acks=0, ReplicaProgress).
  virtual void NoReply() = 0;
  // The request's payload has been dropped (appended): its bytes no longer count against the budgets.
  virtual void ReleaseRequestBytes() = 0;
  // Bytes that the request came in, its length prefix included.
  virtual size_t request_bytes() const = 0;
  // The connection is not read for so long from now on (of several pauses the last to end counts). What was
  // begun goes on, what has arrived waits, nothing is dropped.
  virtual void Mute(Duration pause) = 0;
};

class RpcHandler {
 public:
  virtual ~RpcHandler() = default;
  // Called on the loop, in arrival order per connection. The server has already answered what concerns the
  // envelope: unknown required features, wrong cluster or broker, empty or unknown body, purpose not allowed
  // on the listener.
  virtual void OnRequest(std::unique_ptr<RpcCall> call) = 0;
};

// What the server checks envelopes against.
struct RpcServerIdentity {
  std::string cluster_id;
  BrokerId broker_id = kNoBroker;
};

struct RpcServerLimits {
  size_t max_frame_bytes = 16u << 20;
  // Of an answer: a longer one becomes an error, since clients break a connection that brings it. Not of a
  // fetch's: those are bounded by what was asked and by the broker's own settings.
  size_t max_response_bytes = 64u << 20;
  size_t max_requests_in_flight = 256;      // per connection
  size_t max_bytes_in_flight = 32u << 20;   // per connection: requests held and answers unsent
  size_t client_budget_bytes = 256u << 20;  // per purpose and loop
  size_t replication_budget_bytes = 128u << 20;
  size_t control_budget_bytes = 64u << 20;
  size_t max_connections = 20000;  // per loop
  Duration idle_timeout = 600s;    // a connection without a request for so long is closed
};

struct RpcServerStats {
  // Of one purpose's budget.
  struct Memory {
    size_t used = 0;
    size_t limit = 0;
  };
  size_t connections = 0;
  size_t connections_limit = 0;
  std::array<Memory, 3> memory{};  // client, replication, control
  size_t bytes_in_flight = 0;
  uint64_t requests = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t refused_frames = 0;
  uint64_t paused_for_budget = 0;
};

class RpcServer {
 public:
  RpcServer(EventLoop& loop, RpcServerLimits limits, RpcHandler& handler);
  ~RpcServer();  // CHECKs that it is closed

  // Before the first connection, or when the identity becomes known.
  void SetIdentity(RpcServerIdentity identity);
  // Changes how many connections there may be, how long they may be idle and how many requests each may have
  // in flight; the rest stays as it was. Connections above a smaller number stay.
  void SetLimits(const RpcServerLimits& limits);
  // Ends every Mute.
  void Unmute();
  // Takes over an accepted connection.
  void Attach(std::unique_ptr<PendingStream> stream, std::string listener, ListenerRoles roles);
  RpcServerStats stats() const;
  // Closes every connection; calls still held by handlers answer into the void.
  Task<void> Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
