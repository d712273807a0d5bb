// One batch under compaction: which of its records stay, and the batch rewritten to hold only those. Pure but
// for the scratch buffers; any thread.
//
// Offsets never move: a rewritten batch keeps its base offset, its records keep their deltas, and its
// last_offset_delta stays or grows. The batches of a log stay contiguous: the offsets of a batch that is gone
// are covered by the batch before it (ExtendBatch), or by a batch without records (EmptyBatch) where that one
// is of another leader epoch or of an idempotent producer, whose sequence numbers count by its
// last_offset_delta. So a lost batch is still noticed wherever batches are checked, by followers, recovery
// and verifiers. Codec, leader epoch, append time, timestamp type and fields not known here are kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "broker/log/offset_map.h"
#include "common/record/batch.h"
#include "common/record/compression.h"
#include "common/result.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// By what a pass decides.
struct CleanTerms {
  // The last offset of each key in the dirty part below `end`.
  const OffsetMap* last_offsets = nullptr;
  // Records at and above stay.
  Offset end = 0;
  // Tombstones at and above stay: a follower that is on its way has yet to see them.
  Offset keep_tombstones_from = ~Offset{0};
  WallMillis now = 0;
  // A tombstone met for the first time may go after this.
  WallMillis delete_horizon = 0;
};

enum class CleanFate {
  kKept,       // as it is
  kRewritten,  // `body` holds what stays
  kEmptied,    // no record stays
};

struct CleanedBatch {
  CleanFate fate = CleanFate::kKept;
  std::string body;
  WallMillis max_timestamp = -1;  // of the records that stay
  // One past the last tombstone dropped because its time was over; 0: none was.
  Offset dropped_tombstones_below = 0;
  uint64_t dropped_records = 0;
  uint64_t dropped_without_key = 0;  // of those; from before the topic was compacted
};

struct CleanScratch {
  ScratchBuffer records;  // decompressed
  std::string kept;       // the encoded RecordSet of what stays
};

// INVALID_RECORD: records that cannot be read though the batch's checksums match.
Result<CleanedBatch> CleanBatch(const BatchView& batch, const BodyInfo& info, const CleanTerms& terms,
                                CleanScratch& scratch);

// Whether offsets after the batch may be added to it.
bool MayExtend(const BodyInfo& info);
// The body with another last_offset_delta.
std::string ExtendBody(std::string_view body, uint32_t last_offset_delta);
// A body without records that covers so many offsets.
std::string EmptyBody(uint32_t last_offset_delta);

// What AppendAsFollower takes for `bytes` (whole batches): where the leader's first batch that reaches `end`
// begins before it, because the leader compacted, its part from `end` on, if that holds no record, becomes an
// empty batch and the batches before it go. `bytes` itself when there is no such batch, or it has records
// there: then it is no continuation, which the append finds out. `*storage` keeps what is made.
Result<std::string_view> ContinueAt(std::string_view bytes, Offset end, const PartitionKey& key,
                                    std::string* storage);

}  // namespace tidemark
