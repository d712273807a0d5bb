// FollowerState: what a follower knows in one epoch: whom to fetch from, and how its fetching goes. A value;
// owned by its Partition while that follows, made anew for each epoch. Shard's loop only.
#pragma once

#include <optional>
#include <vector>

#include "common/error.h"
#include "common/types.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

struct FollowerState {
  FollowerState(const v1::PartitionState& state, BrokerId self);
  void Adopt(const v1::PartitionState& state);

  BrokerId self;
  BrokerId leader;
  LeaderEpoch epoch;
  PartitionEpoch partition_epoch = 0;
  std::vector<BrokerId> isr;
  std::vector<BrokerId> replicas;
  bool recovering = false;
  // This replica is in the ISR as far as is known.
  bool in_isr = false;
  // The leader may have heard of this log's end in this epoch: the log must not be replaced before the next
  // one.
  bool fetched = false;
  // An exchange in this epoch agreed: the log's end is the leader's history.
  bool agreed = false;
  // The leader's log start as last told, after an agreement.
  Offset leader_log_start = 0;
  // The leader waits until it is on this disk.
  bool log_start_wanted = false;
  // Not fetched for until the next epoch: the reason.
  std::optional<Error> parked;
};

}  // namespace tidemark
