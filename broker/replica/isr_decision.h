// Who is in sync: pure functions and values over what a leader knows of its followers in its current epoch.
//
// A follower is caught up as of time T when its counted end has reached what the leader's log end was at T.
// Kafka keeps the previous fetch's time and end for that; a mark that stays until it is reached also copes
// with flushes that are several fetches behind. Times are those at which a fetch arrived, never those at
// which it was answered (KIP-501).
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "broker/log/tombstone_drops.h"
#include "broker/replica/high_watermark.h"
#include "common/time.h"
#include "common/types.h"

namespace tidemark {

// What a leader knows of one follower. Reset when the leader's epoch or the follower's broker epoch changes.
struct FollowerProgress {
  BrokerId broker = kNoBroker;
  BrokerEpoch broker_epoch = kNoBrokerEpoch;  // of its fetches
  // Empty until it has fetched in this epoch without divergence.
  std::optional<ReplicaEnds> ends;
  // The log start that its disk holds, as last told; only with `ends`.
  Offset log_start = 0;
  // The leader's log end as of this time has been reached.
  MonoTime caught_up_at{};
  struct Mark {
    MonoTime time;
    Offset leader_end;
  };
  std::optional<Mark> mark;
  // Its last fetch that agreed, against what compaction drops here; empty before the first.
  std::optional<TombstoneDrops::Mark> tombstones;
  // It was told to begin anew since.
  bool begins_anew = false;
  MonoTime fetched_at{};
};

// A fetch or progress told `ends` at `now`, when the leader's log end was `leader_end`. Ends may move back
// only by a new exchange after a truncation; the caller decides what is believed.
void NoteProgress(FollowerProgress& follower, const ReplicaEnds& ends, const AckTerms& terms,
                  Offset leader_end, MonoTime now);
// The leader is about to append at `leader_end`: followers that had everything were caught up until now.
void NoteLeaderAppend(FollowerProgress& follower, const AckTerms& terms, Offset leader_end, MonoTime now);

struct IsrView {
  BrokerId leader = kNoBroker;
  std::span<const BrokerId> committed;  // ISR in force
  std::span<const FollowerProgress> followers;
  AckTerms durability = AckDurability::kSynced;
  Offset leader_log_end = 0;
  Offset high_watermark = 0;
  Offset epoch_start = 0;  // log end at which the leader's current epoch began
  Offset required_log_start = 0;
  MonoTime now{};
  Duration lag_time_max{};
  bool may_shrink = true;  // false while the leader itself is stalled
};

// Members that have not been caught up for lag_time_max and are not at the leader's end now, and members
// whose log turns out to end below the high watermark (they lost committed records). Never the leader.
std::vector<BrokerId> ShrinkCandidates(const IsrView& view);

// Non-members whose counted end has reached both the high watermark and the start of the current epoch, whose
// broker epoch is known, and who would not have to leave again at once. Their disk holds the log start that
// was promised to deleters of records: whoever leads next does not bring deleted records back.
std::vector<BrokerId> ExpandCandidates(const IsrView& view);
bool MayJoin(const FollowerProgress& follower, const IsrView& view);

// A leader that itself was stalled must not judge others: its check came late (the process was paused or
// starved), or its own flush has been under way for longer than the lag allowed.
struct StallView {
  MonoTime now{};
  MonoTime last_check{};
  Duration check_interval{};
  std::optional<MonoTime> flush_pending_since;
  Duration lag_time_max{};
};
bool LeaderStalled(const StallView& view);

}  // namespace tidemark
