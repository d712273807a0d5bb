#include "common/config/listeners.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "common/nearest_name.h"

namespace tidemark {
namespace {

constexpr std::string_view kPlaintext = "PLAINTEXT";
const std::vector<std::string> kProtocols = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};

bool IsName(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
}

std::string Upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

Result<std::map<std::string, std::string>> ParseProtocolMap(std::string_view text) {
  std::map<std::string, std::string> out;
  for (const std::string& protocol : kProtocols) out[protocol] = protocol;
  for (const std::string& part : CommaList(text)) {
    const size_t colon = part.find(':');
    const std::string name = Upper(Trimmed(std::string_view(part).substr(0, colon)));
    const std::string protocol =
        colon == std::string::npos ? std::string() : Upper(Trimmed(std::string_view(part).substr(colon + 1)));
    if (!IsName(name) || std::ranges::find(kProtocols, protocol) == kProtocols.end()) {
      return Fail(v1::INVALID_CONFIG,
                  "listener.security.protocol.map: '{}' is not NAME:PROTOCOL with one of {}", part,
                  "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL");
    }
    out[name] = protocol;
  }
  return out;
}

Result<std::vector<ListenerAddress>> ParseAddresses(const char* config, std::string_view text) {
  std::vector<ListenerAddress> out;
  for (const std::string& part : CommaList(text)) {
    Result<ListenerAddress> address = ParseListenerAddress(part);
    if (!address) return Fail(v1::INVALID_CONFIG, "{}: {}", config, address.error().message);
    for (const ListenerAddress& other : out) {
      if (other.name == address->name) {
        return Fail(v1::INVALID_CONFIG, "{}: the name {} is given twice", config, other.name);
      }
    }
    out.push_back(std::move(*address));
  }
  return out;
}

Result<ListenerConfig> MakeListener(const ListenerAddress& address,
                                    const std::map<std::string, std::string>& map) {
  const auto protocol = map.find(address.name);
  if (protocol == map.end()) {
    return Fail(v1::INVALID_CONFIG,
                "listeners: the listener {} has no protocol in listener.security.protocol.map", address.name);
  }
  if (protocol->second != kPlaintext) {
    return Fail(v1::INVALID_CONFIG, "listeners: {} is {}; only PLAINTEXT is served", address.name,
                protocol->second);
  }
  ListenerConfig out{
      .name = address.name, .protocol = protocol->second, .host = address.host, .port = address.port};
  if (address.host != "0.0.0.0" && address.host != "::") out.advertised_host = address.host;
  out.advertised_port = address.port;
  return out;
}

ListenerConfig* FindListener(std::vector<ListenerConfig>* listeners, std::string_view name) {
  const auto it = std::ranges::find(*listeners, name, &ListenerConfig::name);
  return it == listeners->end() ? nullptr : &*it;
}

Result<> Advertise(const std::vector<ListenerAddress>& advertised, std::vector<ListenerConfig>* listeners) {
  for (const ListenerAddress& address : advertised) {
    ListenerConfig* listener = FindListener(listeners, address.name);
    if (listener == nullptr) {
      return Fail(v1::INVALID_CONFIG, "advertised.listeners: there is no listener {}", address.name);
    }
    if (address.host == "0.0.0.0" || address.host == "::") {
      return Fail(v1::INVALID_CONFIG, "advertised.listeners: {} is no address that anybody can connect to",
                  address.host);
    }
    listener->advertised_host = address.host;
    listener->advertised_port = address.port;
  }
  return {};
}

Result<> AssignRoles(const std::string& inter_broker_name, std::vector<ListenerConfig>* listeners) {
  if (inter_broker_name.empty()) {
    // As in Kafka: the security.inter.broker.protocol's listener, here the first.
    for (ListenerConfig& listener : *listeners) listener.inter_broker = &listener == &listeners->front();
    return {};
  }
  ListenerConfig* chosen = FindListener(listeners, Upper(inter_broker_name));
  if (chosen == nullptr) {
    std::vector<std::string> names;
    for (const ListenerConfig& listener : *listeners) names.push_back(listener.name);
    const std::string nearest = NearestName(inter_broker_name, names);
    return Fail(v1::INVALID_CONFIG, "inter.broker.listener.name: there is no listener {}{}",
                inter_broker_name, nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest));
  }
  for (ListenerConfig& listener : *listeners) listener.inter_broker = &listener == chosen;
  return {};
}

}  // namespace

Result<ListenerAddress> ParseListenerAddress(std::string_view text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || !IsName(text.substr(0, scheme))) {
    return Fail(v1::INVALID_CONFIG, "'{}' is not NAME://host:port", text);
  }
  ListenerAddress out{.name = Upper(text.substr(0, scheme))};
  std::string_view rest = text.substr(scheme + 3);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return Fail(v1::INVALID_CONFIG, "'{}' has no port", text);
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return Fail(v1::INVALID_CONFIG, "'{}': an IPv6 address stands in brackets", text);
  }
  uint32_t number = 0;
  const auto [end, status] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (status != std::errc() || end != port.data() + port.size() || number > 65535) {
    return Fail(v1::INVALID_CONFIG, "'{}': '{}' is not a port", text, port);
  }
  out.host = std::string(host);
  out.port = static_cast<uint16_t>(number);
  return out;
}

std::string ToString(const ListenerAddress& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}", address.name, v6 ? "[" : "", address.host, v6 ? "]" : "",
                     address.port);
}

Result<std::vector<ListenerConfig>> ParseListeners(const ListenersInput& input) {
  TM_ASSIGN_OR_RETURN(const auto map, ParseProtocolMap(input.protocol_map));
  TM_ASSIGN_OR_RETURN(const std::vector<ListenerAddress> addresses,
                      ParseAddresses("listeners", input.listeners));
  if (addresses.empty()) return Fail(v1::INVALID_CONFIG, "listeners: at least one is needed");
  std::vector<ListenerConfig> out;
  for (const ListenerAddress& address : addresses) {
    for (const ListenerConfig& other : out) {
      if (address.port != 0 && other.port == address.port && other.host == address.host) {
        return Fail(v1::INVALID_CONFIG, "listeners: {} and {} have the same port {}", other.name,
                    address.name, address.port);
      }
    }
    TM_ASSIGN_OR_RETURN(ListenerConfig listener, MakeListener(address, map));
    out.push_back(std::move(listener));
  }
  TM_ASSIGN_OR_RETURN(const auto advertised, ParseAddresses("advertised.listeners", input.advertised));
  TM_RETURN_IF_ERROR(Advertise(advertised, &out));
  TM_RETURN_IF_ERROR(AssignRoles(input.inter_broker_name, &out));
  return out;
}

}  // namespace tidemark
