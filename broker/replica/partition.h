// Partition: one partition's replica on one shard; owner of its role, epochs and high watermark, user of its
// log. Shard's loop only. The ReplicaTable owns it.
//
// Invariants:
// - log start <= high watermark <= log end (but for a log just restarted by its follower); the high
//   watermark falls only with a truncation that the state says is recovering, or when a follower begins
//   anew: its damaged log was set aside, or it missed tombstones that its leader has dropped;
// - a role is taken only under the transition lock (and left under it, or at once when the log fails);
//   while a transition is under way the role is kNone, so that nothing is appended, served or fetched;
//   the epoch is recorded last, so that a transition that failed is retried;
// - as leader, BeginEpoch comes before the first append of the epoch;
// - readers of the log are drained before a new role may truncate it;
// - one AlterPartition is in flight at most.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/replica/async_lock.h"
#include "broker/replica/broker_directory.h"
#include "broker/replica/counters.h"
#include "broker/replica/divergence.h"
#include "broker/replica/follower_state.h"
#include "broker/replica/leader_state.h"
#include "broker/replica/replica_log.h"
#include "broker/replica/topic_settings.h"
#include "common/async/scope.h"
#include "common/time.h"
#include "tidemark/v1/admin_api.pb.h"
#include "tidemark/v1/client_api.pb.h"

namespace tidemark {

class Partition;

// Who is told of followers that begin or end (the ReplicaTable, which owns the fetchers).
class FollowSink {
 public:
  virtual ~FollowSink() = default;
  virtual void StartFollowing(Partition& partition) = 0;
  virtual void StopFollowing(Partition& partition) = 0;
  // A follower's flushed end moved.
  virtual void FollowerFlushed(Partition& partition) = 0;
};

// What a shard's partitions share. Owned by the ReplicaTable.
struct ReplicaContext {
  EventLoop& loop;
  const Clock& clock;
  BrokerDirectory& brokers;
  IsrChannel& isr;
  LogStore& logs;
  ReplicaOptions options;
  ReplicaCounters counters;
  FollowSink* follow = nullptr;
  ReplicationChannelFactory* channels = nullptr;
  // When the ISRs were last judged: a long gap means that this process stood still and must not judge others.
  MonoTime last_isr_check{};
  Duration isr_check_interval() const { return options.replica_lag_time_max / 2; }
};

enum class PartitionRole { kNone, kLeader, kFollower };
enum class PartitionChange { kAppended, kHighWatermark, kLogStart, kRole, kGone };

// Told of changes; called from inside the partition's methods, so it only marks and wakes. After kGone the
// partition is no longer to be used.
class PartitionWatcher {
 public:
  virtual ~PartitionWatcher() = default;
  virtual void OnPartitionChange(const PartitionKey& key, PartitionChange change) = 0;
};

// Bounds as of one answer.
struct PartitionBounds {
  Offset high_watermark = 0;
  Offset log_start = 0;
  Offset log_end = 0;
  LeaderEpoch leader_epoch = 0;
  bool flushed_ends_count = false;
  Offset tombstones_dropped_below = 0;
};

struct PartitionRead {
  std::string records;
  PartitionBounds bounds;
  // There are records behind these that might be read already.
  bool cut_short = false;
};

// What a follower says of a partition in a fetch.
struct FollowerPosition {
  BrokerId replica = kNoBroker;
  BrokerEpoch broker_epoch = kNoBrokerEpoch;
  std::optional<LeaderEpoch> leader_epoch;
  Offset fetch_offset = 0;
  Offset flushed_end = 0;
  std::optional<LeaderEpoch> last_epoch;
  Offset log_start = 0;  // on its disk
};

struct LeaderKnown {
  BrokerId leader = kNoBroker;
  LeaderEpoch epoch = 0;
};

// How a follower's exchange went, for its fetcher.
enum class FollowOutcome {
  kAppended,   // fetch on at once
  kNothing,    // nothing new
  kTruncated,  // ask again at once
  kStale,      // the answer was to a question of another epoch or position: dropped
  kBackOff,    // the leader's answer was an error or made no sense
  kParked,     // out of service until the next epoch
};

class Partition {
 public:
  // `log` was opened by the table.
  Partition(ReplicaContext& context, PartitionKey key, std::string topic, ReplicaLog* log,
            TopicSettings settings);
  ~Partition();  // CHECKs that it is closed
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  const PartitionKey& key() const { return key_; }
  const std::string& topic() const { return topic_; }
  // "orders-0", for log lines and messages.
  const std::string& name() const { return name_; }
  PartitionRole role() const { return role_; }
  bool leading() const { return role_ == PartitionRole::kLeader; }
  // Of the last transition that was completed; empty before the first.
  std::optional<LeaderEpoch> leader_epoch() const { return leader_epoch_; }
  PartitionEpoch partition_epoch() const { return partition_epoch_; }
  LeaderKnown leader_known() const { return leader_known_; }
  Offset high_watermark() const { return high_watermark_; }
  Offset log_start() const { return log_ != nullptr ? log_->start_offset() : 0; }
  Offset log_end() const { return log_ != nullptr ? log_->end_offset() : 0; }
  const TopicSettings& settings() const { return settings_; }
  const std::optional<Error>& offline() const { return offline_; }
  const LeaderState* leader_state() const { return leader_ ? &*leader_ : nullptr; }
  const FollowerState* follower_state() const { return follower_ ? &*follower_ : nullptr; }
  // Null only between setting a damaged log aside and opening the new one.
  const ReplicaLog* log() const { return log_; }

