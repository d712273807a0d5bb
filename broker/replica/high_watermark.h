// The high watermark: how far a partition is committed. Pure functions; the leader's loop calls them.
//
// A replica's counted end is its flushed end at ack.durability=synced, else its log end, but never so far
// that flush.messages or more of the records below it are not on its disk: as in Kafka, where the append that
// makes them so many returns when they are. The high watermark is the least counted end over the maximal ISR:
// the members committed in ZooKeeper and those of every wish that may have been committed without our
// knowledge. It never goes back, and it moves only while the committed ISR has at least
// min(min.insync.replicas, replicas) members: the committed one, because a pending expansion may yet be
// refused, and a pending shrink loses nothing (its members still count until it is committed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "broker/log/log_config.h"
#include "common/types.h"

namespace tidemark {

// What of a topic's configs decides whose end counts.
struct AckTerms {
  AckDurability durability = AckDurability::kSynced;
  uint64_t flush_messages = kEndlessFlushMessages;

  static constexpr uint64_t kEndlessFlushMessages = INT64_MAX;
  AckTerms(AckDurability of) : durability(of) {}  // NOLINT: without flush.messages it is all there is to say
  AckTerms(AckDurability of, uint64_t messages) : durability(of), flush_messages(messages) {}
  explicit AckTerms(const LogConfig& config) : AckTerms(config.durability, config.flush_messages) {}
  // What is on a replica's disk makes a difference.
  bool flushed_ends_count() const {
    return durability == AckDurability::kSynced || flush_messages < kEndlessFlushMessages;
  }
};

struct ReplicaEnds {
  Offset log_end = 0;
  Offset flushed_end = 0;
  bool operator==(const ReplicaEnds&) const = default;
};

// The end of a replica that counts for acknowledgement.
Offset CountedEnd(const ReplicaEnds& ends, const AckTerms& terms);

// min(min.insync.replicas, replica count), at least 1.
size_t RequiredInSync(uint32_t min_insync_replicas, size_t replica_count);

// Counted ends of the maximal ISR, the leader's included; an empty one is not known in this epoch yet and
// holds the high watermark where it is.
Offset NextHighWatermark(Offset current, std::span<const std::optional<Offset>> counted_ends,
                         size_t committed_isr_size, size_t required_in_sync);

// What a follower may take for the high watermark from an answer of its leader in the current epoch, without
// divergence, after the answer's records were appended. Never below `own`.
Offset AdoptedHighWatermark(Offset own, Offset leaders, Offset own_log_end);

}  // namespace tidemark
