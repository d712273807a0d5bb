#include "broker/replica/counters.h"

namespace tidemark {

ReplicaCounters& ReplicaCounters::operator+=(const ReplicaCounters& other) {
  became_leader += other.became_leader;
  became_follower += other.became_follower;
  truncations += other.truncations;
  restarts += other.restarts;
  fenced_requests += other.fenced_requests;
  isr_shrinks += other.isr_shrinks;
  isr_expands += other.isr_expands;
  isr_failed_updates += other.isr_failed_updates;
  resignations += other.resignations;
  set_aside += other.set_aside;
  damaged_ranges += other.damaged_ranges;
  repaired += other.repaired;
  went_offline += other.went_offline;
  refused_for_space += other.refused_for_space;
  produced_bytes += other.produced_bytes;
  produced_records += other.produced_records;
  fetched_bytes += other.fetched_bytes;
  replicated_in_bytes += other.replicated_in_bytes;
  replicated_out_bytes += other.replicated_out_bytes;
  return *this;
}

}  // namespace tidemark