  // --- transitions (partition.cc)
  // Obeys a higher leader epoch, or the same with a higher partition epoch; the same state again is a success
  // that does nothing. FENCED_LEADER_EPOCH for an older one.
  Task<Result<>> ApplyLeaderAndIsr(v1::PartitionState state);
  // Stops serving and fetching; every waiter is answered. Nothing else is called after it.
  Task<void> Close();
  void UpdateSettings(const TopicSettings& settings);

  // --- leader: produce and reads (partition_leader.cc)
  // Appends at once or not at all. NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH,
  // NOT_ENOUGH_REPLICAS (acks -1), KAFKA_STORAGE_ERROR, or the log's error. `leader_known()` is the hint for
  // the first two.
  Result<AppendResult> Append(std::span<const UnstampedBatch> batches, int acks,
                              std::optional<LeaderEpoch> epoch);
  // Until the high watermark passes `end` in `epoch` (take leader_epoch() right after Append).
  // NOT_LEADER_OR_FOLLOWER when leadership is lost, NOT_ENOUGH_REPLICAS_AFTER_APPEND when the ISR becomes too
  // small, REQUEST_TIMED_OUT, CANCELLED: the outcome is unknown then.
  Task<Result<>> WaitCommitted(Offset end, LeaderEpoch epoch, MonoTime deadline, std::stop_token stop);
  // The leader's own disk holds of what is below `end` what flush.messages demands. What acks=1 waits for.
  bool FlushedAsConfigured(Offset end) const;
  // Until then; as WaitCommitted.
  Task<Result<>> WaitFlushed(Offset end, LeaderEpoch epoch, MonoTime deadline, std::stop_token stop);
  PartitionBounds Bounds() const;
  // NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
  Result<> CheckLeader(std::optional<LeaderEpoch> epoch) const;
  // Whole batches below the high watermark from the one that holds `from`; empty between it and the log end.
  Task<Result<PartitionRead>> ReadForConsumer(Offset from, std::optional<LeaderEpoch> epoch,
                                              size_t max_bytes);
  // Whether a consumer that is to read from `from` has read this log's history: the last record before it is
  // of `last_epoch`. kAgree or kDiverging; that it is below the log start the read says. UNKNOWN_LEADER_EPOCH
  // when a later leader wrote that record; the errors of CheckLeader.
  Result<LeaderAnswer> CompareConsumer(Offset from, std::optional<LeaderEpoch> epoch,
                                       LeaderEpoch last_epoch) const;
  // -1 latest, -2 earliest, -3 greatest timestamp, else the first record at or after it.
  Task<Result<v1::ListOffsetsResponse::Partition>> ListOffset(int64_t timestamp,
                                                              std::optional<LeaderEpoch> epoch);
  // When the committed record at `offset`, or the first one after it that is still there, was appended by its
  // leader. Reads one batch. OFFSET_OUT_OF_RANGE when nothing is committed there yet.
  Task<Result<WallMillis>> AppendTimeOf(Offset offset, std::optional<LeaderEpoch> epoch);

