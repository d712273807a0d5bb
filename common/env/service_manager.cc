#include "common/env/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace tidemark {
namespace {

std::string TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  const std::string out = value == nullptr ? "" : value;
  unsetenv(name);
  return out;
}

std::optional<int64_t> ParseNumber(const std::string& text) {
  int64_t out = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (status != std::errc() || end != text.data() + text.size() || out <= 0) return std::nullopt;
  return out;
}

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  std::string socket = TakeVariable("NOTIFY_SOCKET");
  const std::optional<int64_t> micros = ParseNumber(TakeVariable("WATCHDOG_USEC"));
  const std::string pid = TakeVariable("WATCHDOG_PID");
  // Meant for another process when it names one.
  const bool mine = pid.empty() || ParseNumber(pid) == getpid();
  if (socket.empty() || !micros || !mine) return {std::move(socket), std::nullopt};
  return {std::move(socket), std::chrono::microseconds(*micros)};
}

Result<> ServiceManager::Send(std::string_view message) const {
  if (socket_.empty()) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool abstract = socket_[0] == '@';
  if ((!abstract && socket_[0] != '/') || socket_.size() < 2 || socket_.size() >= sizeof address.sun_path)
    return Fail(v1::INVALID_CONFIG, "NOTIFY_SOCKET '{}' is neither a path nor an abstract name", socket_);
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  // An abstract name begins with a zero byte and ends where its length says.
  if (abstract) address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Fail(v1::IO_ERROR, "no socket for {}: {}", socket_, std::strerror(errno));
  const ssize_t sent = sendto(fd, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), size);
  const int why = errno;
  close(fd);
  if (sent != static_cast<ssize_t>(message.size()))
    return Fail(v1::IO_ERROR, "cannot tell {}: {}", socket_, std::strerror(why));
  return {};
}

}  // namespace tidemark
