// The election of the controller: whoever creates /controller, in one multi with the increment of
// /controller_epoch. Coroutines of the session's loop; no state of their own.
#pragma once

#include <memory>
#include <string>

#include "common/types.h"
#include "common/zk/coordination.h"

namespace tidemark {

struct ElectionOutcome {
  enum Verdict {
    kWon,
    kLost,   // another session holds /controller; the watch tells when to look again
    kAgain,  // look again after a pause: a race, or ZooKeeper did not answer
  };
  Verdict verdict = kAgain;
  // kLost: its broker id; kNoBroker when its znode cannot be read.
  BrokerId incumbent = kNoBroker;
  // kWon: the new epoch, and the version of /controller_epoch that fences its writes.
  ControllerEpoch epoch = 0;
  int32_t fence_version = 0;
  // kAgain: for the log; empty when it is nothing to speak of.
  std::string why;
};

// Stands for election once. The own win is known by the session that owns /controller, together with the
// epoch and version that were to be written. A /controller of the own session that belongs to no win known of
// (a lost answer, a former term) is removed first. `watch` is set on /controller before anything is read.
Task<ElectionOutcome> StandForElection(std::shared_ptr<ZkSession> session, BrokerId self, WallMillis now,
                                       ZkWatch watch);

// The session that owns /controller now, 0 if none does; `watch` is set.
Task<ZkResult<int64_t>> ReadControllerOwner(std::shared_ptr<ZkSession> session, ZkWatch watch);

// Removes /controller if the term of that fence is still the latest.
Task<void> StepDown(std::shared_ptr<ZkSession> session, int32_t fence_version);

}  // namespace tidemark
