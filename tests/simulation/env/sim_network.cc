#include "tests/simulation/env/sim_network.h"

#include <algorithm>

#include "common/async/wait.h"
#include "tests/simulation/env/sim_process.h"
#include "tests/simulation/env/sim_socket.h"

namespace tidemark {

namespace {

constexpr uint16_t kFirstFreePort = 20000;

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}
bool IsAnyAddress(const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::"; }

SimLoop* AsSimLoop(EventLoop& loop) {
  auto* sim = dynamic_cast<SimLoop*>(&loop);
  CHECK(sim != nullptr) << "loop '" << loop.name() << "' is not of the simulated world";
  return sim;
}

class SimStream final : public Stream {
 public:
  SimStream(std::shared_ptr<SimSocket> socket, SimLoop* loop) : socket_(std::move(socket)), loop_(loop) {
    socket_->Attach(loop);
  }
  ~SimStream() override {
    // What CloseAfterWrites left behind goes on without the stream.
    if (!lingers_) socket_->Close();
  }
  void Start(StreamHandler* handler) override { Owned()->Start(handler); }
  void Write(std::string bytes) override { Owned()->Write(std::move(bytes)); }
  size_t unsent_bytes() const override { return socket_->unsent_bytes(); }
  void PauseReading() override { Owned()->SetPaused(true); }
  void ResumeReading() override { Owned()->SetPaused(false); }
  void CloseAfterWrites() override {
    lingers_ = true;
    Owned()->CloseAfterWrites();
  }
  void Close() override {
    lingers_ = false;
    Owned()->Close();
  }
  const std::string& peer() const override { return socket_->peer_name(); }
  Duration TakeCallTime() override { return socket_->TakeCallTime(); }

 private:
  SimSocket* Owned() {
    if (loop_->process().alive()) loop_->CheckOwner();
    return socket_.get();
  }
  std::shared_ptr<SimSocket> socket_;
  SimLoop* loop_;
  bool lingers_ = false;
};

class SimPendingStream final : public PendingStream {
 public:
  explicit SimPendingStream(std::shared_ptr<SimSocket> socket) : socket_(std::move(socket)) {}
  ~SimPendingStream() override {
    if (socket_) socket_->Close();
  }
  std::unique_ptr<Stream> Attach(EventLoop& loop) override {
    return std::make_unique<SimStream>(std::exchange(socket_, nullptr), AsSimLoop(loop));
  }

 private:
  std::shared_ptr<SimSocket> socket_;
};

}  // namespace

// A bound port.
struct SimNetwork::Port {
  SimProcess* process;
  SimLoop* loop;
  Endpoint endpoint;
  Transport::AcceptCallback on_accept;
  bool open = true;
};

class SimListener final : public Listener {
 public:
  SimListener(SimNetwork& network, std::shared_ptr<SimNetwork::Port> port)
      : network_(network), port_(std::move(port)) {}
  ~SimListener() override {
    port_->open = false;
    const auto it = network_.ports_.find({port_->process->host(), port_->endpoint.port});
    if (it != network_.ports_.end() && it->second == port_) network_.ports_.erase(it);
  }
  Endpoint endpoint() const override { return port_->endpoint; }

