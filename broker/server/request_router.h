// RequestRouter: takes each request of a shard's connections to the handler of its API. Handlers are
// coroutines of the shard's scope, one file per API; each is begun in arrival order and runs up to its first
// wait before the next.
#pragma once

#include <memory>
#include <string>

#include "common/async/task.h"
#include "common/net/rpc_server.h"

namespace tidemark {

class Shard;

class RequestRouter final : public RpcHandler {
 public:
  explicit RequestRouter(Shard& shard) : shard_(shard) {}
  void OnRequest(std::unique_ptr<RpcCall> call) override;

 private:
  Shard& shard_;
};

// What a listener with these roles serves, as field numbers of Request's bodies, in order.
std::vector<uint32_t> ApisServed(const ListenerRoles& roles);
// An error of the whole request, or none: an API that this listener or purpose may not use.
std::optional<Error> RefusalFor(v1::Request::BodyCase api, const ConnectionInfo& connection);

// The handlers. `shard` is the one whose connection it is; it outlives them (they are children of its scope).
Task<void> HandleApiVersions(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleMetadata(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleProduce(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleFetch(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleListOffsets(Shard& shard, std::unique_ptr<RpcCall> call);
// Groups (group_handlers.cc, find_coordinator_handler.cc).
Task<void> HandleFindCoordinator(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleGroupHeartbeat(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleOffsetCommit(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleOffsetFetch(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleOffsetDelete(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleListGroups(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleDescribeGroups(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleDeleteGroups(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleDeleteRecords(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleDescribeReplicas(Shard& shard, std::unique_ptr<RpcCall> call);
Task<void> HandleReplicaProgress(Shard& shard, std::unique_ptr<RpcCall> call);
// What the control loop serves: commands, requests to the controller, configs.
Task<void> HandleByControlPlane(Shard& shard, std::unique_ptr<RpcCall> call);

}  // namespace tidemark
