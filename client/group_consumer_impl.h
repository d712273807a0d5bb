// GroupConsumer::Impl: its state, and which file does what with it: group_consumer.cc (subscribing, polling,
// closing), group_heartbeats.cc (the membership), group_ownership.cc (taking on and letting go of
// partitions), group_positions.cc (positions and commits). All on the cluster's loop.
//
// Invariants:
// - `held_` is what the coordinator is told to be owned. A partition is read by `consumer_` only while it
//   is in `held_` and not being revoked; `names_` has exactly the partitions of `held_`;
// - `held_` grows only within Poll, and shrinks there and when the member is fenced; each entry has a
//   token of its own, so that a background task knows whether what it began for is still so.
#pragma once

#include <deque>
#include <set>

#include "client/commit_queue.h"
#include "client/group_consumer.h"
#include "client/member_session.h"

namespace tidemark {

class GroupConsumer::Impl {
 public:
  Impl(Cluster& cluster, ConsumerOptions options, RebalanceListener* listener);
  ~Impl() { CHECK(closed_) << "a GroupConsumer is closed before it dies"; }

  Result<> Subscribe(v1::GroupSubscription subscription);
  Task<Result<>> Unsubscribe();
  Task<Result<PolledBatch>> Poll(MonoTime deadline, std::stop_token stop);
  Partitions assignment() const;
  const internal::MemberSession& session() const { return session_; }

  std::optional<Offset> Position(const TopicPartition& at) const;
  std::map<TopicPartition, Error> Refused() const { return consumer_.Refused(); }
  Result<> Seek(const TopicPartition& at, StartPosition start);
  Result<> SetPaused(const Partitions& partitions, bool paused);
  Task<Result<>> CommitSync(std::optional<OffsetsToCommit> offsets);
  void CommitAsync(std::optional<OffsetsToCommit> offsets, CommitCallback done);
  Task<Result<OffsetsToCommit>> Committed(Partitions partitions);
  Task<std::map<TopicPartition, Result<std::optional<Offset>>>> OffsetsForTimes(
      std::map<TopicPartition, int64_t> times);
  Task<Result<>> Close(Duration limit);

 private:
  using Keys = std::set<PartitionKey>;
  struct Held {
    std::string topic;
    uint64_t token = 0;
    bool begun = false;     // `consumer_` has it
    bool revoking = false;  // asked back, and not released yet
    bool told = false;      // the listener knows that it is revoked
    bool paused = false;
    std::optional<StartPosition> start;          // asked for by a Seek before it was begun
    bool looked_up = false;                      // `committed` is what the coordinator said
    std::optional<Offset> committed;             // last known; empty also while another one is asked for
    std::optional<LeaderEpoch> committed_epoch;  // that came with it
  };

  // Polling.
  Task<Result<PolledBatch>> PollUntil(MonoTime deadline, std::stop_token stop);
  Task<Result<PolledBatch>> PollOnce(MonoTime until, std::stop_token stop);
  MonoTime NextLook(MonoTime deadline) const;
  void Interrupt();
  Result<> CheckOutside(const char* call) const;

  // The membership.
  Task<void> Beat();
  Task<void> BeatOnce();
  Task<void> LeaveForIdling();
  Task<void> Leave(MonoTime deadline);
  MonoTime IdleDeadline() const;
  void BeginCall();
  Duration HeartbeatLimit() const;
  void Lose(const Error& why);

  // What is held.
  TopicPartition NameOf(const PartitionKey& key) const { return {held_.at(key).topic, key.partition}; }
  Partitions NamesOf(const Keys& keys) const;
  Task<void> Work();
  Task<void> TellLosses();
  Keys Surplus() const;
  internal::NamedPartitions Missing() const;
  void BeginRevocation(Keys keys);
  Task<void> CommitRevoked(Keys keys, MonoTime deadline);
  Task<Result<>> CommitFor(Keys keys, MonoTime deadline);
  Task<void> TellRevoked(Keys keys);
  Task<void> SettleRevoked(Keys keys, MonoTime deadline);
  void RevocationIsReady(const Keys& keys);
  void Release(const Keys& keys);
  Task<Result<>> ReleaseAll(MonoTime deadline);
  Task<void> TakeOn(internal::NamedPartitions added);
  void SayHeld();

  // Where reading begins.
  using Tokens = std::map<PartitionKey, uint64_t>;  // partitions, each as it was taken on
  Task<void> FindStarts(Tokens tokens);
  Task<void> BeginTopic(std::string topic, TopicId id, Tokens tokens);
  Tokens Waiting(Tokens tokens) const;
  void BeginPartition(const PartitionKey& key);
  void BeginAnew(const TopicPartition& at);

  // Positions and commits.
  Result<PartitionKey> KeyOf(const TopicPartition& at) const;
  internal::CommitItems Positions(const Keys* only) const;
  Result<internal::CommitItems> ItemsOf(const std::optional<OffsetsToCommit>& offsets) const;
  Task<Result<>> Commit(internal::CommitItems items, MonoTime deadline);
  Task<void> CommitInBackground(internal::CommitItems items, MonoTime deadline, CommitCallback done);
  Task<Result<>> FetchSome(Keys* wanted, MonoTime deadline, OffsetsToCommit* committed);
  void AutoCommit();
  void OnCommitted(const internal::CommitItems& items);

  Cluster& cluster_;
  EventLoop& loop_;
  const ConsumerOptions options_;
  RebalanceListener* const listener_;
  Consumer consumer_;
  internal::CoordinatorLink link_;
  internal::MemberSession session_;
  Backoff backoff_;
  internal::CommitQueue commits_;
  Scope beats_;       // the heartbeats
  Scope scope_;       // all else in the background
  Notifier wake_;     // the heartbeats have something to do
  Notifier changed_;  // something for Poll, or a Poll has ended
  std::stop_source interrupt_;

  std::map<PartitionKey, Held> held_;
  std::map<TopicPartition, PartitionKey> names_;
  // Partitions that a topic had when the first of it was begun here: those above were added since.
  std::map<TopicId, size_t> partitions_met_;
  uint64_t last_token_ = 0;
  // Asked back: commits of them are under way, or done (`revoked_`) and Poll is to tell the listener or, when
  // that was told and what it committed has settled, to release them.
  std::optional<Keys> revoking_;
  bool revoked_ = false;
  std::set<TopicPartition> lost_;  // to be told
  std::optional<Error> last_loss_;
  std::deque<Error> errors_;  // of single partitions, to be given by Poll
  bool work_ = false;         // Work may have something to do

  MonoTime last_poll_{};  // when the last one ended
  MonoTime last_turn_{};  // when a Poll last let others have theirs
  MonoTime next_auto_commit_{};
  bool auto_committing_ = false;  // one of them is under way
  uint64_t session_serial_ = 0;   // rises with each leave
  bool polling_ = false;
  bool calling_ = false;    // the listener is being called
  MonoTime call_begun_{};   // when it was called last
  MonoTime close_by_{};     // while closing: when the group is left at the latest
  bool idled_out_ = false;  // left because nobody polled
  bool closing_ = false;
  bool closed_ = false;
};

}  // namespace tidemark
