// ReplicaCounters: what happened to one shard's replicas since the start. Touched by the shard's loop only;
// broker/server sums them up for /metrics, the simulation for its non-vacuity counts.
#pragma once

#include <cstdint>

namespace tidemark {

struct ReplicaCounters {
  uint64_t became_leader = 0;         // elections observed: a partition began to lead in a new epoch
  uint64_t became_follower = 0;       // a partition began to follow in a new epoch
  uint64_t truncations = 0;           // followers' truncations after a divergence
  uint64_t restarts = 0;              // followers that began anew at the leader's log start
  uint64_t fenced_requests = 0;       // client or follower requests, progress and commands with another epoch
  uint64_t isr_shrinks = 0;           // committed
  uint64_t isr_expands = 0;           // committed
  uint64_t isr_failed_updates = 0;    // AlterPartition tries that did not succeed
  uint64_t resignations = 0;          // asked of the controller by a replica
  uint64_t set_aside = 0;             // damaged logs set aside
  uint64_t damaged_ranges = 0;        // of stored batches, found by whatever met them first
  uint64_t repaired = 0;              // segments whose damaged ranges were filled from another replica
  uint64_t went_offline = 0;          // replicas taken out of service loudly
  uint64_t refused_for_space = 0;     // appends refused because a log directory is short of space
  uint64_t produced_bytes = 0;        // appended by producers
  uint64_t produced_records = 0;      // likewise, as the headers of their batches count them
  uint64_t fetched_bytes = 0;         // read by consumers
  uint64_t replicated_in_bytes = 0;   // appended by following
  uint64_t replicated_out_bytes = 0;  // read by followers

  ReplicaCounters& operator+=(const ReplicaCounters& other);
};

}  // namespace tidemark