 private:
  SimNetwork& network_;
  std::shared_ptr<SimNetwork::Port> port_;
};

SimNetwork::SimNetwork(SimWorld& world) : world_(world) {}
SimNetwork::~SimNetwork() = default;

void SimNetwork::CutOneWay(const std::string& from, const std::string& to) {
  cut_.insert({from, to});
  PathsChanged();
}

void SimNetwork::Cut(const std::string& a, const std::string& b) {
  cut_.insert({a, b});
  cut_.insert({b, a});
  PathsChanged();
}

void SimNetwork::Heal(const std::string& a, const std::string& b) {
  cut_.erase({a, b});
  cut_.erase({b, a});
  PathsChanged();
}

void SimNetwork::Isolate(const std::string& host) {
  isolated_.insert(host);
  PathsChanged();
}

void SimNetwork::HealAll() {
  cut_.clear();
  isolated_.clear();
  delay_.clear();
  PathsChanged();
}

void SimNetwork::SetDelay(const std::string& a, const std::string& b, Duration delay) {
  delay_[std::minmax(a, b)] = delay;
}

std::vector<std::shared_ptr<SimSocket>> SimNetwork::Sockets() const {
  std::vector<std::shared_ptr<SimSocket>> all;
  for (const auto& [id, socket] : sockets_) all.push_back(socket);
  return all;
}

std::vector<std::shared_ptr<SimSocket>> SimNetwork::SocketsBetween(const std::string& a,
                                                                   const std::string& b) const {
  auto all = Sockets();
  std::erase_if(all, [&](const auto& s) {
    return !((s->host() == a && s->peer_host() == b) || (s->host() == b && s->peer_host() == a));
  });
  return all;
}

void SimNetwork::ResetStreams(const std::string& a, const std::string& b) {
  for (const auto& socket : SocketsBetween(a, b)) socket->Break("connection reset by peer");
}

void SimNetwork::HalfOpen(const std::string& forgetful, const std::string& other) {
  for (const auto& socket : SocketsBetween(forgetful, other)) {
    if (socket->host() == forgetful) socket->Break("connection aborted");
  }
}

size_t SimNetwork::open_sockets() const { return sockets_.size(); }

std::shared_ptr<SimSocket> SimNetwork::FindSocket(uint64_t id) const {
  const auto it = sockets_.find(id);
  return it == sockets_.end() ? nullptr : it->second;
}

bool SimNetwork::Reachable(const std::string& from, const std::string& to) const {
  if (down_.contains(from) || down_.contains(to)) return false;
  if (from == to) return true;
  return !isolated_.contains(from) && !isolated_.contains(to) && !cut_.contains({from, to});
}

Duration SimNetwork::Latency(const std::string& from, const std::string& to) {
  SimRandom& random = world_.random();
  Duration latency = random.Between(options_.latency_min, options_.latency_max);
  if (random.Chance(options_.slow_chance))
    latency = random.Between(latency, std::max(latency, options_.slow_max));
  if (from == to) return latency / 10;
  const auto it = delay_.find(std::minmax(from, to));
  return it == delay_.end() ? latency : latency + it->second;
}

void SimNetwork::AddHost(const std::string& host) { hosts_.insert(host); }

void SimNetwork::SetHostUp(const std::string& host, bool up) {
  const bool changed = up ? down_.erase(host) != 0 : down_.insert(host).second;
  if (changed) PathsChanged();
}

void SimNetwork::PathsChanged() {
  for (const auto& socket : Sockets()) socket->PathsChanged();
}

void SimNetwork::CloseProcess(SimProcess* process, bool told) {
  std::erase_if(ports_, [&](const auto& entry) {
    if (entry.second->process != process) return false;
    entry.second->open = false;
    return true;
  });
  for (const auto& socket : Sockets()) {
    if (socket->process() != process) continue;
    socket->OwnerGone();
    if (!told) ForgetSocket(socket->id());
  }
}

uint16_t SimNetwork::FreePort(const std::string& host) {
  uint16_t& next = next_port_.try_emplace(host, kFirstFreePort).first->second;
  do {
    next = next == UINT16_MAX ? kFirstFreePort : static_cast<uint16_t>(next + 1);
  } while (ports_.contains({host, next}));
  return next;
}

SimNetwork::Handshake SimNetwork::TryConnect(SimProcess* process, const std::string& to, uint16_t port_number,
                                             std::shared_ptr<SimSocket>* socket) {
  const std::string& from = process->host();
  if (!Reachable(from, to) || !Reachable(to, from)) return Handshake::kLost;
  const auto it = ports_.find({to, port_number});
  if (it == ports_.end()) return Handshake::kRefused;
  const std::shared_ptr<Port> port = it->second;
  if (from != to && IsLoopback(port->endpoint.host)) return Handshake::kRefused;
  const uint64_t client_id = ++last_socket_;
  const uint64_t server_id = ++last_socket_;
  auto client = std::make_shared<SimSocket>(world_, client_id, server_id, process, from, to,
                                            fmt::format("{}:{}", to, port_number));
  auto server = std::make_shared<SimSocket>(world_, server_id, client_id, port->process, to, from,
                                            fmt::format("{}:{}", from, FreePort(from)));
  sockets_[client_id] = client;
  sockets_[server_id] = server;
  port->loop->Schedule(world_.Now() + Latency(from, to),
                       [port, pending = std::make_unique<SimPendingStream>(server)]() mutable {
                         if (port->open) port->on_accept(std::move(pending));
                       });
  *socket = std::move(client);
  return Handshake::kConnected;
}

Result<std::unique_ptr<Listener>> SimTransport::Listen(EventLoop& loop, const Endpoint& endpoint,
                                                       AcceptCallback on_accept) {
  SimNetwork& network = process_.world().network();
  if (!IsAnyAddress(endpoint.host) && !IsLoopback(endpoint.host) && endpoint.host != process_.host()) {
    return Fail(v1::NETWORK_EXCEPTION, "bind {}: Cannot assign requested address", ToString(endpoint));
  }
  Endpoint bound = endpoint;
  if (IsAnyAddress(bound.host)) bound.host = process_.host();
  if (bound.port == 0) bound.port = network.FreePort(process_.host());
  const auto key = std::pair(process_.host(), bound.port);
  if (network.ports_.contains(key)) {
    return Fail(v1::NETWORK_EXCEPTION, "bind {}: Address already in use", ToString(endpoint));
  }
  auto port = std::make_shared<SimNetwork::Port>(&process_, AsSimLoop(loop), bound, std::move(on_accept));
  if (process_.alive()) network.ports_[key] = port;
  return std::make_unique<SimListener>(network, std::move(port));
}

Task<Result<std::unique_ptr<Stream>>> SimTransport::Connect(EventLoop& loop, Endpoint endpoint,
                                                            MonoTime deadline, std::stop_token stop) {
  SimNetwork& network = process_.world().network();
  const std::string target =
      IsAnyAddress(endpoint.host) || IsLoopback(endpoint.host) ? process_.host() : endpoint.host;
  Duration next = network.Latency(process_.host(), target) + network.Latency(target, process_.host());
  for (Duration backoff = 1s;; backoff *= 2) {
    const MonoTime until = std::min(deadline, loop.Now() + next);
    Waiter waiter(loop, "connect", until, stop);
    if (co_await waiter == WaitOutcome::kStopped)
      co_return Fail(v1::CANCELLED, "connect {}", ToString(endpoint));
    if (!network.KnowsHost(target)) {
      co_return Fail(v1::NETWORK_EXCEPTION, "resolve {}: Name or service not known", endpoint.host);
    }
    std::shared_ptr<SimSocket> socket;
    const bool late = until == deadline;
    const auto outcome =
        late ? SimNetwork::Handshake::kLost : network.TryConnect(&process_, target, endpoint.port, &socket);
    if (outcome == SimNetwork::Handshake::kConnected) {
      co_return std::make_unique<SimStream>(std::move(socket), AsSimLoop(loop));
    }
    if (outcome == SimNetwork::Handshake::kRefused) {
      co_return Fail(v1::NETWORK_EXCEPTION, "connect {}: Connection refused", ToString(endpoint));
    }
    if (late) co_return Fail(v1::NETWORK_EXCEPTION, "connect {}: timed out", ToString(endpoint));
    next = backoff;
  }
}

}  // namespace tidemark
