// BrokersFromZooKeeper: for tools that were given --zookeeper.
#include <algorithm>

#include "client/cluster.h"
#include "common/async/scope.h"
#include "common/zk/zk_paths.h"
#include "common/zk/znodes.h"

namespace tidemark {

namespace {

// Nobody needs to hear of the session's states: a call that fails says enough.
class IgnoreStates : public ZkSessionHandler {
 public:
  void OnZkState(ZkState) override {}
};

// The address of the first endpoint, which is that of the client listener, or the legacy host and port.
std::optional<Endpoint> AddressOf(const v1::BrokerZnode& broker) {
  for (const std::string& text : broker.endpoints()) {
    const size_t scheme = text.find("://");
    if (scheme == std::string::npos) continue;
    auto endpoint = ParseEndpoint(std::string_view(text).substr(scheme + 3));
    if (endpoint && text.substr(0, scheme) != broker.inter_broker_listener()) return *endpoint;
    if (endpoint && broker.endpoints_size() == 1) return *endpoint;
  }
  if (broker.host().empty() || broker.port() <= 0 || broker.port() > UINT16_MAX) return std::nullopt;
  return Endpoint{broker.host(), static_cast<uint16_t>(broker.port())};
}

Task<Result<std::vector<Endpoint>>> ReadBrokers(EventLoop& loop, ZkSession& session, std::string connect,
                                                MonoTime deadline) {
  ZkCode last = ZkCode::kConnectionLoss;
  while (loop.Now() < deadline) {
    auto ids = co_await session.Children(std::string(zkpath::kBrokerIds));
    if (!ids && ids.error() == ZkCode::kNoNode) {
      co_return Fail(v1::BROKER_NOT_AVAILABLE, "no broker is registered at ZooKeeper {} (no /brokers/ids)",
                     connect);
    }
    if (!ids) {
      last = ids.error();
      if (!IsUnknownOutcome(last) || last == ZkCode::kSessionExpired) break;
      co_await Sleep(loop, 100ms, "retry of a ZooKeeper read");
      continue;
    }
    std::vector<Endpoint> endpoints;
    for (const std::string& id : *ids) {
      auto node = co_await session.Get("/brokers/ids/" + id);
      if (!node) continue;  // gone meanwhile
      auto broker = DecodeBroker(node->data);
      if (!broker) continue;  // another one will do
      if (auto address = AddressOf(*broker)) endpoints.push_back(std::move(*address));
    }
    if (!endpoints.empty()) co_return endpoints;
    co_return Fail(v1::BROKER_NOT_AVAILABLE, "no broker is registered at ZooKeeper {}", connect);
  }
  co_return Fail(v1::BROKER_NOT_AVAILABLE, "ZooKeeper {} does not answer ({})", connect, ToString(last));
}

// Ends the wait of whoever waits for `done` when reading takes longer than the deadline.
Task<void> ReadAndTell(EventLoop& loop, ZkSession& session, std::string connect, MonoTime deadline,
                       OneShot<Result<std::vector<Endpoint>>>& done) {
  done.Set(co_await ReadBrokers(loop, session, std::move(connect), deadline));
}

}  // namespace

Task<Result<std::vector<Endpoint>>> BrokersFromZooKeeper(Environment& env, EventLoop& loop,
                                                         std::string connect, Duration timeout) {
  if (auto parsed = ParseZkConnect(connect); !parsed) {
    co_return Fail(v1::INVALID_CONFIG, "--zookeeper {}: {}", connect, parsed.error());
  }
  IgnoreStates handler;
  ZkSessionOptions options;
  options.connect = connect;
  const MonoTime deadline = loop.Now() + timeout;
  std::unique_ptr<ZkSession> session = env.coordination().Connect(loop, std::move(options), &handler);
  OneShot<Result<std::vector<Endpoint>>> done(loop);
  Scope scope(loop, "brokers from zookeeper");
  scope.Spawn("read brokers", ReadAndTell(loop, *session, connect, deadline, done));
  auto answer = co_await done.Wait("brokers from ZooKeeper", deadline);
  // Closing ends a read that is still under way.
  co_await session->Close();
  co_await scope.Close();
  if (!answer)
    co_return Fail(v1::REQUEST_TIMED_OUT, "ZooKeeper {} did not answer in {} ms", connect, ToMillis(timeout));
  co_return std::move(*answer);
}

}  // namespace tidemark
