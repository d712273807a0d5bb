// The decision about a leader's wish to change its ISR. Pure.
#pragma once

#include <cstdint>

#include "common/types.h"
#include "controller/partition_leadership.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

struct AlterPartitionDecision {
  // NONE: the wish is granted, or was granted before. Either way the partition epoch is, or will be when
  // `next` is written, above the one that the wish is based on: nothing else based on that can be granted any
  // more.
  Error error{v1::NONE, {}};
  // The answer tells the state in force (success, and INVALID_UPDATE_VERSION).
  bool tells_state = false;
  // Granted and not in force yet: to be written.
  std::optional<Leadership> next;
};

// `sender` leads, says the wish; its broker epoch has been checked. A member of the wish that the ISR does
// not have in that life of its broker must be registered now in just that life, be usable and not be shutting
// down; members that the ISR has stay as they are, also when the wish names no life of theirs, or a former
// one. So a leader can always drop one dead member while another is not noticed yet.
AlterPartitionDecision DecideAlterPartition(const PartitionFacts& facts, PartitionEpoch partition_epoch,
                                            BrokerId sender,
                                            const v1::AlterPartitionRequest::Partition& wish);

}  // namespace tidemark
