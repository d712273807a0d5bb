// RpcReplicationChannelFactory: replication over RpcChannel, with purpose REPLICATION, one connection per
// channel. One factory per shard; shard's loop only; outlives its channels.
#pragma once

#include <memory>
#include <string>

#include "broker/replica/broker_directory.h"
#include "common/net/rpc_channel.h"

namespace tidemark {

class RpcReplicationChannelFactory final : public ReplicationChannelFactory {
 public:
  RpcReplicationChannelFactory(EventLoop& loop, Transport& transport, Random& random, std::string client_id,
                               std::string cluster_id);
  std::unique_ptr<ReplicationChannel> Connect(BrokerId broker, const Endpoint& endpoint) override;

 private:
  EventLoop& loop_;
  Transport& transport_;
  Random& random_;
  std::string client_id_;
  std::string cluster_id_;
};

}  // namespace tidemark
