// RpcChannel: requests to one endpoint over one connection, made when first needed and again after it broke.
// Pipelined: answers are matched by correlation id and may overtake one another. Owner: whoever talks to that
// broker (a client, a follower's fetcher, the controller's channel, a broker's channel to the controller);
// loop-affine. Kinds of traffic that must not hinder one another use channels of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "common/async/event_loop.h"
#include "common/async/task.h"
#include "common/net/transport.h"
#include "common/random.h"
#include "common/types.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

struct RpcChannelOptions {
  v1::ConnectionPurpose purpose = v1::CONNECTION_PURPOSE_CLIENT;
  std::string client_id;
  std::string cluster_id;                   // empty: any
  std::optional<BrokerId> expected_broker;  // absent: any
  size_t max_response_bytes = 64u << 20;    // a larger frame breaks the connection
  size_t max_in_flight = 1000;              // further calls wait their turn
  Duration connect_timeout = 10s;
  Duration reconnect_backoff = 50ms;  // grows to the maximum with jitter; reset by a success
  Duration reconnect_backoff_max = 1s;
  // When a call times out and nothing has come for so long, the connection is given up: the peer may be gone
  // without the kernel knowing it (a stopped process, a half-open connection).
  Duration silence_timeout = 10s;
};

class RpcChannel {
 public:
  RpcChannel(EventLoop& loop, Transport& transport, Random& random, Endpoint endpoint,
             RpcChannelOptions options);
  ~RpcChannel();  // CHECKs that it is closed
  RpcChannel(const RpcChannel&) = delete;
  RpcChannel& operator=(const RpcChannel&) = delete;

  // Sends and awaits the answer. The header is filled here (correlation id, client id, purpose,
  // timeout_ms...). Errors: REQUEST_TIMED_OUT (no answer by `timeout`), NETWORK_EXCEPTION (not connected, or
  // broken meanwhile), CANCELLED, each with `unknown_outcome` if it was sent; or the error of the response's
  // header. Per-item errors are the caller's to read. Calls made in one order are sent in that
  // order.
  Task<Result<v1::Response>> Call(v1::Request request, Duration timeout, std::stop_token stop);

  // Sends without expecting an answer (ReplicaProgress, acks=0). Dropped when not connected.
  void SendOneWay(v1::Request request);

  bool connected() const;
  // It let a call go unanswered to its end, and nothing has come from it since, over this connection or
  // another: it may hang (a frozen process, a lost host), though connections to it are accepted.
  bool silent() const;
  const Endpoint& endpoint() const;
  // Ends pending calls with CANCELLED and closes the connection.
  Task<void> Close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
