#include "common/net/rpc_server.h"

#include <algorithm>
#include <vector>

#include "common/net/server_connection.h"

namespace tidemark {
namespace {

// Beside those of clients, on one loop: of brokers, and such as have not said yet what they are.
constexpr size_t kOthersConnections = 256;

}  // namespace

// The table of connections and their periodic sweep.
class RpcServer::Impl {
 public:
  Impl(EventLoop& loop, RpcServerLimits limits, RpcHandler& handler)
      : core_(std::make_shared<RpcServerCore>(loop, limits, handler)) {}
  ~Impl() { CHECK(core_->closed) << "an RpcServer is closed before it dies"; }

  RpcServerCore& core() { return *core_; }
  const RpcServerCore& core() const { return *core_; }

  void Attach(std::unique_ptr<PendingStream> pending, std::string listener, ListenerRoles roles) {
    core_->loop.CheckOwner();
    if (core_->closed) return;
    // Which are clients' only their first requests tell: brokers must come in whatever clients do, and who
    // would raise the limit again is a client among few.
    const size_t most = core_->limits.max_connections + (roles.inter_broker ? kOthersConnections : 0);
    if (core_->connections.size() >= most) {
      std::string note;
      if (core_->log_limiter.Allow(core_->loop.Now(), &note)) {
        LOG(WARNING) << "listener " << listener << ": connection refused, " << core_->connections.size()
                     << " are open, the most allowed" << note;
      }
      return;
    }
    auto connection =
        std::make_shared<ServerConnection>(core_, pending->Attach(core_->loop), std::move(listener), roles);
    core_->connections.emplace(connection->id(), connection);
    connection->Start();
    if (sweep_timer_ == 0) StartSweep();
  }

  void Close() {
    core_->closed = true;
    core_->loop.CancelTimer(std::exchange(sweep_timer_, 0));
    while (!core_->connections.empty()) {
      auto connection = core_->connections.begin()->second;
      connection->CloseNow();
    }
  }

 private:
  void StartSweep() {
    const Duration interval = std::clamp<Duration>(core_->limits.idle_timeout / 4, 1ms, 15s);
    sweep_timer_ = core_->loop.StartTimerAfter(interval, [this] {
      sweep_timer_ = 0;
      Sweep();
    });
  }

  // Runs only while there are connections: a server without any costs nothing.
  void Sweep() {
    std::vector<std::shared_ptr<ServerConnection>> all;  // a closing one leaves the table
    all.reserve(core_->connections.size());
    for (const auto& [id, connection] : core_->connections) all.push_back(connection);
    const MonoTime now = core_->loop.Now();
    for (const auto& connection : all) connection->Sweep(now);
    if (!core_->connections.empty()) StartSweep();
  }

  const std::shared_ptr<RpcServerCore> core_;
  TimerId sweep_timer_ = 0;
};

RpcServer::RpcServer(EventLoop& loop, RpcServerLimits limits, RpcHandler& handler)
    : impl_(std::make_unique<Impl>(loop, limits, handler)) {}

RpcServer::~RpcServer() = default;

void RpcServer::SetIdentity(RpcServerIdentity identity) { impl_->core().identity = std::move(identity); }

void RpcServer::SetLimits(const RpcServerLimits& limits) {
  RpcServerLimits& own = impl_->core().limits;
  own.max_connections = limits.max_connections;
  own.idle_timeout = limits.idle_timeout;
  own.max_requests_in_flight = limits.max_requests_in_flight;
}

void RpcServer::Unmute() {
  for (const auto& [id, connection] : impl_->core().connections) connection->Unmute();
}

void RpcServer::Attach(std::unique_ptr<PendingStream> stream, std::string listener, ListenerRoles roles) {
  impl_->Attach(std::move(stream), std::move(listener), roles);
}

RpcServerStats RpcServer::stats() const {
  const RpcServerCore& core = impl_->core();
  RpcServerStats stats = core.stats;
  stats.connections = core.connections.size();
  stats.connections_limit = core.limits.max_connections;
  stats.bytes_in_flight = 0;
  size_t index = 0;
  for (auto purpose :
       {v1::CONNECTION_PURPOSE_CLIENT, v1::CONNECTION_PURPOSE_REPLICATION, v1::CONNECTION_PURPOSE_CONTROL}) {
    const RpcBudget& budget = *core.BudgetFor(purpose);
    stats.bytes_in_flight += budget.used();
    stats.memory[index++] = {.used = budget.used(), .limit = budget.limit()};
  }
  return stats;
}

Task<void> RpcServer::Close() {
  impl_->Close();
  co_return;
}

}  // namespace tidemark
