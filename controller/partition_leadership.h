// Leadership of a partition and the pure decisions about it: who leads and who is in sync after brokers came,
// went, bounced or asked to be relieved. No I/O, no state; any thread.
//
// The state znode is Kafka's, with one member more, `isr_broker_epochs`, parallel to `isr`: in which life of
// its broker each member was taken in. So a new controller sees, without having been there, that a member has
// bounced since.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/types.h"
#include "tidemark/v1/control_api.pb.h"

namespace tidemark {

struct IsrMember {
  BrokerId id = kNoBroker;
  // kNoBrokerEpoch: not recorded (the state was written by someone else).
  BrokerEpoch epoch = kNoBrokerEpoch;
  bool operator==(const IsrMember&) const = default;
};

// Content of a partition's state znode.
struct Leadership {
  BrokerId leader = kNoBroker;
  LeaderEpoch leader_epoch = 0;
  std::vector<IsrMember> isr;
  v1::LeaderRecoveryState recovery = v1::LEADER_RECOVERY_STATE_RECOVERED;
  ControllerEpoch controller_epoch = 0;
  std::vector<BrokerId> eligible;  // reserved (KIP-966), kept
  std::string unknown_members;     // kept on rewrite
  bool operator==(const Leadership&) const = default;

  const IsrMember* Member(BrokerId id) const;
};

// The JSON of the state znode. An error says what is wrong, also with what parses but cannot be (a leader
// outside the ISR, a member twice, an epoch out of range).
Result<Leadership> DecodeLeadership(std::string_view json);
std::string EncodeLeadership(const Leadership& state);

// A replica of a partition, as its broker is now.
struct ReplicaFacts {
  BrokerId id = kNoBroker;
  bool usable = false;  // its broker is live, its log directory works, and its log is there
  bool lost = false;    // its broker is live and its log is gone: it could only lead with nothing
  bool shutting_down = false;
  bool clean_start = false;  // the broker's stop before this life was clean
  // Its broker has a new log directory and has not said yet whether the replica's log is there. Concerns only
  // what the broker had in a former life.
  bool unproven = false;
  BrokerEpoch epoch = kNoBrokerEpoch;
};

// What a decision about a partition goes by.
struct PartitionFacts {
  std::vector<ReplicaFacts> replicas;  // preferred leader first
  Leadership state;                    // epochs of members resolved where they were not recorded
  bool unclean_allowed = false;        // unclean.leader.election.enable
  bool synced = true;                  // ack.durability: an unclean stop loses nothing that was counted
  const ReplicaFacts* Replica(BrokerId id) const;
};

// A wish of one replica to be relieved.
struct Relief {
  BrokerId replica = kNoBroker;
  bool leave_isr = false;
  // What the replica has told its leader in the present leader epoch must count no more: its log is to be
  // replaced.
  bool fence = false;
};

// The state that should be in force, or nothing when the present one should. Rules:
// - the leader is a usable member of the ISR, in the life in which it was elected; it stays where it is
//   one;
// - else the first replica that is one (behind one that is relieved and stays in the ISR: the next) is
//   elected, with the leader epoch raised; members that bounced, then those shutting down, then the one
//   to be relieved come last;
// - the ISR loses members that are not usable, and, while others remain, those shutting down, the one
//   that asked to leave, and (not at `synced`) those that bounced after an unclean stop; it never becomes
//   empty;
// - the leader epoch rises, under the same leader, when a follower that is out of the ISR is to be
//   fenced: so no fetch made with the log that it gives up can bring it, with another log, back into the
//   ISR;
// - a member that bounced and is unproven neither leads nor makes others leave, and stays as it is until
//   its broker has said whether its log is there;
// - when no member is usable and none unproven: with unclean election allowed the first usable replica
//   leads alone, marked RECOVERING (where there is none, the first whose log is gone does, with an empty
//   one); else there is no leader, and the ISR stays as it is, for any member of it may come back with
//   everything.
std::optional<Leadership> DecideLeadership(const PartitionFacts& facts, const Relief& relief = {});

// The first state of a new partition: all usable replicas in sync, the first of them leads. Nothing if there
// is none.
std::optional<Leadership> InitialLeadership(const PartitionFacts& facts);

// The preferred leader (the first replica), when it is a usable member of the ISR and not shutting down.
std::optional<BrokerId> PreferredLeader(const PartitionFacts& facts);

}  // namespace tidemark
