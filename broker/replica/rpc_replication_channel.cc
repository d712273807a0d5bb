#include "broker/replica/rpc_replication_channel.h"

#include <utility>

namespace tidemark {
namespace {

class RpcReplicationChannel final : public ReplicationChannel {
 public:
  RpcReplicationChannel(EventLoop& loop, Transport& transport, Random& random, const Endpoint& endpoint,
                        RpcChannelOptions options)
      : channel_(loop, transport, random, endpoint, std::move(options)) {}

  Task<Result<v1::FetchResponse>> Fetch(v1::FetchRequest fetch, Duration timeout,
                                        std::stop_token stop) override {
    v1::Request request;
    *request.mutable_fetch() = std::move(fetch);
    auto response = co_await channel_.Call(std::move(request), timeout, std::move(stop));
    if (!response) co_return std::unexpected(std::move(response).error());
    if (!response->has_fetch())
      co_return Fail(v1::UNKNOWN_SERVER_ERROR, "the answer to a fetch is of another kind");
    co_return std::move(*response->mutable_fetch());
  }

  void Progress(v1::ReplicaProgressRequest progress) override {
    v1::Request request;
    *request.mutable_replica_progress() = std::move(progress);
    channel_.SendOneWay(std::move(request));
  }

  Task<void> Close() override { co_await channel_.Close(); }

 private:
  RpcChannel channel_;
};

}  // namespace

RpcReplicationChannelFactory::RpcReplicationChannelFactory(EventLoop& loop, Transport& transport,
                                                           Random& random, std::string client_id,
                                                           std::string cluster_id)
    : loop_(loop),
      transport_(transport),
      random_(random),
      client_id_(std::move(client_id)),
      cluster_id_(std::move(cluster_id)) {}

std::unique_ptr<ReplicationChannel> RpcReplicationChannelFactory::Connect(BrokerId broker,
                                                                          const Endpoint& endpoint) {
  RpcChannelOptions options;
  options.purpose = v1::CONNECTION_PURPOSE_REPLICATION;
  options.client_id = client_id_;
  options.cluster_id = cluster_id_;
  options.expected_broker = broker;
  return std::make_unique<RpcReplicationChannel>(loop_, transport_, random_, endpoint, std::move(options));
}

}  // namespace tidemark
