#include "common/net/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

namespace tidemark {
namespace {

constexpr int kBacklog = 4096;

template <typename T>
void SetOption(int fd, int level, int option, T value) {
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

std::vector<SocketAddress> Take(addrinfo* found) {
  std::vector<SocketAddress> addresses;
  for (const addrinfo* item = found; item != nullptr; item = item->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, item->ai_addr, item->ai_addrlen);
    address.size = item->ai_addrlen;
    addresses.push_back(address);
  }
  if (found != nullptr) freeaddrinfo(found);
  return addresses;
}

int Lookup(const Endpoint& endpoint, int flags, std::vector<SocketAddress>* out) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (error == 0) *out = Take(found);
  return error;
}

SocketAddress AnyAddress(int family, uint16_t port) {
  SocketAddress address;
  address.storage.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET6) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_addr = in6addr_any;
    v6->sin6_port = htons(port);
    address.size = sizeof *v6;
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_addr.s_addr = htonl(INADDR_ANY);
    v4->sin_port = htons(port);
    address.size = sizeof *v4;
  }
  return address;
}

Result<Socket> Bind(const SocketAddress& address, const Endpoint& asked, int* bind_error = nullptr) {
  TM_ASSIGN_OR_RETURN(Socket socket, NewSocket(address.storage.ss_family));
  SetOption(socket.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
  // Set here as well, so that accepted connections have it from their first packet.
  SetOption(socket.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (address.storage.ss_family == AF_INET6) {
    SetOption(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, asked.host.empty() ? 0 : 1);
  }
  if (bind(socket.fd(), address.get(), address.size) != 0 || listen(socket.fd(), kBacklog) != 0) {
    const int error = errno;
    if (bind_error != nullptr) *bind_error = error;
    if (error == EADDRINUSE) {
      return Fail(v1::NETWORK_EXCEPTION, "listen on {}: the port is in use: another program listens on {}",
                  ToString(asked), ToString(ToEndpoint(address)));
    }
    return Fail(v1::NETWORK_EXCEPTION, "listen on {}: {}", ToString(asked), ErrnoText(error));
  }
  return socket;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Socket::Reset() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

std::string ErrnoText(int error) { return std::generic_category().message(error); }

Endpoint ToEndpoint(const SocketAddress& address) {
  char host[INET6_ADDRSTRLEN] = "";
  if (address.storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
    return {host, ntohs(v6->sin6_port)};
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
  return {host, ntohs(v4->sin_port)};
}

std::vector<SocketAddress> ParseNumeric(const Endpoint& endpoint) {
  std::vector<SocketAddress> addresses;
  Lookup(endpoint, AI_NUMERICHOST, &addresses);
  return addresses;
}

Result<std::vector<SocketAddress>> Resolve(const Endpoint& endpoint) {
  std::vector<SocketAddress> addresses;
  const int error = Lookup(endpoint, 0, &addresses);
  if (error != 0) {
    const std::string reason = error == EAI_SYSTEM ? ErrnoText(errno) : gai_strerror(error);
    return Fail(v1::NETWORK_EXCEPTION, "resolve {}: {}", ToString(endpoint), reason);
  }
  return addresses;
}

Result<Socket> NewSocket(int family) {
  Socket socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket.valid()) return Fail(v1::NETWORK_EXCEPTION, "open a socket: {}", ErrnoText(errno));
  return socket;
}

void SetConnectionOptions(int fd) {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 30000u);
}

SocketAddress LocalAddress(int fd) {
  SocketAddress address;
  address.size = sizeof address.storage;
  (void)getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  return address;
}

bool IsConnectedToItself(int fd) {
  SocketAddress peer;
  peer.size = sizeof peer.storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) return false;
  return ToEndpoint(LocalAddress(fd)) == ToEndpoint(peer);
}

Result<Socket> ListenOn(const Endpoint& endpoint) {
  if (endpoint.host.empty()) {
    // One socket for both families; where IPv6 is switched off, IPv4 alone.
    int error = 0;
    Result<Socket> both = Bind(AnyAddress(AF_INET6, endpoint.port), endpoint, &error);
    if (both || error == EADDRINUSE || error == EACCES) return both;
    return Bind(AnyAddress(AF_INET, endpoint.port), endpoint);
  }
  std::vector<SocketAddress> addresses = ParseNumeric(endpoint);
  if (addresses.empty()) {
    TM_ASSIGN_OR_RETURN(addresses, Resolve(endpoint));
  }
  return Bind(addresses.front(), endpoint);
}

}  // namespace tidemark
