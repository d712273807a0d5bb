// SimNetwork: hosts, links between them and byte streams over them. A stream keeps its order; streams do not
// keep order among each other; bytes arrive in pieces of random size after random delays. A cut link drops
// everything: established streams stall and go on when it heals, or break after the user time-out (unanswered
// data) or the keepalive time-out (idle), as TCP does. Kernel and process are told apart: a paused process's
// kernel goes on taking connections and bytes, which it reads in any order of the connections when it goes
// on.
//
// Invariant: of the bytes written to a stream the peer reads a prefix, in order, each once.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "common/net/transport.h"
#include "tests/simulation/env/sim_world.h"

namespace tidemark {

struct SimNetworkOptions {
  Duration latency_min = 20us;
  Duration latency_max = 800us;
  double slow_chance = 0.01;  // of a piece that takes slow_max at most
  Duration slow_max = 40ms;
  size_t window_bytes = 256 << 10;  // sent and not yet read by the peer
  size_t piece_bytes = 64 << 10;    // largest piece that arrives at once
  Duration user_timeout = 20s;
  Duration keepalive_timeout = 25s;
  Duration call_time_per_byte{};  // of a loop, as its streams tell it; the world's clock does not move by it
};

class SimSocket;

class SimNetwork {
 public:
  explicit SimNetwork(SimWorld& world);
  ~SimNetwork();

  SimNetworkOptions& options() { return options_; }

  // Cuts what goes from one host to another; Heal undoes it. Both ways with the pair form.
  void CutOneWay(const std::string& from, const std::string& to);
  void Cut(const std::string& a, const std::string& b);
  void Heal(const std::string& a, const std::string& b);
  // Cuts a host off from all others, also from those that come later.
  void Isolate(const std::string& host);
  void HealAll();
  // Adds `delay` to all that goes over the link (both ways) until set to zero.
  void SetDelay(const std::string& a, const std::string& b, Duration delay);
  // Breaks every established stream between the hosts; both ends hear of it.
  void ResetStreams(const std::string& a, const std::string& b);
  // `forgetful` loses its ends of all streams with `other` without a word; `other` finds out when it sends.
  void HalfOpen(const std::string& forgetful, const std::string& other);

  size_t open_sockets() const;
  uint64_t bytes_delivered() const { return bytes_delivered_; }

  // The rest is for the parts of the world.
  bool Reachable(const std::string& from, const std::string& to) const;
  Duration Latency(const std::string& from, const std::string& to);
  void AddHost(const std::string& host);
  bool KnowsHost(const std::string& host) const { return hosts_.contains(host); }
  void SetHostUp(const std::string& host, bool up);
  // The process's sockets and listeners are closed as a kernel does (told: peers are sent a reset).
  void CloseProcess(SimProcess* process, bool told);
  std::shared_ptr<SimSocket> FindSocket(uint64_t id) const;
  void ForgetSocket(uint64_t id) { sockets_.erase(id); }
  void CountDelivered(size_t bytes) { bytes_delivered_ += bytes; }

 private:
  friend class SimTransport;
  friend class SimListener;
  struct Port;

  void PathsChanged();
  std::vector<std::shared_ptr<SimSocket>> Sockets() const;
  std::vector<std::shared_ptr<SimSocket>> SocketsBetween(const std::string& a, const std::string& b) const;
  enum class Handshake { kLost, kRefused, kConnected };
  // One try of a handshake, seen by the client's kernel.
  Handshake TryConnect(SimProcess* process, const std::string& to, uint16_t port,
                       std::shared_ptr<SimSocket>* socket);
  uint16_t FreePort(const std::string& host);

  SimWorld& world_;
  SimNetworkOptions options_;
  std::set<std::string> hosts_;
  std::set<std::string> down_;
  std::set<std::string> isolated_;
  std::set<std::pair<std::string, std::string>> cut_;
  std::map<std::pair<std::string, std::string>, Duration> delay_;
  std::map<std::pair<std::string, uint16_t>, std::shared_ptr<Port>> ports_;
  std::map<uint64_t, std::shared_ptr<SimSocket>> sockets_;
  std::map<std::string, uint16_t> next_port_;
  uint64_t last_socket_ = 0;
  uint64_t bytes_delivered_ = 0;
};

// One process's way into the network.
class SimTransport final : public Transport {
 public:
  explicit SimTransport(SimProcess& process) : process_(process) {}
  Result<std::unique_ptr<Listener>> Listen(EventLoop& loop, const Endpoint& endpoint,
                                           AcceptCallback on_accept) override;
  Task<Result<std::unique_ptr<Stream>>> Connect(EventLoop& loop, Endpoint endpoint, MonoTime deadline,
                                                std::stop_token stop) override;

 private:
  SimProcess& process_;
};

}  // namespace tidemark
