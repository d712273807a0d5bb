#include <charconv>

#include "common/net/transport.h"

namespace tidemark {

std::string ToString(const Endpoint& endpoint) {
  const bool brackets = endpoint.host.find(':') != std::string::npos;
  return brackets ? fmt::format("[{}]:{}", endpoint.host, endpoint.port)
                  : fmt::format("{}:{}", endpoint.host, endpoint.port);
}

Result<Endpoint> ParseEndpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return Fail(v1::INVALID_REQUEST, "'{}' has no port: an address is written host:port", text);
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']'))
      return Fail(v1::INVALID_REQUEST, "'{}' lacks the closing bracket of its address", text);
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return Fail(v1::INVALID_REQUEST, "'{}': an IPv6 address is written in brackets, as in [::1]:9092", text);
  }
  uint32_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || port > 65535) {
    return Fail(v1::INVALID_REQUEST, "'{}' in '{}' is not a port: a number from 0 to 65535", digits, text);
  }
  return Endpoint{std::string(host), static_cast<uint16_t>(port)};
}

}  // namespace tidemark
