#include "controller/alter_partition.h"

#include <algorithm>
#include <set>

namespace tidemark {
namespace {

template <typename... Args>
AlterPartitionDecision Refuse(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return {.error = {code, fmt::format(format, std::forward<Args>(args)...)}};
}

// Epochs and sender: is the wish made by the leader of now?
std::optional<AlterPartitionDecision> CheckLeader(const PartitionFacts& facts, BrokerId sender,
                                                  const v1::AlterPartitionRequest::Partition& wish) {
  const Leadership& state = facts.state;
  // The sender has heard of what this controller has not: another one has come.
  if (wish.leader_epoch() > state.leader_epoch) {
    return Refuse(v1::NOT_CONTROLLER, "leader epoch {} is not known here, {} is the latest",
                  wish.leader_epoch(), state.leader_epoch);
  }
  if (wish.leader_epoch() < state.leader_epoch || state.leader != sender) {
    return Refuse(v1::FENCED_LEADER_EPOCH, "broker {} leads in epoch {}", state.leader, state.leader_epoch);
  }
  return std::nullopt;
}

std::optional<AlterPartitionDecision> CheckMembers(const PartitionFacts& facts, BrokerId sender,
                                                   const v1::AlterPartitionRequest::Partition& wish) {
  std::set<BrokerId> seen;
  for (const auto& member : wish.isr()) {
    const BrokerId id = member.broker_id();
    if (!seen.insert(id).second)
      return Refuse(v1::INVALID_REQUEST, "the wanted ISR names broker {} twice", id);
    if (facts.Replica(id) == nullptr) {
      return Refuse(v1::INVALID_REQUEST, "broker {} has no replica of the partition", id);
    }
  }
  if (!seen.contains(sender))
    return Refuse(v1::INVALID_REQUEST, "the wanted ISR lacks the leader, broker {}", sender);
  return std::nullopt;
}

std::optional<AlterPartitionDecision> CheckRecovery(const PartitionFacts& facts,
                                                    const v1::AlterPartitionRequest::Partition& wish) {
  const bool recovering = wish.recovery_state() == v1::LEADER_RECOVERY_STATE_RECOVERING;
  if (recovering && facts.state.recovery == v1::LEADER_RECOVERY_STATE_RECOVERED) {
    return Refuse(v1::INVALID_REQUEST, "only the controller marks a partition as recovering");
  }
  if (recovering && wish.isr_size() > 1) {
    return Refuse(v1::INVALID_REQUEST, "a recovering partition has no member in sync but the leader");
  }
  return std::nullopt;
}

// Whether the member may join in the life that the wish names; an empty string if so.
std::string WhyIneligible(const ReplicaFacts& replica, BrokerEpoch epoch) {
  if (replica.epoch == kNoBrokerEpoch) return "is not registered";
  if (replica.epoch != epoch) return fmt::format("is registered with epoch {}, not {}", replica.epoch, epoch);
  if (!replica.usable) return "has a failed log directory";
  if (replica.shutting_down) return "is shutting down";
  return {};
}

}  // namespace

AlterPartitionDecision DecideAlterPartition(const PartitionFacts& facts, PartitionEpoch partition_epoch,
                                            BrokerId sender,
                                            const v1::AlterPartitionRequest::Partition& wish) {
  if (auto refusal = CheckLeader(facts, sender, wish)) return *refusal;
  if (wish.partition_epoch() > partition_epoch) {
    return Refuse(v1::NOT_CONTROLLER, "partition epoch {} is not known here, {} is the latest",
                  wish.partition_epoch(), partition_epoch);
  }
  if (auto refusal = CheckMembers(facts, sender, wish)) return *refusal;

  Leadership next = facts.state;
  next.isr.clear();
  for (const auto& member : wish.isr()) {
    // Who is a member stays one in the life in force, unless the leader has met a later one: a leader may not
    // have heard from it yet.
    const IsrMember* present = facts.state.Member(member.broker_id());
    const BrokerEpoch least = present == nullptr ? kNoBrokerEpoch : present->epoch;
    next.isr.push_back({member.broker_id(), std::max(least, BrokerEpoch{member.broker_epoch()})});
  }
  next.recovery = wish.recovery_state();
  // A repetition after a lost answer: already so, whatever epoch it was based on. The order in the ISR says
  // nothing.
  bool same = next.recovery == facts.state.recovery && next.isr.size() == facts.state.isr.size();
  for (const IsrMember& member : next.isr) {
    const IsrMember* present = facts.state.Member(member.id);
    same = same && present != nullptr && *present == member;
  }
  // Based on the epoch in force it is no repetition: the leader is in doubt about an earlier wish. That one
  // is void for certain only when the partition epoch has risen, so the state is written once more as it is.
  if (same && wish.partition_epoch() < partition_epoch) return {.tells_state = true};
  if (wish.partition_epoch() < partition_epoch) {
    AlterPartitionDecision decision =
        Refuse(v1::INVALID_UPDATE_VERSION, "partition epoch {} is past, {} is in force",
               wish.partition_epoch(), partition_epoch);
    decision.tells_state = true;
    return decision;
  }
  if (auto refusal = CheckRecovery(facts, wish)) return *refusal;
  for (const IsrMember& member : next.isr) {
    const IsrMember* present = facts.state.Member(member.id);
    if (present != nullptr && *present == member) continue;
    const std::string why = WhyIneligible(*facts.Replica(member.id), member.epoch);
    if (!why.empty()) return Refuse(v1::INELIGIBLE_REPLICA, "broker {} {}", member.id, why);
  }
  return {.tells_state = true, .next = std::move(next)};
}

}  // namespace tidemark
