#include "common/net/request_rules.h"

namespace tidemark {
namespace {

// The body's field name, for messages: "leader_and_isr".
std::string BodyName(const v1::Request& request) {
  const auto* field = v1::Request::descriptor()->FindFieldByNumber(request.body_case());
  return field == nullptr ? "unknown" : field->name();
}

}  // namespace

bool ExpectsAnswer(const v1::Request& request) {
  if (request.has_produce()) return request.produce().acks() != 0;
  return !request.has_replica_progress();
}

bool IsInterBroker(const v1::Request& request) {
  switch (request.body_case()) {
    case v1::Request::kLeaderAndIsr:
    case v1::Request::kUpdateMetadata:
    case v1::Request::kStopReplica:
    case v1::Request::kAlterPartition:
    case v1::Request::kResignLeadership:
    case v1::Request::kControlledShutdown:
    case v1::Request::kReplicaProgress:
      return true;
    case v1::Request::kFetch:
      return request.fetch().has_follower();
    default:
      return false;
  }
}

Result<> CheckPurpose(v1::ConnectionPurpose purpose, const ListenerRoles& roles,
                      const std::string& listener) {
  if (!v1::ConnectionPurpose_IsValid(purpose)) {
    return Fail(v1::INVALID_REQUEST, "header.purpose {} is not known here", static_cast<int>(purpose));
  }
  if (purpose == v1::CONNECTION_PURPOSE_CLIENT && !roles.client) {
    return Fail(v1::LISTENER_FORBIDDEN, "listener {} does not serve clients", listener);
  }
  if (purpose != v1::CONNECTION_PURPOSE_CLIENT && !roles.inter_broker) {
    return Fail(v1::LISTENER_FORBIDDEN, "listener {} does not serve brokers", listener);
  }
  return {};
}

Result<> CheckEnvelope(const v1::Request& request, v1::ConnectionPurpose purpose, const ListenerRoles& roles,
                       const RpcServerIdentity& identity) {
  const v1::RequestHeader& header = request.header();
  if (header.required_features_size() > 0) {  // no optional feature exists yet
    return Fail(v1::UNSUPPORTED_VERSION, "required feature {} is not known here",
                header.required_features(0));
  }
  if (header.client_id().size() > kLongestClientId) {
    return Fail(v1::INVALID_REQUEST, "header.client_id has {} bytes, {} are allowed",
                header.client_id().size(), kLongestClientId);
  }
  if (!header.cluster_id().empty() && !identity.cluster_id.empty() &&
      header.cluster_id() != identity.cluster_id) {
    return Fail(v1::INCONSISTENT_CLUSTER_ID, "meant for cluster '{}', this is '{}'", header.cluster_id(),
                identity.cluster_id);
  }
  if (header.has_expected_broker_id() && identity.broker_id != kNoBroker &&
      header.expected_broker_id() != identity.broker_id) {
    return Fail(v1::WRONG_BROKER, "meant for broker {}, this is broker {}", header.expected_broker_id(),
                identity.broker_id);
  }
  if (request.body_case() == v1::Request::BODY_NOT_SET) {
    return Fail(v1::INVALID_REQUEST, "the request's body is absent or of a kind that is not known here");
  }
  if (IsInterBroker(request) && (!roles.inter_broker || purpose == v1::CONNECTION_PURPOSE_CLIENT)) {
    return Fail(v1::LISTENER_FORBIDDEN,
                "{} is accepted from brokers only, on an inter-broker listener and connection",
                BodyName(request));
  }
  return {};
}

}  // namespace tidemark
