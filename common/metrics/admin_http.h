// AdminServer: the broker's HTTP listener for people and Prometheus. The interface is all that broker/server
// knows; StartAdminHttp is the real one (libevent's evhttp on a thread of its own, so that a stuck shard
// cannot silence it). Simulations have none.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/net/transport.h"
#include "common/result.h"

namespace tidemark {

struct AdminRequest {
  std::string path;
  std::map<std::string, std::string> query;  // decoded; the last of a name counts
  std::string accept;                        // the header, empty without one

  // Asked for by ?format=json or by Accept.
  bool WantsJson() const;
};

struct AdminReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class AdminServer {
 public:
  // Ends the thread; answers that come later are dropped.
  virtual ~AdminServer() = default;
  // The address bound, with the port chosen.
  virtual Endpoint endpoint() const = 0;
};

// Answers one GET. Called on the server's own thread; must not block. `reply` may be called from any thread,
// once, also after the server has gone; a request without a reply for 5 s is answered 503.
using AdminReplyFn = std::function<void(AdminReply)>;
using AdminHandler = std::function<void(const AdminRequest& request, AdminReplyFn reply)>;

// How a broker gets its admin server; empty: none.
using AdminServerFactory =
    std::function<Result<std::unique_ptr<AdminServer>>(const Endpoint& address, AdminHandler handler)>;

// IO_ERROR names the address. Only GET and HEAD are served.
Result<std::unique_ptr<AdminServer>> StartAdminHttp(const Endpoint& address, AdminHandler handler);

}  // namespace tidemark
