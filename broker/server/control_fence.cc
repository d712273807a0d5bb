#include "broker/server/control_fence.h"

#include <algorithm>

namespace tidemark {

Result<FenceVerdict> ControlFence::Check(const v1::ControllerStamp& stamp) const {
  if (stamp.controller_epoch() < highest_) {
    ++refused_;
    return Fail(v1::STALE_CONTROLLER_EPOCH, "controller {} speaks with epoch {}; {} was heard before",
                stamp.controller_id(), stamp.controller_epoch(), highest_);
  }
  if (broker_epoch_ == kNoBrokerEpoch || stamp.broker_epoch() > broker_epoch_) {
    return Fail(v1::BROKER_NOT_READY, "meant for broker epoch {}; this broker knows of {}",
                stamp.broker_epoch(), broker_epoch_);
  }
  if (stamp.broker_epoch() < broker_epoch_) {
    ++refused_;
    return Fail(v1::STALE_BROKER_EPOCH, "meant for broker epoch {}; it is {} now", stamp.broker_epoch(),
                broker_epoch_);
  }
  return stamp.controller_epoch() == highest_ ? FenceVerdict::kObey : FenceVerdict::kVerify;
}

void ControlFence::NoteVerified(ControllerEpoch epoch) { highest_ = std::max(highest_, epoch); }

}  // namespace tidemark
