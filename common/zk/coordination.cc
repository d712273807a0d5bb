#include "common/zk/coordination.h"

#include <fmt/format.h>

#include <charconv>

namespace tidemark {

std::string_view ToString(ZkCode code) {
  switch (code) {
    case ZkCode::kOk:
      return "OK";
    case ZkCode::kNoNode:
      return "NO_NODE";
    case ZkCode::kNodeExists:
      return "NODE_EXISTS";
    case ZkCode::kBadVersion:
      return "BAD_VERSION";
    case ZkCode::kNotEmpty:
      return "NOT_EMPTY";
    case ZkCode::kNoChildrenForEphemerals:
      return "NO_CHILDREN_FOR_EPHEMERALS";
    case ZkCode::kConnectionLoss:
      return "CONNECTION_LOSS";
    case ZkCode::kOperationTimeout:
      return "OPERATION_TIMEOUT";
    case ZkCode::kSessionExpired:
      return "SESSION_EXPIRED";
    case ZkCode::kNoAuth:
      return "NO_AUTH";
    case ZkCode::kInvalidArguments:
      return "INVALID_ARGUMENTS";
    case ZkCode::kRuntimeInconsistency:
      return "RUNTIME_INCONSISTENCY";
    case ZkCode::kClosing:
      return "CLOSING";
    case ZkCode::kTooLarge:
      return "TOO_LARGE";
    case ZkCode::kOther:
      return "OTHER";
  }
  return "UNKNOWN";
}

namespace {

std::expected<void, std::string> CheckServer(std::string_view server) {
  const size_t colon = server.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return std::unexpected(fmt::format("'{}' is not host:port", server));
  }
  const std::string_view port = server.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65535) {
    return std::unexpected(fmt::format("'{}': '{}' is not a port from 1 to 65535", server, port));
  }
  if (server.find_first_of(" \t\r\n") != std::string_view::npos) {
    return std::unexpected(fmt::format("'{}' contains white space", server));
  }
  return {};
}

// Normalised: no slash at the end; "" for none.
std::expected<std::string, std::string> CheckChroot(std::string_view chroot) {
  while (!chroot.empty() && chroot.back() == '/') chroot.remove_suffix(1);
  if (chroot.empty()) return std::string();
  if (chroot.find("//") != std::string_view::npos) {
    return std::unexpected(fmt::format("chroot '{}' has an empty component", chroot));
  }
  size_t at = 0;
  while (at < chroot.size()) {
    const size_t end = std::min(chroot.find('/', at + 1), chroot.size());
    const std::string_view part = chroot.substr(at + 1, end - at - 1);
    if (part == "." || part == "..") {
      return std::unexpected(fmt::format("chroot '{}' has the component '{}'", chroot, part));
    }
    at = end;
  }
  return std::string(chroot);
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

std::expected<ZkConnectString, std::string> ParseZkConnect(std::string_view text) {
  text = Trim(text);
  ZkConnectString result;
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    auto chroot = CheckChroot(text.substr(slash));
    if (!chroot) return std::unexpected(chroot.error());
    result.chroot = *std::move(chroot);
    text = text.substr(0, slash);
  }
  if (text.empty())
    return std::unexpected(std::string("no server is named, expected host:port,host:port/chroot"));
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view server = Trim(text.substr(0, comma));
    if (auto checked = CheckServer(server); !checked) return std::unexpected(checked.error());
    if (!result.servers.empty()) result.servers += ',';
    result.servers += server;
    if (comma == std::string_view::npos) return result;
    text = text.substr(comma + 1);
  }
}

}  // namespace tidemark
