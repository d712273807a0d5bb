// GroupCoordinator: the groups whose partitions of __consumer_offsets this shard leads. Loads them when it
// begins to lead, serves them, forgets them when it stops. Owned by the shard; shard's loop only.
//
// A step of a group is: decide (membership.h, group_offsets.h), which changes the group in memory; append the
// change's records to the partition, or roll it back; answer when the high watermark has passed everything
// that the answer says. So what anybody is told is committed, also what follows from steps of others. A role
// that ends discards all memory of the partition; the next leader reads it back.
//
// Invariants:
//   memory of a partition is used only while it is led in the epoch in which it was read ("fresh")
//   nothing refers to a group across a suspension: it is found again
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/group/group_describe.h"
#include "broker/group/group_lag.h"
#include "broker/group/group_log.h"
#include "broker/group/group_offsets.h"
#include "broker/group/rebalance_log.h"
#include "broker/replica/replica_table.h"

namespace tidemark {

struct GroupCoordinatorOptions {
  GroupOptions groups;
  Duration commit_timeout = 5s;              // offsets.commit.timeout.ms
  Duration retention_check_interval = 600s;  // offsets.retention.check.interval.ms
  size_t load_bytes = 128u << 10;            // read at a time
};

// Since the start; summed up for /metrics.
struct GroupCounters {
  uint64_t loads = 0;
  uint64_t loaded_records = 0;
  uint64_t bad_records = 0;
  uint64_t load_millis = 0;
  uint64_t heartbeats = 0;
  // By cause (v1::RebalanceCause).
  std::array<uint64_t, v1::RebalanceCause_ARRAYSIZE> rebalances{};
  uint64_t fenced_members = 0;
  uint64_t committed_offsets = 0;
  uint64_t refused_offsets = 0;
  uint64_t expired_offsets = 0;
  uint64_t refused_for_memory = 0;  // joins and commits

  GroupCounters& operator+=(const GroupCounters& other);
};

// As of now, for /metrics.
struct GroupGauges {
  size_t partitions = 0;  // of __consumer_offsets led here
  size_t loading = 0;
  std::map<v1::GroupState, size_t> groups;
  size_t members = 0;
  size_t offsets = 0;
  size_t bytes = 0;  // Group::bytes of all
  size_t bytes_limit = 0;
  std::map<PartitionKey, LeaderEpoch> serving;  // partitions of __consumer_offsets that are read back
};

class GroupCoordinator final : private PartitionWatcher {
 public:
  using TopicsSource = std::function<std::shared_ptr<const GroupTopics>()>;

  // `topics` gives the picture of the cluster's topics; null while nothing is known of it.
  GroupCoordinator(EventLoop& loop, const Clock& clock, ReplicaTable& table, GroupCoordinatorOptions options,
                   TopicsSource topics);
  ~GroupCoordinator() override;  // Close() first

  void Start();
  // Before the table is closed or after; no request may be made any more.
  Task<void> Close();
  // A replica was made on this shard.
  void OnReplicaMade(Partition& partition);
  // The picture of the cluster's topics may have changed.
  void OnTopicsChanged();

  // --- requests (group_requests.cc). `where`: the group's partition of __consumer_offsets. NOT_COORDINATOR,
  // COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, and each request's own errors.
  Task<Result<v1::ConsumerGroupHeartbeatResponse>> Heartbeat(PartitionKey where,
                                                             v1::ConsumerGroupHeartbeatRequest request,
                                                             GroupCaller caller, MonoTime deadline);
  Task<Result<v1::OffsetCommitResponse>> Commit(PartitionKey where, v1::OffsetCommitRequest request,
                                                MonoTime deadline);
  Task<Result<v1::OffsetFetchResponse::Group>> Fetch(PartitionKey where,
                                                     v1::OffsetFetchRequest::Group request,
                                                     MonoTime deadline);
  Task<Result<v1::OffsetDeleteResponse>> DeleteOffsets(PartitionKey where, v1::OffsetDeleteRequest request,
                                                       MonoTime deadline);
  Task<Result<v1::DescribeGroupsResponse::Group>> Describe(PartitionKey where, std::string group,
                                                           bool offsets, MonoTime deadline);
  Task<Result<>> Delete(PartitionKey where, std::string group, MonoTime deadline);
  // Of all partitions led here, in no order; with `page` the first by id that are asked for, one more than
  // kGroupsPerPage at most. COORDINATOR_LOAD_IN_PROGRESS when some are being read.
  Result<std::vector<v1::ListGroupsResponse::Group>> List(const ListedGroups& wanted);

  // Of groups whose records are read back, `most` at most, those with members first. For the lag.
  Task<CommittedPositions> Positions(size_t most);

