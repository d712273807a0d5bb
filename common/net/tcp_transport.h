// TcpTransport: the real Transport, non-blocking TCP over the libevent loop. Owner: the Environment;
// stateless, any thread may call it, each stream belongs to the loop it was made for (which must be a
// LibeventLoop). Sockets have TCP_NODELAY, keepalive (30 s, then 3 probes 10 s apart) and TCP_USER_TIMEOUT
// (30 s), so that a peer that went silent is noticed within a minute. Names are resolved on the blocking
// pool, numeric addresses at once.
#pragma once

#include <memory>

#include "common/async/blocking_pool.h"
#include "common/net/transport.h"

namespace tidemark {

class TcpTransport final : public Transport {
 public:
  // `pool` outlives the transport.
  explicit TcpTransport(BlockingPool& pool) : pool_(pool) {}
  Result<std::unique_ptr<Listener>> Listen(EventLoop& loop, const Endpoint& endpoint,
                                           AcceptCallback on_accept) override;
  Task<Result<std::unique_ptr<Stream>>> Connect(EventLoop& loop, Endpoint endpoint, MonoTime deadline,
                                                std::stop_token stop) override;

 private:
  BlockingPool& pool_;
};

}  // namespace tidemark
