// Broker: one broker of the cluster: shards, listeners, ZooKeeper session, registration, controller, configs.
// Lives on one loop, the control loop, which its owner gives (main: a thread of its own; a simulation: the
// process's main loop): every method is called there. Shards run on loops that it starts itself.
//
// Start goes: directories locked and opened -> ports bound -> ZooKeeper -> identity (cluster id, broker id)
// -> shards active -> registered -> serving. What clients ask before is answered BROKER_NOT_READY. Stop goes:
// controlled shutdown -> connections closed -> replicas and logs closed -> ZooKeeper left -> clean mark.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/server/shard.h"
#include "common/config/broker_config.h"
#include "common/env/environment.h"
#include "common/metrics/admin_http.h"
#include "common/result.h"

namespace tidemark {

struct BrokerOptions {
  // Empty: no admin listener (simulations).
  AdminServerFactory admin;
  // The broker cannot go on (another broker has its id, its last disk failed): whoever runs the process ends
  // it. Called on the control loop; the ZooKeeper session has been closed, so that others lead.
  std::function<void(const Error&)> on_fatal;
};

// A listener as bound.
struct BoundListener {
  std::string name;
  Endpoint bound;
  Endpoint advertised;
};

class Broker {
 public:
  Broker(Environment& env, EventLoop& control_loop, BrokerConfig config, BrokerOptions options = {});
  ~Broker();  // after Stop
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;

  // Returns when the broker serves, or why it cannot. Stop() is needed in either case.
  Task<Result<>> Start();
  // A Start under way gives up with CANCELLED.
  void RequestStop();
  // Everything is closed when this returns. True: the data is on disk and marked as closed cleanly.
  Task<bool> Stop();

  bool serving() const;
  // Why /readyz would answer 503, one reason each; empty when ready.
  std::vector<std::string> NotReadyReasons() const;
  BrokerId id() const;
  BrokerEpoch epoch() const;
  const std::string& cluster_id() const;
  const std::vector<BoundListener>& listeners() const;
  // Address of the first listener.
  Endpoint endpoint() const;
  // Empty without an admin listener.
  std::optional<Endpoint> admin_endpoint() const;
  bool is_controller() const;
  // What shards tell of themselves; one that does not answer within a second, as it last told.
  Task<std::vector<ShardReport>> Reports();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
