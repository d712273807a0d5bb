// BrokerDirectory, IsrChannel, LogStore: what a shard's replicas need of the rest of the broker. Implemented
// by broker/server (and by tests); one of each per shard, used on that shard's loop only, and outlives the
// ReplicaTable.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "broker/log/shard_logs.h"
#include "broker/replica/replica_log.h"
#include "common/async/task.h"
#include "common/net/transport.h"
#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/client_api.pb.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

// Who the brokers are, as of now. Reads a snapshot; never waits.
class BrokerDirectory {
 public:
  virtual ~BrokerDirectory() = default;
  virtual BrokerId self() const = 0;
  // czxid of the own registration in force; kNoBrokerEpoch while there is none (no ISR change is asked for
  // then).
  virtual BrokerEpoch self_epoch() const = 0;
  // Where a broker's inter-broker listener is; empty while it is not registered.
  virtual std::optional<Endpoint> InterBrokerEndpoint(BrokerId broker) const = 0;
};

// The way to the controller. Neither call need retry: the caller does. A call that was not sent or whose
// answer was lost fails with a class-RETRY code (or CANCELLED); its outcome counts as unknown. A
// per-partition error of the answer is returned inside the answer (AlterPartition) or as the Result's error
// (Resign).
class IsrChannel {
 public:
  virtual ~IsrChannel() = default;
  virtual Task<Result<v1::AlterPartitionResponse::Partition>> AlterPartition(
      v1::AlterPartitionRequest::Partition wish) = 0;
  virtual Task<Result<>> Resign(v1::ResignLeadershipRequest::Partition partition,
                                v1::ResignReason reason) = 0;
};

// The shard's logs; ShardLogStore (shard_log_store.h) is the real one. A ReplicaLog* stays valid until Delete
// or SetAside.
class LogStore {
 public:
  virtual ~LogStore() = default;
  // May return a log with damage().
  virtual Task<Result<ReplicaLog*>> OpenOrCreate(PartitionKey key, std::string topic, LogConfig config,
                                                 LogExpected expected) = 0;
  // NOT_FOUND when there is none.
  virtual Task<Result<>> Delete(PartitionKey key, std::string topic) = 0;
  virtual Task<Result<>> SetAside(PartitionKey key, std::string reason) = 0;
};

// Requests of one shard's followers to one source broker, over one connection. A fetch session lives on it.
class ReplicationChannel {
 public:
  virtual ~ReplicationChannel() = default;
  // An error means that the session is lost: the next fetch opens a new one.
  virtual Task<Result<v1::FetchResponse>> Fetch(v1::FetchRequest request, Duration timeout,
                                                std::stop_token stop) = 0;
  // One way.
  virtual void Progress(v1::ReplicaProgressRequest request) = 0;
  virtual Task<void> Close() = 0;
};

// Makes channels; rpc_replication_channel.h has the real one over RpcChannel.
class ReplicationChannelFactory {
 public:
  virtual ~ReplicationChannelFactory() = default;
  virtual std::unique_ptr<ReplicationChannel> Connect(BrokerId broker, const Endpoint& endpoint) = 0;
};

}  // namespace tidemark
