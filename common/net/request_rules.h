// RequestRules: what a request's envelope must satisfy before a handler sees it, and which requests expect an
// answer. Pure functions of the request and the connection's facts, shared by the server, the channel and
// their tests.
#pragma once

#include <optional>

#include "common/net/rpc_server.h"
#include "common/result.h"
#include "tidemark/v1/envelope.pb.h"

namespace tidemark {

// A longer client id is refused: what is kept by client id (quotas, groups' members) stays bounded.
inline constexpr size_t kLongestClientId = 1024;

// False for ReplicaProgress and for Produce with acks=0: they are never answered, not even with an error.
bool ExpectsAnswer(const v1::Request& request);

// True for requests that only brokers send to one another.
bool IsInterBroker(const v1::Request& request);

// The purpose may be used on a listener with these roles: LISTENER_FORBIDDEN, or INVALID_REQUEST for an
// unknown one.
Result<> CheckPurpose(v1::ConnectionPurpose purpose, const ListenerRoles& roles, const std::string& listener);

// All other checks of the envelope. `purpose` is the connection's.
Result<> CheckEnvelope(const v1::Request& request, v1::ConnectionPurpose purpose, const ListenerRoles& roles,
                       const RpcServerIdentity& identity);

}  // namespace tidemark
