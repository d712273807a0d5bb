// Where two logs part (KIP-101, KIP-279, KIP-320): the leader's answer to a fetch and the follower's
// truncation. Pure.
//
// A follower names the epoch of its last record with every fetch. When the leader has no such epoch, or its
// records of that epoch end before the fetch offset, the follower holds records that the leader does not: it
// truncates and asks again until both agree. Each round cuts at least one record, so it ends.
//
// A consumer above the log start names likewise the epoch of the last record it has read. It is never told in
// error that its history has left the log: the table has the epoch of every offset from the log start on,
// because compaction keeps offsets and epochs of what it removes (cleaner_batch.h), and retention the epoch
// of what remains. Epochs without a record are named by nobody.
#pragma once

#include <optional>

#include "broker/log/epoch_table.h"
#include "common/types.h"

namespace tidemark {

// A replica's bounds and epochs, as needed here.
struct LogShape {
  Offset start = 0;
  Offset end = 0;
  const EpochTable* epochs = nullptr;
};

struct EpochBoundary {
  LeaderEpoch epoch = 0;
  Offset end_offset = 0;
  bool operator==(const EpochBoundary&) const = default;
};

struct FetchPosition {
  Offset fetch_offset = 0;                // the follower's log end
  std::optional<LeaderEpoch> last_epoch;  // of its last record; empty when it has none
};

enum class FetchVerdict {
  kAgree,          // send records from fetch_offset
  kDiverging,      // send the boundary, nothing else
  kBelowLogStart,  // OFFSET_OUT_OF_RANGE: the follower restarts empty at the leader's log start
  // It may hold a key whose tombstone it can no longer fetch: it restarts empty at the leader's log start.
  kMissedTombstones,
};

struct LeaderAnswer {
  FetchVerdict verdict = FetchVerdict::kAgree;
  EpochBoundary diverging;
};

LeaderAnswer AnswerFollowerFetch(const LogShape& leader, const FetchPosition& position);

// Epoch of the last record a log holds, which a follower sends. An epoch that began but holds no record is no
// ground for agreement, so it is not named.
std::optional<LeaderEpoch> LastRecordEpoch(const LogShape& log);

struct Truncation {
  Offset end = 0;        // the log's new end
  bool restart = false;  // below the own log start: drop everything and begin empty at `end`
};

// The lesser of the leader's end and the own end of the largest own epoch at or below the one answered; the
// own log start when there is no such epoch. Empty when that would cut nothing: the answer makes no sense.
std::optional<Truncation> TruncationPoint(const LogShape& own, const EpochBoundary& leaders);

}  // namespace tidemark
