// RebalanceLog: the broker's log line for each rebalance of a group, so that an operator can read afterwards
// why members were given other partitions. One line per group epoch, but no more than a budget: clients that
// join and leave in a circle must not fill the disk. Pure; one per coordinator, on its shard's loop.
#pragma once

#include <optional>
#include <string>

#include "broker/group/group.h"
#include "common/time.h"

namespace tidemark {

class RebalanceLog {
 public:
  // So many lines at once, and from then on one per interval.
  static constexpr size_t kBurst = 100;
  static constexpr Duration kInterval = 100ms;

  // The line of a step in which a rebalance began; none when the budget is used up: the next line says how
  // many were left out.
  std::optional<std::string> LineFor(const Group& group, MonoTime now);

 private:
  size_t left_ = kBurst;
  MonoTime counted_to_{};  // up to where time has been turned into lines
  uint64_t left_out_ = 0;
};

// "member_joined" of REBALANCE_CAUSE_MEMBER_JOINED: in log lines and as a label in /metrics.
std::string CauseLabel(v1::RebalanceCause cause);

}  // namespace tidemark
