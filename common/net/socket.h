// Sockets and addresses: the system calls of TCP with their errors as values. Used by the TCP transport only.
#pragma once

#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "common/net/transport.h"
#include "common/result.h"

namespace tidemark {

// A file descriptor that is closed with its owner.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { Reset(); }
  int fd() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset();

 private:
  int fd_ = -1;
};

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// The numeric endpoint of an address.
Endpoint ToEndpoint(const SocketAddress& address);
// Addresses of a numeric host; empty when it is a name.
std::vector<SocketAddress> ParseNumeric(const Endpoint& endpoint);
// Asks the resolver; blocks. NETWORK_EXCEPTION names the host and the reason.
Result<std::vector<SocketAddress>> Resolve(const Endpoint& endpoint);

// A non-blocking, close-on-exec TCP socket.
Result<Socket> NewSocket(int family);
// NODELAY, keepalive, user timeout. Failures are ignored: the connection works without.
void SetConnectionOptions(int fd);
// True when both ends are the same socket: a connect to an ephemeral port nobody listens on can meet itself.
bool IsConnectedToItself(int fd);
SocketAddress LocalAddress(int fd);
std::string ErrnoText(int error);

// Bound and listening; NETWORK_EXCEPTION says plainly when the port is in use. An empty host is every
// address.
Result<Socket> ListenOn(const Endpoint& endpoint);

}  // namespace tidemark
