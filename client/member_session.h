// MemberSession: a member's side of its membership: what its next heartbeat says, and what an answer or an
// error means. Pure (no I/O, no clock): time is handed in. Owned by a group consumer, which sends the
// heartbeats, one at a time.
//
// Invariants:
// - what a heartbeat says is held is what the application holds when it is sent; a partition asked back
//   is said to be held until SetHeld says otherwise;
// - what was said counts as known to the coordinator only when that heartbeat was answered;
// - after a fence nothing is held: the caller drops all before it sends another heartbeat.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/random.h"
#include "common/result.h"
#include "common/time.h"
#include "common/types.h"
#include "tidemark/v1/group_api.pb.h"

namespace tidemark::internal {

// Partitions with the name of their topic.
using NamedPartitions = std::map<PartitionKey, std::string>;

// "name-" and a random UUID.
std::string MakeMemberId(const std::string& name, Random& random);

class MemberSession {
 public:
  struct Settings {
    std::string group;
    std::string member_id;
    std::string instance_id;
    std::string rack;
    std::string assignor;
    Duration session_timeout{};
    Duration rebalance_timeout{};
  };
  explicit MemberSession(Settings settings) : settings_(std::move(settings)) {}

  enum class Stage { kOut, kJoining, kMember, kFailed };
  Stage stage() const { return stage_; }
  // In the group or on the way into it: heartbeats are to be sent.
  bool active() const { return stage_ == Stage::kJoining || stage_ == Stage::kMember; }
  const std::string& member_id() const { return settings_.member_id; }
  const std::string& instance_id() const { return settings_.instance_id; }
  int32_t epoch() const { return epoch_; }
  // All that the member is to hold, as last told.
  const NamedPartitions& target() const { return target_; }
  // Why it is not in the group now, or why it will never be; empty: all is well.
  const std::optional<Error>& problem() const { return problem_; }

  // Joins with this subscription, or changes it.
  void Subscribe(v1::GroupSubscription subscription, MonoTime now);
  // Joins again after it has left, with the subscription it had.
  void Rejoin(MonoTime now);
  // What the application holds now.
  void SetHeld(std::set<PartitionKey> held, MonoTime now);

  // When the next heartbeat is to be sent. Only while active and none is under way.
  MonoTime due() const { return due_; }
  // Sooner than planned: something says that the membership has changed.
  void Hurry(MonoTime now) { due_ = std::min(due_, now); }
  v1::ConsumerGroupHeartbeatRequest Begin(MonoTime now);
  void OnAnswer(const v1::ConsumerGroupHeartbeatResponse& answer, MonoTime now);
  enum class Verdict {
    kGoOn,    // the same again at due()
    kFenced,  // nothing is held any more; it joins again at due()
    kFailed,  // nothing is held any more; problem() says why
  };
  // `pause`: before another try.
  Verdict OnError(const Error& error, MonoTime now, Duration pause);
  // The heartbeat that leaves: for good, or, a static member, until it is back. It is out from here on; `why`
  // becomes its problem.
  v1::ConsumerGroupHeartbeatRequest Leave(std::optional<Error> why = std::nullopt);

  // What tells the coordinator of a member that has failed that it is gone.
  v1::ConsumerGroupHeartbeatRequest Farewell() const;

  // Notes whether this process has just stood still for so long that it may have been fenced meanwhile. True
  // until a heartbeat that was sent after that is answered. (A coordinator that cannot be reached is another
  // matter: the next one gives members their full session back.)
  bool Stalled(MonoTime now);

 private:
  v1::ConsumerGroupHeartbeatRequest Blank() const;
  void Forget();

  const Settings settings_;
  Stage stage_ = Stage::kOut;
  int32_t epoch_ = 0;
  v1::GroupSubscription subscription_;
  std::set<PartitionKey> held_;
  NamedPartitions target_;
  std::optional<std::pair<int32_t, NamedPartitions>> confirmed_;  // at once, at this epoch
  std::optional<Error> problem_;

  // Versions of the subscription and of `held_`: as they are, as the heartbeat under way says, as is known.
  struct Said {
    uint64_t now = 1;
    uint64_t sent = 0;
    uint64_t known = 0;
  };
  Said subscription_said_;
  Said held_said_;

  MonoTime due_{};
  MonoTime begun_{};   // when the heartbeat under way was sent
  MonoTime heard_{};   // when the last answered one was sent
  MonoTime failed_{};  // when the last try failed
  int unforeseen_ = 0;
  bool stalled_ = false;
  bool begun_stalled_ = false;
};

}  // namespace tidemark::internal
