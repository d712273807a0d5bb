// GroupLags: finds out in rounds how far the groups coordinated here are behind, for /metrics. Owned by
// Broker, control loop. A round asks the shards' coordinators what is committed, and the leaders of those
// partitions for their high watermarks and append times: the broker itself directly, others over connections
// of purpose CONTROL, which have a memory budget of their own at the other end, so that no client's load
// delays them.
//
// Bounds: a round every group.lag.interval.ms; one request at a time to a broker, of kLagsPerQuestion
// partitions; kMostLagsFollowed partitions in all. When something was appended does not change, so that it is
// asked once per commit. A broker that does not answer in time costs the lags of what it leads, until the
// next round.
#pragma once

#include <map>
#include <memory>

#include "broker/group/group_lag.h"
#include "broker/server/broker_context.h"
#include "broker/server/cluster_snapshot.h"
#include "common/metrics/exposition.h"
#include "common/net/rpc_channel.h"

namespace tidemark {

class GroupLags {
 public:
  using SnapshotSource = std::function<ClusterSnapshot::Ptr()>;

  // `scope` is of the control loop and is closed before Close.
  GroupLags(BrokerContext& context, Scope& scope, BrokerIdentity self, SnapshotSource snapshot);
  ~GroupLags();

  // Once the shards are active. Does nothing with group.lag.interval.ms=0.
  void Start();
  Task<void> Close();
  // `serving`: partitions of __consumer_offsets that are served here now; what others coordinate by now is
  // theirs to tell.
  void AddMetrics(const std::map<PartitionKey, LeaderEpoch>& serving, Exposition* out) const;

 private:
  struct Peer {
    Endpoint endpoint;
    std::shared_ptr<RpcChannel> channel;
  };
  struct Answered {
    v1::ListOffsetsRequest asked;
    v1::ListOffsetsResponse answer;
  };
  Task<void> Rounds();
  Task<void> Round();
  Task<std::vector<CommittedPositions>> Committed();
  Task<std::vector<Answered>> Ask(BrokerId broker, std::vector<v1::ListOffsetsRequest> questions);
  Task<std::shared_ptr<RpcChannel>> ChannelTo(BrokerId broker);

  BrokerContext& context_;
  EventLoop& loop_;
  Scope& scope_;
  const BrokerIdentity self_;
  const SnapshotSource snapshot_;
  std::map<BrokerId, Peer> peers_;
  LagRound::AppendTimes append_times_;
  GroupLagTable table_;
  MonoTime told_at_{};
};

}  // namespace tidemark