  // --- leader: followers (partition_leader.cc)
  // Checks the fences and compares histories; nothing is noted.
  Result<LeaderAnswer> CompareFollower(const FollowerPosition& position) const;
  // A fetch arrived: once per fetch.
  void NoteFollowerFetch(const FollowerPosition& position);
  // Whole batches up to the log end. The caller has had kAgree for `from`.
  Task<Result<PartitionRead>> ReadForFollower(Offset from, std::optional<LeaderEpoch> epoch,
                                              size_t max_bytes);
  // As leader: compaction keeps tombstones from here on, because a follower has yet to fetch them.
  Offset TombstonesWantedFrom() const;
  void FollowerProgressed(BrokerId replica, BrokerEpoch broker_epoch, LeaderEpoch epoch, Offset flushed_end,
                          std::optional<Offset> log_start = std::nullopt);
  // Judges the followers (every replica.lag.time.max.ms / 2), unless this leader was itself stalled.
  void CheckIsr();

  // --- the log start (partition_log_start.cc)
  // As leader: deletes what the topic's retention says now. When it is worth another look, if time tells.
  Task<std::optional<WallMillis>> CheckRetention();
  // Deletes the records below `before` (empty: the high watermark) and returns the low watermark when no
  // replica in sync starts below it any more, on disk. INVALID_TOPIC_EXCEPTION is the caller's;
  // POLICY_VIOLATION, OFFSET_OUT_OF_RANGE, OFFSET_NOT_AVAILABLE, NOT_LEADER_OR_FOLLOWER and the fences;
  // REQUEST_TIMED_OUT, CANCELLED: deleted here.
  Task<Result<Offset>> DeleteRecords(std::optional<Offset> before, std::optional<LeaderEpoch> epoch,
                                     MonoTime deadline, std::stop_token stop);
  // As leader: whether it waits for the log start of that follower.
  bool WantsLogStartOf(BrokerId replica) const;

  // --- follower, for the fetcher (partition_follower.cc)
  // The next fetch of this replica; only while following and not parked.
  v1::FetchRequest::Partition NextFetch();
  bool wants_fetch() const { return role_ == PartitionRole::kFollower && !follower_->parked && !closing_; }
  // What the leader answered to a fetch of `fetch_offset` in `epoch`.
  Task<FollowOutcome> ApplyFetched(v1::FetchResponse::Partition answer, LeaderEpoch epoch,
                                   Offset fetch_offset);

  // --- all
  void Describe(v1::DescribeReplicasResponse::Replica* out) const;
  // As synced leader: since when something waits for the disk. For the watchdog.
  std::optional<MonoTime> flush_pending_since() const { return flush_pending_since_; }
  // Once each; not from inside OnPartitionChange.
  void AddWatcher(PartitionWatcher* watcher) { watchers_.push_back(watcher); }
  void RemoveWatcher(PartitionWatcher* watcher) { std::erase(watchers_, watcher); }

 private:
  // Count what runs inside: Close waits for every use, a transition for the reads of the log.
  class Use;
  class ReadUse;

  // partition.cc
  // Why the replica cannot serve, as the controller is told: KAFKA_STORAGE_ERROR, its directory failed;
  // CORRUPT_MESSAGE, its log is out of service and nobody else is in sync (`sole`: as the state told says).
  Result<> StorageState(bool sole);
  Result<bool> CheckTransition(const v1::PartitionState& state) const;
  Task<Result<>> BecomeLeader(const v1::PartitionState& state);
  Task<Result<>> BecomeFollower(const v1::PartitionState& state);
  void AdoptSameEpoch(const v1::PartitionState& state);
  void LeaveRole();
  Task<void> DrainReads();
  bool LeadsIn(LeaderEpoch epoch) const { return leading() && leader_epoch_ == epoch; }
  void NotifyWatchers(PartitionChange change);
  void WakeAllCommitWaits();
  void AttachLog(ReplicaLog* log);
  void OnFlushed();
  void RequestFlushIfSynced();
  std::unexpected<Error> NotLeader() const;

  // partition_health.cc: failing and damaged logs
  void GoOffline(Error error);
  void BackInService();
  void OnLogTrouble();
  Task<Result<>> AskForRelief(bool leave_isr, v1::ResignReason reason);
  Task<void> LeaveIsr(v1::ResignReason reason);
  std::optional<Error> LogTrouble() const;
  Task<Result<>> SetLogAside();
  Task<Result<>> OpenLog();
  Task<void> RepairIfOut();
  Task<bool> TryRepair();

