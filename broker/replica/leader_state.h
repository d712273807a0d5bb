// LeaderState: what a leader knows in one epoch: the ISR, its followers, the wishes under way. A value with
// decisions, no I/O; owned by its Partition while that leads, made anew for each epoch. Shard's loop only.
//
// Invariants: the leader is in the committed ISR; the maximal ISR is the committed one plus every member
// wished for since the committed state was learnt (a wish without answer may have been granted); a follower's
// ends are set only by an exchange in this epoch without divergence; every member of the ISR that joined in
// this epoch holds required_log_start() on its disk, and those that did not are waited for by DeleteRecords.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "broker/replica/divergence.h"
#include "broker/replica/isr_decision.h"
#include "broker/replica/topic_settings.h"
#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

// What an answer to a wish means for the leader.
enum class WishOutcome {
  kAdopted,  // the state in force is known again
  kRefused,  // nothing changed; decide anew after a pause
  kUnknown,  // it may have been granted; ask again after a pause
  kDeposed,  // another epoch is in force: stop leading and wait for LeaderAndIsr
};

class LeaderState {
 public:
  // `now` starts the grace of every follower. `log_start` is the leader's own.
  LeaderState(const v1::PartitionState& state, BrokerId self, Offset epoch_start, MonoTime now,
              Offset log_start = 0);

  LeaderEpoch epoch() const { return epoch_; }
  PartitionEpoch partition_epoch() const { return partition_epoch_; }
  Offset epoch_start() const { return epoch_start_; }
  const std::vector<BrokerId>& isr() const { return isr_; }
  const std::vector<BrokerId>& replicas() const { return replicas_; }
  bool recovering() const { return recovering_; }
  const std::vector<FollowerProgress>& followers() const { return followers_; }
  FollowerProgress* FindFollower(BrokerId broker);
  std::vector<BrokerId> MaximalIsr() const;

  // The log start below which no member may go: the leader's own at the start of the epoch, and what
  // DeleteRecords has asked for since.
  Offset required_log_start() const { return required_log_start_; }
  void RequireLogStart(Offset offset) { required_log_start_ = std::max(required_log_start_, offset); }
  // Of the maximal ISR without the leader: the least log start on disk. Empty without members.
  std::optional<Offset> LeastLogStart() const;

  bool InSyncEnough(const TopicSettings& settings) const;
  // The high watermark that follows from what is known.
  Offset HighWatermark(Offset current, const ReplicaEnds& own, const TopicSettings& settings) const;

  // A fetch arrived from `broker` in its life `broker_epoch`. STALE_BROKER_EPOCH for a former life,
  // REPLICA_NOT_AVAILABLE for a broker without a replica. A new life begins with nothing known.
  Result<FollowerProgress*> NoteFetchFrom(BrokerId broker, BrokerEpoch broker_epoch);
  void BeforeAppend(const AckTerms& terms, Offset log_end, MonoTime now);

  // The state in force, from LeaderAndIsr or an AlterPartition answer in the same leader epoch. Ignored
  // (false) unless newer than the one known.
  bool Adopt(const v1::PartitionState& state);

  struct Wish {
    std::vector<BrokerId> isr;
    bool recovering = false;
    std::vector<BrokerId> joining;
    PartitionEpoch base = 0;  // the state it is to replace
  };
  // The ISR wanted now; empty when the committed one is right and nothing is in doubt.
  std::optional<Wish> NextWish(const IsrView& view) const;
  IsrView View(const AckTerms& terms, Offset log_end, Offset high_watermark, MonoTime now, Duration lag_max,
               bool may_shrink) const;
  // From now on the wish's members count.
  v1::AlterPartitionRequest::Partition BeginWish(const Wish& wish, const PartitionKey& key,
                                                 BrokerEpoch self_epoch);
  WishOutcome EndWish(const Wish& wish, const Result<v1::AlterPartitionResponse::Partition>& answer,
                      MonoTime now, Duration pause);
  // Somebody could join but for a refusal a moment ago.
  bool AnyRefused(const IsrView& view) const;
  // The committed ISR may differ from the one known.
  bool in_doubt() const { return in_doubt_; }
  // Whether the follower, by what it says of itself, may hold a value whose tombstone has gone here before it
  // fetched it. Never a member of the maximal ISR: it has all that is committed, and only of that tombstones
  // go.
  bool MissedTombstones(const TombstoneDrops& drops, BrokerId broker, BrokerEpoch broker_epoch,
                        const FetchPosition& position) const;
  // Compaction keeps tombstones from here on, for followers that have yet to fetch them: those outside of the
  // ISR that have fetched within `recent`.
  Offset TombstonesWantedFrom(MonoTime now, Duration recent) const;

  // Nothing that `broker` tells can change the ISR: it is a member and holds what is committed.
  bool Settled(const FollowerProgress& follower, Offset high_watermark) const;

 private:
  void SetState(const v1::PartitionState& state);
  WishOutcome Refuse(const Wish& wish, MonoTime now, Duration pause);
  WishOutcome TakeState(const Wish& wish, const v1::PartitionState& state);
  bool IsMember(BrokerId broker) const;

  BrokerId self_;
  LeaderEpoch epoch_;
  PartitionEpoch partition_epoch_ = 0;
  Offset epoch_start_;
  Offset required_log_start_;
  std::vector<BrokerId> isr_;
  std::vector<BrokerId> replicas_;
  bool recovering_ = false;
  std::vector<FollowerProgress> followers_;  // every replica but the leader
  std::vector<BrokerId> wished_;             // since the committed state was learnt; may be members already
  bool in_doubt_ = false;                    // a wish on this partition epoch ended without a sure answer
  bool one_by_one_ = false;                  // several candidates were refused together: find out which
  std::map<BrokerId, MonoTime> refused_until_;
};

}  // namespace tidemark
