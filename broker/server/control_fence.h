// ControlFence: which controller commands this broker obeys. A value of the control loop; decisions are pure.
//
// Invariant: the highest obeyed epoch never falls, and it rises only to an epoch that ZooKeeper was seen to
// hold: a controller that made its number up cannot shut the true one out.
#pragma once

#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

enum class FenceVerdict {
  kObey,
  kVerify,  // the epoch is above the known one: read /controller_epoch, then NoteVerified, then ask again
};

class ControlFence {
 public:
  // STALE_BROKER_EPOCH: meant for a former life. BROKER_NOT_READY: meant for a registration that this broker
  // does not know of (yet). STALE_CONTROLLER_EPOCH: from a deposed controller.
  Result<FenceVerdict> Check(const v1::ControllerStamp& stamp) const;
  // `epoch` is what /controller_epoch holds.
  void NoteVerified(ControllerEpoch epoch);
  void SetBrokerEpoch(BrokerEpoch epoch) { broker_epoch_ = epoch; }
  ControllerEpoch highest() const { return highest_; }
  uint64_t refused() const { return refused_; }

 private:
  ControllerEpoch highest_ = 0;
  BrokerEpoch broker_epoch_ = kNoBrokerEpoch;
  mutable uint64_t refused_ = 0;
};

}  // namespace tidemark