  // partition_repair.cc: damaged ranges
  const DamagedRange* DamageToRepair() const;
  void RepairIfDamaged();
  Task<void> RepairRanges();
  struct RangeRetry {
    MonoTime next;
    Duration pause{};
  };
  using RangeRetries = std::map<Offset, RangeRetry>;  // by the range's first offset
  std::optional<Offset> RangeDue(const RangeRetries& retries) const;
  Task<Result<>> RepairOrCopy(Offset first);
  Task<Result<>> RepairFromLeader(Offset first);
  Task<Result<>> ProveLeaderWhole(ReplicationChannel* channel, LeaderEpoch epoch);
  Task<Result<std::string>> FetchForRepair(ReplicationChannel* channel, Offset from, LeaderEpoch epoch);

  // partition_leader.cc
  Result<> CheckNotAhead(LeaderEpoch epoch) const;
  void AdvanceHighWatermark();
  void SetHighWatermark(Offset offset);
  void CheckMinIsr();
  std::optional<Result<>> CommitState(Offset end, LeaderEpoch epoch) const;
  ReplicaEnds OwnEnds() const;
  Task<Result<PartitionRead>> ReadChecked(Offset from, Offset below, size_t max_bytes);

  // partition_log_start.cc
  void MoveLogStart(Offset offset);
  std::optional<WallMillis> ApplyRetention(const RetentionDecision& decision, WallMillis now);
  void NoteLogStart(FollowerProgress& follower, Offset log_start);
  Result<Offset> CheckDeletion(std::optional<Offset> before, std::optional<LeaderEpoch> epoch) const;
  Offset LowWatermark() const;
  std::unexpected<Error> DeletionTimedOut(Offset offset) const;
  void AdoptLogStart();
  Task<void> PersistLogStart();

  // partition_isr.cc
  IsrView CurrentView() const;
  bool Stalled() const;
  void MaybeUpdateIsr();
  Task<void> UpdateIsr(LeaderEpoch epoch);
  void AfterIsrChange(const std::vector<BrokerId>& before);
  void StepBack(const Result<v1::AlterPartitionResponse::Partition>& answer);

  // partition_follower.cc
  bool HasRoomToFollow() const;
  Task<FollowOutcome> Diverge(const v1::EpochEnd& boundary, LeaderEpoch epoch);
  Task<FollowOutcome> RestartAtLeaders(Offset leader_log_start, LeaderEpoch epoch, std::string why);
  Task<Result<>> RememberDroppedTombstones(const v1::FetchResponse::Partition& answer);
  bool MayCutTo(Offset end);
  void AdoptBounds(const v1::FetchResponse::Partition& answer);
  bool FollowsIn(LeaderEpoch epoch) const;
  void Park(Error error);
  std::optional<Offset> BatchAroundEnd(std::string_view records) const;
  void FlushFetched(const v1::FetchResponse::Partition& answer);
  FollowOutcome AppendFetched(const v1::FetchResponse::Partition& answer);

  ReplicaContext& context_;
  const PartitionKey key_;
  const std::string topic_;
  const std::string name_;
  ReplicaLog* log_;
  TopicSettings settings_;
  Scope scope_;
  AsyncLock transition_;

  PartitionRole role_ = PartitionRole::kNone;
  std::optional<LeaderEpoch> leader_epoch_;
  PartitionEpoch partition_epoch_ = 0;
  LeaderKnown leader_known_;
  Offset high_watermark_ = 0;
  std::optional<LeaderState> leader_;      // exactly while kLeader
  std::optional<FollowerState> follower_;  // exactly while kFollower
  std::optional<Error> offline_;
  std::optional<MonoTime> flush_pending_since_;  // as synced leader: since when something waits for the disk
  bool isr_updating_ = false;
  bool leader_stalled_ = false;  // as of the last check; holds until the next
  bool leaving_isr_ = false;
  bool sole_ = false;  // while offline_: no other replica is in sync, the controller says
  bool repairing_ = false;
  uint64_t damaged_ranges_seen_ = 0;  // of this log's count
  // This log cannot be repaired by parts, and that leader has shown to have all of it. Until the role
  // changes.
  struct CopyWanted {
    BrokerId leader = kNoBroker;
    std::string why;
  };
  std::optional<CopyWanted> copy_wanted_;
  std::stop_source repair_stop_;  // ends the fetch of a repair when the role ends
  bool closing_ = false;
  bool persisting_start_ = false;

  std::multimap<Offset, Waiter*> commit_waits_;  // by the end waited for
  std::vector<PartitionWatcher*> watchers_;
  size_t uses_ = 0;
  size_t reads_ = 0;
  Notifier idle_;
  Notifier own_flushed_;       // the flushed end moved, or the role or the settings changed
  Notifier log_starts_moved_;  // own or followers', or the role or the ISR changed
};

}  // namespace tidemark
