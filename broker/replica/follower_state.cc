#include "broker/replica/follower_state.h"

#include <algorithm>

namespace tidemark {

FollowerState::FollowerState(const v1::PartitionState& state, BrokerId self_id)
    : self(self_id), leader(state.leader()), epoch(state.leader_epoch()) {
  Adopt(state);
}

void FollowerState::Adopt(const v1::PartitionState& state) {
  partition_epoch = state.partition_epoch();
  isr.assign(state.isr().begin(), state.isr().end());
  replicas.assign(state.replicas().begin(), state.replicas().end());
  recovering = state.recovery_state() == v1::LEADER_RECOVERY_STATE_RECOVERING;
  in_isr = std::ranges::find(isr, self) != isr.end();
}

}  // namespace tidemark
