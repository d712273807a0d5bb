// Listener configs: `listeners`, `advertised.listeners`, `listener.security.protocol.map` and who serves
// brokers, as values. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/config/properties.h"
#include "common/result.h"

namespace tidemark {

struct ListenerConfig {
  std::string name;      // "PLAINTEXT", "INTERNAL", ...
  std::string protocol;  // by the map; only PLAINTEXT is served
  std::string host;      // to bind; empty: all addresses
  uint16_t port = 0;     // to bind; 0: any free one
  // What clients are told. An empty host means the bound one (or the host's name when all addresses are
  // bound); port 0 means the bound one.
  std::string advertised_host;
  uint16_t advertised_port = 0;
  bool client = true;
  bool inter_broker = true;
};

struct ListenersInput {
  std::string listeners;
  std::string advertised;
  std::string protocol_map;
  std::string inter_broker_name;  // empty: the first PLAINTEXT one
};

// INVALID_CONFIG names the config and the part that is wrong: bad syntax, a name or port given twice, an
// unknown protocol, a secure protocol (not served), an advertised or inter-broker name without listener. One
// listener is the brokers', the one named or else the first; clients are served on all of them, as in Kafka.
Result<std::vector<ListenerConfig>> ParseListeners(const ListenersInput& input);

// "NAME://host:port" in its parts; IPv6 hosts in brackets. INVALID_CONFIG says what is wrong.
struct ListenerAddress {
  std::string name;
  std::string host;
  uint16_t port = 0;
};
Result<ListenerAddress> ParseListenerAddress(std::string_view text);
std::string ToString(const ListenerAddress& address);

}  // namespace tidemark
