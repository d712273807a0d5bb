// ServiceManager: tells whoever started this process (systemd, Type=notify) how it is doing: one datagram to
// the socket that $NOTIFY_SOCKET names, a path or, with '@' in front, a name in the abstract space. Without
// that variable everything here does nothing. One owner; any one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "common/time.h"

namespace tidemark {

class ServiceManager {
 public:
  // As the environment says: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. They are taken out of it, so that no
  // child of this process speaks for it.
  static ServiceManager FromEnvironment();
  // Nobody to tell.
  ServiceManager() = default;
  ServiceManager(std::string socket, std::optional<Duration> watchdog)
      : socket_(std::move(socket)), watchdog_(watchdog) {}

  bool present() const { return !socket_.empty(); }
  // Within this time a WATCHDOG=1 is expected, again and again; empty: none is.
  std::optional<Duration> watchdog() const { return watchdog_; }

  // "READY=1\nSTATUS=..." and the like. Never waits: a manager that does not read is no reason to stand
  // still. INVALID_CONFIG: the socket's name is none; IO_ERROR.
  Result<> Send(std::string_view message) const;

 private:
  std::string socket_;
  std::optional<Duration> watchdog_;
};

}  // namespace tidemark