  const GroupCounters& counters() const { return counters_; }
  GroupGauges Gauges() const;

 private:
  struct Slot {
    explicit Slot(std::string id) : group(std::move(id)) {}
    Group group;
    // Ends of the last records appended: an answer waits for those that it depends on.
    Offset membership_end = 0;
    Offset offsets_end = 0;
    MonoTime due = kNoDeadline;  // its place in Led::due
    size_t counted = 0;          // of Group::bytes, in Led::bytes
  };
  // A partition of __consumer_offsets that is led here in one epoch.
  struct Led {
    PartitionKey key;
    LeaderEpoch epoch = 0;
    bool ready = false;
    bool stale = false;  // the role has changed since
    std::unordered_map<std::string, std::unique_ptr<Slot>> groups;
    std::set<std::pair<MonoTime, std::string>> due;
    Offset dropped_end = 0;  // of the last records of groups that are gone
    size_t bytes = 0;        // of its groups, as counted
  };

  // PartitionWatcher.
  void OnPartitionChange(const PartitionKey& key, PartitionChange change) override;

  // group_coordinator.cc
  Task<void> Watch();
  void Review(const PartitionKey& key);
  Task<void> Clockwork();
  MonoTime NextDue() const;
  Task<void> RunDue(MonoTime now);
  Task<void> RetentionRounds();
  Task<void> FollowTopics();
  bool RefreshTopics();
  bool NamesUnknown(const v1::OffsetCommitRequest& request) const;
  // So many of them at most; whether there may be more. An error: it could not be recorded, and is to be
  // tried again.
  Result<bool> ForgetDeletedTopics(Led& led, Slot& slot);
  std::vector<std::pair<PartitionKey, std::string>> AllGroups() const;
  // Runs `step` on each group, a few at a time, and again on the same, after others had their turn, for as
  // long as it says that there is more to do.
  Task<void> ForEachGroup(const char* name, std::function<bool(Led&, Slot&)> step);
  Task<void> Yield(const char* name);

  // group_loader.cc
  Task<void> Load(std::shared_ptr<Led> led);
  Task<Result<>> Read(std::shared_ptr<Led> led, Offset end);
  Task<void> Finish(std::shared_ptr<Led> led);
  Result<> Repair(Led& led, Slot& slot);
  void RestartTimers(Led& led);

  // group_requests.cc
  Partition* LeaderOf(const Led& led);
  // `wanted`: the epoch in which the asker knows a coordinator to be.
  Result<Led*> Ready(const PartitionKey& where, std::optional<LeaderEpoch> wanted = std::nullopt);
  Slot* FindGroup(Led& led, const std::string& group);
  Slot& SlotOf(Led& led, const std::string& group);
  void DropIfGone(Led& led, const std::string& group);
  // What an answer about a group depends on; `slot` null: that it is gone.
  static Offset EndOf(const Led& led, const Slot* slot);
  // The answer about a group that is not there, once that is committed.
  Task<Error> NotThere(PartitionKey where, Led* led, std::string group, MonoTime deadline);
  GroupScene Scene();
  // Appends a change, or rolls it back; also one by which the groups here would grow beyond `most` bytes.
  Result<> Write(Led& led, Slot& slot, GroupChange& change, size_t most = SIZE_MAX);
  Result<> Append(Led& led, Slot& slot, GroupChange& change);
  Result<> CheckRoom(const Slot& slot, const GroupChange& change, size_t most);
  void Recount(Led& led, Slot& slot);
  size_t BytesOfGroups() const;
  void Count(const GroupChange& change);
  void Schedule(Led& led, Slot& slot, MonoTime when);
  Task<Result<>> Committed(PartitionKey where, LeaderEpoch epoch, Offset end, MonoTime deadline);

  EventLoop& loop_;
  const Clock& clock_;
  ReplicaTable& table_;
  const GroupCoordinatorOptions options_;
  const TopicsSource topics_source_;
  Scope scope_;
  SubscriptionResolver resolver_;
  bool topics_known_ = false;
  bool topics_dirty_ = true;
  bool topics_again_ = false;  // some group has yet to be told of the topics
  MonoTime topics_read_{};
  std::unordered_map<PartitionKey, std::shared_ptr<Led>> led_;
  std::unordered_set<PartitionKey> changed_;  // roles to be looked at
  std::unordered_set<PartitionKey> watched_;
  Notifier role_changed_;
  Notifier due_changed_;
  Notifier topics_changed_;
  ScratchBuffer scratch_;
  GroupCounters counters_;
  RebalanceLog rebalance_log_;
};

}  // namespace tidemark
